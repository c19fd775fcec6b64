"""`python -m skipstone clear_checkpoints [artifacts_dir]`."""

import sys

from ._clearing import clear_checkpoints
from ._errors import SkipstoneError

USAGE = "usage: python -m skipstone clear_checkpoints [artifacts_dir]"


def main(arguments: list[str]) -> int:
    """Run one command; return the exit status."""
    match arguments:
        case ["clear_checkpoints"]:
            artifacts_dir = "artifacts"
        case ["clear_checkpoints", artifacts_dir]:
            pass
        case _:
            print(USAGE, file=sys.stderr)  # noqa: T201
            return 2
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
