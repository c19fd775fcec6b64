"""Failures as records: under a key of their own beside the call's, so that stores need not know them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from itertools import islice
from types import TracebackType
from typing import Any

from .._digest import blake2b
from .._functions._function import KnownFunction
from .._html import folded, table, text
from .._naming import shortened
from .._record import FAILURE, Failure, Key, Payload, Record, RecordInfo, parts_of
from .._units import count_text, plain_text

_SHOWN, _ERROR_CHARACTERS = 20, 200


class Failures(Iterator[Failure]):
    """The calls that raised and have not succeeded since, one after the other; each is read when it is asked for.

    In a terminal and in a notebook, it shows the first of them.
    """

    def __init__(self, begin: Callable[[], Iterator[Failure]]) -> None:
        self._begin = begin
        self._failures: Iterator[Failure] | None = None

    def __next__(self) -> Failure:
        """Return the next one."""
        if self._failures is None:
            self._failures = self._begin()
        return next(self._failures)

    def __repr__(self) -> str:
        """Show the first of them, a line each, without taking them."""
        title, failures = self._first()
        lines = [
            f"{plain_text(each.function)} for id {each.call_id!r}, {count_text(each.attempts, 'attempt')}: "
            f"{plain_text(shortened(each.error, _ERROR_CHARACTERS))}"
            for each in failures
        ]
        return "\n".join([title, *lines])

    def _repr_html_(self) -> str:
        title, failures = self._first()
        rows = [
            (text(each.function), text(each.call_id), f"{each.attempts:,}", folded(each.error, each.traceback))
            for each in failures
        ]
        return table(title, ("function", "id", "attempts", "error"), rows)

    def _first(self) -> tuple[str, list[Failure]]:
        first = list(islice(self._begin(), _SHOWN + 1))
        title = f"the first {_SHOWN} failures" if len(first) > _SHOWN else f"failures: {len(first)}"
        return title, first[:_SHOWN]


_keys = blake2b(digest_size=16, person=FAILURE.encode())
_OF_SKIPSTONE = f"{os.path.dirname(os.path.dirname(__file__))}{os.sep}"


def failure_key(key: Key) -> Key:
    """Return the key under which the failure of a call is kept."""
    digest = _keys.copy()
    digest.update(key)
    return digest.digest()


def failure_payload(error: Exception, attempts: int) -> Payload:
    """Return what a failure's record holds: the error and its traceback as texts, and the count of attempts."""
    import json

    text, traceback = _texts(error)
    return (json.dumps({"error": text, "traceback": traceback, "attempts": attempts}).encode(),)


def failure_now(function: KnownFunction, call_id: object, error: Exception, run: str) -> Failure:
    """Return the failure of a call that raised just now, for the first time."""
    text, traceback = _texts(error)
    host, process = os.uname().nodename, os.getpid()
    return Failure(
        function.name, function.version, shortened(call_id), text, traceback, 1, time.time(), run, host, process
    )


def _texts(error: Exception) -> tuple[str, str]:
    from traceback import format_exception

    traceback = _from_the_function_on(error.__traceback__)
    return f"{type(error).__qualname__}: {_text(error)}", "".join(format_exception(type(error), error, traceback))


def _from_the_function_on(traceback: TracebackType | None) -> TracebackType | None:
    """Leave out how this package came to call it."""
    below = traceback
    while below is not None and below.tb_frame.f_code.co_filename.startswith(_OF_SKIPSTONE):
        below = below.tb_next
    return below or traceback


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
