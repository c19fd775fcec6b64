"""Who may ask: a browser on this machine, whose user knows the token, from this page itself.

Any page that the user's browser shows can send requests here, and any process of this machine can. So a request must name
this server as its host (else a foreign name could have been pointed at 127.0.0.1), carry the token, and not be made by
another page; one that changes something must say that it comes from here, and carry a second token, which only our forms have.
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
"""Where a form's fields are found in the scope of a request."""

_MOST_FORM_BYTES = 65536
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not no-referrer: browsers would then hide the origin of our own forms, too. Others are told nothing either way.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_DENIED = """\
This page is shown to those who have its address, with the token in it: open the address that `skipstone ui` has printed.
"""
# A redirect would still count as made by the page, or the mail, in which the address was clicked, and come without the cookie.
_ENTER = """\
<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>skipstone</title>
<link rel="icon" href="/static/icon.svg"><meta http-equiv="refresh" content="0; url={address}"></head><body><p><a href="{address}">skipstone</a></p></body></html>
"""


class Guard:
    """Lets requests through to an application."""

    def __init__(self, app: ASGIApp, *, port: int, token: str, form_token: str) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._token = token
        self._form_token = form_token
        # Cookies know no ports: another skipstone on this machine has another name for its own.
        self._cookie = f"skipstone-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        answer = await self._answer(scope, receive)
        await (answer or self._app)(scope, receive, send_guarded)

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        """Return what is answered in place of the application, or None."""
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
        """Take the token out of the address, and keep it in a cookie."""
        if not _same(request.query_params[TOKEN], self._token):
            return _denied(_DENIED)
        rest = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != TOKEN])
        # "/" and quoted characters alone: nothing that HTML or another host's name could be made of.
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
