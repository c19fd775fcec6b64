"""A result that was made by other code is noticed: told, run again or ignored, as the settings say."""

import re

import pytest

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
        ({"body": "helper(x) + 0"}, "it was edited"),
        ({"body": "other(x)"}, "it was edited, app.other is used now, lib.helper is not used any more"),
        ({"helper": "x if SIZE else x"}, "lib.helper was edited"),
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
