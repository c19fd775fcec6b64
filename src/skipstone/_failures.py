"""Failures as records: under a key of their own beside the call's, so that stores need not know them."""

from __future__ import annotations

from typing import Any

from ._digest import blake2b
from ._record import FAILURE, Failure, Key, Payload, Record, RecordInfo, parts_of


def failure_key(key: Key) -> Key:
    """Return the key under which the failure of a call is kept."""
    return blake2b(key, digest_size=len(key), person=FAILURE.encode()).digest()


def failure_payload(error: Exception, attempts: int) -> Payload:
    """Return what a failure's record holds: the error and its traceback as texts, and the count of attempts."""
    import json
    from traceback import format_exception

    told = {
        "error": f"{type(error).__qualname__}: {_text(error)}",
        "traceback": "".join(format_exception(error)),
        "attempts": attempts,
    }
    return (json.dumps(told).encode(),)


def _text(error: Exception) -> str:
    try:
        return str(error)
    except Exception as another:  # noqa: BLE001 - an error that cannot be shown is noted all the same
        return f"<its text raised {type(another).__qualname__}>"


def attempts_of(record: Record) -> int:
    """Return how often a call failed, from the intact record of its failure."""
    return int(_told(record)["attempts"])


def failure_of(info: RecordInfo, record: Record) -> Failure:
    """Return a failure from its intact record."""
    told = _told(record)
    return Failure(
        info.function,
        info.version,
        info.call_id,
        told["error"],
        told["traceback"],
        told["attempts"],
        info.created_at_seconds,
        info.run,
        info.host,
        info.process,
    )


def _told(record: Record) -> dict[str, Any]:
    import json

    told: dict[str, Any] = json.loads(b"".join(parts_of(record.payload)))
    return told
