"""The page is there for the browser of the user who started it, and for nobody else."""

import pytest

from skipstone import open_checkpoint

PATHS = (
    "/",
    "/live",
    "/live/events",
    "/records?index=default&step=index",
    "/static/style.css",
    "/static/page.js",
    "/none",
)
CLEAR = "/clear"
WHOLE_STEP = {"index": "default", "step": "index"}


def records(site):
    with open_checkpoint("index", {"artifacts_dir": site.folder}) as checkpoint:
        return sum(1 for _ in checkpoint.records())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": None},
        {"Cookie": "skipstone-1=x"},
        {"Cookie": "=;;;\x7f"},
        {"Host": None},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_requests_of_others_get_nothing(looked_at, path, headers):
    """Without the token, for another host, or from another page, nothing is told, not even which pages there are."""
    status, answered, text = looked_at.ask(path, **headers)
    assert status in (400, 403)
    assert "doc-" not in text
    assert "set-cookie" not in answered


def test_a_wrong_token_gets_nothing(looked_at):
    """A token must be the whole one."""
    for token in ("", "x", looked_at.token[:-1], looked_at.token + "x", "é"):
        status, answered, _ = looked_at.ask(
            f"/?token={token.encode().hex() if token == 'é' else token}", Cookie=None
        )
        assert status == 403
        assert "set-cookie" not in answered
        assert (
            looked_at.ask("/", Cookie=f"skipstone-{looked_at.port}={token.encode('utf-8').decode('latin-1')}")[0]
            == 403
        )


def test_the_token_becomes_a_cookie(looked_at):
    """The address with the token sets a cookie that scripts and other sites do not get, and leads on without it."""
    status, answered, text = looked_at.ask(
        f"/records?index=default&step=index&token={looked_at.token}", Cookie=None, Sec_Fetch_Site="cross-site"
    )
    assert status == 200
    cookie = answered["set-cookie"]
    assert cookie.startswith(looked_at.cookie)
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert looked_at.token not in text
    assert 'url=/records?index=default&amp;step=index"' in text


@pytest.mark.parametrize("path", ["//evil.example/", "/%5Cevil.example", '/"><script>', "/\\evil.example"])
def test_the_token_leads_nowhere_else(looked_at, path):
    """Whatever the address is, it leads to this server, and is no HTML."""
    path = path.replace(" ", "%20")
    status, _, text = looked_at.ask(f"{path}?token={looked_at.token}", Cookie=None)
    assert status == 200
    assert "url=/" in text
    assert "url=//" not in text
    assert "url=/\\" not in text
    assert "<script>" not in text


def test_every_answer_is_strict(looked_at):
    """No answer may run scripts of others, be framed, kept, or taken for another kind; pages of errors included."""
    for path, headers in [*((path, {}) for path in PATHS if path != "/live/events"), ("/", {"Cookie": None})]:
        answered = looked_at.ask(path, **headers)[1]
        policy = answered["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answered["x-content-type-options"] == "nosniff"
        assert answered["referrer-policy"] == "same-origin"
        assert answered["cross-origin-resource-policy"] == "same-origin"
        assert answered["cache-control"] == "no-store"
        assert "server" not in answered


@pytest.mark.parametrize("path", [CLEAR, "/gc", "/again"])
def test_changes_need_both_origin_and_form_token(changed, path):
    """A form from elsewhere, or without the token of our forms, changes nothing; ours does."""
    ours = {"Origin": changed.base}
    token = changed.form_token()
    for headers, body in (
        ({}, {**WHOLE_STEP, "form_token": token}),
        ({"Origin": "null"}, {**WHOLE_STEP, "form_token": token}),
        ({"Origin": "http://evil.example"}, {**WHOLE_STEP, "form_token": token}),
        ({"Origin": f"http://127.0.0.1:{changed.port - 1}"}, {**WHOLE_STEP, "form_token": token}),
        (ours, WHOLE_STEP),
        (ours, {**WHOLE_STEP, "form_token": token[:-1]}),
        (ours, {**WHOLE_STEP, "form_token": token, "more": "x" * 100_000}),
        ({**ours, "Cookie": None}, {**WHOLE_STEP, "form_token": token}),
    ):
        assert changed.ask(path, "POST", body, **headers)[0] == 403
    assert records(changed) == 120
    assert changed.ask(path, "POST", {**WHOLE_STEP, "form_token": token}, **ours)[0] == 303
    assert records(changed) == (0 if path == CLEAR else 120)


def test_looking_at_what_would_go_removes_nothing(changed):
    """GET never changes anything; other methods are not there."""
    for path in (
        "/clear?index=default&step=index",
        "/gc?index=default&step=index",
        "/gc/would?index=default&step=index",
    ):
        assert changed.ask(path)[0] == 200
    for method in ("PUT", "DELETE"):
        token = changed.form_token()
        assert changed.ask(CLEAR, method, {**WHOLE_STEP, "form_token": token}, Origin=changed.base)[0] == 405
    assert records(changed) == 120
