"""Tell whether a folder is on a network file system, where SQLite's log and locks cannot be trusted."""

from __future__ import annotations

import os

MOUNTS = "/proc/self/mounts"
NETWORK_FILE_SYSTEMS = frozenset(
    [
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.cephfs",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.sshfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb3",
        "smbfs",
        "weka",
        "wekafs",
    ]
)


def network_file_system(folder: str) -> str | None:
    """Return the type of the network file system that a folder is, or would be, on; None if it is local or unknown."""
    try:
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            mounts = [line.split() for line in file]
    except OSError:  # not on Linux
        return None
    path = os.path.realpath(folder)
    below: dict[str, str] = {}
    for _, point, kind, *_ in mounts:
        point = point.encode("utf-8", "surrogateescape").decode("unicode_escape")  # noqa: PLW2901 - a space is \040
        if path == point or path.startswith(point.rstrip("/") + "/"):
            below[point] = kind
    kind = below[max(below, key=len)] if below else ""
    return kind if kind in NETWORK_FILE_SYSTEMS else None
