"""Errors pass through unchanged, store nothing, and are listed until the call succeeds."""

import asyncio
import traceback

import pytest

from skipstone import (
    Checkpoint,
    StoreUnavailableError,
    StoreUnavailableWarning,
    cache_with_checkpoint,
    get_checkpoint,
    use_checkpoint,
)
from skipstone.stores import MemoryStore


@pytest.fixture(autouse=True)
def _current(memory):
    errors.clear()
    runs.clear()


errors = {}
runs = []


@cache_with_checkpoint(id="x", name="work", on_code_change="ignore")
def work(x):
    runs.append(x)
    if x in errors:
        raise errors[x]
    return x


@cache_with_checkpoint(id="x", name="work_later")
async def work_later(x):
    runs.append(x)
    if x in errors:
        raise errors[x]
    return x


class OwnError(Exception):
    """Needs arguments, so it cannot be made anew from its text."""

    def __init__(self, code, *, reason):
        super().__init__(code)
        self.code, self.reason = code, reason


class MuteError(Exception):
    """Cannot be shown."""

    def __str__(self):
        raise RuntimeError("no text")


def listed():
    return [(failure.call_id, failure.error, failure.attempts) for failure in get_checkpoint().failures()]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad page"),
        OwnError(7, reason="teapot"),
        StopIteration("value"),
        GeneratorExit(),
        KeyboardInterrupt(),
        SystemExit(3),
        ExceptionGroup("several", [ValueError(1), OSError(2)]),
        asyncio.CancelledError(),
        MuteError(),
        ValueError("\ud800 \0 " + "x" * 100_000),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_pass_unchanged_and_store_nothing(error):
    """The caller gets the very error of the function, with its cause and traceback; the next call runs again."""
    errors[1] = error
    error.__cause__ = cause = KeyError("cause")
    for _ in range(2):
        with pytest.raises(BaseException) as caught:
            work(1)
        assert caught.value is error
        assert error.__cause__ is cause
        assert traceback.extract_tb(error.__traceback__)[-1].name == "work"
    assert runs == [1, 1]
    assert not work.is_done(1)
    assert list(get_checkpoint().records()) == []
    del errors[1]
    assert work(1) == 1


@pytest.mark.parametrize(
    "error", [ValueError("bad page"), StopAsyncIteration("x"), MuteError(), SystemExit(3)], ids=repr
)
def test_errors_of_coroutine_functions_pass_unchanged(error):
    """The same holds for coroutine functions."""
    errors[1] = error

    async def main():
        try:
            await work_later(1)
        except BaseException as caught:
            return caught

    assert asyncio.run(main()) is error
    assert not work_later.is_done(1)


def test_failures_are_listed_with_their_attempts():
    """Each failed call is listed once, with its last error and the number of attempts."""
    errors.update({"a": ValueError("first"), "b": OwnError(7, reason="teapot")})
    for name in ("a", "b", "a"):
        with pytest.raises(Exception):  # noqa: B017
            work(name)
    errors["a"] = OSError("second")
    with pytest.raises(OSError, match="second"):
        work("a")
    work("c")
    assert sorted(listed()) == [("a", "OSError: second", 3), ("b", "OwnError: 7", 1)]
    failure = min(get_checkpoint().failures())
    assert (failure.function, failure.version) == ("work", "")
    told = {failure.call_id: failure.traceback for failure in get_checkpoint().failures()}
    assert told["a"].startswith("Traceback (most recent call last):\n")
    assert told["a"].endswith("\nOSError: second\n")
    assert "in work\n    raise errors[x]\n" in told["a"]


def test_the_traceback_that_is_kept_begins_in_the_users_code(memory):
    """Nobody has to read through lines of skipstone's own to find theirs."""
    errors[1] = ValueError("bad page")
    with pytest.raises(ValueError):
        work(1)
    (failure,) = memory.failures()
    first = failure.traceback.splitlines()[1]
    assert first.startswith(f'  File "{__file__}"') and first.endswith("in work")


def test_a_success_removes_the_failure():
    """A failure is gone when the call succeeds; other failures stay; attempts then begin anew."""
    errors.update(a=ValueError("first"), b=ValueError("first"))
    for name in ("a", "b", "a"):
        with pytest.raises(ValueError, match="first"):
            work(name)
    del errors["a"]
    work("a")
    assert listed() == [("b", "ValueError: first", 1)]
    work.forget("a")
    errors["a"] = ValueError("again")
    with pytest.raises(ValueError, match="again"):
        work("a")
    assert ("a", "ValueError: again", 1) in listed()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), asyncio.CancelledError()], ids=repr)
def test_being_stopped_is_no_failure(error):
    """Ctrl-C, exit and cancellation say nothing of the call: they are not listed."""
    errors[1] = error
    with pytest.raises(type(error)):
        work(1)
    assert listed() == []
    assert get_checkpoint().stats().failures == 0


def test_failures_of_one_function():
    """`failures(function)` lists those of a function, given itself or by its name."""

    @cache_with_checkpoint(id="x", name="other")
    def other(x):
        raise ValueError(x)

    errors["a"] = ValueError("a")
    for function in (work, other):
        with pytest.raises(ValueError, match="a"):
            function("a")
    checkpoint = get_checkpoint()
    assert [failure.function for failure in checkpoint.failures(work)] == ["work"]
    assert [failure.function for failure in checkpoint.failures("other")] == ["other"]
    assert len(list(checkpoint.failures())) == 2


@pytest.mark.parametrize(
    "clear",
    [
        lambda: get_checkpoint().clear(),
        lambda: get_checkpoint().clear(work),
        lambda: get_checkpoint().clear("work"),
        lambda: get_checkpoint().clear(work, id="a"),
        lambda: work.forget("a"),
    ],
)
def test_clearing_removes_failures(clear):
    """Whatever clears a call clears its failure as well, and does not count it as a result."""
    errors["a"] = ValueError("a")
    with pytest.raises(ValueError, match="a"):
        work("a")
    assert clear() == 0
    assert listed() == []
    with pytest.raises(ValueError, match="a"):
        work("a")
    assert listed() == [("a", "ValueError: a", 1)]


def test_failures_outlive_the_process(script):
    """Failures and their attempts are counted across runs, and are gone after a run that succeeds."""
    script.write(
        "app.py",
        """
        import sys
        from skipstone import init_checkpoint, cache_with_checkpoint

        @cache_with_checkpoint(id="x", on_code_change="ignore")
        def work(x, fail):
            if fail:
                raise OSError(f"page {x}")
            return x

        checkpoint = init_checkpoint("step")
        try:
            work(1, "fail" in sys.argv)
        except OSError as error:
            print(error)
        print([(failure.function, failure.error, failure.attempts) for failure in checkpoint.failures()])
        """,
    )
    assert script("app.py", "fail").stdout == "page 1\n[('app.work', 'OSError: page 1', 1)]\n"
    assert script("app.py", "fail").stdout == "page 1\n[('app.work', 'OSError: page 1', 2)]\n"
    assert script("app.py").stdout == "[]\n"
    assert script("app.py", "fail").stdout == "[]\n"


def test_a_failure_in_one_checkpoint_is_none_in_another():
    """A checkpoint lists its own failures only."""
    errors["a"] = ValueError("a")
    other = Checkpoint(MemoryStore())
    with pytest.raises(ValueError, match="a"):
        other.load_or_run(work, "a", "a")
    assert len(list(other.failures())) == 1
    assert listed() == []


def test_failures_in_a_terminal():
    """Shown, they are the first of them, a line each, which takes none away and does nothing to a terminal."""
    errors.update({n: ValueError(f"page {n}\nis \x1b[31mbad") for n in range(21)})
    for n in (0, 0, 1):
        with pytest.raises(ValueError, match="bad"):
            work(n)
    failures = get_checkpoint().failures()
    assert str(failures) == repr(failures)
    assert sorted(repr(failures).splitlines()) == [
        "failures: 2",
        "work for id '0', 2 attempts: ValueError: page 0\\nis \\x1b[31mbad",
        "work for id '1', 1 attempt: ValueError: page 1\\nis \\x1b[31mbad",
    ]
    assert len(list(failures)) == 2
    for n in range(2, 21):
        with pytest.raises(ValueError, match="bad"):
            work(n)
    title, *lines = repr(get_checkpoint().failures()).splitlines()
    assert (title, len(lines)) == ("the first 20 failures", 20)
    errors.clear()
    for n in range(21):
        work(n)
    assert repr(get_checkpoint().failures()) == "failures: 0"


class KeepsFailures(MemoryStore):
    """A store that removes nothing."""

    def delete(self, keys, /):
        raise StoreUnavailableError("it only takes")


@pytest.mark.parametrize("count", [1, 200])
def test_a_failure_that_cannot_be_removed_costs_no_result(count):
    """Where a call succeeds and its failure cannot be removed, its result is kept, and a miss is counted as one."""
    with Checkpoint(KeepsFailures()) as checkpoint, use_checkpoint(checkpoint):
        errors.update({x: ValueError(x) for x in range(count)})
        list(checkpoint.map(work, range(count), on_error="return", workers=1))
        errors.clear()
        with pytest.warns(StoreUnavailableWarning, match="it only takes"):
            assert list(checkpoint.map(work, range(count), workers=1)) == list(range(count))
        stats = checkpoint.stats()
        assert (stats.failures, stats.misses, stats.hits, stats.not_saved) == (count, count, 0, 0)
        assert stats.bytes_saved == sum(record.size_bytes for record in checkpoint.records())
