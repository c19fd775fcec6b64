"""A result that was made by other code is noticed: told, run again or ignored, as the settings say."""

import copy
import linecache
import re
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from skipstone import (
    CodeChangedWarning,
    NullCheckpoint,
    UnstableIdError,
    cache_with_checkpoint,
    open_checkpoint,
    use_checkpoint,
)

OFFSET = 0


@dataclass
class Options:
    size: int


APP = """
import sys
from skipstone import cache_with_checkpoint, get_checkpoint, init_checkpoint
from lib import helper

@cache_with_checkpoint(id="x"{options})
def work(x):
    {comment}
    return {body}

@cache_with_checkpoint(id="x")
def other(x):
    return x

if __name__ == "__main__":
    init_checkpoint("step", {{"on_code_change": "{policy}"}})
    print(work(1), work(2), other(1), get_checkpoint().stats().hits, work.is_done(1))
"""
LIB = """
SIZE = {size}

def helper(x):
    return {body} or SIZE

def unrelated(x):
    return {other}
"""


def write(
    script, *, body="helper(x)", options="", policy="warn", comment="# as it was", helper="x", other="1", size="3"
):
    script.write("app.py", APP.format(body=body, options=options, policy=policy, comment=comment))
    script.write("lib.py", LIB.format(body=helper, other=other, size=size))


def run(script):
    done = script("app.py", warnings="always")
    return done.stdout.strip(), [line for line in done.stderr.splitlines() if "CodeChangedWarning" in line]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"body": "-x"}, "it was edited, lib.helper is not used any more"),
        ({"helper": "-x"}, "lib.helper was edited"),
        ({"body": "other(x)"}, "it was edited, app.other is used now, lib.helper is not used any more"),
        ({"size": "4"}, "SIZE is different in lib.helper"),
    ],
)
def test_warn_returns_the_stored_result_and_says_so_once(script, change, said):
    """By default a result made by other code is returned, with one warning per function that says what changed and what to do."""
    write(script)
    assert run(script) == ("1 2 1 0 True", [])
    write(script, **change)
    out, warned = run(script)
    assert out == "1 2 1 3 True"
    assert len(warned) == 1
    told = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", warned[0].partition("app.py:")[2].partition(": ")[2])
    assert told == (
        f"CodeChangedWarning: the code of app.work changed since its stored results were made: {said}. 2 of its 2 results "
        "are from before, the last one of TIME. They are returned all the same (first for id '1'). If they are still "
        "right, call get_checkpoint().accept(work); to run such calls again, decorate it with "
        'on_code_change="rerun" or another version=, or call clear(work)'
    )
    assert run(script)[0] == "1 2 1 3 True"
    write(script)
    assert run(script) == ("1 2 1 3 True", [])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"comment": "# another comment"},
        {"comment": '"""Now documented."""'},
        {"body": "( helper( x ) )"},
        {"other": "2"},
        {"options": ", on_code_change=None"},
    ],
)
def test_what_does_not_run_does_not_count(script, change):
    """Comments, docstrings, formatting and code that the function does not call are no change."""
    write(script)
    run(script)
    write(script, **change)
    assert run(script) == ("1 2 1 3 True", [])


@pytest.mark.parametrize("where", ["config", "decorator"])
def test_rerun_runs_again_and_replaces(script, where):
    """With "rerun", such a call runs again, and its result replaces the old one; no warning."""
    write(script)
    run(script)
    options = {"policy": "rerun"} if where == "config" else {"options": ', on_code_change="rerun"'}
    write(script, body="-x", **options)
    assert run(script) == ("-1 -2 1 1 True", [])
    assert run(script) == ("-1 -2 1 3 True", [])


def test_a_call_to_be_run_again_is_not_done(script):
    """With "rerun", `is_done` tells that a result made by other code would not be returned."""
    write(script)
    run(script)
    write(script, body="-x", policy="rerun")
    ask = "import app; app.init_checkpoint('step', {'on_code_change': %r}); print(app.work.is_done(1), app.other.is_done(1))"
    assert script("-c", ask % "rerun").stdout == "False True\n"
    assert script("-c", ask % "ignore").stdout == "True True\n"


@pytest.mark.parametrize("where", ["config", "decorator"])
def test_ignore_returns_silently(script, where):
    """With "ignore", the stored result is returned without a word."""
    write(script)
    run(script)
    options = {"policy": "ignore"} if where == "config" else {"options": ', on_code_change="ignore"'}
    write(script, body="-x", **options)
    assert run(script) == ("1 2 1 3 True", [])


def test_the_decorator_goes_before_the_config(script):
    """A function's own setting goes before the config's."""
    write(script)
    run(script)
    write(script, body="-x", policy="rerun", options=', on_code_change="ignore"')
    assert run(script) == ("1 2 1 3 True", [])


def test_another_version_is_another_function(script):
    """With another `version`, old results are not asked at all; the old version's are still there."""
    write(script)
    run(script)
    write(script, body="-x", options=", version=2")
    assert run(script) == ("-1 -2 1 1 True", [])
    write(script)
    assert run(script) == ("1 2 1 3 True", [])


def accept(script, expected, policy="warn"):
    """Accept the present code in a process of its own."""
    ask = f"import app; checkpoint = app.init_checkpoint('step', {{'on_code_change': '{policy}'}}); print(checkpoint.accept(app.work))"
    assert script("-c", ask).stdout == f"{expected}\n"


@pytest.mark.parametrize("policy", ["warn", "rerun"])
def test_accepted_code_is_as_good(script, policy):
    """After `accept`, results of the code before are returned without a word, by every process; also when the code goes back."""
    write(script, policy=policy)
    run(script)
    write(script, body="helper(x) + 0", policy=policy)
    accept(script, 2, policy)
    accept(script, 0, policy)
    assert run(script) == ("1 2 1 3 True", [])
    write(script, body="0 + helper(x)", policy=policy)
    accept(script, 2, policy)
    assert run(script) == ("1 2 1 3 True", [])
    write(script, policy=policy)
    assert run(script) == ("1 2 1 3 True", [])


def test_other_code_is_not_accepted(script):
    """What was accepted is that code, and no later one; and one function's."""
    write(script)
    run(script)
    write(script, body="helper(x) + 0")
    accept(script, 2)
    write(script, body="-x")
    assert len(run(script)[1]) == 1


def test_what_changed_since_code_was_accepted(script):
    """A warning after `accept` tells what changed since then, and not what was accepted."""
    write(script)
    run(script)
    write(script, body="helper(x) + 0")
    accept(script, 2)
    write(script, body="helper(x) + 0", size="4")
    (told,) = run(script)[1]
    assert (
        "the code of app.work changed since it was accepted: SIZE is different in lib.helper. 2 of its 2" in told
    )
    accept(script, 2)
    write(script, body="helper(x) - 0", size="4")
    (told,) = run(script)[1]
    assert "the code of app.work changed since it was accepted: it was edited. 2 of its 2" in told


def test_accept_is_seen_by_a_process_that_runs(tmp_path):
    """A process that has asked already hears of it within a second."""
    space = {}

    def made(body):
        exec(f"def work(x):\n    return {body}", space)
        return cache_with_checkpoint(id="x", name="work", on_code_change="rerun")(space["work"])

    first, second = made("x + 1"), made("x + 2")
    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as one:
        with use_checkpoint(one):
            assert (first(1), first(2)) == (2, 3)
            assert not second.is_done(1)
        with open_checkpoint("step", {"artifacts_dir": tmp_path}) as other:
            assert other.accept(second) == 2
        with use_checkpoint(one):
            for _ in range(500):
                if second.is_done(1):
                    break
                time.sleep(0.01)
            assert second(1) == 2
            assert first(2) == 3


def test_accept_of_nothing(tmp_path):
    """Where nothing is stored, nothing is accepted; a name is not enough; a checkpoint that keeps nothing accepts all."""

    @cache_with_checkpoint
    def work(x):
        return x

    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as checkpoint:
        assert checkpoint.accept(work) == 0
        with pytest.raises(TypeError, match="needs the function itself"):
            checkpoint.accept("work")
    assert NullCheckpoint().accept(work) == 0


@pytest.mark.parametrize("key", ["signing_key", "encryption_key"])
def test_nobody_else_can_accept(tmp_path, key):
    """With a key, what somebody without it has noted as accepted counts for nothing."""
    if key == "encryption_key":
        pytest.importorskip("cryptography")
    secret = {"artifacts_dir": tmp_path, key: "0123456789abcdef0123456789abcdef", "on_code_change": "rerun"}
    space = {}

    def made(body):
        exec(f"def work(x):\n    return {body}", space)
        return cache_with_checkpoint(id="x", name="work")(space["work"])

    first, second = made("x + 1"), made("x + 2")
    with open_checkpoint("step", secret) as checkpoint, use_checkpoint(checkpoint):
        first(1)
    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as stranger:
        assert stranger.accept(second) == 1
    with open_checkpoint("step", secret) as checkpoint, use_checkpoint(checkpoint):
        assert not second.is_done(1)
        assert checkpoint.accept(second) == 1
        assert second(1) == 2


def test_versions_of_packages_count_if_they_are_named(tmp_path, monkeypatch):
    """Of installed packages the names count; the versions of those that `packages` names do, too, and are told."""
    import importlib.metadata

    def made(installed, **options):
        monkeypatch.setattr(importlib.metadata, "version", lambda name: {"numpy": installed, "attrs": "1"}[name])

        @cache_with_checkpoint(id="x", **options)
        def work(x):
            return x

        return work

    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as checkpoint, use_checkpoint(checkpoint):
        made("1.0")(1)
        made("2.0")(1)
        made("1.0", packages=["numpy", "attrs"], version="named")(1)
        made("1.0", packages=["attrs", "numpy"], version="named")(1)
        with pytest.warns(CodeChangedWarning, match="made: numpy was 1.0 and is 2.0. 1 of its 1 results"):
            made("2.0", packages=["numpy", "attrs"], version="named")(1)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="packages names 'nobody-has-this', which is not installed"):
        made_with = cache_with_checkpoint(packages="nobody-has-this")
        made_with(made)


def test_the_code_is_kept_once(script):
    """However many records a function has, what its code was is kept once for each code."""
    write(script)
    run(script)
    run(script)
    kinds = (
        "import app, collections; c = app.init_checkpoint('step')\n"
        "print(sorted(collections.Counter(i.encoding for i in c._engine._store.scan()).items()))"
    )
    assert script("-c", kinds).stdout == "[('code', 2), ('pickle', 3)]\n"


def test_two_functions_of_one_name(memory):
    """Two functions that have one name and the same id, and are not the same, get an error, not each other's results."""

    def made(factor):
        @cache_with_checkpoint(id="x")
        def scaled(x):
            return x * factor

        return scaled

    double, triple, again = made(2), made(3), made(2)
    assert (double(1), again(1), triple(2)) == (2, 2, 6)
    with pytest.raises(UnstableIdError, match="two functions have the name .*scaled and the id '1', and differ"):
        triple(1)
    assert memory.stats().misses == 2


@pytest.mark.parametrize("on_code_change", ["warn", "rerun"])
def test_a_function_that_is_made_anew_with_another_value(memory, on_code_change):
    """It gets no result of one that was made before it, though that one is gone; nor does it replace its results in turn."""

    def made(factor):
        @cache_with_checkpoint(id="x", on_code_change=on_code_change)
        def scaled(x):
            return x * factor

        return scaled

    assert [made(2)(1), made(2)(1)] == [2, 2]
    with pytest.raises(UnstableIdError, match="two functions have the name .*scaled and the id '1', and differ"):
        made(3)(1)
    with pytest.raises(UnstableIdError, match="two functions have the name"):
        list(memory.map(made(3), [1]))
    assert made(2)(1) == 2
    assert [made(number)(number) for number in range(3, 40)] == [number * number for number in range(3, 40)]
    with pytest.raises(UnstableIdError, match="two functions have the name"):
        made(3)(39)


def test_a_function_that_is_made_around_another_object(memory):
    """It gets no result of one that was made around a dictionary, list or object with other content."""

    def made(options):
        @cache_with_checkpoint(id="x")
        def described(x):
            return str(options)

        return described

    for number, (one, other) in enumerate(
        [({"size": 1}, {"size": 2}), ([1], [2]), (Path("a"), Path("b")), (Options(1), Options(2))]
    ):
        assert made(one)(number) == str(one)
        assert made(copy.deepcopy(one))(number) == str(one)
        with pytest.raises(UnstableIdError, match="two functions have the name .*described"):
            made(other)(number)


def test_a_function_that_is_made_around_what_it_fills(memory):
    """What calls collect is no code, however they do it; nor is data."""

    def made(lines):
        found, counts, last = [], {}, {}
        add = lambda x: found.append(x)

        @cache_with_checkpoint(id="x")
        def collected(x):
            add(x)
            counts[x] = len(found)
            last.__setitem__("x", x)
            return lines[0]

        return collected

    first = made(["a"] * 1000)
    assert [first(x) for x in (1, 2)] == ["a", "a"]
    assert made(["a"] * 1001)(1) == "a"
    assert first(2) == "a"
    assert memory.stats().misses == 2


def test_a_function_that_is_made_anew_after_an_edit(memory, monkeypatch):
    """What it uses was changed, as in a notebook, and what it was made with is the same: that is code that changed."""

    def made(factor):
        @cache_with_checkpoint(id="x")
        def scaled(x):
            return factor * x + OFFSET

        return scaled

    first = made(2)
    assert first(1) == 2
    monkeypatch.setitem(globals(), "OFFSET", 10)
    with pytest.warns(CodeChangedWarning, match="OFFSET is different in"):
        assert made(2)(1) == 2
    assert made(2)(2) == 14
    with pytest.raises(UnstableIdError, match="two functions have the name"):
        made(3)(1)


def test_a_function_that_takes_the_place_of_another(memory):
    """A function that was defined anew, as in a notebook, is code that changed."""
    space = {}
    for number, body in enumerate(("x", "-x")):
        path = f"<cell {number}>"
        source = f"@keep(id='x')\ndef work(x):\n    return {body}\n"
        linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
        before = space.get("work")
        space |= {"keep": cache_with_checkpoint, "__name__": "notebook"}
        exec(compile(source, path, "exec"), space)
        if before is None:
            assert space["work"](1) == 1
    with pytest.warns(CodeChangedWarning):
        assert space["work"](1) == 1
    assert before(1) == 1


def test_each_of_many_results_is_run_again(tmp_path):
    """With "rerun", also those that are at hand already when they are asked for."""
    space, runs = {}, []

    def made(body):
        exec(f"def work(x):\n    runs.append(x)\n    return {body}", space | {"runs": runs}, space)
        return cache_with_checkpoint(id="x", name="work")(space["work"])

    for function, expected in ((made("x + 1"), 1), (made("x + 2"), 2)):
        settings = {"artifacts_dir": tmp_path, "on_code_change": "rerun"}
        with open_checkpoint("step", settings) as checkpoint, use_checkpoint(checkpoint):
            assert [function(x) for x in range(100)] == [x + expected for x in range(100)]
        assert runs == [*range(100)] * expected


def test_code_of_which_nothing_is_known(tmp_path):
    """Where the store does not tell what the code was, as after an import, the warning says so much as is known."""
    space = {}

    def made(body):
        exec(f"def work(x):\n    return {body}", space)
        return cache_with_checkpoint(id="x", name="work")(space["work"])

    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as checkpoint, use_checkpoint(checkpoint):
        made("x + 1")(1)
        store = checkpoint._engine._store
        store.delete([info.key for info in store.scan() if info.encoding == "code"])
        with pytest.warns(
            CodeChangedWarning, match="made: something in it, or in what it calls, is different. 1 of its 1"
        ):
            made("x + 2")(1)


@pytest.mark.parametrize("settings", [{}, {"encryption_key": "k" * 32}])
def test_a_map_tells_the_id(tmp_path, settings):
    """Where a map looks at many records unread, because some may have expired, the warning names the id all the same."""
    space = {}

    def made(body):
        exec(f"def work(x):\n    return {body}", space)
        return cache_with_checkpoint(id="x", name="work")(space["work"])

    config = {"artifacts_dir": tmp_path, "expires_seconds": 3600, **settings}
    with open_checkpoint("step", config) as checkpoint, use_checkpoint(checkpoint):
        made("x * 1")("an id")
        with pytest.warns(CodeChangedWarning, match="first for id 'an id'"):
            checkpoint.map(made("x * 2"), ["an id"]).drain()
