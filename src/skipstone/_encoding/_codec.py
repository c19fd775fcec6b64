"""Turn results into records and back: serializer, compression, encryption and checksum together."""

from __future__ import annotations

from _operator import _compare_digest as compare_digest  # `hmac.compare_digest`, without what hmac imports
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol, TypeAlias

from xxhash import xxh3_64, xxh3_64_digest

from .._digest import blake2b
from .._errors import MissingExtraError, SkipstoneError
from .._functions._canonical import canonical
from .._record import HEAD, HISTORY, ITEM, ITEMS, Buffer, Payload, Record, RecordInfo, parts_of, size_of
from ._encryption import Encryption, ForgedError, NotOurKeyError
from ._serializers import Serializer, serializer_named
from ._trailer import NOTED, Notes, with_notes, without_notes

_SIGNATURE_BYTES = 32
_SIGNED = "it is signed, and the config has no signing_key"
_ZSTD, _AES = "+zstd", "+aes"
_NEVER_ENCRYPTED = (ITEMS, HEAD)  # they hold only a random token and the number of items
_COMPRESSED_FROM_BYTES = 128  # shorter payloads do not become smaller


class DamagedPayloadError(SkipstoneError):
    """The bytes of a payload are not those that were saved."""


class UnreadableResultError(SkipstoneError):
    """A payload is intact, but its serializer cannot make a result of it."""


class RefusedResultError(UnreadableResultError):
    """A record is whole, but this config lacks the key for it or does not trust it. It must not be replaced."""


Encoded: TypeAlias = "tuple[Buffer | Payload, str]"
"""The payload and encoding of a result. If the encoding says that it is encrypted, `Codec.seal` has yet to do that."""


class Typed(Protocol):
    """What a result belongs to: a function, or an item of a generator."""

    @property
    def result_type(self) -> object:
        """The annotated type, or `typing.Any`."""
        ...


class Reader(NamedTuple):
    """How payloads of one encoding are read."""

    loads: Callable[[Buffer, Any], Any]
    unwrap: Callable[[Record], tuple[Buffer, Notes]] | None
    """Decrypts the payload, takes off the notes, and decompresses; None if there is nothing to do."""
    salt: int
    """Seeds the checksum: `xxh3_64_digest(payload, salt)`."""


class Codec:
    """Encodes results as the config says, and decodes them as each record says."""

    def __init__(
        self,
        serializer: Serializer,
        compression: str | None = None,
        signing_keys: Sequence[bytes] = (),
        encryption_keys: Sequence[bytes] = (),
        *,
        trusts_pickles: bool = True,
    ) -> None:
        """Choose how results are encoded, and which records are accepted.

        Args:
            serializer: Encodes results. Each record is decoded by the serializer that encoded it.
            compression: "zstd" or None.
            signing_keys: The first one signs, and the signatures of all are accepted. Without keys, records have a
                checksum instead.
            encryption_keys: The first one encrypts, and all can decrypt. Without keys, records are not encrypted.
            trusts_pickles: Decode pickles that no key vouches for, even if `serializer` makes none.

        Raises:
            MissingExtraError: The library for the compression or the encryption is not installed.
        """
        self.serializer = serializer
        self._compress = _zstd_compressor() if compression else None
        # A key of blake2b has at most 64 bytes.
        self._keys = [blake2b(key).digest() for key in signing_keys]
        self._encryption = Encryption(encryption_keys) if encryption_keys else None
        self._trusts_pickles = trusts_pickles or bool(signing_keys or encryption_keys)
        self._readers: dict[str, Reader] = {}

    def encode(self, value: object, function: Typed, notes: Notes | None = None) -> Encoded:
        """Serialize a result, and the notes of its call.

        Raises:
            Exception: Whatever the serializer raises.
        """
        parts = self.serializer.dumps(value, function.result_type)
        encoding = self.serializer.name
        if self._compress is not None and size_of(parts) >= _COMPRESSED_FROM_BYTES:
            parts, encoding = [self._compress(_joined(parts_of(parts)))], encoding + _ZSTD
        if notes:
            parts, encoding = with_notes(parts_of(parts), notes), encoding + NOTED
        return parts[0] if len(parts) == 1 else parts, self.sealed(encoding) if self._encryption else encoding

    def sealed(self, encoding: str) -> str:
        """Return the name of an encoding, with the mark of encryption if this codec encrypts."""
        return encoding + _AES if self._encryption else encoding

    def seal(self, record: Record) -> Record:
        """Return a record encrypted, if its encoding says so, and with a signature or, without keys, a checksum."""
        if self._encryption is not None:
            call_id = self._encryption.encrypted_text(record.call_id, record.key)
            details = self._encryption.encrypted_bytes(record.details, record.key) if record.details else b""
            record = record._replace(call_id=call_id, details=details)
            if record.origin.encoding.endswith(_AES):
                payload = self._encryption.encrypted(parts_of(record.payload), record.key, _facts(record))
                record = record._replace(payload=payload)
        checksum = _signature(record, self._keys[0]) if self._keys else _checksum(record)
        # Does what `_replace` does in a fifth of the time, because every save comes here.
        return tuple.__new__(Record, (record.key, checksum, *record[2:]))

    def opened(self, record: Record) -> Record | None:
        """Return a record with its payload decrypted, or None if it is damaged or may not be read."""
        try:
            if not self.is_intact(record) or self._should_be_encrypted(record.origin.encoding):
                return None
            encrypted = record.origin.encoding.endswith(_AES)
            return record._replace(payload=self._decrypted(record)) if encrypted else record
        except (DamagedPayloadError, RefusedResultError):
            return None

    def objection(self, record: Record) -> str:
        """Return why a record from elsewhere is refused, or an empty text. If the config has keys, it must fit them."""
        if self._keys and not self.is_intact(record):
            return "it does not bear the signature of a signing_key of the config"
        if damage := damage_of(record):
            return damage
        encoding = record.origin.encoding
        if self._should_be_encrypted(encoding):
            return "it is not encrypted, and the config has an encryption_key"
        encryption = self._encryption if encoding.endswith(_AES) else None
        if encryption is not None and not encryption.knows(parts_of(record.payload)):
            return "it is encrypted with another encryption_key than those of the config"
        return ""

    def _should_be_encrypted(self, encoding: str) -> bool:
        # A signature shows that a record is ours: it may be unencrypted because the encryption key is newer.
        wanted = self._encryption is not None and not self._keys and encoding not in _NEVER_ENCRYPTED
        return wanted and not encoding.endswith(_AES)

    def refusal(self, record: Record) -> str:
        """Return why this config may not read a record that is whole, or an empty text."""
        encoding = record.origin.encoding
        try:
            if not self._keys and _is_signed(record):
                return _SIGNED
            if self.is_intact(record) and encoding not in _NEVER_ENCRYPTED:
                self._reader(encoding)
                if encoding.endswith(_AES):
                    self._decrypted(record)
        except RefusedResultError as error:
            return str(error)
        except (DamagedPayloadError, UnreadableResultError):
            pass
        return ""

    @property
    def encrypts(self) -> bool:
        """Whether call ids and details may have to be decrypted."""
        return self._encryption is not None

    def shown(self, info: RecordInfo) -> RecordInfo:
        """Return the description of a record with its call id and details decrypted, if the key is known."""
        if self._encryption is None:
            return info
        return info._replace(
            call_id=self._encryption.decrypted_text(info.call_id, info.key),
            details=self._encryption.decrypted_bytes(info.details, info.key),
        )

    def is_intact(self, record: Record) -> bool:
        """Tell whether a record is as it was saved, and signed if there is a signing key."""
        if not self._keys:
            return _checksum(record) == record.checksum
        return any(compare_digest(_signature(record, key), record.checksum) for key in self._keys)

    def decode(self, record: Record, function: Typed, tell: Callable[[Notes], object] | None = None) -> object:
        """Return the result in a record, as a fresh object.

        Args:
            record: A record with its payload in one part.
            function: The function that made it.
            tell: Called with the notes of the call, if it has any.

        Raises:
            DamagedPayloadError: The checksum does not fit.
            RefusedResultError: The checksum fits, but the config has no key for the record, or does not trust it.
            UnreadableResultError: The checksum fits, but the serializer failed.
        """
        encoding = record.origin.encoding
        try:
            reader = self._readers.get(encoding) or self._reader(encoding)
        except UnreadableResultError:
            if self.is_intact(record):
                raise
            message = "neither its checksum nor its encoding fits"
            raise DamagedPayloadError(message) from None
        payload: Any = record.payload
        if self._keys:
            if not self.is_intact(record):
                message = "it does not bear the signature of a signing_key of the config"
                raise DamagedPayloadError(message)
        elif xxh3_64_digest(payload, reader.salt) != record.checksum:
            raise _does_not_fit(record)
        try:
            payload, notes = (payload, {}) if reader.unwrap is None else reader.unwrap(record)
            value = reader.loads(payload, function.result_type)
        except (DamagedPayloadError, RefusedResultError):
            raise
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            raise UnreadableResultError(message) from error
        if notes and tell is not None:
            tell(notes)
        return value

    def plain_reader(self, encoding: str) -> Reader | None:
        """Return how payloads of an encoding are read, or None if they are signed or must be unwrapped."""
        try:
            reader = self._reader(encoding)
        except UnreadableResultError:
            return None
        return None if self._keys or reader.unwrap else reader

    def _reader(self, encoding: str) -> Reader:
        inner = str(encoding).removeprefix(ITEM).removeprefix(HISTORY)
        unsealed = inner.removesuffix(_AES)
        compressed = unsealed.removesuffix(NOTED)
        name = compressed.removesuffix(_ZSTD)
        self._check_trust(name, encoding)
        serializer = self.serializer if name == self.serializer.name else serializer_named(name)
        if serializer is None:
            message = f"it was saved by the serializer {name!r}: pass that one as the config's `serializer`"
            raise UnreadableResultError(message)
        try:
            decompress = None if name == compressed else _zstd_decompressor()
        except MissingExtraError as error:
            raise UnreadableResultError(str(error)) from error
        unwrap = None
        if name != inner:
            decrypt = None if unsealed == inner else self._decrypted
            unwrap = _composed(decrypt, decompress, is_noted=compressed != unsealed)
        self._readers[encoding] = reader = Reader(serializer.loads, unwrap, _salt(encoding))
        return reader

    def _check_trust(self, name: str, encoding: str) -> None:
        if self._should_be_encrypted(encoding):
            message = "it is not encrypted, and the config has an encryption_key"
            raise RefusedResultError(message)
        if name == "pickle" and self.serializer.name != name and not self._trusts_pickles:
            message = (
                f"it is a pickle, which runs code when it is loaded; with serializer={self.serializer.name!r} those of "
                f"a shared store are loaded only with a signing_key, an encryption_key or trust_store=True"
            )
            raise RefusedResultError(message)

    def _decrypted(self, record: Record) -> bytes:
        if self._encryption is None:
            message = "it is encrypted, and the config has no encryption_key"
            raise RefusedResultError(message)
        (payload,) = parts_of(record.payload)
        try:
            return self._encryption.decrypted(payload, record.key, _facts(record))
        except NotOurKeyError:
            message = "it is encrypted with another encryption_key than those of the config"
            raise RefusedResultError(message) from None
        except ForgedError:
            message = "it is not what was encrypted for this call"
            raise DamagedPayloadError(message) from None


def _composed(
    decrypt: Callable[[Record], Buffer] | None, decompress: Callable[[Buffer], Buffer] | None, *, is_noted: bool
) -> Callable[[Record], tuple[Buffer, Notes]]:
    def unwrap(record: Record) -> tuple[Buffer, Notes]:
        content = decrypt(record) if decrypt else parts_of(record.payload)[0]
        content, notes = without_notes(content) if is_noted else (content, {})
        return decompress(content) if decompress else content, notes

    return unwrap


def damage_of(record: Record) -> str:
    """Return what is wrong with a record, as far as that can be told without a key, or an empty text."""
    return "" if _is_signed(record) or _checksum(record) == record.checksum else "its checksum does not fit"


def _does_not_fit(record: Record) -> SkipstoneError:
    return RefusedResultError(_SIGNED) if _is_signed(record) else DamagedPayloadError("its checksum does not fit")


def _is_signed(record: Record) -> bool:
    return len(record.checksum) == _SIGNATURE_BYTES


def _checksum(record: Record) -> bytes:
    """Return the XXH3-64 digest of the payload, seeded with its encoding: read in another way, it does not fit."""
    salt = _salt(record.origin.encoding)
    payload = record.payload
    if isinstance(payload, bytes):
        return xxh3_64_digest(payload, salt)
    digest = xxh3_64(seed=salt)
    for part in parts_of(payload):
        digest.update(part)
    return digest.digest()


def _signature(record: Record, key: bytes) -> bytes:
    """Return the keyed BLAKE2b digest (RFC 7693) of all that a hit depends on, so that records cannot be swapped."""
    digest = blake2b(_facts(record), key=key, digest_size=_SIGNATURE_BYTES)
    for part in parts_of(record.payload):
        digest.update(part)
    return digest.digest()


def _facts(record: Record) -> bytes:
    """Return everything that a hit depends on except the payload."""
    origin = record.origin
    return canonical(
        (record.key, origin.function, origin.version, origin.encoding, origin.code, record.duration_seconds)
    )


@lru_cache(maxsize=64)
def _salt(encoding: str) -> int:
    return int.from_bytes(xxh3_64_digest(str(encoding).encode()), "little")


def _joined(payload: Payload) -> Buffer:
    return payload[0] if len(payload) == 1 else b"".join(payload)


def _zstd_compressor() -> Callable[[Buffer], Buffer]:
    # A new compressor each time: threads must not share one, and making it costs little beside compressing.
    zstandard = _zstandard()
    return lambda data: zstandard.ZstdCompressor(level=3).compress(data)


def _zstd_decompressor() -> Callable[[Buffer], Buffer]:
    zstandard = _zstandard()
    return lambda data: zstandard.ZstdDecompressor().decompress(data)


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError as error:
        message = 'compression="zstd" needs zstandard: pip install "skipstone[zstd]"'
        raise MissingExtraError(message) from error
    return zstandard
