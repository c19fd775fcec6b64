"""A record as bytes: it comes back as it was, or it is seen that it does not."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from skipstone import DamagedRecordWarning
from skipstone._encoding import _serializers
from skipstone._encoding._codec import Codec
from skipstone.stores import Origin, Record, info_of
from skipstone.stores._envelope import HEAD_BYTES, head_bytes, packed, read_head, unpacked

CODEC = Codec(_serializers.serializer_named("pickle"))
KEY = bytes(range(16))


def record(payload=b"a payload", call_id="doc-17"):
    origin = Origin("app.embed", "2", "pickle", b"12345678", "a run", "a host", 99)
    return CODEC.seal(Record(KEY, b"", origin, 1.5, payload, call_id, 1e9, b"\x80"))


@given(payload=st.lists(st.binary(max_size=300)), call_id=st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_packed_comes_back(payload, call_id):
    """All fields and all bytes of a record come back, its payload in one part."""
    before = record(payload, call_id)
    after = unpacked(KEY, b"".join(packed(before)))
    assert after._replace(payload=bytes(after.payload)) == before._replace(payload=b"".join(payload))
    assert CODEC.is_intact(after)


def test_parts_are_not_copied():
    """The parts of a large payload are passed on as they are."""
    part = memoryview(bytearray(1000))
    assert packed(record([part]))[1] is part


def test_the_head_alone_tells_all_but_the_payload():
    """A listing needs the first bytes only, or as many as they say themselves."""
    before = record(b"x" * 5000, "i" * 3000)
    content = b"".join(packed(before))
    assert head_bytes(content[:HEAD_BYTES]) > HEAD_BYTES
    head = read_head(KEY, content[: head_bytes(content[:HEAD_BYTES])])
    assert head.info == info_of(before)
    assert content[head.starts_at :] == before.payload
    assert head.starts_at % 64 == 0


def test_a_payload_elsewhere_is_named():
    """The head of a record whose payload is kept elsewhere names that place and the payload's size."""
    before = record(b"x" * 5000)
    (content,) = packed(before, value="there")
    head = read_head(KEY, content)
    assert (head.value, head.size_bytes) == ("there", 5000)


CONTENT = b"".join(packed(record()))


@given(at=st.integers(0, len(CONTENT) - 1), bits=st.integers(1, 255))
def test_a_changed_byte_is_seen(at, bits):
    """Whichever byte has changed: the record does not fit its checksum, or is what it was (the byte was padding)."""
    damaged = bytearray(CONTENT)
    damaged[at] ^= bits
    found = unpacked(KEY, damaged)
    assert not CODEC.is_intact(found) or found._replace(payload=bytes(found.payload)) == record()


@given(length=st.integers(0, len(CONTENT) - 1))
def test_a_cut_record_is_seen(length):
    """Wherever a record was cut off, it does not fit its checksum."""
    assert not CODEC.is_intact(unpacked(KEY, CONTENT[:length]))


@given(st.binary(max_size=200))
def test_other_bytes_are_no_record(content):
    """Bytes that are no record give one that does not fit its checksum, and never an error."""
    assert not CODEC.is_intact(unpacked(KEY, content))
    assert not CODEC.is_intact(unpacked(KEY, CONTENT[:16] + content))


def test_a_record_under_another_key_is_seen():
    """Whole records that were swapped are no hits."""
    assert not CODEC.is_intact(unpacked(bytes(16), CONTENT))


def test_a_damaged_head_is_a_damaged_record(memory):
    """A call whose stored record has lost its head runs again, with a warning that it was damaged."""

    def answer():
        return 42

    memory.load_or_run(answer, 1)
    (info,) = memory.records()
    memory._engine._store._records[info.key] = unpacked(info.key, b"SKR1 and rubbish")
    with pytest.warns(DamagedRecordWarning, match="is damaged"):
        assert memory.load_or_run(answer, 1) == 42
    assert memory.load_or_run(answer, 1) == 42
    assert memory.stats().misses == 2
