"""The command line: `skipstone`, or `python -m skipstone`."""

from __future__ import annotations

import io
import os
import sys

__all__ = ["main"]

_NEEDED = ("typer", "rich")


def main() -> None:
    """Run the command that the arguments name, and exit with its status."""
    from importlib.util import find_spec

    _open_streams()
    if all(find_spec(name) for name in _NEEDED):
        from ._app import run

        sys.exit(run())
    from ._bare import run_bare

    sys.exit(run_bare(sys.argv[1:]))


def _open_streams() -> None:
    """Make the standard streams usable if one was closed, or if its encoding lacks a character."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process lives
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
