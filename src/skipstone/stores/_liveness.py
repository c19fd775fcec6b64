"""Name a process so that another one on the same machine can see whether it is dead.

A process id alone is not enough: it is reused, and means something else in each container. Together with the boot of
the machine, the name space of process ids, and the start time of the process, it is unique.
"""

from __future__ import annotations

import os
from typing import NamedTuple

_BOOT = "/proc/sys/kernel/random/boot_id"
_NAME_SPACE = "/proc/self/ns/pid"
_STATE, _BEGAN = 0, 19  # fields of /proc/<pid>/stat, counted after the name


class Process(NamedTuple):
    """A process, told from every other that ever ran."""

    machine: str
    """The boot and the name space; empty on systems other than Linux, which do not tell them."""
    number: int
    began: str
    """In clock ticks since the boot."""

    def __str__(self) -> str:
        """Return the process as one word."""
        return f"{self.machine}:{self.number}:{self.began}"

    def is_dead(self) -> bool:
        """Tell whether the process ran on this machine and has ended; False if that cannot be known."""
        return bool(self.machine) and self.machine == _machine() and self.began != _began(self.number)

    def is_alive(self) -> bool:
        """Tell whether the process is running on this machine; False if that cannot be known."""
        return bool(self.machine) and self.machine == _machine() and self.began == _began(self.number)


def this_process() -> Process:
    """Return the calling process."""
    return Process(_machine(), os.getpid(), _began(os.getpid()))


def process_of(word: str) -> Process | None:
    """Return the process that a word names, or None if it names none."""
    machine, number, began = (*word.split(":"), "", "", "")[:3]
    return Process(machine, int(number), began) if number.isdecimal() else None


def _machine() -> str:
    try:
        with open(_BOOT, encoding="ascii") as file:
            return f"{file.read().strip()}/{os.stat(_NAME_SPACE).st_ino}"
    except OSError:
        return ""


def _began(number: int) -> str:
    """Return when a process began, or an empty text if it is dead."""
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()  # the name, in parentheses, may hold anything
    except OSError:
        return ""
    return "" if fields[_STATE] in ("Z", "X") else fields[_BEGAN]
