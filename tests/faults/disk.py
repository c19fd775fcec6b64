"""What a disk may hold after a power loss: rebuilt from the system calls of a process that were recorded.

The strict reading of POSIX: what was written is safe when its file was synced; a name (a file made, renamed, removed) is
safe when its folder was synced. All else may be there, or not, or in part.
"""

import os
import re
from typing import NamedTuple

from harness import Child

_CALLS = (
    "write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,rmdir,ftruncate,link,linkat,"
    "mkdir,mkdirat,openat,lseek,close"
)
_LINE = re.compile(r"(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)(.*)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"^(\d+)<((?:\\x[0-9a-f]{2}|[^>\\])*)>")
_SECTOR = 512


class Event(NamedTuple):
    """One call that changed files, or an acknowledgement (`acknowledge`)."""

    what: str
    path: str = ""
    other: object = None
    data: bytes = b""


def record(scenario, folder, output, **arguments):
    """Run a scenario, and return what it did to the files below a folder, and when it acknowledged something."""
    prefix = [
        "strace",
        "-f",
        "-y",
        "-xx",
        "-s",
        "4000000",
        "-o",
        output,
        "-e",
        f"trace={_CALLS}",
        "-e",
        "signal=none",
    ]
    with Child(scenario, prefix=prefix, folder=folder, **arguments) as child:
        status, _, errors = child.end()
    assert status == 0, errors
    with open(output) as file:
        return list(_events(file, os.path.realpath(folder)))


def _plain(text):
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), text)


def _bytes(text):
    return bytes.fromhex(text.replace("\\x", ""))


def _events(lines, folder):
    positions = {}
    for line in lines:
        match = _LINE.match(line)
        if match is None or int(match[3]) < 0:
            continue
        call, arguments, result = match[1], match[2], int(match[3])
        at = _DESCRIPTOR.match(arguments)
        texts = [_bytes(text) for text in _TEXT.findall(arguments)]
        if at is not None and at[1] == "1" and call == "write" and not _plain(at[2]).startswith("/"):
            yield Event("acknowledge", data=texts[0])
            continue
        if call in (
            "openat",
            "mkdir",
            "mkdirat",
            "unlink",
            "unlinkat",
            "rmdir",
            "rename",
            "renameat",
            "renameat2",
            "link",
            "linkat",
        ):
            paths = [os.path.abspath(text.decode("utf-8", "surrogateescape")) for text in texts]
            if not paths or not paths[0].startswith(folder):
                continue
            if call == "openat":
                positions[result] = 0
                if "O_CREAT" in arguments:
                    yield Event("create", paths[0])
                if "O_TRUNC" in arguments:
                    yield Event("truncate", paths[0], 0)
            else:
                yield Event(call.removesuffix("at2").removesuffix("at"), *paths)
            continue
        if at is None or not _plain(at[2]).startswith(folder):
            continue
        number, path = int(at[1]), _plain(at[2])
        if call in ("fsync", "fdatasync"):
            yield Event("sync", path)
        elif call == "ftruncate":
            yield Event("truncate", path, int(arguments.rsplit(", ", 1)[1]))
        elif call == "lseek":
            positions[number] = result
        elif call in ("write", "writev", "pwrite64"):
            data = b"".join(texts)[:result]
            assert len(data) == result, line[:200]
            offset = int(arguments.rsplit(", ", 1)[1]) if call == "pwrite64" else positions.get(number, 0)
            if call != "pwrite64":
                positions[number] = offset + result
            yield Event("write", path, offset, data)


class _File:
    def __init__(self):
        self.safe = bytearray()
        self.pending = []

    def apply(self, change):
        offset, data = change
        if data is None:
            del self.safe[offset:]
            self.safe.extend(bytes(offset - len(self.safe)))
        else:
            self.safe.extend(bytes(max(0, offset - len(self.safe))))
            self.safe[offset : offset + len(data)] = data


class Disk:
    """The files of a folder: what is safe, and what is not yet."""

    def __init__(self, folder):
        self._folder = os.path.realpath(folder)
        self._names = {self._folder: None}  # as the process sees them; a folder is None
        self._safe_names = {self._folder: None}
        self._pending = []  # (folders concerned, change of names)

    def do(self, event):
        """Follow one event."""
        what, path, other, data = event
        if path.endswith("-shm"):
            return
        if what == "create" and path not in self._names:
            self._change([path], {path: _File()})
        elif what == "mkdir":
            self._change([path], {path: None})
        elif what in ("unlink", "rmdir"):
            self._change([path], {path: "gone"})
        elif what == "rename":
            self._change([path, other], {other: self._names[path], path: "gone"})
        elif what == "link":
            self._change([other], {other: self._names[path]})
        elif what in ("write", "truncate"):
            file = self._names.get(path)
            if file is not None:  # else it was removed while it was open
                file.pending.append((other, data if what == "write" else None))
        elif what == "sync" and path in self._names:
            file = self._names[path]
            if file is None:
                self._sync_folder(path)
            else:
                for change in file.pending:
                    file.apply(change)
                file.pending.clear()

    def _change(self, paths, change):
        _apply(self._names, change)
        self._pending.append(({os.path.dirname(path) for path in paths}, change))

    def _sync_folder(self, folder):
        left = []
        for folders, change in self._pending:
            if folder in folders:
                _apply(self._safe_names, change)
            else:
                left.append((folders, change))
        self._pending = left

    def lose_power(self, target, chance=None):
        """Write to a new folder what the disk may hold now.

        Args:
            target: The folder.
            chance: None: of what is not safe, nothing is there. Else a random part of it, torn at sectors.
        """
        names = dict(self._safe_names)
        if chance is not None:
            for _, change in self._pending[: chance.randint(0, len(self._pending))]:
                _apply(names, change)
        os.mkdir(target, 0o700)
        for path in sorted(names):
            if path == self._folder or os.path.dirname(path) not in names:
                continue
            place = target + path.removeprefix(self._folder)
            if names[path] is None:
                if os.path.isdir(os.path.dirname(place)):
                    os.mkdir(place, 0o700)
            elif os.path.isdir(os.path.dirname(place)):
                with open(place, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                    file.write(_content(names[path], chance))


def _apply(names, change):
    for path, file in change.items():
        if isinstance(file, str):
            names.pop(path, None)
        else:
            names[path] = file


def _content(file, chance):
    if chance is None or not file.pending:
        return bytes(file.safe)
    copy = _File()
    copy.safe = bytearray(file.safe)
    manner = chance.choice(["some", "first", "zeros", "torn"])
    until = chance.randint(0, len(file.pending))
    for number, (offset, data) in enumerate(file.pending):
        if manner == "first" and number >= until:
            break
        if manner == "zeros" and data is not None and chance.random() < 0.5:
            # Its size is there, its content is not.
            if offset + len(data) > len(copy.safe):
                copy.apply((offset + len(data), None))
        elif manner == "torn" and data is not None:
            for start in range(0, len(data), _SECTOR):
                if chance.random() < 0.7:
                    copy.apply((offset + start, data[start : start + _SECTOR]))
        elif manner != "some" or chance.random() < 0.6:
            copy.apply((offset, data))
    return bytes(copy.safe)
