"""Keep a call's notes after its payload, so that a hit finds them without another look-up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from .._record import Buffer, Payload

Notes: TypeAlias = "Mapping[str, float]"

NOTED = "+notes"
"""The end of the encoding of a payload with notes."""

_LENGTH_BYTES = 4


def with_notes(payload: Payload, notes: Notes) -> Payload:
    """Return a payload followed by notes: JSON, and then its length."""
    import json

    text = json.dumps(notes).encode()
    return [*payload, text + len(text).to_bytes(_LENGTH_BYTES, "little")]


def without_notes(payload: Buffer) -> tuple[Buffer, Notes]:
    """Return a payload without its notes, and the notes.

    Raises:
        ValueError: It has none.
    """
    import json

    length = int.from_bytes(payload[-_LENGTH_BYTES:], "little")
    start = len(payload) - _LENGTH_BYTES - length
    notes: Any = json.loads(bytes(payload[max(0, start) : -_LENGTH_BYTES]))
    return payload[:start], notes
