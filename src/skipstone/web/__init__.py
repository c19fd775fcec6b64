"""The web page, which `skipstone ui` starts: what is stored, runs and failed, in a browser on this machine."""

from __future__ import annotations

from importlib.util import find_spec

from .._catalogue import Catalogue
from .._errors import MissingExtraError

__all__ = ["serve"]

_NEEDED = ("jinja2", "starlette", "uvicorn")


def serve(catalogue: Catalogue, *, port: int = 0, open_browser: bool = True) -> None:
    """Show a place in a browser, until Ctrl-C or SIGTERM.

    Only this machine can reach the page, and only those who know the printed address can see it.

    Args:
        catalogue: The catalogue of the place.
        port: The port to listen on, at 127.0.0.1; 0 for any free port.
        open_browser: Whether to open the page in a browser as well.

    Raises:
        MissingExtraError: The libraries of the page are not installed.
        OSError: The port is taken.
    """
    if not all(find_spec(name) for name in _NEEDED):
        message = 'the page needs starlette, uvicorn and jinja2: pip install "skipstone[web]"'
        raise MissingExtraError(message)
    from ._server import run

    run(catalogue, port, open_browser=open_browser)
