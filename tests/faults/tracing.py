"""System calls of a child, by strace: to stop it at each of them, and to know what was on the disk at each of them."""

import re
import shutil
from collections import Counter
from typing import NamedTuple

from harness import TIMEOUT_SECONDS, Child

CHANGING = (
    "write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,rmdir,"
    "ftruncate,truncate,link,linkat,mkdir,mkdirat,openat,fallocate,copy_file_range,sendfile,chmod,fchmod,fchmodat"
)
_LINE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)(.*)", re.DOTALL)


class Point(NamedTuple):
    """The so-manieth call of one system call in a child."""

    call: str
    number: int
    about: str


def is_there():
    """Tell whether strace is installed."""
    return shutil.which("strace") is not None


def points(scenario, folder, output, **arguments):
    """Run a scenario to its end, and return those of its system calls that concern files below the folder."""
    prefix = ["strace", "-f", "--seccomp-bpf", "-y", "-s", "0", "-o", output, "-e", f"trace={CHANGING}"]
    with Child(scenario, prefix=prefix, folder=folder, **arguments) as child:
        status, _, errors = child.end()
    assert status == 0, errors
    found, counts = [], Counter()
    with open(output) as file:
        for line in file:
            match = _LINE.match(line)
            if match is None:
                continue
            process, call, about = match[1], match[2], match[3]
            counts[process, call] += 1
            # The shared memory of the log's index is no part of what a crash leaves behind.
            if (
                folder in about
                and "-shm" not in about
                and not (call == "openat" and "O_CREAT" not in about and ".value" not in about)
            ):
                found.append(Point(call, counts[process, call], about.replace(folder, "")))
    return found


def stopped_at(point, scenario, folder, **arguments):
    """Run a scenario that is killed when it enters one system call.

    Returns:
        Whether it came so far, and the lines that it had acknowledged.
    """
    prefix = [
        "strace", "-f", "-o", "/dev/null", "-e", f"trace={point.call}",
        "-e", f"inject={point.call}:signal=SIGKILL:when={point.number}",
    ]  # fmt: skip
    with Child(scenario, prefix=prefix, folder=folder, **arguments) as child:
        status, lines, errors = child.end(TIMEOUT_SECONDS)
    assert status in (0, -9, 137), errors
    return status != 0, lines
