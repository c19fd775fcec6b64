"""Encryption of records: AES-256 in Galois/Counter Mode, with a key of its own for each record.

An encrypted payload is

    4 bytes     which key: the beginning of HKDF-Expand(key, "id")
    12 bytes    a random nonce
                the ciphertext, as long as the plaintext
    16 bytes    the tag, which covers the ciphertext and all that a hit depends on

A record's key is HKDF-Expand(HKDF-Extract(salt, encryption key), purpose and record's key), see RFC 5869 with SHA-256. One
key with random nonces may encrypt 2**32 times at most (NIST SP 800-38D, section 8.3), which a billion records would come
near to; here, that bound holds for the saves of one call. A mode that bears repeated nonces, AES-GCM-SIV, would not need
that, but reads everything twice and is missing from older OpenSSL.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .._errors import MissingExtraError
from .._record import Buffer, Key, Payload

MARK_OF_TEXTS = "encrypted:"
"""What an encrypted call id begins with; Base64 of the same form as a payload's follows."""

_SALT = b"skipstone encryption"
_ID_BYTES, _NONCE_BYTES, _TAG_BYTES = 4, 12, 16
_MOST_AT_ONCE_BYTES = 1 << 30  # the library takes less than 2 GiB


class NotOurKeyError(Exception):
    """It is encrypted with none of these keys."""


class ForgedError(Exception):
    """It is not what was encrypted, or not for this record."""


class _Library(NamedTuple):
    """What is used of `cryptography`, which takes long to import."""

    cipher: Callable[..., Any]
    aes: Callable[[bytes], Any]
    gcm: Callable[..., Any]
    invalid: type[Exception]


class Encryption:
    """Encrypts with the first of several keys, and decrypts with any."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Use these keys: each a secret with the strength of a random one, such as `secrets.token_hex(32)`.

        Raises:
            MissingExtraError: `cryptography` is not installed.
        """
        self._library = _library()
        extracted = [_hmac(_SALT, key) for key in keys]
        self._keys = {_expanded(key, b"id")[:_ID_BYTES]: key for key in extracted}
        self._own_id = _expanded(extracted[0], b"id")[:_ID_BYTES]

    def knows(self, payload: Payload) -> bool:
        """Tell whether a payload is encrypted with one of these keys."""
        return bytes(memoryview(payload[0])[:_ID_BYTES]) in self._keys

    def encrypted(self, payload: Payload, key: Key, facts: bytes, purpose: bytes = b"payload") -> list[Buffer]:
        """Return a payload encrypted, in parts.

        Args:
            payload: Is not joined.
            key: Of the record.
            facts: What else must be the same when it is decrypted.
            purpose: What it is of the record.
        """
        nonce = os.urandom(_NONCE_BYTES)
        encryptor = self._cipher(self._own_id, key, purpose, nonce).encryptor()
        encryptor.authenticate_additional_data(facts)
        parts: list[Buffer] = [self._own_id + nonce]
        parts += [encryptor.update(some) for part in payload for some in _slices(part)]
        encryptor.finalize()
        return [*parts, encryptor.tag]

    def decrypted(self, payload: Buffer, key: Key, facts: bytes, purpose: bytes = b"payload") -> bytes:
        """Return what `encrypted` got.

        Raises:
            NotOurKeyError: It was encrypted with another key.
            ForgedError: It was changed, or belongs to another record.
        """
        view = memoryview(payload)
        if len(view) < _ID_BYTES + _NONCE_BYTES + _TAG_BYTES:
            raise ForgedError
        own_id, nonce = bytes(view[:_ID_BYTES]), bytes(view[_ID_BYTES : _ID_BYTES + _NONCE_BYTES])
        if own_id not in self._keys:
            raise NotOurKeyError
        decryptor = self._cipher(own_id, key, purpose, nonce, bytes(view[-_TAG_BYTES:])).decryptor()
        decryptor.authenticate_additional_data(facts)
        parts = [decryptor.update(some) for some in _slices(view[_ID_BYTES + _NONCE_BYTES : -_TAG_BYTES])]
        try:
            decryptor.finalize()
        except self._library.invalid as error:
            raise ForgedError from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _cipher(self, own_id: bytes, key: Key, purpose: bytes, *nonce_and_tag: bytes) -> Any:
        secret = _expanded(self._keys[own_id], purpose + key)
        return self._library.cipher(self._library.aes(secret), self._library.gcm(*nonce_and_tag))

    def encrypted_bytes(self, content: bytes, key: Key) -> bytes:
        """Return bytes that say nothing to those without the key."""
        return b"".join(self.encrypted([content], key, b"", b"details"))

    def decrypted_bytes(self, content: bytes, key: Key) -> bytes:
        """Return the bytes that `encrypted_bytes` got, or the same where they are of another making."""
        try:
            return self.decrypted(content, key, b"", b"details")
        except (NotOurKeyError, ForgedError):
            return content

    def encrypted_text(self, text: str, key: Key) -> str:
        """Return a text that says nothing to those without the key."""
        from base64 import b64encode

        parts = self.encrypted([text.encode()], key, b"", b"call id")
        return MARK_OF_TEXTS + b64encode(b"".join(parts)).decode()

    def decrypted_text(self, text: str, key: Key) -> str:
        """Return the text that `encrypted_text` got, or the same where it is of another making."""
        from base64 import b64decode

        if not text.startswith(MARK_OF_TEXTS):
            return text
        try:
            return self.decrypted(b64decode(text.removeprefix(MARK_OF_TEXTS)), key, b"", b"call id").decode()
        except (NotOurKeyError, ForgedError, ValueError):
            return text


def _expanded(key: bytes, purpose: bytes) -> bytes:
    """Return the first block of HKDF-Expand."""
    return _hmac(key, b"skipstone " + purpose + b"\x01")


def _hmac(key: bytes, message: bytes) -> bytes:
    from hmac import digest

    return digest(key, message, "sha256")


def _slices(part: Buffer) -> list[memoryview]:
    view = memoryview(part).cast("B")
    return [view[at : at + _MOST_AT_ONCE_BYTES] for at in range(0, len(view), _MOST_AT_ONCE_BYTES)]


def _library() -> _Library:
    try:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers import Cipher
        from cryptography.hazmat.primitives.ciphers.algorithms import AES
        from cryptography.hazmat.primitives.ciphers.modes import GCM
    except ImportError as error:
        message = 'encryption_key needs cryptography: pip install "skipstone[crypt]"'
        raise MissingExtraError(message) from error
    return _Library(Cipher, AES, GCM, InvalidTag)
