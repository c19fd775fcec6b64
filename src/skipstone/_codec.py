"""Results to records and back: serializer, compression and checksum, composed."""

from __future__ import annotations

from _operator import _compare_digest as compare_digest  # what hmac has, without its imports
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from xxhash import xxh3_64, xxh3_64_digest

from ._canonical import canonical
from ._digest import blake2b
from ._errors import MissingExtraError, SkipstoneError
from ._record import ITEM, Buffer, Payload, Record, parts_of, size_of
from ._serializers import Serializer, serializer_named
from ._trailer import NOTED, with_notes, without_notes

_SIGNATURE_BYTES = 32
_ZSTD = "+zstd"
_COMPRESSED_FROM_BYTES = 128  # shorter payloads do not become smaller


class DamagedPayloadError(SkipstoneError):
    """The bytes of a payload are not those that were saved."""


class UnreadableResultError(SkipstoneError):
    """A payload is intact, but its serializer does not make a result of it."""


class Encoded(NamedTuple):
    """A result on its way into a record."""

    payload: Buffer | Payload
    encoding: str


class Typed(Protocol):
    """What a result belongs to: a function, or an item of a generator."""

    @property
    def result_type(self) -> object:
        """The annotated type, or `typing.Any`."""
        ...


class _Reader(NamedTuple):
    loads: Callable[[Buffer, Any], Any]
    unwrap: Callable[[Buffer], tuple[Buffer, Mapping[str, float]]] | None
    """Takes off what is around what the serializer made, and returns what the call noted; None where there is nothing."""
    salt: int


class Codec:
    """Encodes results as the config says, and decodes them as each record says."""

    def __init__(
        self, serializer: Serializer, compression: str | None = None, signing_keys: Sequence[bytes] = ()
    ) -> None:
        """Encode with this serializer, and "zstd" or no compression; sign with the first key, accept all.

        Raises:
            MissingExtraError: The compression's library is not installed.
        """
        self.serializer = serializer
        self._compress = _zstd_compressor() if compression else None
        # A key of blake2b has at most 64 bytes.
        self._keys = [blake2b(key).digest() for key in signing_keys]
        self._readers: dict[str, _Reader] = {}

    def encode(self, value: object, function: Typed, notes: Mapping[str, float] | None = None) -> Encoded:
        """Serialize a result, and the numbers that its call noted.

        Raises:
            Exception: Whatever the serializer raises.
        """
        parts = self.serializer.dumps(value, function.result_type)
        encoding = self.serializer.name
        if self._compress is not None and size_of(parts_of(parts)) >= _COMPRESSED_FROM_BYTES:
            parts, encoding = (self._compress(_joined(parts_of(parts))),), encoding + _ZSTD
        if notes:
            parts, encoding = with_notes(parts_of(parts), notes), encoding + NOTED
        return Encoded(parts[0] if len(parts) == 1 else parts, encoding)

    def seal(self, record: Record) -> Record:
        """Return a record with its checksum, or with its signature if there is a signing key."""
        return record._replace(checksum=_signature(record, self._keys[0]) if self._keys else _checksum(record))

    def is_intact(self, record: Record) -> bool:
        """Tell whether a record is what was saved, and signed if there is a signing key."""
        if not self._keys:
            return _checksum(record) == record.checksum
        return any(compare_digest(_signature(record, key), record.checksum) for key in self._keys)

    def decode(
        self, record: Record, function: Typed, tell: Callable[[Mapping[str, float]], object] | None = None
    ) -> object:
        """Return the result that a record holds: a fresh object.

        Args:
            record: Its payload in one part.
            function: That it belongs to.
            tell: Called with the numbers that the call noted, if it did.

        Raises:
            DamagedPayloadError: The checksum does not fit.
            UnreadableResultError: It fits, but the serializer failed.
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
            signed = len(record.checksum) == _SIGNATURE_BYTES
            message = "it is signed, and the config has no signing_key" if signed else "its checksum does not fit"
            raise DamagedPayloadError(message)
        try:
            if reader.unwrap is None:
                return reader.loads(payload, function.result_type)
            payload, notes = reader.unwrap(payload)
            value = reader.loads(payload, function.result_type)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            raise UnreadableResultError(message) from error
        if notes and tell is not None:
            tell(notes)
        return value

    def _reader(self, encoding: str) -> _Reader:
        name, _, compression = str(encoding).removeprefix(ITEM).removesuffix(NOTED).partition("+")
        serializer = self.serializer if name == self.serializer.name else serializer_named(name)
        if serializer is None:
            message = f"it was saved by the serializer {name!r}: pass that one as the config's `serializer`"
            raise UnreadableResultError(message)
        try:
            decompress = _zstd_decompressor() if compression else None
        except MissingExtraError as error:
            raise UnreadableResultError(str(error)) from error
        unwrap = _unwrapping(decompress, is_noted=encoding.endswith(NOTED))
        self._readers[encoding] = reader = _Reader(serializer.loads, unwrap, _salt(encoding))
        return reader


def _unwrapping(
    decompress: Callable[[Buffer], Buffer] | None, *, is_noted: bool
) -> Callable[[Buffer], tuple[Buffer, Mapping[str, float]]] | None:
    def unwrap(payload: Buffer) -> tuple[Buffer, Mapping[str, float]]:
        content, notes = without_notes(payload) if is_noted else (payload, {})
        return decompress(content) if decompress else content, notes

    return unwrap if is_noted or decompress else None


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
    origin = record.origin
    facts = (record.key, origin.function, origin.version, origin.encoding, origin.code, record.duration_seconds)
    digest = blake2b(canonical(facts), key=key, digest_size=_SIGNATURE_BYTES)
    for part in parts_of(record.payload):
        digest.update(part)
    return digest.digest()


@lru_cache(maxsize=64)
def _salt(encoding: str) -> int:
    return int.from_bytes(xxh3_64_digest(str(encoding).encode()), "little")


def _joined(payload: Payload) -> Buffer:
    return payload[0] if len(payload) == 1 else b"".join(payload)


def _zstd_compressor() -> Callable[[Buffer], Buffer]:
    # A compressor is not safe to share among threads, and costs little beside the compression.
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
