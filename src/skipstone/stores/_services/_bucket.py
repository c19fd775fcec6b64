"""The objects of a bucket below a prefix, through obstore, with a client of its own for each process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlsplit

from ..._errors import ConfigError
from ..._record import Buffer, Payload, size_of
from .._remote import Remote
from .._urls import HIDDEN, shown
from ._obstore import library

Version = dict[str, str]
"""What a conditional write compares: an entity tag or a generation."""

_IN_FLIGHT = 64
_PIECE_BYTES = 8 << 20
_PIECES_IN_FLIGHT = 4
_MOST_PIECES = 9_000  # S3 takes 10,000
_LISTED_AT_ONCE = 1_000
_MARK = "mark"  # metadata of an object that says which request wrote it

_STORES = {"s3": "S3Store", "gs": "GCSStore", "az": "AzureStore"}
_CLIENT = {
    "allow_http": True,  # the scheme of the endpoint decides
    "connect_timeout": "5s",
    "timeout": "60s",  # long enough to send a piece on a slow line
    # If a connection is cut, the client may lose a request and wait for its answer without any connection. This is
    # less than the patience of `Remote`. It counts from the first byte of the request to the first byte of the
    # answer, and then from byte to byte.
    "read_timeout": "4s",
}
_SMALL_BYTES = 64 << 10
"""Content of this size is sent within the `read_timeout`, even on a slow line."""
_RETRIES = {
    "max_retries": 10,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {"max_backoff": timedelta(seconds=3)},
}

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Found(NamedTuple):
    """An object, or a part of one."""

    content: memoryview
    version: Version


class Bucket:
    """Reads and writes objects. All methods raise StoreUnavailableError only, and may be called in many threads."""

    def __init__(self, url: str, folder: str) -> None:
        """Use the objects below a folder of `scheme://bucket/prefix`. No request is made.

        Raises:
            ConfigError: The URL has settings that the client does not know.
        """
        self._url = url
        self._folder = folder
        self._inherited: list[_Client] = []
        self._client = _Client(url, folder)

    def read(self, name: str, start: int = 0, size_bytes: int | None = None) -> Found | None:
        """Return an object, or as much of it as there is from `start` on; None if there is no such object."""
        options = {} if size_bytes is None else {"options": {"range": (start, start + size_bytes)}}

        def get(client: _Client) -> Found | None:
            try:
                result = client.obstore.get(client.store, name, **options)
                return Found(memoryview(result.bytes()), _version(result.meta))
            except FileNotFoundError:
                return None
            except client.errors.GenericError as error:
                if "416 Range Not Satisfiable" not in str(error):
                    raise
                return Found(memoryview(b""), {})  # the object ends before `start`

        return self._answer(get)

    def download(self, name: str, size_bytes: int) -> bytearray | None:
        """Return a large object, several pieces of which are read at once; None if there is none of this size."""
        content = bytearray(size_bytes)
        view = memoryview(content)

        def fetch(first: int) -> bool:
            for start in range(first, size_bytes, _PIECES_IN_FLIGHT * _PIECE_BYTES):
                piece = view[start : start + _PIECE_BYTES]
                found = self.read(name, start, len(piece))
                if found is None or len(found.content) != len(piece):
                    return False
                piece[:] = found.content
            return True

        first_pieces = range(0, min(size_bytes, _PIECES_IN_FLIGHT * _PIECE_BYTES), _PIECE_BYTES)
        return content if all(in_parallel(fetch, first_pieces)) else None

    def put(self, name: str, content: Sequence[Buffer], mode: str | Version) -> Version | None:
        """Write an object: "overwrite", "create", or only in place of a version; return None if that is refused."""
        mark = os.urandom(8).hex()
        options = {"mode": mode, "attributes": {_MARK: mark}, "use_multipart": False}

        def put(client: _Client) -> Version | None:
            store = client.store if size_of(content) <= _SMALL_BYTES else client.patient_store
            try:
                return _version(client.obstore.put(store, name, content, **options))
            except (client.errors.AlreadyExistsError, client.errors.PreconditionError):
                pass
            try:
                there = client.obstore.get(client.store, name, options={"head": True})
            except FileNotFoundError:
                return None
            # If the answer to a first request was lost, the repetition is refused because of what the first one wrote.
            return _version(there.meta) if there.attributes.get(_MARK) == mark else None

        return self._answer(put)

    def upload(self, name: str, payload: Payload) -> None:
        """Write a large object in pieces; it exists as a whole or not at all."""
        piece_bytes = max(_PIECE_BYTES, size_of(payload) // _MOST_PIECES)
        options = {"use_multipart": True, "chunk_size": piece_bytes, "max_concurrency": _PIECES_IN_FLIGHT}

        def put(client: _Client) -> None:
            client.obstore.put(client.patient_store, name, _pieces(payload, piece_bytes), **options)

        self._answer(put)

    def has(self, name: str) -> bool:
        """Tell whether an object of this name exists."""

        def head(client: _Client) -> bool:
            try:
                client.obstore.head(client.store, name)
            except FileNotFoundError:
                return False
            return True

        return self._answer(head)

    def remove(self, names: Sequence[str]) -> None:
        """Remove those of these objects that exist."""

        def delete(client: _Client) -> None:
            try:
                client.obstore.delete(client.patient_store if len(names) > 1 else client.store, names)
            except FileNotFoundError:  # S3 ignores missing objects; others stop at the first one
                for name in names:
                    with suppress(FileNotFoundError):
                        client.obstore.delete(client.store, name)

        if names:
            self._answer(delete)

    def listed(self, folder: str) -> Iterator[list[str]]:
        """Yield the names of the objects below a folder that are not empty, in pages."""
        client = self._here()
        with client.remote.asked():
            pages = iter(client.obstore.list(client.store, folder, chunk_size=_LISTED_AT_ONCE))
        while True:
            with client.remote.asked():
                page = next(pages, None)
            if page is None:
                return
            yield [meta["path"] for meta in page if meta["size"]]

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders in a folder: the next part, up to a slash, of the names of objects below."""
        client = self._here()
        with client.remote.asked():
            found = client.obstore.list_with_delimiter(client.store, folder)["common_prefixes"]
        return [path.rpartition("/")[2] for path in found]

    def _answer(self, ask: Callable[[_Client], _Result]) -> _Result:
        client = self._here()
        return client.remote.answer(lambda _: ask(client))

    def _here(self) -> _Client:
        if self._client.process != os.getpid():
            self._inherited.append(self._client)  # kept: collecting it would close connections of the parent
            self._client = _Client(self._url, self._folder)
        return self._client


class _Client:
    """A process's connection to the service."""

    def __init__(self, url: str, folder: str) -> None:
        self.process = os.getpid()
        self.obstore = library(self.process)
        self.errors = self.obstore.exceptions
        self._place = (url, folder)
        self.store = self._store()
        errors = self.errors
        refusals = (
            errors.PermissionDeniedError,
            errors.UnauthenticatedError,
            errors.InvalidPathError,
            FileNotFoundError,  # there is no such bucket
        )
        self.remote = Remote(url, (errors.BaseError, OSError), refusals)

    @cached_property
    def patient_store(self) -> Any:
        """Has no `read_timeout`: for requests that take long to send or to answer."""
        return self._store(without="read_timeout")

    def _store(self, without: str = "") -> Any:
        url, folder = self._place
        parts = urlsplit(url)
        settings = {name: value for name, value in parse_qsl(parts.query) if value != HIDDEN}
        times = {name: settings.pop(name) for name in _CLIENT if name.endswith("timeout") and name in settings}
        try:
            return getattr(self.obstore.store, _STORES[parts.scheme.lower()])(
                parts.netloc,
                prefix="/".join(filter(None, f"{parts.path}/{folder}".split("/"))),
                config=settings,
                client_options={name: value for name, value in (_CLIENT | times).items() if name != without},
                retry_config=_RETRIES,
            )
        except (self.errors.BaseError, ValueError) as error:
            message = f"config.store is {shown(url)!r}: {shown(str(error)).partition(chr(10))[0]}"
            raise ConfigError(message) from None


def in_parallel(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """Return a function's results for many items, computed in threads. The function must not call this itself."""
    items = list(items)
    if len(items) <= 1:
        return list(map(function, items))
    return list(_threads(os.getpid()).map(function, items))


@lru_cache(maxsize=1)
def _threads(_process: int) -> Executor:
    # Threads that wait in obstore take half the processor time that its futures take in an event loop.
    return ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="skipstone-objects")


def _version(result: Any) -> Version:
    return {name: result[name] for name in ("e_tag", "version") if result[name] is not None}


def _pieces(payload: Payload, piece_bytes: int) -> Iterator[memoryview]:
    for part in payload:
        view = memoryview(part).cast("B")
        for start in range(0, len(view), piece_bytes):
            yield view[start : start + piece_bytes]
