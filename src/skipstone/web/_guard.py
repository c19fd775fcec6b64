"""Let only those requests through that come from this page, in a browser whose user knows the token.

Any page in the user's browser can send requests here, and so can any process on this machine. So a request must name
this server as its host (otherwise somebody may have pointed a foreign name at 127.0.0.1), carry the token, and not be
made by another page. A request that changes something must also say that it comes from here, and carry a second token
that only our forms have.
"""

from __future__ import annotations

from collections.abc import Mapping
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN = "token"  # noqa: S105 - its name
FORM = "skipstone.form"
"""The key of a form's fields in the scope of a request."""

_MOST_FORM_BYTES = 65536
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not "no-referrer", with which browsers would hide the origin of our own forms, too. Other sites learn nothing
    # either way.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_DENIED = """\
This page is shown to those who have its address, with the token in it: open the address that `skipstone ui` has printed.
"""
# Not a redirect, which would count as made by the page or mail where the address was clicked, and lack the cookie.
_ENTER = """\
<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>skipstone</title>
<link rel="icon" href="/static/icon.svg"><meta http-equiv="refresh" content="0; url={address}"></head><body><p><a href="{address}">skipstone</a></p></body></html>
"""


class Guard:
    """Stands before an application, and lets only allowed requests through."""

    def __init__(self, app: ASGIApp, *, port: int, token: str, form_token: str) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._token = token
        self._form_token = form_token
        # Cookies do not distinguish ports, so each skipstone on this machine gives its cookie another name.
        self._cookie = f"skipstone-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        answer = await self._answer(scope, receive)
        await (answer or self._app)(scope, receive, send_guarded)

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        """Return the response to give in place of the application, or None."""
        request = Request(scope, receive)
        headers = request.headers
        if len(headers.getlist("host")) != 1 or headers["host"].lower() not in self._hosts:
            return _denied("the request is for another host")
        if TOKEN in request.query_params:
            return self._enter(request)
        if not _same(_cookie(headers, self._cookie), self._token):
            return _denied(_DENIED)
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return _denied("another page has sent the request")
        if request.method in ("GET", "HEAD"):
            return None
        if headers.get("origin") not in {f"http://{host}" for host in self._hosts}:
            return _denied("another page has sent the form")
        form = await _form(request)
        if not _same(form.get("form_token", ""), self._form_token):
            return _denied(
                "the form is not from this page, or from before it was started again: go back, and load it again"
            )
        scope[FORM] = form
        return None

    def _enter(self, request: Request) -> Response:
        """Move the token from the address into a cookie."""
        if not _same(request.query_params[TOKEN], self._token):
            return _denied(_DENIED)
        rest = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != TOKEN])
        # One "/" and then quoted characters, so that the address can be neither HTML nor lead to another host.
        address = "/" + request.scope["raw_path"].decode("ascii").lstrip("/").replace("\\", "%5C")
        address = _quoted(address) + (f"?{rest.replace('&', '&amp;')}" if rest else "")
        response = HTMLResponse(_ENTER.format(address=address))
        response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict", path="/")
        return response


def _denied(why: str) -> Response:
    return PlainTextResponse(why, status_code=403)


def _same(given: str, expected: str) -> bool:
    return compare_digest(given.encode(), expected.encode())


def _quoted(path: str) -> str:
    return "".join(each if each.isalnum() or each in "/-_.~%" else f"%{ord(each):02X}" for each in path)


def _cookie(headers: Headers, name: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value


async def _form(request: Request) -> Mapping[str, Any]:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_FORM_BYTES:
            return {}
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
