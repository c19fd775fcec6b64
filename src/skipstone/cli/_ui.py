"""`ui`: the page in a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from ..web import serve
from ._output import warn
from ._status import FAILED
from ._where import ArtifactsOption, StoreOption, place


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ui", rich_help_panel="See")(ui)


def ui(
    *,
    store: StoreOption = "",
    artifacts_dir: ArtifactsOption = "",
    port: Annotated[
        int,
        typer.Option("--port", "-p", metavar="NUMBER", min=0, max=65535, help="The port; 0 takes any free one."),
    ] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> None:
    """Show all of this on a page in the browser, on this machine only. Ctrl-C stops it."""
    try:
        serve(place(store, artifacts_dir), port=port, open_browser=not no_browser)
    except OSError as error:
        if isinstance(error, ConnectionError):  # the store's
            raise
        warn(f"port {port} cannot be used: {error.strerror or error}")
        raise typer.Exit(FAILED) from error
