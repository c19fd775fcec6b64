"""A generator function is saved item by item, is done when it was exhausted, and is replayed in bounded memory."""

import asyncio
import contextlib
import gc
import itertools
import os
import signal
import sqlite3
import threading
import time
import tracemalloc

import pytest

from skipstone import (
    Checkpoint,
    ClaimTimeoutError,
    CodeChangedWarning,
    DamagedRecordWarning,
    LoadWarning,
    LocalStorageCheckpoint,
    NullCheckpoint,
    ReentrantCallError,
    SaveError,
    SaveWarning,
    StoreUnavailableError,
    StoreUnavailableWarning,
    cache_with_checkpoint,
    get_checkpoint,
    use_checkpoint,
)
from skipstone.stores import MemoryStore

runs = []
closed = []
errors = {}


@cache_with_checkpoint(id="name")
def count(name, stop=5):
    runs.append(name)
    try:
        for number in range(stop):
            if (name, number) in errors:
                raise errors[name, number]
            yield [name, number]
    finally:
        closed.append(name)
    return {"counted": stop}


@cache_with_checkpoint(id="name")
async def count_later(name, stop=5):
    runs.append(name)
    try:
        for number in range(stop):
            await asyncio.sleep(0)
            if (name, number) in errors:
                raise errors[name, number]
            yield [name, number]
    finally:
        await asyncio.sleep(0)
        closed.append(name)


def items(name, *numbers):
    return [[name, number] for number in (numbers or range(5))]


async def all_of(generator):
    return [item async for item in generator]


def drained(generator):
    """Return the items of a generator, sync or async."""
    return asyncio.run(all_of(generator)) if hasattr(generator, "__anext__") else list(generator)


def opened(folder, **config):
    return LocalStorageCheckpoint("step", {"artifacts_dir": folder, **config})


@pytest.fixture
def local(tmp_path):
    with opened(tmp_path, wait_timeout=20) as checkpoint, use_checkpoint(checkpoint):
        yield checkpoint


@pytest.fixture(autouse=True)
def _fresh():
    for of_before in (runs, closed, errors):
        of_before.clear()


def kept(checkpoint):
    """Return how many records there are, of whatever kind but those of code."""
    return sum(info.encoding != "code" for info in checkpoint._engine._store.scan())


def rows(checkpoint, query, *arguments):
    with contextlib.closing(sqlite3.connect(f"{checkpoint.folder}/records.sqlite3")) as connection, connection:
        return connection.execute(query, arguments).fetchall()


both = pytest.mark.parametrize("function", [count, count_later], ids=["sync", "async"])


@both
def test_an_exhausted_generator_is_replayed(local, function):
    """The second time, the items come from the store, and are fresh objects."""
    first = drained(function("a"))
    assert first == items("a")
    assert function.is_done("a")
    first[0].append("mutated")
    assert drained(function("a")) == items("a")
    assert runs == ["a"]
    assert (local.stats().hits, local.stats().misses) == (1, 1)
    (record,) = local.records()
    assert (record.call_id, record.function) == ("a", f"{__name__}.{function.__qualname__}")
    assert [info.key for info in local.records(function)] == [record.key]


def test_what_a_generator_returned_is_replayed():
    """The value of a `return` in a generator is kept and comes back."""

    def returned(generator):
        return (yield from generator)

    with use_checkpoint(Checkpoint(MemoryStore())):
        for _ in range(2):
            generator = returned(count("a"))
            assert list(itertools.islice(generator, 5)) == items("a")
            with pytest.raises(StopIteration) as end:
                next(generator)
            assert end.value.value == {"counted": 5}
        assert runs == ["a"]


@both
def test_an_empty_generator_is_done(local, function):
    """A generator without items is a result like any other."""
    for _ in range(2):
        assert drained(function("none", 0)) == []
    assert runs == ["none"]


def test_nothing_happens_before_the_first_item_is_asked_for(local):
    """As with any generator, the call begins with the first `next`; the checkpoint is the one of the call."""
    with use_checkpoint(NullCheckpoint()) as null:
        generator = count("a")
    assert runs == []
    assert list(generator) == items("a")
    assert null.stats().misses == 1
    assert local.stats().misses == 0
    never = count("b")
    assert list(count("b")) == items("b")  # what was not begun has no claim
    del never


@both
def test_an_item_is_saved_before_it_is_handed_out(local, function):
    """What the consumer has is in the database already."""

    def saved():
        return rows(
            local,
            "SELECT count(*) FROM records JOIN origins ON origin = origins.id WHERE encoding = 'item:pickle'",
        )

    async def main():
        generator = function("a")
        for number in range(5):
            await anext(generator) if function is count_later else next(generator)
            assert saved() == [(number + 1,)]

    asyncio.run(main())


def test_methods_and_partials(local):
    """Generators may be methods, and be passed to `load_or_run` undecorated."""

    class Reader:
        def __init__(self, name):
            self.name = name

        @cache_with_checkpoint(id="(self.name, path)")
        def read(self, path):
            runs.append(path)
            yield from (self.name, path)

        @cache_with_checkpoint(id="path")
        @staticmethod
        async def read_later(path):
            runs.append(path)
            yield path

    def plain(stop, start=0):
        runs.append("plain")
        yield from range(start, stop)

    for _ in range(2):
        assert list(Reader("x").read("p")) == ["x", "p"]
        assert drained(Reader.read_later("q")) == ["q"]
        assert list(local.load_or_run(plain, "id", 4, start=2)) == [2, 3]
        assert drained(local.load_or_run(count_later, "id", "r", 1)) == [["r", 0]]
        assert list(local.load_or_run(Reader("y").read, "id", "s")) == ["y", "s"]
    assert runs == ["p", "q", "plain", "r", "s"]
    assert Reader.read.is_done(Reader("x"), "p")
    assert not Reader.read.is_done(Reader("y"), "p")
    with pytest.raises(TypeError, match=r"count_later is a generator function: call load_or_run\(\.\.\.\)"):
        asyncio.run(local.load_or_run_async(count_later, "id", "r"))


@both
def test_rerun_and_forget(local, function):
    """`rerun` replaces all items, `forget` removes them; nothing is left of those that were replaced."""
    assert drained(function("a")) == items("a")
    assert drained(function.rerun("a", 2)) == items("a", 0, 1)
    assert drained(function("a")) == items("a", 0, 1)
    of_two = kept(local)
    assert drained(function("b", 2)) == items("b", 0, 1)
    assert kept(local) == 2 * of_two
    assert function.forget("a")
    assert not function.forget("a")
    assert kept(local) == of_two
    assert not function.is_done("a")
    assert function.is_done("b")
    assert drained(function("a")) == items("a")
    assert runs == ["a", "a", "b", "a"]


@both
def test_a_rerun_that_is_not_exhausted_keeps_the_old_result(local, function):
    """Until the new items are all there, the old ones are the result."""
    assert drained(function("a")) == items("a")
    errors["a", 3] = ValueError("no")
    with pytest.raises(ValueError, match="no"):
        drained(function.rerun("a"))
    assert drained(function("a")) == items("a")
    assert function.forget("a")
    assert kept(local) == 0


@pytest.mark.parametrize("what", [None, count, "id"])
def test_clear_removes_items(local, what):
    """Clearing the step, the function or the call leaves nothing of it, and counts calls, not items."""
    assert list(count("a")) == items("a")
    removed = local.clear() if what is None else local.clear(count, **({"id": "a"} if what == "id" else {}))
    assert removed == 1
    assert kept(local) == 0


PIPELINE = """
    import os, signal, sys
    from skipstone import cache_with_checkpoint, get_checkpoint, init_checkpoint

    @cache_with_checkpoint(id="name")
    def read(name):
        for number in range(6):
            with open("runs", "a") as file:
                file.write(f"{number}\\n")
            yield number

    init_checkpoint("step", {"wait_timeout": 10})
    for number in read("a"):
        print(number, flush=True)
        if sys.argv[1:] == [str(number)]:
            os.kill(os.getpid(), signal.SIGKILL)
    kinds = [info.encoding for info in get_checkpoint()._engine._store.scan()]
    print(len(kinds) - kinds.count("code"), len(list(get_checkpoint().records())))
"""


def test_a_killed_generator_starts_anew_and_a_finished_one_is_replayed(script):
    """After SIGKILL amid a generator the next process runs it, a third one replays it; no stale item is left."""
    script.write("app.py", PIPELINE)
    killed = script("app.py", 3, check=False)
    assert (killed.returncode, killed.stdout.split()) == (-signal.SIGKILL, ["0", "1", "2", "3"])
    ran = script.folder / "runs"
    ran.unlink()
    every = [*map(str, range(6)), "8", "1"]  # items, the head, the call's record
    assert script("app.py").stdout.split() == every
    assert ran.read_text().split() == every[:6]
    ran.unlink()
    assert script("app.py").stdout.split() == every
    assert not ran.exists()


@both
def test_closing_early_stores_nothing(local, function):
    """A consumer that stops early leaves neither result nor failure nor items; the generator is closed at once."""

    async def main():
        generator = function("a")
        if function is count_later:
            assert await anext(generator) == ["a", 0]
            await generator.aclose()
        else:
            assert next(generator) == ["a", 0]
            generator.close()

    asyncio.run(main())
    assert closed == ["a"]
    assert kept(local) == 0
    assert list(local.failures()) == []
    assert (local.stats().misses, local.stats().failures) == (0, 0)
    assert drained(function("a")) == items("a")


def test_dropping_gives_the_claim_back(local):
    """A generator that is dropped is closed, also in a cycle; and so is one that another thread began."""
    generator = count("a")
    next(generator)
    del generator
    assert list(count("a")) == items("a")
    generator = count("b")
    next(generator)
    cycle = [generator]
    cycle.append(cycle)
    del generator, cycle
    gc.collect()
    assert list(count("b")) == items("b")
    begun = []
    thread = threading.Thread(target=begin_with, args=(local, begun))
    thread.start()
    thread.join()
    begun.clear()
    assert list(count("c")) == items("c")


def begin_with(checkpoint, begun):
    with use_checkpoint(checkpoint):
        generator = count("c")
        begun.append(generator)
        next(generator)


def test_dropping_an_async_generator_gives_the_claim_back(local):
    """The event loop closes an async generator that was left by `break`."""

    async def main():
        async for _ in count_later("a"):
            break
        return await all_of(count_later("a"))

    assert asyncio.run(main()) == items("a")
    assert runs == ["a", "a"]
    assert local.stats().misses == 1


def test_a_cancelled_consumer_stores_nothing(local):
    """Cancellation within the generator closes it; the next one runs anew."""

    @cache_with_checkpoint(id="0 * seconds")
    async def slow(seconds):
        yield 1
        await asyncio.sleep(seconds)
        yield 2

    async def main():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(all_of(slow(30)), 0.3)
        assert list(local.records()) == list(local.failures()) == []
        return await all_of(slow(0))

    assert asyncio.run(main()) == [1, 2]


@both
def test_errors_pass_and_are_noted(local, function):
    """The items before an error are handed out; the error is the generator's own; the next run starts anew."""
    errors["a", 2] = error = ValueError("bad page")
    given = []

    async def main():
        if function is count_later:
            async for item in function("a"):
                given.append(item)  # noqa: PERF401 - an error ends it
        else:
            for item in function("a"):
                given.append(item)  # noqa: PERF402

    for _ in range(2):
        with pytest.raises(ValueError, match="bad page") as caught:
            asyncio.run(main())
        assert caught.value is error
    assert given == 2 * items("a", 0, 1)
    (failure,) = local.failures()
    assert (failure.error, failure.attempts, failure.call_id) == ("ValueError: bad page", 2, "a")
    assert list(local.records()) == []
    assert kept(local) == 1
    assert local.stats().failures == 2
    errors.clear()
    assert drained(function("a")) == items("a")
    assert list(local.failures()) == []


def damage(checkpoint, number):
    """Change one byte of an item in the database."""
    (sequence,) = rows(checkpoint, "SELECT sequence FROM records ORDER BY sequence LIMIT 1 OFFSET ?", 1 + number)[
        0
    ]
    assert rows(checkpoint, "SELECT payload FROM records WHERE sequence = ?", sequence)
    rows(checkpoint, "UPDATE records SET payload = payload || x'00' WHERE sequence = ?", sequence)


def remove(checkpoint, number):
    (sequence,) = rows(checkpoint, "SELECT sequence FROM records ORDER BY sequence LIMIT 1 OFFSET ?", 1 + number)[
        0
    ]
    rows(checkpoint, "DELETE FROM records WHERE sequence = ?", sequence)


@both
@pytest.mark.parametrize(
    ("harm", "category", "said"),
    [(damage, DamagedRecordWarning, "is damaged"), (remove, LoadWarning, "is missing")],
    ids=["damaged", "missing"],
)
@pytest.mark.parametrize("number", [0, 3])
def test_a_damaged_item_is_never_handed_out(tmp_path, function, harm, category, said, number):
    """The rest comes from a new run, which replaces the damaged result."""
    with opened(tmp_path) as checkpoint, use_checkpoint(checkpoint):
        assert drained(function("a")) == items("a")
    harm(checkpoint, number)
    with opened(tmp_path) as checkpoint, use_checkpoint(checkpoint):
        with pytest.warns(category, match=f"item {number} of the stored result of .*{said}"):
            assert drained(function("a")) == items("a")
        assert runs == ["a", "a"]
        assert drained(function("a")) == items("a")
        assert kept(checkpoint) == (8 if function is count else 7)
    assert runs == ["a", "a"]


def test_a_rerun_with_fewer_items_ends(tmp_path):
    """Where a damaged replay is gone on with by a run of fewer items than were given, it just ends."""
    with opened(tmp_path) as checkpoint, use_checkpoint(checkpoint):
        list(count("a"))
    damage(checkpoint, 3)
    with opened(tmp_path) as checkpoint, use_checkpoint(checkpoint):
        with pytest.warns(DamagedRecordWarning):
            assert list(count("a", 2)) == items("a", 0, 1, 2)
        assert list(count("a")) == items("a", 0, 1)


def test_a_damaged_record_of_the_call_runs_it_again(tmp_path):
    """The record that tells how many items there are has a checksum, too."""
    with opened(tmp_path) as checkpoint, use_checkpoint(checkpoint):
        list(count("a"))
        (key,) = [info.key for info in checkpoint.records()]
    rows(checkpoint, "UPDATE records SET payload = zeroblob(25) WHERE key = ?", key)
    with opened(tmp_path) as checkpoint, use_checkpoint(checkpoint):
        assert not count.is_done("a")
        with pytest.warns(DamagedRecordWarning, match="its checksum does not fit"):
            assert list(count("a")) == items("a")
        assert kept(checkpoint) == 8
    assert runs == ["a", "a"]


@pytest.mark.parametrize("size_bytes", [5_000, 500_000], ids=["rows", "files"])
def test_memory_is_bounded(tmp_path, size_bytes):
    """Neither saving nor replaying holds more than a few items, or what a store reads ahead."""
    total_bytes = 100_000_000

    def large():
        for number in range(total_bytes // size_bytes):
            yield number.to_bytes(4, "little") * (size_bytes // 4)

    with opened(tmp_path) as checkpoint:
        for hits in range(2):
            gc.collect()
            tracemalloc.start()
            size = sum(map(len, checkpoint.load_or_run(large, "id")))
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert size == total_bytes
            assert most < 40_000_000
            assert checkpoint.stats().hits == hits


@both
def test_a_second_thread_waits_and_replays(local, function):
    """Who asks meanwhile waits until the generator is exhausted, and takes its items."""
    got, begun = [], threading.Event()

    def ask():
        begun.set()
        with use_checkpoint(local):
            got.extend(drained(function("a")))

    async def main():
        thread = threading.Thread(target=ask)
        number = 0
        async for _ in as_async(function("a")):
            if number == 0:
                thread.start()
                begun.wait()
                await asyncio.sleep(0.1)
            assert got == []
            number += 1
        thread.join()

    asyncio.run(main())
    assert got == items("a")
    assert runs == ["a"]


async def as_async(generator):
    if hasattr(generator, "__anext__"):
        async for item in generator:
            yield item
    else:
        for item in generator:
            yield item


def test_tasks_wait_for_each_other(local):
    """Two tasks that iterate over the same call: it runs once."""

    async def main():
        return await asyncio.gather(*(all_of(count_later("a")) for _ in range(3)))

    assert asyncio.run(main()) == [items("a")] * 3
    assert runs == ["a"]


def test_a_waiter_runs_it_when_the_holder_leaves_early(local):
    """If the first consumer closes its generator, the one that waits runs the call."""
    got = []

    def ask():
        with use_checkpoint(local):
            got.extend(count("a"))

    generator = count("a")
    next(generator)
    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.1)
    generator.close()
    thread.join()
    assert got == items("a")
    assert runs == ["a", "a"]


@both
def test_waiting_for_oneself_is_an_error(local, function):
    """Who iterates over a call and asks for the same call would wait for ever; afterwards all is well."""

    async def main():
        with pytest.raises(ReentrantCallError, match="under way in a loop around this one"):
            async for _ in as_async(function("a")):
                async for _ in as_async(function("a")):
                    pass
        async for _ in as_async(function("b")):  # others are none of its business
            assert [item async for item in as_async(function("c"))] == items("c")
            break

    asyncio.run(main())
    assert drained(function("a")) == items("a")


def test_a_generator_that_asks_for_itself_is_refused(local):
    """Recursion with the same id is an error; with another id it is fine."""

    @cache_with_checkpoint(id="depth")
    def tree(depth, below):
        yield depth
        if depth:
            yield from tree(below, below - 1)

    assert list(tree(2, 1)) == [2, 1, 0]
    with pytest.raises(ReentrantCallError):
        list(tree(5, 5))


def test_wait_timeout(tmp_path):
    """A generator that another thread holds for too long is an error for who waits."""
    with opened(tmp_path, wait_timeout=0.05) as checkpoint, use_checkpoint(checkpoint):
        caught = []

        def ask():
            with use_checkpoint(checkpoint), pytest.raises(ClaimTimeoutError) as error:
                next(count("a"))
            caught.append(error.value)

        generator = count("a")
        next(generator)
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        assert len(caught) == 1
        assert [["a", 0], *generator] == items("a")


def test_a_fork_does_not_harm_the_parents_items(local):
    """A child that inherits a generator under way may go on with it or drop it; the parent's result is whole."""
    generator = count("a")
    first = next(generator)
    child = os.fork()
    if child == 0:
        try:
            next(generator)
            generator.close()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [first, *generator] == items("a")
    assert list(count("a")) == items("a")
    assert runs == ["a"]


def test_items_that_cannot_be_kept_are_handed_out(local):
    """One warning, all items, no result, and nothing is left."""

    @cache_with_checkpoint(id="0")
    def locks():
        runs.append("locks")
        yield 1
        yield threading.Lock()
        yield 3

    with pytest.warns(SaveWarning, match="item 1: result .* cannot be serialized") as warned:
        given = list(locks())
    assert len(warned) == 1
    assert (given[0], type(given[1]), given[2]) == (1, type(threading.Lock()), 3)
    assert kept(local) == 0
    assert not locks.is_done()
    assert local.stats().not_saved == 1
    assert len(list(locks())) == 3
    assert runs == ["locks", "locks"]


@both
def test_on_save_error_raise(tmp_path, function):
    """The error has the item; the generator is closed and nothing is kept."""
    with opened(tmp_path, serializer="json", on_save_error="raise") as checkpoint, use_checkpoint(checkpoint):
        with pytest.raises(SaveError) as caught:
            drained(function(b"a"))
        assert caught.value.result == [b"a", 0]
        assert closed == [b"a"]
        assert kept(checkpoint) == 0
        assert list(checkpoint.failures()) == []


def test_what_was_returned_and_cannot_be_kept_comes_back(local):
    """The items were kept, but not what the generator returned: it is no result."""

    @cache_with_checkpoint(id="0")
    def work():
        yield 1
        return threading.Lock()

    generator = work()
    assert next(generator) == 1
    with pytest.warns(SaveWarning, match="what it returned: result"), pytest.raises(StopIteration) as end:
        next(generator)
    assert type(end.value.value) is type(threading.Lock())
    assert kept(local) == 0


class Failing(MemoryStore):
    """Works until it does not."""

    working = 10**9

    def _fails(self):
        self.working -= 1
        if self.working < 0:
            raise StoreUnavailableError("gone")

    def get(self, key, /):
        self._fails()
        return super().get(key)

    def put(self, record, /, *, replace=False):
        self._fails()
        return super().put(record, replace=replace)

    def delete(self, keys, /):
        self._fails()
        return super().delete(keys)

    def claim(self, key, /):
        self._fails()
        return super().claim(key)


@both
@pytest.mark.filterwarnings("ignore::skipstone.SkipstoneWarning")
def test_items_come_whenever_the_store_fails(function):
    """After each number of operations, a store that fails costs results, never items; nor does it give wrong ones."""
    for done_before in (False, True):
        for working in range(40):
            store = Failing()
            with use_checkpoint(Checkpoint(store)):
                if done_before:
                    drained(function("a"))
                store.working = working
                assert drained(function("a")) == items("a")
                store.working = 10**9
                assert drained(function("a")) == items("a")
                assert drained(function("a")) == items("a")


def test_a_store_that_fails_is_told(memory):
    """The warnings are those of ordinary calls."""
    store = Failing()
    store.working = 0
    with use_checkpoint(Checkpoint(store)) as checkpoint:
        with pytest.warns() as warned:
            assert list(count("a")) == items("a")
        assert [warning.category for warning in warned] == [StoreUnavailableWarning, SaveWarning]
        assert checkpoint.stats().not_saved == 1


@both
def test_null_checkpoint_runs_and_stores_nothing(function):
    """Without checkpoints, a generator is what it was."""
    with use_checkpoint(NullCheckpoint()) as null:
        for _ in range(2):
            assert drained(function("a")) == items("a")
        assert not function.is_done("a")
        errors["a", 1] = ValueError("x")
        with pytest.raises(ValueError, match="x"):
            drained(function.rerun("a"))
        assert null.stats()[:3] == (0, 2, 1)
    assert runs == ["a", "a", "a"]


@pytest.mark.parametrize("checkpoint", [NullCheckpoint(), None])
def test_send_and_throw_reach_a_generator_that_runs(checkpoint):
    """A replay ignores what is sent and ends with what is thrown."""

    @cache_with_checkpoint(id="0")
    def echo():
        received = yield "first"
        try:
            yield received
        except KeyError:
            yield "caught"

    with use_checkpoint(checkpoint or Checkpoint(MemoryStore())):
        generator = echo()
        assert [next(generator), generator.send("sent"), generator.throw(KeyError())] == [
            "first",
            "sent",
            "caught",
        ]
        assert list(generator) == []
        if checkpoint is None:
            generator = echo()
            assert [next(generator), generator.send("other"), *generator] == ["first", "sent", "caught"]
            generator = echo()
            next(generator)
            with pytest.raises(KeyError):
                generator.throw(KeyError())


def test_changed_code(tmp_path):
    """As for ordinary calls: a warning once, or a new run."""

    def made(added, policy):
        space = {}
        code = f"def numbers():\n    for number in range(3):\n        yield number + {added}\n"
        path = tmp_path / f"code{added}.py"
        path.write_text(code)
        exec(compile(code, str(path), "exec"), space)
        return cache_with_checkpoint(id="0", name="numbers", on_code_change=policy)(space["numbers"])

    with use_checkpoint(Checkpoint(MemoryStore())) as checkpoint:
        assert list(made(1, "warn")()) == [1, 2, 3]
        with pytest.warns(CodeChangedWarning):
            assert list(made(2, "warn")()) == [1, 2, 3]
        assert list(made(2, "ignore")()) == [1, 2, 3]
        assert list(made(2, "rerun")()) == [2, 3, 4]
        assert list(made(2, "warn")()) == [2, 3, 4]
        assert kept(checkpoint) == 5


def test_a_function_that_becomes_a_generator_function(memory):
    """A result of another kind under the same key is replaced, either way."""

    def as_list():
        return [1]

    def as_generator():
        yield 1

    ordinary, generator = (
        cache_with_checkpoint(id="0", name="f", on_code_change="ignore")(function)
        for function in (as_list, as_generator)
    )
    assert ordinary() == [1]
    with pytest.warns(LoadWarning, match="no generator function"):
        assert list(generator()) == [1]
    assert list(generator()) == [1]
    for _ in range(2):
        assert ordinary() == [1]


@pytest.mark.parametrize(
    "config",
    [{"compression": "zstd"}, {"serializer": "msgpack"}, {"signing_key": "secret"}, {"durability": "power"}],
)
def test_items_are_encoded_as_results_are(tmp_path, config):
    """Serializer, compression and signature hold for items; annotations tell their types."""
    from collections.abc import Generator

    def points() -> Generator[tuple[int, str], None, tuple[int, ...]]:
        runs.append(1)
        yield 1, "x" * 1000
        yield 2, "y"
        return (1, 2)

    for _ in range(2):
        with opened(tmp_path, **config) as checkpoint:
            got = []

            def whole(generator, got):
                got.append((yield from generator))

            assert list(whole(checkpoint.load_or_run(points, "id"), got)) == [(1, "x" * 1000), (2, "y")]
            assert got == [(1, 2)]
    assert runs == [1]


def test_duration_is_the_generators_own(memory):
    """What the consumer takes its time for does not count."""

    def work():
        time.sleep(0.05)
        yield 1
        time.sleep(0.05)

    for _ in memory.load_or_run(work, "id"):
        time.sleep(0.5)
    (record,) = memory.records()
    assert 0.1 <= record.duration_seconds < 0.4
    assert memory.stats().seconds_run == record.duration_seconds
    list(memory.load_or_run(work, "id"))
    assert get_checkpoint().stats().seconds_saved == record.duration_seconds
