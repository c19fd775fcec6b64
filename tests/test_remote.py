"""A service that stays away: nobody waits for it, and nobody reads its password."""

import pickle
import traceback
from urllib.parse import unquote

import pytest

from skipstone import StoreUnavailableError
from skipstone.stores import _remote, _urls
from skipstone.stores._remote import Remote


class ClientError(Exception):
    pass


class RefusedError(ClientError):
    pass


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(_remote, "time", clock)
    return clock


def fail(remote, error):
    """Make a request that fails, and tell whether it was made."""
    asked = False
    with pytest.raises(StoreUnavailableError), remote.asked():
        asked = True
        raise error
    return asked


def test_a_service_that_fails_is_left_alone_ever_longer(clock):
    """After a failure, requests fail at once for 2 s, then 4 s, up to a minute; a success ends that."""
    remote = Remote("redis://host/0", (ClientError,))
    pauses = []
    for _ in range(8):
        assert fail(remote, ClientError("gone"))
        began = clock.now
        while not fail(remote, ClientError("gone")) and clock.now - began < 100:
            clock.now += 1
        pauses.append(clock.now - began)
        clock.now += 60
    assert pauses[:2] == [2, 8]
    assert pauses[-1] == 60
    with remote.asked():
        pass
    assert fail(remote, ClientError("gone"))
    clock.now += 2
    with remote.asked():
        pass


def test_a_refusal_leaves_the_service_in_use(clock):
    """An error that says that the service answers is told, and the next request is made."""
    remote = Remote("redis://host/0", (ClientError,), (RefusedError,))
    assert fail(remote, RefusedError("too large"))
    assert fail(remote, RefusedError("too large"))


def test_other_errors_pass(clock):
    """What is no error of the client's is not touched, and says nothing of the service."""
    remote = Remote("redis://host/0", (OSError,))
    with pytest.raises(KeyError), remote.asked():
        raise KeyError
    mine = StoreUnavailableError("from within")
    with pytest.raises(StoreUnavailableError) as caught, remote.asked():
        raise mine
    assert caught.value is mine
    with remote.asked():
        pass


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:s3cr%25t@host/db",
        "redis://:s3cr%25t@host:6379/0",
        "postgresql://host/db?user=me&password=s3cr%25t",
        "rediss://host/0?ssl_keyfile_password=s3cr%25t",
        "s3://bucket/prefix?secret_access_key=s3cr%25t&region=x",
        "postgresql://user:s3cr%25t/with@signs@host/db",
    ],
)
def test_passwords_are_not_shown(url):
    """Neither a shown URL nor an error's text, cause or traceback has the password, escaped or not."""
    assert "s3cr" not in _urls.shown(url)
    assert "***" in _urls.shown(url)
    remote = Remote(url, (ClientError,), (ClientError,))
    assert "s3cr" not in remote.shown_url
    escaped = "s3cr%25t/with@signs" if "signs" in url else "s3cr%25t"
    for text in (f"cannot connect to {url}", f"no user with {unquote(escaped)}", f"wrong password {escaped}"):
        with pytest.raises(StoreUnavailableError) as caught, remote.asked():
            raise ClientError(text)
        assert "s3cr" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("url", ["s3://bucket/a:b@c/d", "file:///shared/a@b", "postgresql://me@host:5432/db"])
def test_a_url_without_a_password_is_shown_as_it_is(url):
    """What is no secret stays readable, and is pickled."""
    assert _urls.shown(url) == url
    assert _urls.sendable(url) == url


def test_a_pickled_url_finds_its_password_where_it_was_used(monkeypatch):
    """A pickle leaves the password out; a process that has used the URL, or has it in its environment, knows it."""
    monkeypatch.setattr(_urls, "_known", {})
    url = "postgresql://me:secret@host/db"
    assert _urls.received(url) == url
    sent = pickle.loads(pickle.dumps(_urls.sendable(url)))
    assert "secret" not in sent
    assert _urls.received(sent) == url
    assert _urls.known_urls() == [url]
    monkeypatch.setattr(_urls, "_known", {})  # another process
    assert _urls.received(sent) == "postgresql://me@host/db"
    monkeypatch.setenv("SKIPSTONE_STORE", f"file:///near, {url}")
    assert _urls.received(sent) == url
