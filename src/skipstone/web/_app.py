"""Map addresses to the functions that answer them, and errors to pages that say what happened."""

from __future__ import annotations

from functools import partial
from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .._errors import SkipstoneError, StoreError
from . import _clear, _failures, _live, _overview, _records, _step, _storage
from ._site import Site

_STATIC = {
    "style.css": ("text/css", (("skipstone._report", "style.css"), ("skipstone.web", "static/style.css"))),
    "page.js": ("text/javascript", (("skipstone.web", "static/page.js"),)),
    "icon.svg": ("image/svg+xml", (("skipstone.web", "static/icon.svg"),)),
}


def application(site: Site) -> Starlette:
    """Return the pages of a site."""
    pages = {
        "/": _overview.overview,
        "/live": _live.live,
        "/live/events": _live.events,
        "/step": _step.step,
        "/step/charts": _step.charts,
        "/records": _records.records,
        "/record": _records.record,
        "/record/image": _records.image,
        "/failures": _failures.failures,
        "/storage": _storage.storage,
        "/clear": _clear.confirm,
        "/gc": _storage.cleaning,
        "/gc/would": _storage.would_free,
        "/static/{name}": _static,
    }
    changes = {"/clear": _clear.clear, "/gc": _storage.free, "/again": _overview.again}
    return Starlette(
        routes=[
            *(Route(path, partial(show, site)) for path, show in pages.items()),
            *(Route(path, partial(change, site), methods=["POST"]) for path, change in changes.items()),
        ],
        exception_handlers={kind: partial(_problem, site) for kind in (HTTPException, SkipstoneError, Exception)},
    )


def _problem(site: Site, _request: Request, error: Exception) -> Response:
    """Return a page that says what happened."""
    if isinstance(error, HTTPException):
        return site.page("error.html", error.status_code, title="Not found", text=str(error.detail))
    if isinstance(error, StoreError):
        return site.page("error.html", 503, title="The store does not work", text=str(error))
    text = str(error) if isinstance(error, SkipstoneError) else repr(error)
    return site.page("error.html", 500, title="That did not work", text=text)


def _static(_site: Site, request: Request) -> Response:
    try:
        kind, parts = _STATIC[request.path_params["name"]]
    except KeyError:
        raise HTTPException(404, "There is no such file.") from None
    content = b"\n".join(files(package).joinpath(name).read_bytes() for package, name in parts)
    return Response(content, media_type=kind)
