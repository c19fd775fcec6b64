"""The numbers that a call noted, behind its payload: what a hit saved is known without another look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from .._record import Buffer, Payload

Notes: TypeAlias = "Mapping[str, float]"

NOTED = "+notes"
"""What the encoding of a payload with numbers behind it ends with."""

_LENGTH_BYTES = 4


def with_notes(payload: Payload, notes: Notes) -> Payload:
    """Return a payload with numbers behind it: as JSON, and how long that is."""
    import json

    text = json.dumps(notes).encode()
    return [*payload, text + len(text).to_bytes(_LENGTH_BYTES, "little")]


def without_notes(payload: Buffer) -> tuple[Buffer, Notes]:
    """Take the numbers off a payload.

    Raises:
        ValueError: There are none.
    """
    import json

    length = int.from_bytes(payload[-_LENGTH_BYTES:], "little")
    start = len(payload) - _LENGTH_BYTES - length
    notes: Any = json.loads(bytes(payload[max(0, start) : -_LENGTH_BYTES]))
    return payload[:start], notes
