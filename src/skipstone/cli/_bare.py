"""The part of the command line that works without its libraries: clearing."""

from __future__ import annotations

import sys

from .._clearing import clear_checkpoints
from .._errors import SkipstoneError

_CLEAR = "clear_checkpoints"
_MISSING = f"""\
skipstone: the command line needs typer and rich: pip install "skipstone[cli]"
usage without them: python -m skipstone {_CLEAR} [artifacts_dir]"""


def run_bare(arguments: list[str]) -> int:
    """Run `clear_checkpoints [artifacts_dir]`, or say what is missing; return the exit status."""
    match arguments:
        case ["clear_checkpoints"]:
            return clear_all("artifacts")
        case ["clear_checkpoints", artifacts_dir] if not artifacts_dir.startswith("-"):
            return clear_all(artifacts_dir)
        case _:
            print(_MISSING, file=sys.stderr)  # noqa: T201
            return 2


def clear_all(artifacts_dir: str) -> int:
    """Delete all checkpoints below a folder, and nothing else; return the exit status."""
    try:
        removed = clear_checkpoints(artifacts_dir)
    except SkipstoneError as error:
        print(f"skipstone: {error}", file=sys.stderr)  # noqa: T201
        return 1
    for folder in removed:
        print(f"removed {folder}")  # noqa: T201
    if not removed:
        print(f"no checkpoints in {artifacts_dir}")  # noqa: T201
    return 0
