"""Folders of stores on a file system: their names and their permissions."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from .._digest import blake2b
from .._errors import StoreUnavailableError

CHECKPOINT_FOLDER = "checkpoint"
MARKER = ".skipstone"
MARKER_TEXT = "This folder holds checkpoints of skipstone: results of finished calls. Deleting it loses them.\n"

RUNS = "~runs"
"""A step's runs are in a folder with this suffix. No step's own folder ends like this."""

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+=@,")
_LONGEST_NAME_CHARACTERS = 100
_UNKNOWN = "?"  # never the folder name of a step


def folder_name(name: str) -> str:
    """Return a readable folder name for any text; different texts have different names on every file system.

    Characters that a file name cannot hold are percent-encoded. If the name then has upper-case letters, which some
    file systems do not tell from lower-case ones, or is too long, `~` and a digest of the text follow.
    """
    raw = name.encode("utf-8", "surrogatepass")
    encoded = "".join(chr(byte) if byte in _PLAIN else f"%{byte:02x}" for byte in raw)
    if encoded.startswith("."):
        encoded = f"%2e{encoded[1:]}"
    if encoded and encoded == encoded.lower() and len(encoded) <= _LONGEST_NAME_CHARACTERS:
        return encoded
    digest = blake2b(raw, digest_size=8).hexdigest()
    return f"{encoded[:_LONGEST_NAME_CHARACTERS]}~{digest}"


def name_in(folder: str) -> str:
    """Return the text that `folder_name` was given, or the folder's name itself if the text was too long for it."""
    from urllib.parse import unquote_to_bytes

    name = unquote_to_bytes(folder.partition("~")[0]).decode("utf-8", "surrogatepass")
    return name if folder_name(name) == folder else folder


def has_files_of_records(folder: str) -> bool:
    """Tell whether a step's folder has a file for each record rather than a database."""
    return os.path.isdir(f"{folder}/records")


def scopes_below(root: str, sign: str) -> list[str]:
    """Return `<index>/<step>` for each folder two levels below `root` that contains something named `sign`.

    A step that this user may not look into is included, and `<index>/?` stands for such an index, so that whoever
    uses them gets an error.

    Raises:
        StoreUnavailableError: This user may not look into `root` itself.
    """
    try:
        indexes = _names_in(root)
    except PermissionError as error:
        message = f"cannot look into {root}: {error}"
        raise StoreUnavailableError(message) from error
    found: list[str] = []
    for index in indexes:
        try:
            steps = _names_in(f"{root}/{index}")
        except PermissionError:
            found.append(f"{index}/{_UNKNOWN}")
        else:
            found += [f"{index}/{step}" for step in steps if _may_be_there(f"{root}/{index}/{step}/{sign}")]
    return found


def _names_in(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _may_be_there(path: str) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        pass
    return True


def step_folder(artifacts_dir: str, index_name: str, step: str) -> str:
    """Return the absolute path of the folder of one step of one index."""
    root = os.path.join(os.path.abspath(artifacts_dir), CHECKPOINT_FOLDER)
    return os.path.join(root, folder_name(index_name), folder_name(step))


def make_private(folder: str) -> bool:
    """Make a folder that only its owner can look into, whatever the umask; return False if it existed.

    Raises:
        OSError: It cannot be made.
    """
    return _make(folder, 0o700)


def make_inner(folder: str) -> bool:
    """Make a folder that is as open as its parent, whatever the umask; return False if it existed.

    Raises:
        OSError: It cannot be made.
    """
    return _make(folder, 0o700 | _mode_above(folder) & 0o2077)


def _make(folder: str, mode: int) -> bool:
    try:
        os.mkdir(folder, mode)
    except FileExistsError:
        return False
    os.chmod(folder, mode)
    return True


def _mode_above(path: str) -> int:
    return stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode)


def make_shared(folder: str, *, private: bool) -> None:
    """Make a folder and its missing parents: private, or else as open as the closest parent that existed.

    Raises:
        OSError: One of them cannot be made.
    """
    if os.path.isdir(folder):
        return
    make_shared(os.path.dirname(folder), private=private)
    (make_private if private else make_inner)(folder)


def sync_folder(folder: str) -> None:
    """Make the names in a folder survive a power loss: a synced file can still lose its name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_step_folder(folder: str, *, sync: bool) -> None:
    """Make the folder of a step, that of its index, and the private, marked `checkpoint` folder above them.

    The inner folders are as open as the `checkpoint` folder, so that its owner can let a group in. With `sync`, they
    survive a power loss.

    Raises:
        OSError: One of them cannot be made.
    """
    index = os.path.dirname(folder)
    root = os.path.dirname(index)
    artifacts_dir = missing = os.path.dirname(root)
    made: list[str] = []
    while not os.path.exists(missing):
        made.append(missing)
        missing = os.path.dirname(missing)
    os.makedirs(artifacts_dir, exist_ok=True)
    if sync:
        for each in made:
            sync_folder(os.path.dirname(each))
    for each, make in ((root, make_private), (index, make_inner), (folder, make_inner)):
        if make(each) and sync:
            sync_folder(os.path.dirname(each))
    make_marker(root)


def make_marker(root: str) -> None:
    """Mark a `checkpoint` folder as one that may be cleared.

    Raises:
        OSError: It cannot be marked.
    """
    marker = os.path.join(root, MARKER)
    if not os.path.exists(marker):
        with suppress(FileExistsError), open(marker, "x", encoding="utf-8", opener=open_inner) as file:
            file.write(MARKER_TEXT)


def open_inner(path: str, flags: int) -> int:
    """Open a file and return its descriptor. If it is made, it is as open as its folder, whatever the umask."""
    if not flags & os.O_EXCL and os.path.exists(path):
        return os.open(path, flags | os.O_CLOEXEC, 0o600)
    mode = mode_of_inner(path)
    descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
    with suppress(PermissionError):  # another user made it first
        os.fchmod(descriptor, mode)
    return descriptor


def open_as_its_folder(path: str) -> None:
    """Make a new file as open as its folder, whatever the umask."""
    with suppress(PermissionError):  # another user made it first
        os.chmod(path, mode_of_inner(path))


def mode_of_inner(path: str) -> int:
    """Return the mode of a file that is as open as its folder."""
    return 0o600 | _mode_above(path) & 0o066


def unsafe_step(folder: str, database: str) -> str | None:
    """Return what lets others change something in a step, or None if nothing does."""
    index = os.path.dirname(folder)
    folders = (os.path.dirname(index), index, folder)
    for path in (*folders, database):
        if (problem := unsafe(path)) is not None:
            return f"{path} {problem}"
    return _unsafe_below(folder) if all(map(_can_be_entered, folders)) else None


def _unsafe_below(folder: str) -> str | None:
    """Return what lets others change something below a folder that they can enter, or None if nothing does."""
    for place, _, files in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in files)):
            if unsafe(path) is not None:
                return f"{path} can be changed by others, who can get there: chmod -R go-rwx {folder!r}"
    return None


def _can_be_entered(folder: str) -> bool:
    """Tell whether a folder lets others than its owner get to its content."""
    try:
        return bool(os.stat(folder).st_mode & (stat.S_IXGRP | stat.S_IXOTH))
    except FileNotFoundError:
        return False


def unsafe(path: str) -> str | None:
    """Return what lets others change a folder or file, or None if nothing does."""
    try:
        facts = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if facts.st_uid != os.geteuid():
        return f"belongs to user {facts.st_uid}, not to you ({os.geteuid()}): chown -R {os.geteuid()} {path!r}"
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written by others: chmod -R go-rwx {path!r}"
    return None
