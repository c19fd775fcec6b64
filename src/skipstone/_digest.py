"""BLAKE2b (RFC 7693), without importing hashlib, which takes 4 ms because it loads OpenSSL."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import blake2b
else:
    try:
        from _blake2 import blake2b
    except ImportError:  # not CPython
        from hashlib import blake2b

__all__ = ["blake2b"]
