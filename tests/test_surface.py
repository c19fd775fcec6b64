"""What is public is listed, typed, quick to import, and travels between processes."""

import pickle
import sys
import types
from importlib import resources

import pytest

import skipstone
from skipstone import _errors, stores, testing

ERRORS = [
    thing for thing in vars(_errors).values() if isinstance(thing, type) and issubclass(thing, BaseException)
]


@pytest.mark.parametrize("package", [skipstone, stores, testing])
def test_all_is_sorted_and_complete(package):
    """`__all__` lists every public name of the package once, in order, and nothing else."""
    public = {
        name
        for name in dir(package)
        if name[0] != "_" and not isinstance(getattr(package, name), types.ModuleType)
    }
    assert set(package.__all__) == public
    assert package.__all__ == sorted(package.__all__, key=lambda name: (not name.isupper(), name))
    assert len(set(package.__all__)) == len(package.__all__)


def test_only_listed_modules_are_public():
    """All modules are private by name but `cli`, `stores`, `testing` and `web`."""
    modules = {name for name, thing in vars(skipstone).items() if isinstance(thing, types.ModuleType)}
    assert {name for name in modules if not name.startswith("_")} <= {"cli", "stores", "testing", "web"}


@pytest.mark.parametrize("name", skipstone.__all__)
def test_public_names_say_where_they_are(name):
    """Tracebacks and documentation show `skipstone.<name>`, and each has documentation."""
    thing = getattr(skipstone, name)
    assert (thing.__module__, thing.__qualname__) == ("skipstone", name)
    assert thing.__doc__
    assert pickle.loads(pickle.dumps(thing)) is thing


def test_every_error_is_public():
    """Every error and warning of the library can be imported, and derives from one of two bases."""
    assert {error.__name__ for error in ERRORS} <= set(skipstone.__all__)
    for error in ERRORS:
        assert issubclass(error, (skipstone.SkipstoneError, skipstone.SkipstoneWarning))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_errors_pickle(error):
    """Every error survives the way from a worker process, with its text, its notes and what it carries."""
    made = error("what happened")
    made.result = {"answer": 42}
    made.add_note("a note")
    copy = pickle.loads(pickle.dumps(made))
    assert (type(copy), str(copy), copy.args) == (error, "what happened", ("what happened",))
    assert (copy.result, copy.__notes__) == ({"answer": 42}, ["a note"])
    assert "__init__" not in vars(error)


@pytest.mark.parametrize(
    ("error", "base"),
    [
        ("ConfigError", ValueError),
        ("IdExpressionError", ValueError),
        ("UnstableIdError", TypeError),
        ("ReentrantCallError", RuntimeError),
        ("ClaimTimeoutError", TimeoutError),
        ("StoreUnavailableError", ConnectionError),
        ("UnsafeStoreError", PermissionError),
        ("MissingExtraError", ImportError),
        ("StoreFormatError", skipstone.StoreError),
        ("DamagedRecordWarning", skipstone.LoadWarning),
        ("SkipstoneWarning", UserWarning),
    ],
)
def test_errors_are_what_they_are_called(error, base):
    """An error that is one of Python's kinds can be caught as such."""
    assert issubclass(getattr(skipstone, error), base)


def test_a_name_that_is_not_there():
    """It is told as by any module, though some names are imported only when they are asked for."""
    name = "MapResult"
    with pytest.raises(AttributeError, match="module 'skipstone' has no attribute 'MapResult'"):
        getattr(skipstone, name)


HEAVY = [
    "msgspec",
    "tqdm",
    "asyncio",
    "inspect",
    "dataclasses",
    "numpy",
    "pandas",
    "json",
    "pathlib",
    "zstandard",
    "ast",
    "typer",
    "rich",
    "tomllib",
]


def test_importing_is_light(script):
    """Importing skipstone imports none of the modules that are slow to import and not always needed."""
    code = "import sys; before = set(sys.modules); import skipstone; print(*sorted(set(sys.modules) - before))"
    imported = set(script("-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {code}").stdout.split())
    assert "skipstone" in imported
    if sys.version_info >= (3, 14):
        imported.discard("ast")  # any class of named tuples imports it
    assert imported & {*HEAVY, "skipstone._maps._map", "skipstone._maps._map_async"} == set()


def test_using_it_is_light(script):
    """Nor does keeping and finding results of plain calls need any of the large ones."""
    script.write(
        "app.py",
        """
        import sys
        from skipstone import cache_with_checkpoint, init_checkpoint

        @cache_with_checkpoint
        def work(x):
            return [x]

        init_checkpoint("step")
        assert work(1) == work(1) == [1]
        print(*sorted(sys.modules))
        """,
    )
    imported = set(
        script("-S", "-c", f"import sys; sys.path[:0] = {['', *sys.path]!r}; import app").stdout.split()
    )
    assert "skipstone" in imported
    assert imported & {"msgspec", "tqdm", "asyncio", "numpy", "pandas", "zstandard", "multiprocessing"} == set()


def test_it_is_typed():
    """The package says that it has types."""
    assert resources.files("skipstone").joinpath("py.typed").is_file()


def test_elsewhere_it_says_what_to_do(script):
    """On Windows the import fails with a message that says what to do."""
    done = script("-c", "import sys; sys.platform = 'win32'; import skipstone", check=False)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: skipstone runs on Linux and macOS; on Windows, use it in WSL"
    )
