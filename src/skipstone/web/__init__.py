"""The web page, which `skipstone ui` starts: what is stored, runs and failed, in a browser on this machine."""

from __future__ import annotations

from importlib.util import find_spec

from .._catalogue import Catalogue
from .._errors import MissingExtraError

__all__ = ["serve"]

_NEEDED = ("jinja2", "starlette", "uvicorn")


def serve(catalogue: Catalogue, *, port: int = 0, open_browser: bool = True) -> None:
    """Show a place in a browser, until Ctrl-C or SIGTERM.

    The page is there for this machine alone, and for those who know the address that is printed.

    Args:
        catalogue: Of the place.
        port: Where it listens, on 127.0.0.1; 0: wherever there is room.
        open_browser: Open the page, too.

    Raises:
        MissingExtraError: Its libraries are not installed.
        OSError: The port is taken.
    """
    if not all(find_spec(name) for name in _NEEDED):
        message = 'the page needs starlette, uvicorn and jinja2: pip install "skipstone[web]"'
        raise MissingExtraError(message)
    from ._server import run

    run(catalogue, port, open_browser=open_browser)
