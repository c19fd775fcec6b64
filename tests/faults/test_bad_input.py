"""Bad input: no name or id escapes the folder, collides or crashes, and no result makes a call raise what it did not."""

import itertools
import os
import unicodedata
import warnings

import pytest
from harness import run

from skipstone import ConfigError, LoadWarning, SaveWarning, cache_with_checkpoint, open_checkpoint, use_checkpoint

NAMES = {
    "empty": "",
    "blank": " ",
    "10 kB": "x" * 10_000,
    "10 kB, another end": "x" * 9_999 + "y",
    "10 kB of four bytes each": "\U0001f600" * 2_500,
    "slash": "a/b",
    "escaped slash": "a%2fb",
    "backslash": "a\\b",
    "absolute": "/etc/passwd",
    "parent": "..",
    "grandparent": "../..",
    "into another": "../default",
    "here": ".",
    "three dots": "...",
    "NUL": "a\0b",
    "only NUL": "\0",
    "newline": "a\nb",
    "return": "a\r\nb",
    "escape": "\x1b[31mred",
    "lone surrogate": "a\ud800b",
    "another lone surrogate": "a\udfffb",
    "replacement": "a\ufffdb",
    "NFC": "caf\u00e9",
    "NFD": "cafe\u0301",
    "lower case": "case",
    "upper case": "CASE",
    "mixed case": "Case",
    "sharp s": "stra\u00dfe",
    "double s": "strasse",
    "dotless i": "\u0131",
    "trailing blank": "case ",
    "trailing dot": "case.",
    "leading dash": "-rf",
    "tilde": "~root",
    "star": "*",
    "device": "con",
    "quote": "a'b\"c",
    "marker": ".skipstone",
    "database": "records.sqlite3",
    "right to left": "a\u202eb",
    "uri": "file:x?mode=memory",
    "hash": "a#b?c",
}


def everything_below(folder):
    return [
        os.path.join(parent, name)
        for parent, folders, files in os.walk(os.fsencode(folder))
        for name in folders + files
    ]


def answer(value):
    return f"computed for {value!r}"


@pytest.fixture
def quiet():
    """No warning at all."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("what", ["index_name", "step"])
def test_names_of_folders(folder, what):
    """Each index or step name has records of its own, in a folder of its own, below the artifacts folder, on any file system."""
    names = [name for name in NAMES.values() if name or what == "index_name"]
    artifacts = os.path.join(folder, "inside/artifacts")
    for again in (False, True):
        for name in names:
            index, step = (name, "step") if what == "index_name" else ("default", name)
            with open_checkpoint(step, {"artifacts_dir": artifacts, "index_name": index}) as checkpoint:
                value = checkpoint.load_or_run(answer, "same id", "nobody" if again else name)
                assert value == answer(name), (name, again)
                assert checkpoint.stats().hits == again
    assert os.listdir(folder) == ["inside"]
    assert os.listdir(os.path.join(folder, "inside")) == ["artifacts"]
    assert os.listdir(artifacts) == ["checkpoint"]
    below = os.path.join(artifacts, "checkpoint", *([] if what == "index_name" else ["default"]))
    folders = [entry.name for entry in os.scandir(below) if entry.is_dir()]
    assert len([name for name in folders if not name.endswith("~runs")]) == len(names)
    assert len({unicodedata.normalize("NFKD", name).casefold() for name in folders}) == len(folders)
    for path in everything_below(folder):
        os.fsdecode(path).encode("ascii")
        assert len(os.path.basename(path)) < 200


def test_an_empty_step_name_is_refused(folder):
    """A step without a name is an error that says so, and makes no folder."""
    with pytest.raises(ConfigError, match="give the step a name"):
        open_checkpoint("", {"artifacts_dir": folder})
    assert os.listdir(folder) == []


@pytest.mark.usefixtures("quiet")
def test_ids(folder):
    """Each id has a result of its own, whatever it contains, in this process and after reopening."""
    ids = [
        *NAMES.values(),
        None,
        0,
        1,
        1.0,
        True,
        b"",
        b"\0",
        (),
        ("",),
        ("a", "b"),
        ("a,b",),
        ("a\ud800b",),
        {"\0": "\udfff"},
        float("nan"),
        -0.0,
        0.0,
    ]
    for again in (False, True):
        with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint:
            for id in ids:
                assert checkpoint.load_or_run(answer, id, "nobody" if again else id) == answer(id)
            assert checkpoint.stats().hits == (len(ids) if again else 0)
            assert len(list(checkpoint.records())) == len(ids)
    assert os.listdir(folder) == ["checkpoint"]


@pytest.mark.usefixtures("quiet")
def test_names_and_versions_of_functions(folder):
    """So has each name and each version of a function; listing and clearing one touches no other."""
    names = [name for name in NAMES.values() if name]
    pairs = [*((name, "1") for name in names), *(("f", name) for name in names)]

    def functions(tell):
        def compute(id):
            return tell

        return {
            (name, version): cache_with_checkpoint(id="id", name=name, version=version, on_code_change="ignore")(
                compute
            )
            for name, version in pairs
        }

    with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint, use_checkpoint(checkpoint):
        for pair in pairs:
            assert functions(pair)[pair]("id") == pair
    with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint, use_checkpoint(checkpoint):
        for pair in pairs:
            assert functions("nobody")[pair]("id") == pair
        for name in names:
            assert checkpoint.clear(name) == 1
    assert os.listdir(folder) == ["checkpoint"]


@pytest.mark.parametrize("id", [object(), iter(()), (1, object())], ids=["object", "iterator", "inside"])
def test_ids_without_content(folder, id):
    """What has no content to tell it by is refused as an id, before anything runs."""
    with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint:
        with pytest.raises(TypeError):
            checkpoint.load_or_run(answer, id, "never")
        assert checkpoint.stats().misses == 0


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    "name", ["with blank", "uri?mode=memory#x", "100%41", "caf\u00e9", "-dash", "undecodable-\udcff"]
)
def test_artifacts_folders(folder, name):
    """Any name of an artifacts folder that the system takes will do."""
    path = os.path.join(folder, name)
    for again in (False, True):
        with open_checkpoint("step", {"artifacts_dir": path}) as checkpoint:
            assert checkpoint.load_or_run(answer, "id", "nobody" if again else "me") == answer("me")
            large = checkpoint.load_or_run(bytes, "large", 0 if again else 100_000)
            assert len(large) == 100_000
    assert os.listdir(folder) == [name]


@pytest.mark.usefixtures("quiet")
def test_a_link_is_not_followed_out_of_the_names(folder):
    """Two artifacts folders that are one by a symbolic link share their records."""
    os.mkdir(f"{folder}/real")
    os.symlink("real", f"{folder}/link")
    for name, hits in (("real", 0), ("link", 1)):
        with open_checkpoint("step", {"artifacts_dir": f"{folder}/{name}"}) as checkpoint:
            assert checkpoint.load_or_run(answer, "id", "me") == answer("me")
            assert checkpoint.stats().hits == hits


class RefusesToPickle:
    """Raises while it is pickled."""

    def __reduce__(self):
        raise BufferError("no")


class RefusesToLoad:
    """Pickles, and raises while it is loaded."""

    def __reduce__(self):
        return _raise, ("no",)


class WrongWhenLoaded:
    """Pickles to what cannot be made."""

    def __reduce__(self):
        return int, ("no number",)


def _raise(text):
    raise BufferError(text)


def nested(depth=100_000):
    """Return a list in a list in a list …: deeper than pickle goes."""
    outer = []
    for _ in range(depth):
        outer = [outer]
    return outer


CANNOT_BE_PICKLED = {
    "lambda": lambda: lambda: 0,
    "generator": lambda: (number for number in range(3)),
    "lock": lambda: __import__("threading").Lock(),
    "local class": lambda: type("Local", (), {})(),
    "refuses": RefusesToPickle,
    "deep inside": lambda: {"fine": [1, {"not": lambda: 0}]},
    "too deep": nested,
}


@pytest.mark.parametrize("serializer", ["pickle", "msgpack", "json"])
@pytest.mark.parametrize("make", CANNOT_BE_PICKLED.values(), ids=CANNOT_BE_PICKLED)
def test_results_that_cannot_be_serialized(folder, make, serializer):
    """The result itself comes back, one warning names the function, and the next call runs again."""
    results = []

    def compute():
        results.append(make())
        return results[-1]

    with open_checkpoint("step", {"artifacts_dir": folder, "serializer": serializer}) as checkpoint:
        with pytest.warns(SaveWarning, match="compute") as caught:
            for number in range(3):
                assert checkpoint.load_or_run(compute, number) is results[number]
        assert len(caught) == 1
        assert checkpoint.stats().not_saved == 3
    while results and isinstance(results[-1], list):  # a deep list can only be freed from outside
        results[-1] = results[-1][0] if results[-1] else None


@pytest.mark.parametrize("kind", [RefusesToLoad, WrongWhenLoaded])
def test_results_that_pickle_but_do_not_unpickle(folder, kind):
    """A stored result that cannot be loaded is told of, and the call runs again; it never raises."""
    ran = []

    def compute():
        ran.append(1)
        return kind()

    for _ in range(3):
        with (
            open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint,
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("always")
            assert type(checkpoint.load_or_run(compute, "id")) is kind
    assert len(ran) == 3
    assert [warning.category for warning in caught] in ([LoadWarning], [LoadWarning, SaveWarning])
    assert "compute" in str(caught[0].message)


class CannotBeTold(Exception):
    """An error that raises when it is asked what it says."""

    def __str__(self):
        raise BufferError("no")


@pytest.mark.parametrize(
    "error",
    [
        CannotBeTold(),
        ValueError("a\ud800b\0"),
        ValueError("x" * 1_000_000),
        ExceptionGroup("two", [OSError(1), KeyError(2)]),
    ],
    ids=["cannot be told", "surrogate", "long", "group"],
)
def test_errors_of_any_kind(folder, error):
    """An error of the call itself comes through as it is, whatever it says, and the failure is noted."""

    def compute():
        raise error

    with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint:
        for _ in range(2):
            with pytest.raises(type(error)) as caught:
                checkpoint.load_or_run(compute, "id")
            assert caught.value is error
        (failure,) = checkpoint.failures()
        assert failure.attempts == 2


CLASS = "class Result:\n    def __init__(self, value):\n        self.value = value\n"
PIPELINE = """
import sys, warnings
from skipstone import init_checkpoint, cache_with_checkpoint
import {module}

@cache_with_checkpoint(id="id", name="compute", on_code_change="ignore")
def compute(id):
    print("ran")
    return {module}.{name}(id)

init_checkpoint("step", {{}})
for id in ("a", "b"):
    assert compute(id).value == id
"""


@pytest.mark.parametrize(
    ("module", "name"), [("elsewhere", "Result"), ("results", "Renamed"), ("elsewhere", "Renamed")]
)
def test_a_class_that_moved_or_vanished(script, module, name):
    """Results of a class that is not where it was are told of and computed again, then found."""
    script.write("results.py", CLASS)
    script.write("pipeline.py", PIPELINE.format(module="results", name="Result"))
    assert script("pipeline.py").stdout.split() == ["ran", "ran"]
    script.write("results.py", "")
    script.write(f"{module}.py", CLASS.replace("Result", name))
    script.write("pipeline.py", PIPELINE.format(module=module, name=name))
    after = script("pipeline.py", warnings="always")
    assert after.stdout.split() == ["ran", "ran"]
    assert after.stderr.count("LoadWarning") >= 1
    assert "Result" in after.stderr
    again = script("pipeline.py")
    assert again.stdout.split() == []


def test_a_class_that_came_to_need_more(script):
    """Results whose class now refuses their state are told of and computed again."""
    script.write("results.py", CLASS)
    script.write("pipeline.py", PIPELINE.format(module="results", name="Result"))
    script("pipeline.py")
    script.write("results.py", CLASS + "    def __setstate__(self, state):\n        raise KeyError('newer')\n")
    after = script("pipeline.py", warnings="always")
    assert after.stdout.split() == ["ran", "ran"]
    assert "newer" in after.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{}, {"signing_key": "secret"}, {"durability": "power"}], ids=["", "signed", "power"]
)
def test_a_large_result_takes_its_size_once_more(folder, settings):
    """Saving 300 MB takes at most 300 MB more memory at its peak, and so does loading them."""
    size = 300_000_000
    answer = run("large_result", folder=folder, size=size, settings=settings)
    most = size + 40_000_000
    assert answer["right"]
    assert answer["saving_bytes"] < most
    assert run("large_result", folder=folder, size=size, settings=settings)["loading_bytes"] < size + most


def test_all_names_differ():
    """The names of this file are all different, as they must be for what it shows."""
    assert len(set(NAMES.values())) == len(NAMES)
    for one, other in itertools.combinations(NAMES.values(), 2):
        assert one != other
