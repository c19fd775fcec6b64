"""A store in object storage (S3, Google Cloud Storage, Azure): an object for each record, and no locks.

    records/<32 digits>              a record, named by its key: written once, by a conditional put
    values/<32 digits>/<16 digits>   a large payload, which the record names
    claims/<32 digits>               the lease of a key
    holders/<word>                   a sign of life

An upload in pieces, as large payloads need it, cannot be made conditional on being the first. So a large payload gets
a name of its own, and counts once a record names it. The payload of a record that came too late, or was replaced, is
removed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from ..._record import Key, Record, RecordInfo, parts_of, size_of
from .._base import BaseStore, Claim
from .._envelope import HEAD_BYTES, Head, head_bytes, packed, read_head, unpacked
from .._leases import Leases
from .._urls import received, sendable
from ._bucket import Bucket, Version, in_parallel

_LARGE_BYTES = 8 << 20
_ATTEMPTS = 3
_RECORD = re.compile(r"records/([0-9a-f]{32})")


class ObjectStore(BaseStore):
    """Keeps the records of one step of one index in a bucket."""

    is_remote = True

    def __init__(self, url: str, scope: str) -> None:
        """Use a bucket. No request is made.

        Args:
            url: `scheme://bucket/prefix`; settings of the client may follow after a question mark.
            scope: `<index name>/<step>`, below the prefix.

        Raises:
            ConfigError: The client does not know a setting.
        """
        self._url = url
        self._scope = scope
        self._bucket = Bucket(url, scope)
        self._leases = Leases(_Cells(self._bucket))

    def __reduce__(self) -> tuple[Callable[..., ObjectStore], tuple[str, str]]:
        """Pickle the settings, without the secrets of the URL."""
        return _reopened, (sendable(self._url), self._scope)

    def get(self, key: Key, /) -> Record | None:
        """See `Store`."""
        return self._whole(key, self._content(key))

    def get_many(self, keys: Sequence[Key], /) -> dict[Key, Record]:
        """See `Store`."""
        contents = in_parallel(self._content, keys)
        found = {key: self._whole(key, content) for key, content in zip(keys, contents, strict=True)}
        return {key: record for key, record in found.items() if record is not None}

    def _content(self, key: Key) -> memoryview | None:
        found = self._bucket.read(_record(key))
        return None if found is None else found.content

    def _whole(self, key: Key, content: memoryview | None) -> Record | None:
        """Return the record that was read, together with its payload."""
        for _ in range(_ATTEMPTS):
            if content is None:
                return None
            head = read_head(key, content)
            if not head.value:
                return unpacked(key, content)
            payload = self._bucket.download(f"{_values(key)}/{head.value}", head.size_bytes)
            if payload is not None:
                return head.record._replace(payload=payload)
            content = self._content(key)  # the record may have been replaced or removed meanwhile
        return unpacked(key, b"")  # the payload is lost: treat the record as damaged

    def present(self, keys: Sequence[Key], /) -> set[Key]:
        """See `Store`."""
        names = list(map(_record, keys))
        return {key for key, is_there in zip(keys, in_parallel(self._bucket.has, names), strict=True) if is_there}

    def put(self, record: Record, /, *, replace: bool = False) -> bool:
        """See `Store`."""
        payload = parts_of(record.payload)
        value = os.urandom(8).hex() if size_of(payload) > _LARGE_BYTES else ""
        if value:
            self._bucket.upload(f"{_values(record.key)}/{value}", payload)
        before = self._head(record.key) if replace else None
        mode = "overwrite" if replace else "create"
        is_kept = self._bucket.put(_record(record.key), packed(record, value=value), mode) is not None
        useless = (before.value if before is not None else "") if is_kept else value
        if useless:
            self._bucket.remove([f"{_values(record.key)}/{useless}"])
        return is_kept

    def put_many(self, records: Sequence[Record], /, *, replace: bool = False) -> set[Key]:
        """See `Store`."""
        kept = in_parallel(lambda record: self.put(record, replace=replace), records)
        return {record.key for record, is_kept in zip(records, kept, strict=True) if is_kept}

    def delete(self, keys: Iterable[Key], /) -> int:
        """See `Store`."""
        heads = [head for head in in_parallel(self._head, keys) if head is not None]
        self._bucket.remove([_record(head.record.key) for head in heads])
        for head in heads:
            if head.value:
                for names in self._bucket.listed(_values(head.record.key)):
                    self._bucket.remove(names)
        return len(heads)

    def scan(self, *, function: str | None = None) -> Iterator[RecordInfo]:
        """See `Store`; in no order."""
        for names in self._bucket.listed("records"):
            matches = filter(None, map(_RECORD.fullmatch, names))
            for head in in_parallel(self._head, [bytes.fromhex(found[1]) for found in matches]):
                if head is not None and function in (None, head.record.origin.function):
                    yield head.info

    def _head(self, key: Key) -> Head | None:
        start = self._bucket.read(_record(key), 0, HEAD_BYTES)
        if start is not None and head_bytes(start.content) > len(start.content):
            start = self._bucket.read(_record(key), 0, head_bytes(start.content))
        return None if start is None else read_head(key, start.content)

    def claim(self, key: Key, /) -> Claim | None:
        """See `Store`."""
        return self._leases.claim(key)

    def close(self) -> None:
        """See `Store`."""
        self._leases.close()


def scopes(url: str) -> list[str]:
    """Return the `<index>/<step>` of every step with records at a place, spelled as there."""
    bucket = Bucket(url, "")
    steps = [f"{index}/{step}" for index in bucket.folders("") for step in bucket.folders(index)]
    are_there = in_parallel(lambda step: "records" in bucket.folders(step), steps)
    return sorted(step for step, is_there in zip(steps, are_there, strict=True) if is_there)


class _Cells:
    """Leases and signs of life as small objects."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def lease(self, key: Key, /) -> tuple[str, Version] | None:
        found = self._bucket.read(_claim(key))
        return None if found is None else (_text(found.content), found.version)

    def swap_lease(self, key: Key, text: str, version: Version | None, /) -> Version | None:
        return self._bucket.put(_claim(key), [text.encode()], "create" if version is None else version)

    def remove_lease(self, key: Key, _version: Version, /) -> None:
        self._bucket.remove([_claim(key)])

    def sign(self, holder: str, /) -> str | None:
        found = self._bucket.read(f"holders/{holder}")
        return None if found is None else _text(found.content)

    def write_sign(self, holder: str, text: str, /) -> None:
        self._bucket.put(f"holders/{holder}", [text.encode()], "overwrite")

    def remove_sign(self, holder: str, /) -> None:
        self._bucket.remove([f"holders/{holder}"])


def _reopened(url: str, scope: str) -> ObjectStore:
    return ObjectStore(received(url), scope)


def _record(key: Key) -> str:
    return f"records/{key.hex()}"


def _values(key: Key) -> str:
    return f"values/{key.hex()}"


def _claim(key: Key) -> str:
    return f"claims/{key.hex()}"


def _text(content: memoryview) -> str:
    return bytes(content).decode("utf-8", "replace")
