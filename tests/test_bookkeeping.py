"""What was done is counted, listed, logged and cleared; a checkpoint travels as its settings."""

import logging
import os
import pickle
import re
import time

import pytest

from skipstone import (
    Checkpoint,
    LocalStorageCheckpoint,
    NullCheckpoint,
    Stats,
    cache_with_checkpoint,
    get_checkpoint,
    open_checkpoint,
    use_checkpoint,
)
from skipstone.stores import MemoryStore, SqliteStore

PICKLED = b"\x80\x05\x8c\x01a\x94."
"""A small pickle, that of "a", has no frame."""


@pytest.fixture(autouse=True, params=["memory", "local"])
def checkpoint(request, tmp_path):
    """The current checkpoint of the test: one in memory, and a local one."""
    if request.param == "memory":
        made = Checkpoint(MemoryStore(), name="test")
    else:
        made = LocalStorageCheckpoint("test", {"artifacts_dir": tmp_path})
    with made, use_checkpoint(made):
        yield made


@cache_with_checkpoint(id="x", name="one")
def one(x):
    if x == "bad":
        raise ValueError(x)
    return x


@cache_with_checkpoint(id="x", name="two", version=3)
def two(x):
    return x


def listed(*args):
    return [(record.function, record.call_id) for record in get_checkpoint().records(*args)]


def filled():
    for x in ("a", "b"):
        one(x)
        two(x)


def test_records_are_listed_in_the_order_of_saving():
    """`records` tells function, version, id, encoding, size and origin of each result, in the order of saving."""
    before = time.time()
    filled()
    one.rerun("a")
    assert listed() == [("two", "a"), ("one", "b"), ("two", "b"), ("one", "a")]
    record = next(
        record for record in get_checkpoint().records() if (record.function, record.call_id) == ("two", "a")
    )
    assert (record.version, record.encoding, record.process) == ("3", "pickle", os.getpid())
    assert (record.size_bytes, record.host) == (len(PICKLED), os.uname().nodename)
    assert before <= record.created_at_seconds <= time.time()
    assert record.duration_seconds >= 0
    assert len(record.key) == 16
    assert len({record.run for record in get_checkpoint().records()}) == 1


def test_records_of_one_function():
    """`records(function)` lists those of a function, given itself or by its name; failures are no records."""
    filled()
    with pytest.raises(ValueError, match="bad"):
        one("bad")
    assert listed(one) == listed("one") == [("one", "a"), ("one", "b")]
    assert listed(two) == [("two", "a"), ("two", "b")]
    assert listed("three") == []


def test_clear_the_step_a_function_or_a_call(checkpoint):
    """`clear` removes what it is told to and nothing else, and returns how many results that were."""
    filled()
    assert checkpoint.clear(one, id="a") == 1
    assert checkpoint.clear(function=one, id="a") == 0
    assert checkpoint.clear(one, id="never") == 0
    assert listed() == [("two", "a"), ("one", "b"), ("two", "b")]
    assert checkpoint.clear("two") == 2
    assert listed() == [("one", "b")]
    two("c")
    assert checkpoint.clear(two) == 1
    two("c")
    assert checkpoint.clear() == 2
    assert listed() == []
    assert checkpoint.clear() == 0
    one("b")
    assert listed() == [("one", "b")]


def test_clear_takes_none_as_an_id(checkpoint):
    """None is an id like any other for `clear`."""
    checkpoint.load_or_run(one, None, 1)
    checkpoint.load_or_run(one, "a", 1)
    assert checkpoint.clear(one, id=None) == 1
    assert listed() == [("one", "a")]


@pytest.mark.parametrize("function", [None, "one"])
def test_clearing_a_call_needs_the_function_itself(checkpoint, function):
    """An id alone, or with a mere name, says too little: an error that shows the form."""
    with pytest.raises(TypeError) as caught:
        checkpoint.clear(function, id="a")
    assert str(caught.value) == ("clear(id=...) needs the function as well: clear(function=embed, id='doc-17')")


def test_clear_many(checkpoint):
    """More results than go into one statement are cleared and counted."""
    for number in range(1200):
        one(number)
    assert checkpoint.clear(one) == 1200
    assert listed() == []


def test_stats_count_what_happened(checkpoint):
    """Hits, misses, failures and bytes are counted; a rerun is a miss."""
    assert checkpoint.stats() == Stats()
    filled()
    one("a")
    one.rerun("b")
    with pytest.raises(ValueError, match="bad"):
        one("bad")
    stats = checkpoint.stats()
    assert (stats.hits, stats.misses, stats.failures, stats.not_saved) == (1, 5, 1, 0)
    size = len(PICKLED)
    assert (stats.bytes_loaded, stats.bytes_saved) == (size, 5 * size)
    assert stats.seconds_run > 0 < stats.seconds_saved


def test_many_hits_are_all_counted(checkpoint):
    """No hit is lost among many."""
    one("a")
    for _ in range(10_001):
        one("a")
    assert checkpoint.stats().hits == 10_001


def test_stats_say_it_in_a_line():
    """Statistics as text count in words, and shout when something was not saved."""
    assert str(Stats()) == "0 hits, 0 misses, 0 failures; ran 0.0 s, saved 0.0 s"
    stats = Stats(hits=1234, misses=1, failures=1, seconds_run=2.04, seconds_saved=3.05, not_saved=2)
    assert str(stats) == "1,234 hits, 1 miss, 1 failure, 2 NOT SAVED; ran 2.0 s, saved 3.0 s"


def test_close_is_logged_once(checkpoint, caplog):
    """Closing tells at INFO what was done, and is silent when nothing was done since."""
    with caplog.at_level(logging.INFO, "skipstone"):
        checkpoint.close()
        one("a")
        checkpoint.close()
        checkpoint.close()
        one("a")
        checkpoint.close()
    assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
    assert [message.partition(";")[0] for message in caplog.messages] == [
        "step test: 0 hits, 1 miss, 0 failures",
        "step test: 1 hit, 1 miss, 0 failures",
    ]


def test_each_call_is_logged_at_debug(caplog):
    """At DEBUG, every call tells whether it was a hit, ran or raised, with function and id."""
    with caplog.at_level(logging.DEBUG, "skipstone"):
        one("a")
        one("a")
        with pytest.raises(ValueError, match="bad"):
            one("bad")
    assert caplog.messages == ["ran: one for id 'a'", "hit: one for id 'a'", "raised ValueError: one for id 'bad'"]
    assert {record.name for record in caplog.records} == {"skipstone"}


def test_a_checkpoint_says_what_it_is(checkpoint):
    """The repr of a checkpoint names its kind, its step, where it is, and what was done."""
    start, place, counts = re.fullmatch(r"(<\w+ 'test') in (.*): (.*)>", repr(checkpoint)).groups()
    assert start == f"<{type(checkpoint).__name__} 'test'"
    assert place == getattr(checkpoint, "folder", "MemoryStore")
    assert counts == "0 hits, 0 misses, 0 failures; ran 0.0 s, saved 0.0 s"


def test_a_pickled_checkpoint_is_the_same_step(tmp_path):
    """Local, null and own-store checkpoints pickle as name, settings and place, without what was counted."""
    config = {"artifacts_dir": tmp_path, "index_name": "i", "on_save_error": "raise"}
    for made in (
        open_checkpoint("step", config),
        open_checkpoint("off", {"use_checkpoints": False, "wait_timeout": 3}),
        NullCheckpoint("null", config),
        Checkpoint(SqliteStore(str(tmp_path / "own")), config, name="own"),
    ):
        with made:
            made.load_or_run(one, "k", 1)
            with pickle.loads(pickle.dumps(made)) as copy:
                assert (type(copy), copy.name, copy.config) == (type(made), made.name, made.config)
                assert copy.stats() == Stats()
                assert list(copy.records()) == list(made.records())


def test_a_pickled_checkpoint_leads_to_the_same_folder(tmp_path, monkeypatch):
    """A checkpoint with a relative folder, loaded in another working directory, is still the same step."""
    monkeypatch.chdir(tmp_path)
    with open_checkpoint("step", {"artifacts_dir": "here"}) as made:
        made.load_or_run(one, "k", 1)
        pickled = pickle.dumps(made)
    os.mkdir("elsewhere")
    monkeypatch.chdir("elsewhere")
    with pickle.loads(pickled) as copy:
        assert [record.call_id for record in copy.records()] == ["k"]
    assert os.listdir() == []


@pytest.mark.parametrize("store", ["local", ["local", "file://{}/shared"]], ids=["local", "tiers"])
def test_a_process_that_goes_to_another_folder(tmp_path, monkeypatch, store):
    """A relative folder is one of the working folder in which the checkpoint was opened: for records and for runs."""
    monkeypatch.chdir(tmp_path)
    store = store if isinstance(store, str) else [place.format(tmp_path) for place in store]
    os.mkdir("elsewhere")
    with open_checkpoint("step", {"artifacts_dir": "here", "store": store, "trust_store": True}) as checkpoint:
        monkeypatch.chdir("elsewhere")
        checkpoint.load_or_run(one, "k", 1)
        checkpoint.close()
        checkpoint.load_or_run(one, "other", 1)
    monkeypatch.chdir(tmp_path)
    assert os.listdir("elsewhere") == []
    with open_checkpoint("step", {"artifacts_dir": "here", "store": store, "trust_store": True}) as checkpoint:
        assert len(list(checkpoint.runs())) == 1
        assert len(list(checkpoint.records())) == 2
