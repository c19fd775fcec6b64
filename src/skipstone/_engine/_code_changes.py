"""Decide about results that were made by other code than the present: warn, run again, or accept.

The code that a function had is kept in records: one for each fingerprint of each function, under a key of its own. It
lists the parts of that code, so that a message can say what changed, and which other code counts as equal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from typing import NamedTuple, Protocol

from .._books._origins import Origins
from .._digest import blake2b
from .._encoding._codec import Codec
from .._errors import CodeChangedWarning, SkipstoneWarning, StoreError, UnstableIdError
from .._functions._canonical import canonical
from .._functions._function import KnownFunction, is_changed
from .._naming import shortened
from .._packing import map_in, packed
from .._record import CODE, Key, Origin, Record, is_result, parts_of
from ..stores import Store

_KEY_BYTES = 16
_LOOK_AGAIN_AFTER_SECONDS = 1.0  # somebody may accept the code in the meantime
_MOST_COUNTED, _MOST_SECONDS = 100_000, 1.0  # limits for counting stored results for a message
_MOST_LISTED = 3
_MOST_KEPT = 16  # a function that is made again for each call, around a value, has a code for each value


class _Kept(NamedTuple):
    """What is kept of a function's code at one fingerprint."""

    parts: dict[str, bytes]
    equals: frozenset[bytes] = frozenset()
    """Fingerprints of code that counts as equal."""
    accepted: bytes = b""
    """The fingerprint of the code that was current when results of this code were last accepted, or empty."""


class _Warn(Protocol):
    def __call__(
        self, category: type[SkipstoneWarning], message: Callable[[], str], /, *, once: object
    ) -> None: ...


class CodeChanges:
    """Decides about results that were made by other code."""

    def __init__(
        self,
        store: Store,
        codec: Codec,
        policy: str,
        origins: Origins,
        warn: _Warn,
    ) -> None:
        """Decide about the results in a store.

        Args:
            store: Holds the results.
            codec: Signs the records here, as it does results.
            policy: The config's `on_code_change`.
            origins: The origins of the records of this run.
            warn: Warns once; it is given a function that makes the message.
        """
        self._store = store
        self._codec = codec
        self._policy = policy
        self._origins = origins
        self._warn = warn
        self._verdicts: dict[tuple[str, str, bytes, bytes], tuple[bool, float]] = {}
        self._kept: dict[str, dict[KnownFunction, Origin]] = {}

    def policy_of(self, function: KnownFunction) -> str:
        """Return what to do about a result that was made by other code: "warn", "rerun" or "ignore"."""
        return function.on_code_change or self._policy

    def accepts(self, origin: Origin, function: KnownFunction, call_id: object) -> bool:
        """Decide whether a result that was made by other code may be returned.

        Raises:
            UnstableIdError: Another function of the same name made it in this run, for the same id.
        """
        if not is_changed(origin.code, function.code):
            return True
        policy = self.policy_of(function)
        if policy == "ignore":
            return True
        self._refuse_namesake(origin, function, call_id)
        if self._is_accepted(function, origin.code):
            return True
        if policy == "warn":
            self._warn(
                CodeChangedWarning, lambda: self._message(function, origin.code, call_id), once=function.name
            )
        return policy == "warn"

    def keep(self, origin: Origin, function: KnownFunction) -> None:
        """Keep the code of a function, of which a result has just been stored."""
        kept = self._kept.setdefault(function.name, {})
        if function in kept or len(kept) >= _MOST_KEPT or not any(function.described.parts):
            return  # no parts: none of its code is the user's own
        kept[function] = origin
        with suppress(StoreError):  # then the next process keeps it
            self._store.put(self._record(function, function.code, _Kept(function.described.parts)))

    def accept(self, function: KnownFunction) -> int:
        """Accept all stored results of a function as if its present code had made them.

        Returns:
            How many results were made by other code that was not accepted before.

        Raises:
            StoreError: The store does not answer.
        """
        found: dict[bytes, int] = {}
        for info in self._store.scan(function=function.name):
            if is_result(info.encoding) and info.version == function.version:
                found[info.code] = found.get(info.code, 0) + 1
        others = {
            code
            for code in found
            if is_changed(code, function.code) and not self._are_equal(function, function.code, code)
        }
        if others:
            equals = self._read(function, function.code).equals | others
            records = [self._record(function, function.code, _Kept(function.described.parts, equals))]
            for code in others:
                kept = self._read(function, code)._replace(accepted=function.code)
                records.append(self._record(function, code, kept))
            self._store.put_many(records, replace=True)
            self._verdicts.clear()
        return sum(found[code] for code in others)

    def _is_accepted(self, function: KnownFunction, code: bytes) -> bool:
        verdict = (function.name, function.version, function.code, code)
        accepted, until = self._verdicts.get(verdict, (False, 0.0))
        if not accepted and time.monotonic() >= until:
            with suppress(StoreError):
                accepted = self._are_equal(function, function.code, code)
            self._verdicts[verdict] = accepted, time.monotonic() + _LOOK_AGAIN_AFTER_SECONDS
        return accepted

    def _are_equal(self, function: KnownFunction, one: bytes, other: bytes) -> bool:
        return other in self._read(function, one).equals or one in self._read(function, other).equals

    def _read(self, function: KnownFunction, code: bytes) -> _Kept:
        record = self._store.get(_key(function, code))
        opened = None if record is None else self._codec.opened(record)
        kept = {} if opened is None else map_in(b"".join(parts_of(opened.payload)))
        return _Kept(kept.get("parts", {}), frozenset(kept.get("equals", ())), kept.get("accepted", b""))

    def _record(self, function: KnownFunction, code: bytes, kept: _Kept) -> Record:
        payload = packed({"parts": kept.parts, "equals": sorted(kept.equals), "accepted": kept.accepted})
        origin = self._origins.of(function, self._codec.sealed(CODE))._replace(code=code)
        return self._codec.seal(Record(_key(function, code), b"", origin, 0.0, payload, "", time.time()))

    def _refuse_namesake(self, origin: Origin, function: KnownFunction, call_id: object) -> None:
        """Raise an error if another function of the same name made a result for the same id."""
        namesakes = self._kept.get(function.name, {})
        for other, kept in namesakes.items():
            if (
                (origin.run, origin.process) == (kept.run, kept.process)
                and other.version == function.version
                and (other.code == origin.code or len(namesakes) >= _MOST_KEPT)  # if full, not all are here
                and other.is_beside(function)
            ):
                message = (
                    f"two functions have the name {function.name} and the id {shortened(call_id)!r}, and differ in their "
                    f"code or in what they were made with, so one would get the result of the other: let the id mention "
                    f"what differs, or give them names with cache_with_checkpoint(name=...)"
                )
                raise UnstableIdError(message)

    def _message(self, function: KnownFunction, code: bytes, call_id: object) -> str:
        name = function.name.rpartition(".")[2]
        changes, counted, since = list[str](), "", "its stored results were made"
        with suppress(StoreError):
            before = self._read(function, code)
            if before.accepted:
                before, since = self._read(function, before.accepted), "it was accepted"
            changes = differences(before.parts, function.described.parts)
            counted = self._counted(function)
        return (
            f"the code of {function.name} changed since {since}: "
            f"{_listed(changes) or 'something in it, or in what it calls, is different'}. {counted}They are returned all the "
            f"same (first for id {shortened(call_id)!r}). If they are still right, call "
            f"get_checkpoint().accept({name}); to run such calls again, decorate it with "
            f'on_code_change="rerun" or another version=, or call clear({name})'
        )

    def _counted(self, function: KnownFunction) -> str:
        """Say how many results were made by other code, as far as can be counted quickly."""
        if self._store.is_remote:
            return ""
        results = others = 0
        last = 0.0
        end = time.monotonic() + _MOST_SECONDS
        for info in islice(self._store.scan(function=function.name), _MOST_COUNTED):
            if is_result(info.encoding) and info.version == function.version:
                results += 1
                if info.code != function.code:
                    others, last = others + 1, max(last, info.created_at_seconds)
            if time.monotonic() > end:
                break
        more = "" if results < _MOST_COUNTED and time.monotonic() <= end else "more than "
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(last))
        return f"{others:,} of its {more}{results:,} results are from before, the last one of {when}. "


def differences(before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    """Say how two versions of a function's code differ, given their parts; in the order of the newer parts."""
    from .._functions._code import PACKAGE, VALUE

    if not before:
        return []
    edited: list[str] = []
    name = next(filter(None, after), "")  # the first part is the function itself
    for part, digest in after.items():
        definition, _, variable = part.partition(VALUE)
        if before.get(part) == digest or definition not in before or (variable and part not in before):
            continue
        if part.startswith(PACKAGE):
            edited.append(f"{part.removeprefix(PACKAGE)} was {before[part].decode()} and is {digest.decode()}")
        elif variable and before[definition] == after[definition]:
            edited.append(f"{variable.replace('<self>', 'self')} is different in {definition}")
        elif not variable and definition:
            edited.append("it was edited" if definition == name else f"{definition} was edited")
    new = [f"{part} is used now" for part in after if VALUE not in part and part not in before]
    gone = [f"{part} is not used any more" for part in before if VALUE not in part and part not in after]
    return edited + new + gone


def _listed(changes: list[str]) -> str:
    more = len(changes) - _MOST_LISTED
    return ", ".join(changes[:_MOST_LISTED]) + (f", and {more} more changes" if more > 0 else "")


def _key(function: KnownFunction, code: bytes) -> Key:
    content = canonical((function.name, function.version, code))
    return blake2b(content, digest_size=_KEY_BYTES, person=CODE.encode()).digest()
