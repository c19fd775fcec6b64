"""Serve the pages of a place at an address for a browser."""

from __future__ import annotations

import secrets
import socket
import sys
import webbrowser

import uvicorn

from .._catalogue import Catalogue
from ._app import application
from ._guard import TOKEN, Guard
from ._site import Site

HOST = "127.0.0.1"

_TOKEN_BYTES = 32
_SHUTDOWN_SECONDS = 3


def run(catalogue: Catalogue, port: int, *, open_browser: bool) -> None:
    """Listen, print the address, and answer until the process is told to stop.

    Raises:
        OSError: The port is taken.
    """
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        port = listening.getsockname()[1]
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        site = Site(catalogue, form_token=secrets.token_urlsafe(_TOKEN_BYTES))
        server = uvicorn.Server(
            uvicorn.Config(
                Guard(application(site), port=port, token=token, form_token=site.form_token),
                log_level="error",
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            )
        )
        site.is_over = lambda: server.should_exit
        listening.listen()  # before the address is printed, so that a request never fails, if only waits a moment
        address = f"http://{HOST}:{port}/?{TOKEN}={token}"
        print(f"skipstone shows {catalogue.shown_place} at\n\n  {address}\n\nCtrl-C stops it.", flush=True)  # noqa: T201
        if open_browser and not webbrowser.open(address):
            print("no browser could be opened: open the address yourself", file=sys.stderr)  # noqa: T201
        try:
            server.run(sockets=[listening])
        finally:
            site.close()
