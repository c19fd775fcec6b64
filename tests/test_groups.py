"""Quick calls of a map are claimed, looked up and saved together; nobody can tell, but for the time."""

import contextvars
import dis
import itertools
import os
import signal
import sys
import threading
import time

import pytest

from skipstone import (
    Checkpoint,
    Failure,
    SaveError,
    SaveWarning,
    StoreUnavailableError,
    cache_with_checkpoint,
    get_checkpoint,
    open_checkpoint,
    use_checkpoint,
)
from skipstone.stores import MemoryStore, SqliteStore

COUNT = 2000
SECONDS = 20


def value(x):
    """Return the result of a quick call: as many bytes for each."""
    return b"%08d" % x


class Quick:
    """Quick calls, which are noted; one of them does something else, when three before it wait to be saved."""

    def __init__(self, checkpoint, act=value):
        self.checkpoint = checkpoint
        self.act = act
        self.ran = []
        self.odd = None
        """The call that does something else."""
        self.size_bytes = None

        @cache_with_checkpoint(id="x", name="quick")
        def call(x):
            return self._run(x)

        self.call = call

    def _run(self, x):
        self.ran.append(x)
        if self.odd is None and self.unsaved() >= 3:
            self.odd = x
            return self.act(x)
        return value(x)

    def unsaved(self):
        """Return how many calls have ended whose results are not saved yet."""
        stats = self.checkpoint.stats()
        if self.size_bytes is None and stats.bytes_saved:
            self.size_bytes = stats.bytes_saved / stats.misses
        return stats.misses - stats.bytes_saved / self.size_bytes if self.size_bytes else 0

    def map(self, count=COUNT, **options):
        """Map over so many numbers, and check that this led to a group in which the odd call was."""
        results = list(self.checkpoint.map(self.call, range(count), workers=1, **options))
        assert self.odd is not None, "nothing was saved together"
        return results

    def others(self, count=COUNT):
        """Return the other calls' results by number."""
        return {x: value(x) for x in range(count) if x != self.odd}


@pytest.fixture(params=["local", "memory"])
def checkpoint(request, tmp_path):
    """A checkpoint, current for the test."""
    memory = Checkpoint(MemoryStore(), name="step")
    opened = memory if request.param == "memory" else open_checkpoint("step", {"artifacts_dir": tmp_path})
    with opened, use_checkpoint(opened):
        yield opened


@pytest.fixture
def in_thread():
    """Run functions in threads that have ended at the end of the test."""
    threads = []

    def start(function, *args):
        thread = threading.Thread(target=contextvars.copy_context().run, args=(function, *args))
        threads.append(thread)
        thread.start()
        return thread

    yield start
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()


def stored(checkpoint):
    return {int(info.call_id) for info in checkpoint.records()}


def test_results_come_back_and_stay(checkpoint):
    """A map of quick calls returns each result, in order, runs each call once, and all is stored then."""
    quick = Quick(checkpoint)
    assert quick.map() == list(map(value, range(COUNT)))
    assert quick.ran == list(range(COUNT))
    assert stored(checkpoint) == set(range(COUNT))
    assert list(checkpoint.map(quick.call, range(COUNT))) == list(map(value, range(COUNT)))
    assert len(quick.ran) == COUNT
    assert checkpoint.stats().misses == COUNT


class Hold:
    """A part of a store: saving several records waits until it may go on."""

    holds = True

    def __init__(self, *args):
        super().__init__(*args)
        self.waits = threading.Event()
        self.may_go_on = threading.Event()

    def put_many(self, records, /, *, replace=False):
        if self.holds and len(records) > 1:
            self.waits.set()
            assert self.may_go_on.wait(SECONDS)
        return super().put_many(records, replace=replace)


class Held(Hold, MemoryStore):
    """A store in memory that does so."""


def test_nothing_is_given_out_before_it_is_saved(in_thread):
    """A result that is to be saved together with others is not given out before that."""
    store, given = Held(), []
    with Checkpoint(store, name="step") as checkpoint:
        quick = Quick(checkpoint)
        thread = in_thread(lambda: given.extend(checkpoint.map(quick.call, range(COUNT), workers=1)))
        assert store.waits.wait(SECONDS)
        keys = len(stored(checkpoint))
        assert len(quick.ran) > keys
        thread.join(0.05)
        assert len(given) <= keys
        store.may_go_on.set()
        thread.join(SECONDS)
        assert given == list(map(value, range(COUNT)))


def test_slow_calls_are_saved_one_by_one():
    """A call that takes milliseconds is saved at once, alone."""
    store = Held()
    with Checkpoint(store, name="step") as checkpoint:

        def slow(x):
            time.sleep(0.02)
            return x

        assert list(checkpoint.map(slow, range(30), workers=2)) == list(range(30))
        assert not store.waits.is_set()


def test_a_slow_call_keeps_nobody_waiting(checkpoint, in_thread):
    """While a slow call runs, what was quick before it is stored, and what comes after it can be run by others."""
    inside, go_on = threading.Event(), threading.Event()

    def slow(x):
        inside.set()
        assert go_on.wait(SECONDS)
        return value(x)

    quick, given = Quick(checkpoint, slow), []
    thread = in_thread(lambda: given.extend(quick.map()))
    assert inside.wait(SECONDS)
    before, odd = quick.ran[:-1], quick.odd
    asked = []
    asking = in_thread(lambda: asked.extend(quick.call(x) for x in (*before, odd + 1, odd + 2)))
    asking.join(SECONDS)
    try:
        assert asked == [value(x) for x in (*before, odd + 1, odd + 2)]
        assert set(before) <= stored(checkpoint)
        assert quick.ran == [*before, odd, odd + 1, odd + 2]
    finally:
        go_on.set()
    thread.join(SECONDS)
    assert given == list(map(value, range(COUNT)))
    assert sorted(quick.ran) == list(range(COUNT))


def test_a_call_asks_for_others_of_its_group(checkpoint):
    """A call may ask for calls before and after it in the map, and for a map of them: each runs once."""

    def ask(x):
        numbers = [x - 1, x + 1, x - 2, x + 2]
        assert [quick.call(number) for number in numbers] == list(map(value, numbers))
        mapped = checkpoint.map(quick.call, [x - 3, x + 3, x + 4], workers=2)
        assert list(mapped) == [value(x - 3), value(x + 3), value(x + 4)]
        return value(x)

    quick = Quick(checkpoint, ask)
    assert quick.map() == list(map(value, range(COUNT)))
    assert sorted(quick.ran) == list(range(COUNT))


def test_calls_that_ask_for_each_other_in_two_maps(checkpoint, in_thread):
    """Two maps whose calls ask for each other's come to their end."""
    ran = []

    @cache_with_checkpoint(id="n")
    def fibonacci(n):
        ran.append(n)
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    wanted, given = [*range(61), *range(90, 60, -1)], {}

    def map_over(order):
        given[order] = list(checkpoint.map(fibonacci, wanted[::order], workers=2))

    threads = [in_thread(map_over, order) for order in (1, -1)]
    for thread in threads:
        thread.join(SECONDS)
    first, second = 0, 1
    right = {}
    for n in range(91):
        right[n] = first
        first, second = second, first + second
    assert given == {order: [right[n] for n in wanted[::order]] for order in (1, -1)}
    assert sorted(ran) == sorted(set(wanted))


def test_a_generator_and_a_list_within_a_call(checkpoint):
    """Within a call of a group, generators and functions with `each` do what they do elsewhere."""

    @cache_with_checkpoint(id="n")
    def counted(n):
        yield from range(n)

    @cache_with_checkpoint(id="x", each="xs", name="quick_too")
    def many(xs):
        return [value(x) for x in xs]

    def ask(x):
        assert list(counted(3)) == list(counted(3)) == [0, 1, 2]
        assert many([x, x + 1]) == [value(x), value(x + 1)]
        return value(x)

    assert Quick(checkpoint, ask).map() == list(map(value, range(COUNT)))


def test_clearing_and_closing_within_a_call(checkpoint):
    """Within a call of a group, the step can be listed, cleared and closed; what was over before is gone, and the map goes on."""

    def tidy_up(x):
        assert stored(checkpoint) == set(range(x))
        checkpoint.clear()
        assert len(list(checkpoint.records())) == 0
        checkpoint.close()
        return value(x)

    quick = Quick(checkpoint, tidy_up)
    assert quick.map() == list(map(value, range(COUNT)))
    assert stored(checkpoint) == set(range(quick.odd, COUNT))


@pytest.mark.parametrize("policy", ["ignore", "rerun"])
def test_calls_of_its_group_are_forgotten_within_a_call(tmp_path, policy):
    """One call of a group is forgotten by the one after it, and is gone, also where it replaces what other code made."""

    def forget(x):
        assert quick.call.forget(x - 1)
        assert checkpoint.clear(quick.call, id=x - 2) == 1
        assert not quick.call.is_done(x - 1)
        return value(x)

    settings = {"artifacts_dir": tmp_path, "on_code_change": policy}
    if policy == "rerun":
        with open_checkpoint("step", settings) as before:
            old = cache_with_checkpoint(id="x", name="quick")(lambda x: b"old")
            assert set(before.map(old, range(COUNT))) == {b"old"}
    with open_checkpoint("step", settings) as checkpoint:
        with use_checkpoint(checkpoint):
            quick = Quick(checkpoint, forget)
            assert quick.map() == list(map(value, range(COUNT)))
        assert stored(checkpoint) == set(range(COUNT)) - {quick.odd - 1, quick.odd - 2}


def test_what_is_over_is_saved_by_another_thread(checkpoint, in_thread):
    """A thread that a call has started lists and clears while the group goes on: each call runs once, and returns."""
    threads = []

    def start(x):
        threads.append(in_thread(lambda: [checkpoint.clear(quick.call, id=0) for _ in range(50)]))
        return value(x)

    quick = Quick(checkpoint, start)
    assert quick.map() == list(map(value, range(COUNT)))
    assert quick.ran == list(range(COUNT))
    threads[0].join(SECONDS)
    assert stored(checkpoint) == set(range(1, COUNT))


@pytest.mark.parametrize("on_error", ["raise", "return"])
def test_a_call_raises(checkpoint, on_error):
    """A call that raises is noted and told; those before it are stored, and those after it run if the map goes on."""

    def fail(x):
        raise ValueError(f"no {x}")

    quick = Quick(checkpoint, fail)
    if on_error == "raise":
        with pytest.raises(ValueError, match="^no"):
            quick.map()
        assert stored(checkpoint) == set(quick.ran) - {quick.odd} >= set(range(quick.odd))
    else:
        results = quick.map(on_error="return")
        assert isinstance(results[quick.odd], Failure)
        assert {x: result for x, result in enumerate(results) if x != quick.odd} == quick.others()
        assert stored(checkpoint) == set(quick.others())
    assert [failure.attempts for failure in checkpoint.failures()] == [1]
    quick.act = value
    odd, quick.odd = quick.odd, None
    assert list(checkpoint.map(quick.call, range(COUNT)))[odd] == value(odd)
    assert list(checkpoint.failures()) == []


def test_failures_are_counted_and_forgotten(checkpoint):
    """Of many quick calls that fail, each is noted; where they succeed later, none is."""
    fails = True

    @cache_with_checkpoint(id="x")
    def unsteady(x):
        if fails and x % 3 == 0:
            raise ValueError(x)
        return x

    for attempts in (1, 2):
        results = list(checkpoint.map(unsteady, range(300), on_error="return", workers=1))
        assert [isinstance(each, Failure) for each in results] == [x % 3 == 0 for x in range(300)]
        assert {failure.attempts for failure in checkpoint.failures()} == {attempts}
    fails = False
    assert list(checkpoint.map(unsteady, range(300), workers=1)) == list(range(300))
    assert list(checkpoint.failures()) == []


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_call_ends_the_program(checkpoint, error):
    """A call that raises SystemExit, or that Ctrl-C meets, leaves those before it stored, and no claim behind."""

    def leave(_x):
        raise error

    quick = Quick(checkpoint, leave)
    with pytest.raises(error):
        quick.map()
    assert stored(checkpoint) == set(quick.ran) - {quick.odd} >= set(range(quick.odd))
    assert list(checkpoint.map(quick.call, range(COUNT))) == list(map(value, range(COUNT)))
    assert quick.ran.count(quick.odd) == 2
    assert len(quick.ran) == COUNT + 1


@cache_with_checkpoint(id="x", each="xs")
def doubled(xs):
    return [2 * x for x in xs]


@cache_with_checkpoint(id="x")
def doubled_alone(x):
    return 2 * x


CLAIMING = {
    "_group.py": {"claim"},
    "_engine.py": {"run", "turn", "claim"},
    "_call.py": {"pauses", "_try_to_claim"},
    "_sqlite.py": {"claim", "claim_many"},
    "_claims.py": {"claim", "claim_many", "__init__", "_lock"},
}


def interrupted_at(step, function, *args):
    """Call a function, with Ctrl-C after so many steps of taking claims; tell whether it got that far.

    It comes where Python looks for it: where a function begins or has returned, and at the end of a loop's round.
    """
    left, last = [step], {}

    def trace(frame, event, _):
        if frame.f_code.co_name not in CLAIMING.get(os.path.basename(frame.f_code.co_filename), ()):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            done = dis.opname[frame.f_code.co_code[last.get(frame, 0)]]
            last[frame] = frame.f_lasti
            if done.startswith(("RESUME", "CALL", "JUMP_BACKWARD")):
                if not left[0]:
                    raise KeyboardInterrupt
                left[0] -= 1
        return trace

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # Python 3.12 asks for it when tracing begins
    sys.settrace(trace)
    try:
        function(*args)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize(
    ("call", "most", "least_steps"),
    [
        pytest.param(lambda x: doubled([3 * x, 3 * x + 1, 3 * x + 2]), 3, 30, id="together"),
        pytest.param(doubled_alone, 1, 20, id="alone"),
    ],
)
def test_ctrl_c_while_claims_are_taken(tmp_path, call, most, least_steps):
    """Wherever it comes, no claim is left behind: another process, which waits for nobody, runs all calls."""
    with open_checkpoint("step", {"artifacts_dir": tmp_path, "wait_timeout": 0}) as checkpoint:
        with use_checkpoint(checkpoint):
            steps = next(step for step in itertools.count() if not interrupted_at(step, call, step))
        assert steps > least_steps
        if most > 1:  # a call alone is also interrupted after it ran
            assert checkpoint.stats().misses == most
        function = doubled if most > 1 else doubled_alone
        results = checkpoint.map(function, range(most * steps), executor="processes", workers=1, on_error="return")
        assert list(results) == [2 * x for x in range(most * steps)]


def test_results_that_cannot_be_kept(checkpoint):
    """A result that cannot be serialized is returned with a warning, and the others are stored."""
    quick = Quick(checkpoint, lambda x: threading.Lock())
    with pytest.warns(SaveWarning, match="cannot keep the result of quick"):
        results = quick.map()
    assert type(results[quick.odd]) is type(threading.Lock())
    assert stored(checkpoint) == set(quick.others())
    assert checkpoint.stats().not_saved == 1


def test_with_on_save_error(tmp_path):
    """With `on_save_error="raise"`, the call whose result cannot be kept has that for its error, and no other."""
    with open_checkpoint("step", {"artifacts_dir": tmp_path, "on_save_error": "raise"}) as checkpoint:
        with use_checkpoint(checkpoint):
            quick = Quick(checkpoint, lambda x: threading.Lock())
            results = quick.map(on_error="return")
        assert results[quick.odd].error.startswith(SaveError.__name__)
        assert stored(checkpoint) == set(quick.others())


class Full(MemoryStore):
    """A store that has no room, for a while."""

    is_full = False

    def put_many(self, records, /, *, replace=False):
        if self.is_full:
            raise StoreUnavailableError("no room")
        return super().put_many(records, replace=replace)

    def put(self, record, /, *, replace=False):
        if self.is_full:
            raise StoreUnavailableError("no room")
        return super().put(record, replace=replace)


def test_a_store_that_is_full():
    """Where results cannot be saved, they are all returned, with one warning; when there is room again, they are kept."""
    store = Full()

    def fill(x):
        store.is_full = True
        return value(x)

    with Checkpoint(store, name="step") as checkpoint:
        quick = Quick(checkpoint, fill)
        with pytest.warns(SaveWarning, match="no room") as told:
            assert quick.map() == list(map(value, range(COUNT)))
        assert len(told) == 1
        kept = stored(checkpoint)
        assert checkpoint.stats().not_saved == COUNT - len(kept) > 0
        store.is_full = False
        assert list(checkpoint.map(quick.call, range(COUNT))) == list(map(value, range(COUNT)))
        assert stored(checkpoint) == set(range(COUNT))


def test_somebody_else_was_first(tmp_path):
    """What somebody else stored under a key of the group meanwhile is everybody's result."""
    here, there = ({"artifacts_dir": tmp_path / name, "on_code_change": "ignore"} for name in ("here", "there"))
    with open_checkpoint("step", there) as other, use_checkpoint(other):
        theirs = cache_with_checkpoint(id="x", name="quick")(lambda x: b"theirs")
        with open_checkpoint("step", here) as checkpoint, use_checkpoint(checkpoint):

            def copy(x):
                with use_checkpoint(other):
                    theirs(x)
                other.copy_to(checkpoint)
                return value(x)

            quick = Quick(checkpoint, copy)
            results = quick.map()
            kept = list(checkpoint.map(quick.call, range(COUNT)))
    assert results == kept
    assert results[quick.odd] == b"theirs"
    assert {x: result for x, result in enumerate(results) if x != quick.odd} == quick.others()


def test_one_object_for_all_results(checkpoint):
    """A function that returns the same object each time, changed in place, has each of its results stored as it was."""
    np = pytest.importorskip("numpy")
    array = np.zeros(8)

    @cache_with_checkpoint(id="x")
    def fill(x):
        array[:] = x
        return array

    checkpoint.map(fill, range(COUNT), workers=1).drain()
    assert [list(each) for each in checkpoint.map(fill, range(COUNT))] == [[x] * 8 for x in range(COUNT)]
    assert checkpoint.stats().misses == COUNT


def test_results_that_are_large(checkpoint):
    """Results of all sizes come back from a map of quick calls."""
    sizes = [10, 70_000, 300, 10, 2_000_000, 10, 10] * 20

    @cache_with_checkpoint(id="x")
    def fill(x):
        return b"%d" % (x % 10) * sizes[x]

    right = [b"%d" % (x % 10) * size for x, size in enumerate(sizes)]
    assert list(checkpoint.map(fill, range(len(sizes)), workers=1)) == right
    assert list(checkpoint.map(fill, range(len(sizes)))) == right
    assert checkpoint.stats().misses == len(sizes)


def test_one_id_several_times(checkpoint):
    """Items of one id in a map are one call, whose results are objects of their own."""
    ran = []

    @cache_with_checkpoint(id="x // 3")
    def third(x):
        ran.append(x)
        return [x // 3]

    results = list(checkpoint.map(third, range(3 * COUNT), workers=1))
    assert results == [[x // 3] for x in range(3 * COUNT)]
    assert len(ran) == COUNT
    assert len(set(map(id, results))) == 3 * COUNT


def status_of(pid):
    """Wait for a child to end, and return its status; kill it if it does not."""
    pause, deadline = threading.Event(), time.monotonic() + SECONDS
    while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        pause.wait(0.005)
    return ended[1]


class HeldOnDisk(Hold, SqliteStore):
    """The same, on the disk, when it is told to."""

    holds = False  # there may be groups before that of the odd call


def test_a_fork_within_a_call(tmp_path):
    """A child that a call forks, while what came before is saved, takes nothing from its parent and can use the checkpoint."""
    store = HeldOnDisk(str(tmp_path / "index" / "step"))
    with Checkpoint(store, name="step") as checkpoint, use_checkpoint(checkpoint):

        def fork(x):
            store.holds = True
            assert store.waits.wait(SECONDS)
            pid = os.fork()
            if pid == 0:
                try:
                    answers = [quick.call(number) for number in (x - 1, x + 1, COUNT + 1)]
                finally:
                    os._exit(answers != [value(x - 1), value(x + 1), value(COUNT + 1)])
            store.may_go_on.set()
            return value(x) if status_of(pid) == 0 else b"the child failed"

        quick = Quick(checkpoint, fork)
        assert quick.map() == list(map(value, range(COUNT)))
        assert quick.ran == [x for x in range(COUNT) if x != quick.odd + 1]
        assert stored(checkpoint) == {*range(COUNT), COUNT + 1}


def test_notes_and_contexts(checkpoint):
    """Each call has notes of its own, and the context of the map."""
    setting = contextvars.ContextVar("setting")
    setting.set("map's")

    @cache_with_checkpoint(id="x")
    def call(x):
        from skipstone import note

        note(number=x)
        assert get_checkpoint() is checkpoint
        return setting.get()

    assert list(checkpoint.map(call, range(500), workers=1)) == ["map's"] * 500
    assert {int(info.call_id): info.notes for info in checkpoint.records()} == {
        x: {"number": x} for x in range(500)
    }
    assert checkpoint.stats().notes_spent == {"number": sum(range(500))}


def test_of_calls_with_one_id_the_first_one_runs(checkpoint):
    """A map whose ids are equal where arguments are not keeps what the first of them returned, grouped or not."""

    @cache_with_checkpoint(id="pair[0]", name="pairs")
    def call(pair):
        return pair[1]

    results = list(checkpoint.map(call, [(x // 2, x) for x in range(COUNT)], workers=1))
    assert results == [x - x % 2 for x in range(COUNT)]


def test_where_the_first_of_calls_with_one_id_raises_the_next_one_runs(checkpoint):
    """A failure is told for the call that raised, and is not hidden by another call with the same id."""

    @cache_with_checkpoint(id="pair[0]", name="pairs")
    def call(pair):
        if pair[1] % 2 == 0:
            raise ValueError(pair)
        return pair[1]

    results = list(checkpoint.map(call, [(x // 2, x) for x in range(COUNT)], workers=1, on_error="return"))
    assert [isinstance(result, Failure) for result in results] == [True, False] * (COUNT // 2)
    assert results[1::2] == list(range(1, COUNT, 2))


class Behind(Quick):
    """Quick calls, which note how many were not saved yet when the one behind the odd call began."""

    unsaved_behind = None

    def _run(self, x):
        if self.odd is not None and self.unsaved_behind is None:
            self.unsaved_behind = self.unsaved()
        return super()._run(x)


def test_no_call_of_a_group_runs_after_one_whose_result_cannot_be_kept(tmp_path):
    """A map that stops at a SaveError stops there, as at any other error: those claimed together with it do not run."""
    config = {"artifacts_dir": tmp_path, "on_save_error": "raise"}
    with open_checkpoint("step", config) as checkpoint, use_checkpoint(checkpoint):
        quick = Behind(checkpoint, lambda x: threading.Lock())
        with pytest.raises(SaveError):
            quick.map()
    # One that was handed out next may run: the group has ended then, and all but the odd call are saved.
    assert quick.unsaved_behind is None or quick.unsaved_behind < 3
