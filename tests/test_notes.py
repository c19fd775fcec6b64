"""What calls cost is noted by them: it stands in their records, and stats tell what was spent and what hits have saved."""

import asyncio
import contextvars
import threading
import warnings

import pytest

from skipstone import Checkpoint, NoteWarning, NullCheckpoint, Stats, cache_with_checkpoint, note, open_checkpoint
from skipstone import use_checkpoint as use
from skipstone.stores import MemoryStore


@cache_with_checkpoint(id="question")
def ask(question, tokens=100):
    note(tokens=tokens)
    note(usd=0.25, tokens=1)
    return question * 3


@cache_with_checkpoint(id="question")
async def ask_later(question):
    await asyncio.sleep(0)
    await asyncio.create_task(_noted_in_a_task())
    return question


async def _noted_in_a_task():
    note(tokens=7)


@cache_with_checkpoint(id="text", each="texts")
def embed_all(texts, costs=None):
    note(calls=1, tokens=[len(text) for text in texts])
    return [text.upper() for text in texts]


@cache_with_checkpoint(id="n")
def count(n):
    for number in range(n):
        note(tokens=10)
        yield number
    note(tokens=1)


def spent(checkpoint):
    return dict(checkpoint.stats().notes_spent)


def saved(checkpoint):
    return dict(checkpoint.stats().notes_saved)


@pytest.fixture(
    params=[
        {},
        {"compression": "zstd"},
        {"serializer": "json"},
        {"signing_key": "secret"},
        {"serializer": "msgpack", "compression": "zstd"},
    ],
    ids=str,
)
def checkpoint(request, tmp_path):
    """The current checkpoint, with one after the other way to make bytes of results."""
    with open_checkpoint("step", {"artifacts_dir": tmp_path, **request.param}) as made, use(made):
        yield made


def test_what_runs_is_spent_and_what_is_hit_is_saved(checkpoint):
    """Repeated notes add up, over a call and over calls; a hit saves what its call had spent."""
    assert ask("what?" * 100) == "what?" * 300
    assert spent(checkpoint) == {"tokens": 101, "usd": 0.25}
    assert saved(checkpoint) == {}
    assert ask("what?" * 100) == ask("what?" * 100) == "what?" * 300
    assert spent(checkpoint) == {"tokens": 101, "usd": 0.25}
    assert saved(checkpoint) == {"tokens": 202, "usd": 0.5}


def test_large_results_keep_them_too(checkpoint):
    """A result of megabytes comes back whole, and its notes with it."""
    large = "x" * 3_000_000
    assert len(ask(large)) == len(ask(large)) == 9_000_000
    assert saved(checkpoint) == {"tokens": 101, "usd": 0.25}


def test_arrays_come_back_in_place(tmp_path):
    """An array is loaded as without notes: writable, and aligned in memory."""
    numpy = pytest.importorskip("numpy")

    def make(n):
        note(tokens=n)
        return numpy.arange(n)

    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as checkpoint:
        for _ in range(2):
            array = checkpoint.load_or_run(make, 300_000, 300_000)
        assert (array == numpy.arange(300_000)).all()
        assert array.flags.writeable
        assert array.flags.aligned
        assert saved(checkpoint) == {"tokens": 300_000}


def test_listings_tell_them(checkpoint):
    """The record of a call tells what it noted, without its result being loaded."""
    ask("what?", 5)
    assert {record.call_id: record.notes for record in checkpoint.records()} == {
        "what?": {"tokens": 6, "usd": 0.25}
    }


def test_a_call_that_raises_has_spent(checkpoint):
    """What a failed call noted is spent all the same; the next one, that returns, notes its own."""

    @cache_with_checkpoint(id="x")
    def flaky(x, tokens):
        note(tokens=tokens)
        if tokens == 3:
            raise ValueError(x)
        return x

    with pytest.raises(ValueError, match="1"):
        flaky(1, 3)
    assert (flaky(1, 4), flaky(1, 4)) == (1, 1)
    assert (spent(checkpoint), saved(checkpoint)) == ({"tokens": 7}, {"tokens": 4})


def test_the_innermost_call_has_them(checkpoint):
    """A call within a call has its own notes; what the outer one notes before and after is the outer one's."""

    @cache_with_checkpoint(id="x")
    def outer(x):
        note(outer=1)
        ask(x)
        note(outer=2)
        return x

    outer("a")
    assert {record.function.rpartition(".")[2]: record.notes for record in checkpoint.records()} == {
        "ask": {"tokens": 101, "usd": 0.25},
        "outer": {"outer": 3},
    }


def test_coroutine_functions(checkpoint):
    """Awaited calls note alike, also in tasks that they start; calls in flight do not mix."""

    async def both():
        await asyncio.gather(*(ask_later(question) for question in "abc"))
        return await ask_later("a")

    asyncio.run(both())
    assert (spent(checkpoint), saved(checkpoint)) == ({"tokens": 21}, {"tokens": 7})


def test_lists_of_items(checkpoint):
    """Of calls that run together, a number is divided among them, and a list has one for each."""
    embed_all(["a", "bb"])
    assert spent(checkpoint) == {"calls": 1, "tokens": 3}
    assert {record.call_id: record.notes for record in checkpoint.records()} == {
        "a": {"calls": 0.5, "tokens": 1},
        "bb": {"calls": 0.5, "tokens": 2},
    }
    embed_all(["bb", "cccc"])
    assert (spent(checkpoint), saved(checkpoint)) == ({"calls": 2, "tokens": 7}, {"calls": 0.5, "tokens": 2})


def test_maps(checkpoint):
    """Maps of threads and batches, and of what is stored, count them all."""
    questions = [f"{number}?" for number in range(50)]
    list(checkpoint.map(ask, questions))
    list(checkpoint.map(ask, questions))
    assert spent(checkpoint) == saved(checkpoint) == {"tokens": 5050, "usd": 12.5}
    checkpoint.map(embed_all, questions, batch_size=10).drain()
    assert spent(checkpoint)["calls"] == pytest.approx(5)


def test_generators(checkpoint):
    """A generator notes while it makes its items, and a replay saves the sum."""
    assert list(count(3)) == list(count(3)) == [0, 1, 2]
    assert (spent(checkpoint), saved(checkpoint)) == ({"tokens": 31}, {"tokens": 31})


def test_worker_processes(script):
    """What calls in other processes note is counted in the run that maps."""
    script.write(
        "app.py",
        """
        from skipstone import cache_with_checkpoint, init_checkpoint, note

        @cache_with_checkpoint(id="x")
        def work(x):
            note(tokens=x)
            return x

        if __name__ == "__main__":
            checkpoint = init_checkpoint("step")
            for _ in range(2):
                list(checkpoint.map(work, range(10), executor="processes", workers=2))
            checkpoint.close()
            print(*[(run.stats.notes_spent, run.stats.notes_saved) for run in checkpoint.runs()])
        """,
    )
    assert script("app.py").stdout == "({'tokens': 45}, {'tokens': 45})\n"


def test_without_a_store():
    """Where nothing is kept, what is spent is counted all the same."""
    with NullCheckpoint() as checkpoint, use(checkpoint):
        ask("a")
        ask("a")
        list(count(3))
        asyncio.run(_awaited(ask_later("a")))
        assert (spent(checkpoint), saved(checkpoint)) == ({"tokens": 240, "usd": 0.5}, {})


async def _awaited(coroutine):
    return await coroutine


def test_outside_of_a_call():
    """Where no call is under way, a warning names the numbers, and nothing is raised: what they tell of was paid for."""
    with pytest.warns(NoteWarning, match=r"note\(tokens, usd\) has no effect: no call that is kept is under way"):
        note(tokens=1, usd=2)


def test_threads_of_a_call():
    """A thread that a call starts is in the call if it is run in a copy of its context, and else it is not."""

    def asked_by(start):
        with Checkpoint(MemoryStore()) as checkpoint, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            checkpoint.load_or_run(start, "id")
            return spent(checkpoint), [each.category for each in caught]

    def bare():
        run_in_thread(lambda: note(tokens=1))

    def in_context():
        run_in_thread(contextvars.copy_context().run, lambda: note(tokens=1))

    assert asked_by(bare) == ({}, [NoteWarning])
    assert asked_by(in_context) == ({"tokens": 1}, [])


def run_in_thread(*call):
    thread = threading.Thread(target=call[0], args=call[1:])
    thread.start()
    thread.join()


@pytest.mark.parametrize(
    ("numbers", "error", "text"),
    [
        ({"tokens": "12"}, TypeError, "note(tokens='12') is no number"),
        ({"tokens": None}, TypeError, "note(tokens=None) is no number"),
        ({"usd": float("nan")}, ValueError, "note(usd=nan) is not finite: it would hide all others"),
        (
            {"tokens": [1, 2]},
            ValueError,
            "note(tokens=...) has 2 numbers for 1 items: give one for each, in their order",
        ),
    ],
    ids=str,
)
def test_what_is_no_number(memory, numbers, error, text):
    """What cannot be added up is refused there and then, and named."""
    with pytest.raises(error) as caught:
        memory.load_or_run(note, "id", **numbers)
    assert str(caught.value) == text


def test_the_sums_are_told_in_a_line():
    """Stats say what was spent and saved, in hours and minutes where there are that many."""
    stats = Stats(
        hits=2,
        seconds_saved=11_520.4,
        seconds_run=75.2,
        notes_saved={"usd": 41.2, "tokens": 1_234_567.0},
        notes_spent={"usd": 0.0123},
    )
    assert str(stats) == (
        "2 hits, 0 misses, 0 failures; ran 1 min 15 s, 0.012 usd; saved 3 h 12 min, 41.20 usd, 1,234,567 tokens"
    )
