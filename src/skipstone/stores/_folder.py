"""Folders of stores on a file system: their names and their permissions."""

from __future__ import annotations

import os
import stat

from .._digest import blake2b

CHECKPOINT_FOLDER = "checkpoint"
MARKER = ".skipstone"
MARKER_TEXT = "This folder holds checkpoints of skipstone: results of finished calls. Deleting it loses them.\n"

RUNS = "~runs"
"""A step's runs are in a folder with this suffix. No step's own folder ends like this."""

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+=@,")
_LONGEST_NAME_CHARACTERS = 100


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
    """Return the `<index>/<step>` of each folder two levels below `root` that contains something named `sign`."""
    from glob import glob

    return sorted(os.path.dirname(path) for path in glob(f"*/*/{sign}", root_dir=root))


def step_folder(artifacts_dir: str, index_name: str, step: str) -> str:
    """Return the absolute path of the folder of one step of one index."""
    root = os.path.join(os.path.abspath(artifacts_dir), CHECKPOINT_FOLDER)
    return os.path.join(root, folder_name(index_name), folder_name(step))


def make_private(folder: str) -> bool:
    """Make a folder that only its owner can look into, whatever the umask; return False if it existed.

    Raises:
        OSError: It cannot be made.
    """
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return False
    os.chmod(folder, 0o700)
    return True


def make_shared(folder: str, *, private: bool) -> None:
    """Make a folder and its missing parents: private, or else as open as the closest parent that existed.

    Raises:
        OSError: One of them cannot be made.
    """
    if os.path.isdir(folder):
        return
    above = os.path.dirname(folder)
    make_shared(above, private=private)
    mode = 0o700 if private else 0o700 | stat.S_IMODE(os.stat(above).st_mode) & 0o2777
    try:
        os.mkdir(folder, mode)
        os.chmod(folder, mode)
    except FileExistsError:
        pass  # by another process, just now


def sync_folder(folder: str) -> None:
    """Make the names in a folder survive a power loss: a synced file can still lose its name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_step_folder(folder: str, *, sync: bool) -> None:
    """Make the folder of a step, its index and the marked `checkpoint` folder above them.

    With `sync`, they survive a power loss.

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
    for each in (root, index, folder):
        if make_private(each) and sync:
            sync_folder(os.path.dirname(each))
    make_marker(root)


def make_marker(root: str) -> None:
    """Mark a `checkpoint` folder as one that may be cleared.

    Raises:
        OSError: It cannot be marked.
    """
    marker = os.path.join(root, MARKER)
    if not os.path.exists(marker):
        with open(marker, "w", encoding="utf-8", opener=open_private) as file:
            file.write(MARKER_TEXT)


def open_private(path: str, flags: int) -> int:
    """Open a file that only its owner can read, whatever the umask, and return its descriptor."""
    is_new = bool(flags & os.O_EXCL) or not os.path.exists(path)
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    if is_new:
        os.fchmod(descriptor, 0o600)
    return descriptor


def unsafe_below(folder: str) -> str | None:
    """Say what lets others change something below a folder that they can enter; None if nothing does."""
    for place, _, files in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in files)):
            if unsafe(path) is not None:
                return f"{path} can be changed by others, who can get there: chmod -R go-rwx {folder!r}"
    return None


def can_be_entered(folder: str) -> bool:
    """Tell whether this folder's own mode lets others than its owner reach what is in it."""
    return bool(os.stat(folder).st_mode & (stat.S_IXGRP | stat.S_IXOTH))


def unsafe(path: str) -> str | None:
    """Say what lets others change a folder or file; None if nothing does."""
    try:
        facts = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if facts.st_uid != os.geteuid():
        return f"belongs to user {facts.st_uid}, not to you ({os.geteuid()}): chown -R {os.geteuid()} {path!r}"
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written by others: chmod -R go-rwx {path!r}"
    return None
