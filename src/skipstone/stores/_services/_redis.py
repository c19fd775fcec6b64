"""A store in Redis, which any number of machines share, and which may forget.

skipstone:{<scope>}:record:<key>     a record: a string with its bytes, or, for a large one, a hash with their parts
skipstone:{<scope>}:part:<token>     such a hash while it is being written
skipstone:{<scope>}:claim:<key>      a lease
skipstone:{<scope>}:holder:<word>    a sign of life

A record is one value under one name, so that it is written, replaced, expired and evicted as a whole. There is no list
of records, which might name some that are gone: a listing goes through the names in the database.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis

from ..._errors import ConfigError
from ..._record import Key, Record, RecordInfo, size_of
from .._base import BaseStore, Claim
from .._envelope import HEAD_BYTES, head_bytes, packed, read_head, unpacked
from .._leases import LEASE_SECONDS, Leases
from .._remote import Remote
from .._urls import received, sendable, shown
from ._portions import batches, in_pieces, joined, portions
from ._redis_server import OTHER_TYPE, Server
from ._together import Together, puts_together

_PART_BYTES = 1 << 20  # larger payloads are in parts of this size, so that neither side holds them twice
_UNFINISHED_SECONDS = 3600  # after this time, Redis removes parts of an unfinished record
_SIGN_SECONDS = 86_400  # after this time, Redis removes a sign of life that was not renewed
_NAMES_PER_SCAN = 1000
_GLOB = re.compile(r"[][*?^\\]")
_CHANGES_WHILE_READ = 5

_EXPIRY = "expires_seconds"
_FINISH = """
    if redis.call('HLEN', KEYS[1]) ~= tonumber(ARGV[1]) then
        return redis.error_reply('EVICTED a part of the value was evicted while it was written')
    end
    if ARGV[2] == '0' and redis.call('EXISTS', KEYS[2]) == 1 then
        redis.call('UNLINK', KEYS[1])
        return 0
    end
    redis.call('RENAME', KEYS[1], KEYS[2])
    if ARGV[3] == '' then redis.call('PERSIST', KEYS[2]) else redis.call('EXPIRE', KEYS[2], ARGV[3]) end
    return 1
"""
_SWAP = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2]) return 1 end return 0"
_REMOVE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class RedisStore(BaseStore):
    """Keeps the records of one step of one index in Redis, for as long as Redis does."""

    is_remote = True

    def __init__(self, url: str, scope: str, *, lease_seconds: float = LEASE_SECONDS) -> None:
        """Use a server.

        Args:
            url: A URL for redis-py: `redis://user@host:6379/0?setting=value`. The setting `expires_seconds` is ours:
                how long a record is kept.
            scope: `<index name>/<step>`.
            lease_seconds: How long a holder of claims may give no sign of life before others take its claims over.

        Raises:
            ConfigError: `expires_seconds` is not a number of seconds, or redis-py refuses the URL.
        """
        super().__init__()
        self._url = url
        self._scope = scope
        self._prefix = f"skipstone:{{{scope}}}:"
        self._lease_seconds = lease_seconds
        client_url, self._expires_seconds = _without_expiry(url)
        remote = Remote(url, (redis.RedisError,), (redis.ResponseError, redis.DataError))
        try:
            self._server = Server(client_url, remote)
        except ValueError as error:
            message = (
                f"config.store is {shown(url)!r}, which redis-py refuses: {remote.without_secrets(str(error))}"
            )
            raise ConfigError(message) from None
        self._gets = Together(self._get_all)
        self._puts = puts_together(self.put_many)
        self._leases = Leases(_Cells(self._server, self._prefix), lease_seconds)

    def __reduce__(self) -> tuple[Callable[..., RedisStore], tuple[str, str, float]]:
        """Pickle the settings, without the secrets of the URL."""
        return _reopened, (sendable(self._url), self._scope, self._lease_seconds)

    def _name(self, key: Key) -> str:
        return f"{self._prefix}record:{key.hex()}"

    def get(self, key: Key, /) -> Record | None:
        """See `Store`."""
        return self._gets.ask(key)

    def _get_all(self, keys: Sequence[Key]) -> Sequence[Record | None]:
        if len(keys) == 1:
            return [self._get(keys[0])]
        return [*map(self.get_many(keys).get, keys)]

    def _get(self, key: Key) -> Record | None:
        name = self._name(key)
        for _ in range(_CHANGES_WHILE_READ):
            content = self._server.ask("GET", name)
            if content is None:
                return None
            if content is not OTHER_TYPE:
                return unpacked(key, content)
            record = self._large(key, name)
            if record is not None:
                return record
        return None

    def _large(self, key: Key, name: str) -> Record | None:
        """Return a record that is in parts, or None if it was removed or replaced while being read."""
        found = self._server.ask("HMGET", name, "head", "token")
        if found is OTHER_TYPE or None in found:
            return None
        start, token = found
        head = read_head(key, start)
        content = bytearray(head.size_bytes)
        for number, at in enumerate(range(0, head.size_bytes, _PART_BYTES)):
            part = self._server.ask("HGET", name, _field(token.decode(), number))
            if part is None or part is OTHER_TYPE:
                return None
            content[at : at + len(part)] = part
        return head.record._replace(payload=content)

    def get_many(self, keys: Sequence[Key], /) -> dict[Key, Record]:
        """See `Store`."""
        found: dict[Key, Record] = {}
        for portion in portions(keys):
            contents = self._server.ask("MGET", *map(self._name, portion))
            found.update(
                (key, unpacked(key, content))
                for key, content in zip(portion, contents, strict=True)
                if content is not None
            )
        # MGET returns nothing for hashes, the large records.
        for key in self.present([key for key in keys if key not in found]):
            record = self._get(key)
            if record is not None:
                found[key] = record
        return found

    def present(self, keys: Sequence[Key], /) -> set[Key]:
        """See `Store`."""
        found: set[Key] = set()
        for portion in portions(keys):
            answers = self._server.ask_together([("EXISTS", self._name(key)) for key in portion])
            found.update(key for key, is_there in zip(portion, answers, strict=True) if is_there)
        return found

    def put(self, record: Record, /, *, replace: bool = False) -> bool:
        """See `Store`."""
        if replace or size_of(record.payload) > _PART_BYTES:
            return bool(self.put_many([record], replace=replace))
        return self._puts.ask(record)

    def put_many(self, records: Sequence[Record], /, *, replace: bool = False) -> set[Key]:
        """See `Store`."""
        kept: set[Key] = set()
        for batch in batches(records, _PART_BYTES):
            if size_of(batch[0].payload) > _PART_BYTES:
                kept |= self._put_large(batch[0], replace=replace)
            else:
                kept |= self._put_small(batch, replace=replace)
        return kept

    def _put_small(self, records: Sequence[Record], *, replace: bool) -> set[Key]:
        options = [] if replace else ["NX"]
        if self._expires_seconds:
            options += ["EX", str(self._expires_seconds)]
        names = [self._name(record.key) for record in records]
        contents = [joined(packed(record)) for record in records]
        commands = [("SET", name, content, *options) for name, content in zip(names, contents, strict=True)]

        def put(is_again: bool) -> list[bool]:
            answers = self._server.pipeline(commands)
            there = (
                self._server.pipeline([("GET", name) for name in names]) if is_again and not all(answers) else []
            )
            return [bool(answers[at]) or there[at : at + 1] == [contents[at]] for at in range(len(records))]

        answers = self._server.remote.answer(put)
        return {record.key for record, is_kept in zip(records, answers, strict=True) if is_kept}

    def _put_large(self, record: Record, *, replace: bool) -> set[Key]:
        token, name = os.urandom(8).hex(), self._name(record.key)
        aside = f"{self._prefix}part:{token}"
        head, *payload = packed(record)

        def put(is_again: bool) -> bool:
            run = self._server.run
            if not replace and run("EXISTS", name):
                return is_again and run("HGET", name, "token") == token.encode()
            run("HSET", aside, "head", head, "token", token)
            run("EXPIRE", aside, _UNFINISHED_SECONDS)
            fields = 2
            for number, part in enumerate(in_pieces(payload, _PART_BYTES)):
                run("HSET", aside, _field(token, number), part)
                fields += 1
            return bool(run("EVAL", _FINISH, 2, aside, name, fields, int(replace), self._expires_seconds or ""))

        return {record.key} if self._server.remote.answer(put) else set()

    def delete(self, keys: Iterable[Key], /) -> int:
        """See `Store`."""
        return sum(self._server.ask("UNLINK", *map(self._name, portion)) for portion in portions(keys))

    def scan(self, *, function: str | None = None) -> Iterator[RecordInfo]:
        """See `Store`, but in no order. It goes through all names in the database."""
        seen: set[Key] = set()  # SCAN may return a name twice
        for names in _names_like(self._server, _GLOB.sub(r"\\\g<0>", self._prefix) + "record:*"):
            keys = [bytes.fromhex(name.rpartition(":")[2]) for name in names]
            new = [key for key in dict.fromkeys(keys) if key not in seen]
            seen.update(new)
            for info in self.infos(new).values():
                if function in (None, info.function):
                    yield info

    def infos(self, keys: Sequence[Key], /) -> dict[Key, RecordInfo]:
        """See `Store`."""
        found: dict[Key, RecordInfo] = {}
        for portion in portions(keys):
            starts = self._server.ask_together(
                [("GETRANGE", self._name(key), 0, HEAD_BYTES - 1) for key in portion]
            )
            for key, start in zip(portion, starts, strict=True):
                head = start
                if start is OTHER_TYPE:
                    head = self._server.ask("HGET", self._name(key), "head")
                elif head_bytes(start) > len(start):
                    head = self._server.ask("GETRANGE", self._name(key), 0, head_bytes(start) - 1)
                if head and head is not OTHER_TYPE:
                    found[key] = read_head(key, head).info
        return found

    def claim(self, key: Key, /) -> Claim | None:
        """See `Store`."""
        return self._leases.claim(key)

    def close(self) -> None:
        """See `Store`."""
        self._leases.close()
        self._server.close()


def scopes(url: str) -> list[str]:
    """Return the `<index>/<step>` of every step in a database."""
    store = RedisStore(url, "")
    try:
        names = _names_like(store._server, "skipstone:{*}:record:*")
        return sorted({name.partition("{")[2].rpartition("}:")[0] for some in names for name in some})
    finally:
        store.close()


def _names_like(server: Server, pattern: str) -> Iterator[list[str]]:
    """Yield the names in a database that match a pattern, some at a time."""
    cursor = None
    while cursor != 0:
        cursor, names = server.ask("SCAN", cursor or 0, "MATCH", pattern, "COUNT", _NAMES_PER_SCAN)
        yield [name.decode() for name in names]


class _Cells:
    """Leases and signs of life as strings. The version of a lease is its text, since no two are alike."""

    def __init__(self, server: Server, prefix: str) -> None:
        self._server = server
        self._prefix = prefix

    def lease(self, key: Key, /) -> tuple[str, str] | None:
        text = self._text(self._lease(key))
        return None if text is None else (text, text)

    def swap_lease(self, key: Key, text: str, version: str | None, /) -> str | None:
        name = self._lease(key)
        command = ("SET", name, text, "NX") if version is None else ("EVAL", _SWAP, 1, name, version, text)

        def swap(is_again: bool) -> bool:
            run = self._server.run
            return bool(run(*command)) or (is_again and run("GET", name) == text.encode())

        return text if self._server.remote.answer(swap) else None

    def remove_lease(self, key: Key, version: str, /) -> None:
        self._server.ask("EVAL", _REMOVE, 1, self._lease(key), version)

    def sign(self, holder: str, /) -> str | None:
        return self._text(self._sign(holder))

    def write_sign(self, holder: str, text: str, /) -> None:
        self._server.ask("SET", self._sign(holder), text, "EX", _SIGN_SECONDS)

    def remove_sign(self, holder: str, /) -> None:
        self._server.ask("DEL", self._sign(holder))

    def _lease(self, key: Key) -> str:
        return f"{self._prefix}claim:{key.hex()}"

    def _sign(self, holder: str) -> str:
        return f"{self._prefix}holder:{holder}"

    def _text(self, name: str) -> str | None:
        content = self._server.ask("GET", name)
        return None if content is None else content.decode("utf-8", "replace")


def _field(token: str, number: int) -> str:
    return f"{token}:{number}"


def _without_expiry(url: str) -> tuple[str, int | None]:
    """Return a URL without our own setting, and how long records are kept."""
    parts = urlsplit(url)
    settings = parse_qsl(parts.query, keep_blank_values=True)
    given = [value for name, value in settings if name == _EXPIRY]
    if not given:
        return url, None
    if not given[-1].isdecimal() or not int(given[-1]):
        message = f"config.store is {shown(url)!r}; {_EXPIRY} is a number of seconds, such as 86400"
        raise ConfigError(message)
    rest = urlencode([each for each in settings if each[0] != _EXPIRY])
    return parts._replace(query=rest).geturl(), int(given[-1])


def _reopened(url: str, scope: str, lease_seconds: float) -> RedisStore:
    return RedisStore(received(url), scope, lease_seconds=lease_seconds)
