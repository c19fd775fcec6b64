"""Encryption of records: AES-256 in Galois/Counter Mode, with a key of its own for each record.

An encrypted payload is

    4 bytes     which key: the beginning of HKDF-Expand(key, "id")
    12 bytes    a random nonce
                the ciphertext, as long as the plaintext
    16 bytes    the tag, which covers the ciphertext and all that a hit depends on

The key that encrypts a record is HKDF-Expand(HKDF-Extract(salt, encryption key), purpose and record's key), see RFC
5869, with SHA-256. With random nonces, one key may encrypt at most 2**32 times (NIST SP 800-38D, section 8.3), a bound
that a billion records would come near. Here the bound applies to the saves of a single call. AES-GCM-SIV, a mode that
tolerates repeated nonces, would not need this, but it reads everything twice and is missing from older OpenSSL.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .._errors import MissingExtraError
from .._record import Buffer, Key, Payload

MARK_OF_TEXTS = "encrypted:"
"""The beginning of an encrypted call id; Base64 of the same form as an encrypted payload follows."""

_SALT = b"skipstone encryption"
_ID_BYTES, _NONCE_BYTES, _TAG_BYTES = 4, 12, 16
_MOST_AT_ONCE_BYTES = 1 << 30  # the library takes less than 2 GiB


class NotOurKeyError(Exception):
    """The content is encrypted with none of these keys."""


class ForgedError(Exception):
    """The content is not what was encrypted, or belongs to another record."""


class _Library(NamedTuple):
    """The parts of `cryptography` that are used. It takes long to import, so it is imported only when needed."""

    cipher: Callable[..., Any]
    aes: Callable[[bytes], Any]
    gcm: Callable[..., Any]
    invalid: type[Exception]


class Encryption:
    """Encrypts with the first of several keys, and decrypts with any."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Use these keys, each a secret as strong as a random one, such as `secrets.token_hex(32)`.

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
            payload: The parts, which are not joined.
            key: The record's key.
            facts: Other content that must be the same for decryption, but is not encrypted.
            purpose: Which content of the record this is.
        """
        nonce = os.urandom(_NONCE_BYTES)
        encryptor = self._cipher(self._own_id, key, purpose, nonce).encryptor()
        encryptor.authenticate_additional_data(facts)
        parts: list[Buffer] = [self._own_id + nonce]
        parts += [encryptor.update(some) for part in payload for some in _slices(part)]
        encryptor.finalize()
        return [*parts, encryptor.tag]

    def decrypted(self, payload: Buffer, key: Key, facts: bytes, purpose: bytes = b"payload") -> bytes:
        """Undo `encrypted`.

        Raises:
            NotOurKeyError: The payload was encrypted with another key.
            ForgedError: The payload was changed, or belongs to another record.
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
        """Return bytes encrypted."""
        return b"".join(self.encrypted([content], key, b"", b"details"))

    def decrypted_bytes(self, content: bytes, key: Key) -> bytes:
        """Undo `encrypted_bytes`; return bytes that it did not make, or not with our keys, as they are."""
        try:
            return self.decrypted(content, key, b"", b"details")
        except (NotOurKeyError, ForgedError):
            return content

    def encrypted_text(self, text: str, key: Key) -> str:
        """Return a text encrypted, as a text."""
        from base64 import b64encode

        parts = self.encrypted([text.encode()], key, b"", b"call id")
        return MARK_OF_TEXTS + b64encode(b"".join(parts)).decode()

    def decrypted_text(self, text: str, key: Key) -> str:
        """Undo `encrypted_text`; return a text that it did not make, or not with our keys, as it is."""
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
