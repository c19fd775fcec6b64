"""With `batch_size`, a function gets lists of items; ids, records, failures and resuming stay those of single items."""

import functools
from dataclasses import dataclass

import pytest

from skipstone import (
    BatchLengthError,
    Failure,
    IdExpressionError,
    MapSummary,
    NullCheckpoint,
    open_checkpoint,
    use_checkpoint,
)

batches = []


@dataclass
class Doc:
    id: str
    text: str


def embed_all(model, docs):
    batches.append([doc.id for doc in docs])
    if any(doc.text == "bad" for doc in docs):
        raise ValueError("a bad one")
    return [f"{model}:{doc.text}" for doc in docs]


def too_few(xs):
    return xs[1:]


def add_all(ones, others):
    batches.append((ones, others))
    return [one + other for one, other in zip(ones, others, strict=True)]


def docs(*numbers, bad=()):
    return [Doc(f"doc-{number}", "bad" if number in bad else f"text {number}") for number in numbers]


@pytest.fixture(params=["threads", "processes"])
def executor(request):
    return request.param


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint in a folder, current for the test."""
    batches.clear()
    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as opened, use_checkpoint(opened):
        yield opened


EMBED = functools.partial(embed_all, "m")


def test_only_missing_items_are_put_together(checkpoint, executor):
    """Batches are full but for the last one, and hold what is missing; results come in order."""
    first = checkpoint.map(EMBED, docs(*range(0, 50, 2)), id="doc.id", batch_size=8, executor=executor, workers=1)
    assert list(first) == [f"m:text {number}" for number in range(0, 50, 2)]
    again = checkpoint.map(EMBED, docs(*range(50)), id="doc.id", batch_size=8, executor=executor, workers=1)
    assert list(again) == [f"m:text {number}" for number in range(50)]
    assert again.summary() == MapSummary(25, 25, 0)
    if executor == "threads":
        assert sorted(map(len, batches)) == [1, 1, 8, 8, 8, 8, 8, 8]
    assert len(list(checkpoint.records())) == 50
    assert checkpoint.stats().misses == 50
    single = checkpoint.map(EMBED, docs(3), id=lambda model, docs: docs.id, batch_size=1)
    assert list(single) == ["m:text 3"]
    assert single.summary().done_now == 0


def test_several_iterables(checkpoint):
    """Each parameter gets a list; without an id, all arguments of an item are its id."""
    assert list(checkpoint.map(add_all, [1, 2, 3], [10, 20, 30], batch_size=2, workers=1)) == [11, 22, 33]
    assert list(checkpoint.map(add_all, [2, 1], [20, 11], batch_size=2, workers=1)) == [22, 12]
    assert batches == [([1, 2], [10, 20]), ([3], [30]), ([1], [11])]


def test_a_wrong_length_saves_nothing(checkpoint, executor):
    """It is told, with the function and an item, whatever on_error says."""
    with pytest.raises(BatchLengthError, match="too_few returned 2 results for 3 items"):
        list(checkpoint.map(too_few, [1, 2, 3], batch_size=3, executor=executor, on_error="return"))
    assert not list(checkpoint.records())


def test_a_failed_batch(checkpoint, executor):
    """All of its items failed, or, if it is split, the bad one."""
    settings = {"id": "doc.id", "batch_size": 4, "executor": executor, "workers": 1, "on_error": "return"}
    results = list(checkpoint.map(EMBED, docs(*range(8), bad=[2]), **settings))
    assert [isinstance(result, Failure) for result in results] == [True] * 4 + [False] * 4
    assert len(list(checkpoint.failures())) == 4
    results = list(checkpoint.map(EMBED, docs(*range(8), bad=[2]), on_batch_error="split", **settings))
    assert [isinstance(result, Failure) for result in results] == [False, False, True] + [False] * 5
    assert results[2].error == "ValueError: a bad one"
    assert [(failure.call_id, failure.attempts) for failure in checkpoint.failures()] == [("doc-2", 2)]
    with pytest.raises(ValueError, match="a bad one") as caught:
        list(checkpoint.map(EMBED, docs(*range(8), bad=[2]), id="doc.id", batch_size=4, executor=executor))
    assert any("'doc-2'" in note for note in caught.value.__notes__)


def test_one_id_twice_in_a_batch(checkpoint):
    """It is computed once, and both get the result."""
    assert list(checkpoint.map(EMBED, docs(1, 1, 2), id="doc.id", batch_size=3)) == ["m:text 1"] * 2 + ["m:text 2"]
    assert batches == [["doc-1", "doc-2"]]


def test_a_result_that_was_deleted_meanwhile(checkpoint):
    """It is computed again, alone."""
    settings = {"id": "doc.id", "batch_size": 4, "workers": 1}
    list(checkpoint.map(EMBED, docs(1, 2), **settings))
    results = checkpoint.map(EMBED, docs(1, 2), **settings)
    assert next(results) == "m:text 1"
    checkpoint.clear()
    assert next(results) == "m:text 2"
    assert batches == [["doc-1", "doc-2"], ["doc-2"]]


def test_switched_off(executor):
    """With NullCheckpoint, everything runs in batches."""
    off = NullCheckpoint()
    assert list(off.map(EMBED, docs(1, 2, 3), id="doc.id", batch_size=2, executor=executor, workers=1)) == [
        "m:text 1",
        "m:text 2",
        "m:text 3",
    ]
    assert off.stats().misses == 3


def test_nonsense_is_refused(checkpoint):
    """Wrong sizes, names, and choices."""
    with pytest.raises(ValueError, match="batch_size is 0"):
        checkpoint.map(EMBED, docs(1), batch_size=0)
    with pytest.raises(ValueError, match="on_batch_error is 'divide'"):
        checkpoint.map(EMBED, docs(1), batch_size=2, on_batch_error="divide")
    with pytest.raises(IdExpressionError, match="there is no parameter"):
        checkpoint.map(EMBED, docs(1), id="doc.id + other", batch_size=2)
    with pytest.raises(IdExpressionError, match="there is no parameter 'doc'"):
        checkpoint.map(EMBED, docs(1), id="doc.id")


def test_of_items_with_one_id_the_first_one_is_in_the_batch(checkpoint):
    """Where ids are equal and items are not, the first item's result is that of all of them."""

    def seconds(pairs):
        return [second for _, second in pairs]

    pairs = [(number // 2, number) for number in range(40)]
    results = checkpoint.map(seconds, pairs, id=lambda pairs: pairs[0], batch_size=8)
    assert list(results) == [number - number % 2 for number in range(40)]
