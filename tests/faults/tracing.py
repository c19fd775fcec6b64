"""System calls of a child, by strace: to stop it at each of them, and to know what was on the disk at each of them."""

import os
import re
import shutil
import subprocess
import sys
import traceback
from collections import Counter
from typing import NamedTuple

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


def points(server, scenario, folder, output, **arguments):
    """Run a scenario to its end, and return those of its system calls that concern files below the folder."""
    options = ["-y", "-s", "0", "-o", output, "-e", f"trace={CHANGING}"]
    status, _ = server.run("under_strace", options=options, scenario=scenario, folder=folder, **arguments)
    assert status == 0
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


def stopped_at(server, point, scenario, folder, **arguments):
    """Run a scenario that is killed when it enters one system call.

    Returns:
        Whether it came so far, and the lines that it had acknowledged.
    """
    options = [
        "-o", "/dev/null", "-e", f"trace={point.call}",
        "-e", f"inject={point.call}:signal=SIGKILL:when={point.number}",
    ]  # fmt: skip
    status, lines = server.run("under_strace", options=options, scenario=scenario, folder=folder, **arguments)
    assert status in (0, -9), status
    return status != 0, lines


def fork_under_strace(scenario, options, arguments):
    """Run a scenario in a fork that strace is attached to: all is imported already, so only its own calls are traced.

    Returns:
        What it ended with, and the lines that it acknowledged.
    """
    waiting, go = os.pipe()
    reading, acknowledging = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_traced(scenario, arguments, waiting, go, reading, acknowledging)
    os.close(waiting)
    os.close(acknowledging)
    command = ["strace", "-f", *options, "-p", str(pid)]
    with os.fdopen(reading) as lines, subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
        told = strace.stderr.readline()
        assert "attached" in told, told
        os.close(go)
        acknowledged = lines.read().splitlines()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        strace.stderr.read()
    return status, acknowledged


def _be_traced(scenario, arguments, waiting, go, reading, acknowledging):
    status = 1
    try:
        os.close(go)
        os.close(reading)
        os.dup2(acknowledging, 1)
        os.close(acknowledging)
        os.read(waiting, 1)  # ends when strace is attached
        scenario(**arguments)
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)
