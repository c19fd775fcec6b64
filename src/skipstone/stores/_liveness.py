"""Who this process is, so that another one on the same machine sees when it is dead.

A process id alone says too little: it is used again, and means something else in each container. Together with when
the process began, in which name space of process ids, since which boot of which machine, there is only one.
"""

from __future__ import annotations

import os
from typing import NamedTuple

_BOOT = "/proc/sys/kernel/random/boot_id"
_NAME_SPACE = "/proc/self/ns/pid"
_STATE, _BEGAN = 0, 19  # fields of /proc/<pid>/stat, counted from behind the name


class Process(NamedTuple):
    """One process of all that ever were."""

    machine: str
    """The boot and the name space; empty where the system does not tell them: on others than Linux."""
    number: int
    began: str
    """In clock ticks since the boot."""

    def __str__(self) -> str:
        """Return it as one word."""
        return f"{self.machine}:{self.number}:{self.began}"

    def is_dead(self) -> bool:
        """Tell whether it ran on this machine and does not any more; False where that cannot be known."""
        return bool(self.machine) and self.machine == _machine() and self.began != _began(self.number)

    def is_alive(self) -> bool:
        """Tell whether it runs on this machine; False where that cannot be known."""
        return bool(self.machine) and self.machine == _machine() and self.began == _began(self.number)


def this_process() -> Process:
    """Return the process that asks."""
    return Process(_machine(), os.getpid(), _began(os.getpid()))


def process_of(word: str) -> Process | None:
    """Return the process that a word names, or None where it names none."""
    machine, number, began = (*word.split(":"), "", "", "")[:3]
    return Process(machine, int(number), began) if number.isdecimal() else None


def _machine() -> str:
    try:
        with open(_BOOT, encoding="ascii") as file:
            return f"{file.read().strip()}/{os.stat(_NAME_SPACE).st_ino}"
    except OSError:
        return ""


def _began(number: int) -> str:
    """Return when a process began, or nothing where it is dead."""
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()  # the name before may hold anything
    except OSError:
        return ""
    return "" if fields[_STATE] in ("Z", "X") else fields[_BEGAN]
