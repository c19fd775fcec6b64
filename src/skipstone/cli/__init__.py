"""The command line: `skipstone`, or `python -m skipstone`."""

from __future__ import annotations

import sys

__all__ = ["main"]

_NEEDED = ("typer", "rich")


def main() -> None:
    """Run the command that the arguments name, and exit with its status."""
    from importlib.util import find_spec

    if all(find_spec(name) for name in _NEEDED):
        from ._app import run

        sys.exit(run())
    from ._bare import run_bare

    sys.exit(run_bare(sys.argv[1:]))
