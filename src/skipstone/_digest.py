"""BLAKE2b (RFC 7693), without importing hashlib, which loads OpenSSL: 4 ms."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import blake2b
else:
    try:
        from _blake2 import blake2b
    except ImportError:  # no CPython
        from hashlib import blake2b

__all__ = ["blake2b"]
