"""Find out which errors are alike: those that differ only in numbers, quoted texts, paths, addresses and the like."""

from __future__ import annotations

import re

DIFFERS = "…"

_LONGEST = 200
_DIFFERENT = re.compile(
    r"""
      '[^'\n]*' | "[^"\n]*" | `[^`\n]*`          # quoted
    | \b\w+://\S+                                # an address
    | (?<![\w.])~?(?:/[\w.+@%-]+){2,}/?          # a path
    | \b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b
    | \b0x[0-9a-fA-F]+\b
    | \b(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{8,}\b   # a digest
    | [-+]?\d[\d_,.:]*(?:[eE][-+]?\d+)?(?<=\d)   # a number, or a time
    """,
    re.VERBOSE,
)


def pattern_of(error: str) -> str:
    """Return an error's type and the first line of its message, with `…` in place of what differs between calls."""
    kind, colon, message = error.partition(":")
    first = message.strip().partition("\n")[0][: 4 * _LONGEST]
    text = _DIFFERENT.sub(DIFFERS, first)
    return f"{kind}{colon} {text}"[:_LONGEST].strip()
