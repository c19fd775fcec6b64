"""A fingerprint changes when the code that a function runs does, and never otherwise."""

from __future__ import annotations

import collections
import concurrent.futures
import datetime as dt
import functools
import importlib
import importlib.util
import inspect
import itertools
import json
import linecache
import os
import pathlib
import shutil
import subprocess
import sys
import textwrap
import threading
import types
import warnings
from typing import TYPE_CHECKING

import pytest

import skipstone
from skipstone._functions._code import code_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_numbers = itertools.count()


def fingerprint(function: Callable[..., object]) -> bytes:
    return code_of(function).fingerprint


PROJECT = {
    "app.py": '''
        """An app."""
        import functools
        import math
        import os.path
        import pathlib
        import re

        from lib import settings, shared as helper
        from lib.models import DEFAULTS, Counted, Options
        from lib.models import Base, Item, Shape, client

        LIMIT = 10
        NAMES = {"a", "b", "c"}
        TABLE = {"one": 1, "two": [1, 2.5, None]}
        WORD = re.compile(r"\\w+", re.I)
        UNUSED = 1
        shadowed = 1
        shared_name = {"k": 1}
        OPTIONS = Options(0.1)
        PLACES = {"here": pathlib.Path("a")}
        _cache = {}
        _model = None


        def log_calls(function):
            @functools.wraps(function)
            def wrapper(*args):
                return function(*args)

            return wrapper


        def plain(text: str, size: int = 3) -> str:
            """Say it."""
            # a comment
            total: int = size + LIMIT
            return f"{text!r:>{total}} of {settings.PROMPT}"


        def even(n):
            return n == 0 or odd(n - 1)


        def odd(n):
            return n != 0 and even(n - 1)


        def helped(x):
            return helper(x) + settings.nested(x)


        def unrelated():
            return 1


        def fetch_model():
            global _model
            _model = _model or object()
            _cache["model"] = _model
            return LIMIT


        def uses_names(x):
            return x in NAMES and TABLE[x] and WORD.match(x)


        def has_locals(shadowed, LIMIT):
            UNUSED = shadowed
            return [LIMIT for LIMIT in range(UNUSED)]


        @log_calls
        def logged(x):
            return x


        @functools.lru_cache(maxsize=3)
        def kept(x):
            return helper(x)


        bound = functools.partial(helper, 3, key="k")
        HANDLERS = {"help": helper, "even": even}


        def dispatch(kind, x):
            return HANDLERS[kind](bound(x))


        def make(n):
            def inner(x):
                return helper(x) * n

            return inner


        tripled = make(3)
        squared = lambda x: x * x


        class Worker(Base):
            """It works."""

            size = 4
            other = 5

            def __init__(self):
                self.name = "w"

            def run(self, x):
                return self.step(x) + self.inherited(x) + self.size + self.__hidden() + len(self.name)

            def step(self, x):
                return x + 1

            def __hidden(self):
                return 6

            def unused(self):
                return 0

            @classmethod
            def build(cls, x):
                return cls()

            @property
            def area(self):
                return self.size

            def measured(self):
                return self.area + super().inherited(1)


        def makes(x):
            return Item(x)


        def picks(x):
            return Shape.ROUND, client.call(x), Worker.step


        def uses_objects():
            return OPTIONS.share, DEFAULTS.options.share, PLACES["here"], counted(1), settings.LIMITS[0]


        @Counted
        def counted(x):
            return x


        def fills_others_of_the_name(shared_name):
            shared_name["k"] = 2
            OPTIONS = []
            OPTIONS.append(1)

            def inner():
                shared_name.update(OPTIONS)

            return inner


        def reads_shared_name():
            return shared_name["k"]


        def imports(x):
            import lib.deep
            from lib import late, settings as s
            from lib.late import CACHE, Late as Later, math

            return lib.deep.shared(x), late.work(x), s.nested(x), Later(x).run(), math.pi, CACHE


        @functools.singledispatch
        def general(x):
            return x


        @general.register
        def _(x: int):
            return x + 5


        def uses_general(x):
            return general(x)


        def made_around(value):
            def inner():
                return value

            return inner


        def foreign(x):
            return math.floor(x), os.path.join("a", x)


        async def many(x, *, key=LIMIT):
            with open(x) as file:
                pass
            try:
                match x:
                    case {"a": [first, *others], **rest}:
                        return lambda y: (y, first, others, rest)
            except ValueError as error:
                raise RuntimeError from error
            finally:
                del x
            return {**{1: 2}, "k": [i async for i in key]} if key[1:2, ...] else -1e400
        ''',
    "lib/__init__.py": """
        from .deep import shared
        """,
    "lib/deep.py": """
        def shared(x, key=None):
            return deeper(x)


        def deeper(x):
            return x + 1
        """,
    "lib/settings.py": """
        import collections

        PROMPT = "Summarize"


        def nested(x):
            return x - 1


        LIMITS = collections.deque([1, 2])
        """,
    "lib/late.py": """
        import math

        from . import deep
        from .deep import *

        FACTOR = 3
        CACHE = {}


        def work(x):
            CACHE[x] = x
            return deeper(x) * FACTOR + deep.shared(x)


        class Late:
            def __init__(self, x):
                self.x = x

            def run(self):
                return self.x + 11


        def not_used(x):
            return x
        """,
    "lib/models.py": """
        import dataclasses
        import enum


        class Base:
            def inherited(self, x):
                return x


        @dataclasses.dataclass
        class Item:
            value: int = 0

            def doubled(self):
                return self.value * 2


        class Shape(enum.Enum):
            ROUND = 1
            FLAT = 2


        @dataclasses.dataclass
        class Options:
            share: float


        @dataclasses.dataclass
        class Defaults:
            options: Options


        DEFAULTS = Defaults(options=Options(0.5))


        class Counted:
            def __init__(self, function):
                self.function = function
                self.calls = 0

            def __call__(self, *args):
                self.calls += 1
                return self.function(*args)


        class Client:
            def call(self, x):
                return x


        client = Client()
        """,
}


@pytest.fixture
def load(tmp_path: pathlib.Path) -> Iterator[Callable[..., types.ModuleType]]:
    """Write the project with one edit made to it, and import its `app`, apart from all earlier ones."""
    path, modules = list(sys.path), set(sys.modules)

    def load(file: str = "app.py", old: str = "", new: str = "") -> types.ModuleType:
        for name in set(sys.modules) - modules:
            if name.partition(".")[0] in {"app", "lib"}:
                del sys.modules[name]
        folder = tmp_path / str(next(_numbers))
        for name, text in PROJECT.items():
            source = textwrap.dedent(text)
            if name == file:
                assert not old or source.count(old) == 1, f"the edit of {old!r} is not unique"
                source = source.replace(old, new) if old else source
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(source, encoding="utf-8")
        sys.path[:] = [str(folder), *path]
        importlib.invalidate_caches()
        return importlib.import_module("app")

    yield load
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] in {"app", "lib"}:
            del sys.modules[name]


def find(module: types.ModuleType, name: str) -> Callable[..., object]:
    found: object = module
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)
    return found


CHANGES = [
    ("plain", "app.py", "size + LIMIT", "size - LIMIT"),
    ("plain", "app.py", "of {settings", "for {settings"),
    ("plain", "app.py", "{text!r:>", "{text!s:>"),
    ("plain", "app.py", "{text!r:>", "{text!r:<"),
    ("plain", "app.py", "size: int = 3", "size: int = 4"),
    ("plain", "app.py", "text: str, size", "size, text"),
    ("plain", "app.py", "LIMIT = 10", "LIMIT = 11"),
    ("plain", "app.py", "LIMIT = 10", "LIMIT = 10.0"),
    ("plain", "app.py", "LIMIT = 10", "LIMIT = '10'"),
    ("plain", "lib/settings.py", '"Summarize"', '"Translate"'),
    ("even", "app.py", "n != 0", "n > 0"),
    ("helped", "lib/deep.py", "x + 1", "x + 2"),
    ("helped", "lib/deep.py", "key=None", "key=0"),
    ("helped", "lib/settings.py", "x - 1", "x - 2"),
    ("fetch_model", "app.py", "LIMIT = 10", "LIMIT = 11"),
    ("uses_names", "app.py", '"b", "c"}', '"b", "d"}'),
    ("uses_names", "app.py", '"two": [1, 2.5, None]', '"two": [1, 2.5, 0]'),
    ("uses_names", "app.py", '"two": [1, 2.5, None]', '"two": (1, 2.5, None)'),
    ("uses_names", "app.py", 'r"\\w+"', 'r"\\d+"'),
    ("uses_names", "app.py", ", re.I)", ")"),
    ("logged", "app.py", "return function(*args)", "return function(*args) or 1"),
    ("logged", "app.py", "@log_calls\n", ""),
    ("kept", "app.py", "maxsize=3", "maxsize=4"),
    ("kept", "lib/deep.py", "x + 1", "x + 2"),
    ("bound", "app.py", "helper, 3", "helper, 4"),
    ("bound", "app.py", 'key="k"', 'key="l"'),
    ("bound", "lib/deep.py", "x + 1", "x + 2"),
    ("dispatch", "app.py", 'helper, "even": even', 'even, "even": helper'),
    ("dispatch", "app.py", "n != 0", "n > 0"),
    ("dispatch", "app.py", "helper, 3", "helper, 4"),
    ("tripled", "app.py", "make(3)", "make(4)"),
    ("tripled", "app.py", "helper(x) * n", "helper(x) + n"),
    ("tripled", "lib/deep.py", "x + 1", "x + 2"),
    ("make", "app.py", "helper(x) * n", "helper(x) + n"),
    ("squared", "app.py", "x * x", "x ** x"),
    ("Worker.run", "app.py", "return x + 1", "return x + 2"),
    ("Worker.run", "app.py", "size = 4", "size = 5"),
    ("Worker.run", "app.py", "return 6", "return 7"),
    (
        "Worker.run",
        "lib/models.py",
        "def inherited(self, x):\n        return x",
        "def inherited(self, x):\n        return -x",
    ),
    (
        "Worker.measured",
        "lib/models.py",
        "def inherited(self, x):\n        return x",
        "def inherited(self, x):\n        return -x",
    ),
    ("Worker.measured", "app.py", "size = 4", "size = 5"),
    ("Worker.build", "app.py", "return x + 1", "return x + 2"),
    ("Worker", "app.py", "return x + 1", "return x + 2"),
    ("makes", "lib/models.py", "self.value * 2", "self.value * 3"),
    ("makes", "lib/models.py", "value: int", "value: float"),
    ("makes", "lib/models.py", "@dataclasses.dataclass\nclass Item", "class Item"),
    ("picks", "lib/models.py", "ROUND = 1", "ROUND = 3"),
    ("picks", "lib/models.py", "def call(self, x):\n        return x", "def call(self, x):\n        return -x"),
    ("picks", "app.py", "return x + 1", "return x + 2"),
    ("uses_objects", "app.py", "Options(0.1)", "Options(0.2)"),
    ("uses_objects", "app.py", 'Path("a")', 'Path("b")'),
    ("uses_objects", "app.py", "def counted(x):\n    return x", "def counted(x):\n    return -x"),
    ("uses_objects", "lib/models.py", "Options(0.5)", "Options(0.6)"),
    ("uses_objects", "lib/models.py", "return self.function(*args)", "return self.function(args)"),
    ("uses_objects", "lib/settings.py", "deque([1, 2])", "deque([1, 3])"),
    ("reads_shared_name", "app.py", '{"k": 1}', '{"k": 2}'),
    ("imports", "lib/late.py", "* FACTOR", "+ FACTOR"),
    ("imports", "lib/late.py", "FACTOR = 3", "FACTOR = 4"),
    ("imports", "lib/late.py", "self.x + 11", "self.x + 12"),
    ("imports", "lib/late.py", "import math", "import cmath as math"),
    ("imports", "lib/deep.py", "x + 1", "x + 2"),
    ("imports", "lib/settings.py", "x - 1", "x - 2"),
    ("uses_general", "app.py", "x + 5", "x + 6"),
    ("foreign", "app.py", "math.floor", "math.ceil"),
    ("foreign", "app.py", "import math\n", "import cmath as math\n"),
    ("many", "app.py", "as file:", "as other:"),
    ("many", "app.py", "del x", "pass"),
    ("many", "app.py", "[1:2, ...]", "[1::2, ...]"),
    ("many", "app.py", "**rest}:", "**more}:"),
    ("many", "app.py", "async for", "for"),
    ("many", "app.py", "{**{1: 2}", "{True: {1: 2}"),
    ("many", "app.py", "{**{1: 2}", "{None: {1: 2}"),
    ("many", "app.py", "*, key=LIMIT", "*, key"),
    ("many", "app.py", "*, key=LIMIT", "*, key=None"),
    ("many", "app.py", "LIMIT = 10", "LIMIT = 11"),
]

SAME = [
    ("plain", "app.py", "# a comment\n", "# another comment\n\n\n"),
    ("plain", "app.py", '"""Say it."""', '"""Say it well."""'),
    ("plain", "app.py", '"""Say it."""\n', "\n"),
    ("plain", "app.py", "text: str, size: int = 3) -> str", "text, size=3)"),
    ("plain", "app.py", "total: int = size + LIMIT", "total = (\n        size\n        + LIMIT\n    )"),
    (
        "plain",
        "app.py",
        'return f"{text!r:>{total}} of {settings.PROMPT}"',
        "return (f'{text!r:>{total}}'\n        f' of {settings.PROMPT}')",
    ),
    ("plain", "app.py", "def log_calls", "def first():\n    pass\n\n\ndef log_calls"),
    ("plain", "app.py", "LIMIT = 10", "LIMIT = 5 + 5"),
    ("plain", "app.py", "LIMIT = 10", "LIMIT: int = 0x0A  # ten"),
    ("plain", "app.py", "def unrelated():\n    return 1", "def unrelated():\n    return 2"),
    ("plain", "app.py", "UNUSED = 1", "UNUSED = 2"),
    ("plain", "lib/settings.py", "x - 1", "x - 2"),
    (
        "plain",
        "app.py",
        "def plain(",
        "cache_with_checkpoint = lambda id: lambda function: function\n\n\n@cache_with_checkpoint(id='text')\ndef plain(",
    ),
    ("helped", "lib/deep.py", "def deeper", "# moved\n\n\ndef deeper"),
    ("helped", "lib/__init__.py", "from .deep import shared", "from .deep import deeper, shared"),
    ("fetch_model", "app.py", "_cache = {}", "_cache = {1: 2}"),
    ("fetch_model", "app.py", "_model = None", "_model = 1"),
    ("uses_names", "app.py", '{"a", "b", "c"}', '{"c", "b", "a"}'),
    ("uses_names", "app.py", '{"one": 1, "two": [1, 2.5, None]}', '{"two": [1, 2.5, None], "one": 1}'),
    ("has_locals", "app.py", "LIMIT = 10", "LIMIT = 11"),
    ("has_locals", "app.py", "shadowed = 1", "shadowed = 2"),
    ("has_locals", "app.py", "UNUSED = 1", "UNUSED = 2"),
    ("kept", "app.py", "return n == 0", "return n < 1"),
    ("tripled", "app.py", "x * x", "x ** x"),
    ("Worker.run", "app.py", "other = 5", "other = 6"),
    ("Worker.run", "app.py", "return 0", "return 1"),
    ("Worker.run", "app.py", '"""It works."""', '"""It does."""'),
    ("Worker.build", "app.py", '"""It works."""', ""),
    ("makes", "lib/models.py", "FLAT = 2", "FLAT = 3"),
    ("foreign", "app.py", "def foreign(x):", "def foreign(x) -> tuple[int, str]:"),
    ("imports", "lib/late.py", "def not_used(x):\n    return x", "def not_used(x):\n    return -x"),
    ("imports", "lib/late.py", "CACHE = {}", "CACHE = {1: 2}"),
    ("imports", "lib/late.py", "def work(x):\n", "def work(x):\n    # works\n"),
    ("many", "app.py", "with open(x) as file:\n        pass", "with open(x) as file:\n        ..."),
]


@pytest.mark.parametrize(("name", "file", "old", "new"), CHANGES)
def test_edit_of_code_changes_it(
    load: Callable[..., types.ModuleType], name: str, file: str, old: str, new: str
) -> None:
    """An edit that can change the result changes the fingerprint."""
    assert fingerprint(find(load(), name)) != fingerprint(find(load(file, old, new), name))


@pytest.mark.parametrize(("name", "file", "old", "new"), SAME)
def test_edit_of_looks_does_not(
    load: Callable[..., types.ModuleType], name: str, file: str, old: str, new: str
) -> None:
    """An edit that cannot change the result does not change the fingerprint."""
    assert fingerprint(find(load(), name)) == fingerprint(find(load(file, old, new), name))


WRITE_ALL = """
import json, os, sys, types
alone = sys.modules["alone"] = types.ModuleType("alone")  # other versions have no libraries
alone.__path__ = [sys.argv[1]]
sys.modules["xxhash"] = types.SimpleNamespace(xxh3_128_digest=None)
from alone._functions._code import code_of
sys.path.insert(0, sys.argv[2])
import app
names = [name for name, value in sorted(vars(app).items()) if getattr(value, "__module__", "") == "app"]
print(json.dumps({name: code_of(getattr(app, name)).fingerprint.hex() for name in [*names, "bound"]}))
"""


def fingerprints(folder: str, python: str = sys.executable, hash_seed: str = "0") -> dict[str, str]:
    """Fingerprints of everything in the project's `app`, made by another process."""
    command = [python, "-c", WRITE_ALL, os.path.dirname(skipstone.__file__), folder]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONDONTWRITEBYTECODE": "1"}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    found: dict[str, str] = json.loads(output)
    assert len(found) > 20
    return found


def other_pythons() -> list[str]:
    versions = pathlib.Path.home() / ".pyenv" / "versions"
    found = [
        *versions.glob("3.11.*/bin/python"),
        *versions.glob("3.12.*/bin/python"),
        *versions.glob("3.13.*/bin/python"),
    ]
    found += [pathlib.Path(path) for name in ("python3.12", "python3.13") if (path := shutil.which(name))]
    working = []
    for python in found:
        asked = subprocess.run(
            [python, "-c", "import sys; print(sys.version_info[1])"], check=False, capture_output=True
        )
        if asked.returncode == 0 and int(asked.stdout) != sys.version_info[1]:
            working.append(str(python))
    return working


def test_hash_seed_does_not_matter(load: Callable[..., types.ModuleType]) -> None:
    """Processes with different string hashes make the same fingerprints, equal to those made here."""
    module = load()
    folder = os.path.dirname(str(module.__file__))
    first = fingerprints(folder, hash_seed="0")
    assert first == fingerprints(folder, hash_seed="1")
    assert first == {name: fingerprint(getattr(module, name)).hex() for name in first}


VERSIONED = r"""
import json
from pathlib import Path
from os.path import join
import datetime, decimal, enum, fractions, pathlib, typing, uuid
class Kind(enum.Enum):
    ONE = 1
class Point(typing.NamedTuple):
    x: int
FIXED = [Path("a"), decimal.Decimal("0.10"), datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)]
FIXED += [fractions.Fraction(1, 3), Kind.ONE, Point(1), range(3), pathlib.PureWindowsPath("a"), uuid.UUID(int=1)]
def fixed():
    import json.decoder, lib.deep as d
    from lib.models import Item as Thing
    return FIXED, d.shared, json.decoder.JSONDecoder, Thing, OBJECT
def texts(x, w, d):
    a = f"a{x!r:>{w}}b{{c}} {x = } {d['k']:{w}.{w}} {f'{x}' 'y'}" "tail" f""
    b = f"{x:{w}}{w:}" rf"\d{x:\d}" f"\N{BULLET}{x:%H:%M}" u"u"
    return a, b, -1, 1_000, 0x10, 1e400, 1j, "é😀\U0001fae8", b"\xff", ..., Path(x), join(x, w), json.dumps(x)
class Generic(dict):
    "doc"
    a: "int" = 1
    def m(self): return [self.a for self.b in self] or {**self} or (lambda *a, b=1, **k: (a, b, k))
OBJECT = Generic(a=[2])
async def waits(x):
    try:
        async with x as y, y: return [z async for z in y if await z]
    except* ValueError as e: raise
def matches(x):
    match x:
        case {"a": 1 | 2 as b, **c} if b: return c
        case [Path(), *_] | None: return x[1:2, ...]
        case _: return (yield from x) or (yield)
"""


@pytest.mark.parametrize("python", other_pythons() or [None])
def test_python_version_does_not_matter(python: str | None, load: Callable[..., types.ModuleType]) -> None:
    """Every Python version makes the same fingerprints, whatever its syntax trees look like."""
    if python is None:
        pytest.skip("no other version of Python is installed here")
    folder = pathlib.Path(str(load().__file__)).parent
    source = (folder / "app.py").read_text(encoding="utf-8")
    (folder / "app.py").write_text(source + VERSIONED, encoding="utf-8")
    assert fingerprints(str(folder), python) == fingerprints(str(folder))


def test_script_and_module_agree(load: Callable[..., types.ModuleType]) -> None:
    """A file that runs as a script makes the fingerprints that it makes when it is imported."""
    module = load()
    folder = pathlib.Path(str(module.__file__)).parent
    text = (folder / "app.py").read_text(encoding="utf-8") + textwrap.dedent("""
        if __name__ == "__main__":
            from skipstone._functions._code import code_of
            print(*[code_of(function).fingerprint.hex() for function in (helped, Worker.run, picks)])
        """)
    (folder / "app.py").write_text(text, encoding="utf-8")
    output = subprocess.run(
        [sys.executable, "app.py"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    assert output.split() == [fingerprint(f).hex() for f in (module.helped, module.Worker.run, module.picks)]


def test_installed_code_counts_by_name(tmp_path: pathlib.Path, load: Callable[..., types.ModuleType]) -> None:
    """A library in site-packages may change without changing the fingerprint of what calls it."""
    seen = []
    for number, place in ((1, "site-packages"), (2, "site-packages"), (1, "src"), (2, "src")):
        path = tmp_path / f"{place}-{number}" / place / "library.py"
        path.parent.mkdir(parents=True)
        path.write_text(f"def work(x):\n    return x + {number}\n", encoding="utf-8")
        module = load("app.py", "math.floor(x)", "library.work(x)")
        spec = importlib.util.spec_from_file_location("library", path)
        assert spec is not None
        assert spec.loader is not None
        module.library = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module.library)
        seen.append(fingerprint(module.foreign))
    assert seen[0] == seen[1]
    assert seen[2] != seen[3]


def test_decorated_is_the_plain_function(load: Callable[..., types.ModuleType]) -> None:
    """A wrapper that is not the project's own has the fingerprint of what it wraps."""
    module = load()
    namespace: dict[str, object] = {"__name__": "skipstone._decorator", "functools": functools}
    exec(
        "def keep(f):\n    @functools.wraps(f)\n    def wrapper(*a):\n        return f(*a)\n    return wrapper",
        namespace,
    )
    keep = namespace["keep"]
    assert callable(keep)
    assert fingerprint(keep(module.helped)) == fingerprint(module.helped)
    assert fingerprint(functools.lru_cache(module.helped)) != fingerprint(functools.lru_cache(module.even))


def test_lambdas_on_one_line_count_together(tmp_path: pathlib.Path) -> None:
    """Which of two lambdas on a line is meant cannot be told, so that a change of either counts."""
    seen = []
    for second in ("x + 2", "x + 3"):
        path = tmp_path / f"lambdas_{len(seen)}.py"
        path.write_text(f"pair = lambda x: x + 1, lambda x: {second}\n", encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        seen.append(fingerprint(module.pair[0]))
    assert seen[0] != seen[1]


def cell(number: int, source: str, namespace: dict[str, object]) -> None:
    """Run a source as a notebook runs a cell."""
    name = f"<ipython-input-{number}-{next(_numbers)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    exec(compile(source, name, "exec"), namespace)


def test_notebook_cells_are_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions and classes of a notebook, which has no file, are followed from cell to cell."""
    seen = []
    for number in (1, 1, 2):
        main = types.ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", main)
        cell(1, f"def helper(x):  # {len(seen)}\n    return x + {number}\n", vars(main))
        cell(2, f"class Model:\n    def __init__(self):\n        self.x = {number}\n", vars(main))
        cell(3, "def first(x):\n    return helper(x)\n\ndef second():\n    return Model()\n", vars(main))
        seen.append((fingerprint(vars(main)["first"]), fingerprint(vars(main)["second"])))
    assert seen[0] == seen[1]
    assert seen[0][0] != seen[2][0]
    assert seen[0][1] != seen[2][1]


def test_code_without_source_is_told_apart() -> None:
    """Functions made by `exec` are known by the names and constants of their code."""

    def made(source: str) -> bytes:
        namespace: dict[str, object] = {"__name__": "made"}
        exec(source, namespace)
        function = namespace["f"]
        assert callable(function)
        return fingerprint(function)

    assert made("def f(x): return g(x, 1)") == made("# moved\n\ndef f(x): return g(x, 1)")
    sources = ["g(x, 1)", "g(x, 2)", "h(x, 1)", "[y + 'k' for y in g(x, 1)]", "[y + 'l' for y in g(x, 1)]"]
    assert len({made(f"def f(x): return {source}") for source in sources}) == len(sources)


def test_docstrings_of_code_without_source_do_not_count() -> None:
    """Python 3.13 strips their indentation: a function of `exec` has one fingerprint, whatever version compiles it."""

    def made(first: str) -> bytes:
        namespace: dict[str, object] = {"__name__": "made"}
        body = (
            f"    {first}\n    def g(y):\n        {first}\n        return y, 'k'\n    return g(x), (lambda: 'l')"
        )
        exec(f"def f(x):\n{body}", namespace)
        function = namespace["f"]
        assert callable(function)
        return fingerprint(function)

    doc = "One.\n\n        Two.\n        "
    assert len({made(first) for first in (repr(doc), repr(inspect.cleandoc(doc)), "'Other.'", "pass")}) == 1


class Explosive:
    """Raises at whatever one asks of it."""

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(name)

    def __call__(self) -> None:
        """Raise."""
        raise RuntimeError

    def __hash__(self) -> int:
        raise RuntimeError

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __repr__(self) -> str:
        raise RuntimeError


cyclic: list[object] = [1]
cyclic.append({"again": cyclic})
huge = 1 << 100_000


def refers() -> object:
    return cyclic, huge


def unassigned() -> Callable[..., object]:
    def inner() -> object:
        return later

    if inner is None:
        later = 1
    return inner


ANYTHING = [
    len,
    str.upper,
    [].append,
    dict,
    int.__add__,
    os.path.join,
    functools.partial(len),
    functools.cached_property,
    type,
    object(),
    types.MethodType(lambda self: 1, 3),
    refers,
    unassigned(),
    unassigned,
    functools.singledispatch(refers),
    sys.modules[__name__],
    None,
    3,
    "text",
    threading.Thread,
    types.SimpleNamespace(__wrapped__=refers),
    types.new_class("Made"),
    collections.namedtuple("P", "x y"),  # noqa: PYI024
    eval("lambda: 0"),
    json.JSONEncoder().encode,
    property(len),
    staticmethod(len),
    pytest.raises,
    importlib.import_module,
    Ellipsis,
]


@pytest.mark.parametrize("thing", ANYTHING, ids=lambda thing: type(thing).__name__)
def test_never_raises(thing: object) -> None:
    """Anything that can be called has a fingerprint, and nothing of the user's runs to make it."""
    found = fingerprint(thing)  # type: ignore[arg-type]
    assert len(found) == 8
    assert found == fingerprint(thing)  # type: ignore[arg-type]


def test_nothing_of_the_users_runs(load: Callable[..., types.ModuleType]) -> None:
    """Objects are known by their classes; not even `__class__` is asked of them."""
    module = load()
    module.settings = Explosive()
    for function in (module.plain, module.helped, Explosive(), functools.partial(print, sep=Explosive())):
        assert len(fingerprint(function)) == 8


def test_foreign_functions_are_told_apart() -> None:
    """Functions without a source in the project are known by module and name."""
    assert len({fingerprint(f) for f in (len, print, os.path.join, json.dumps, json.loads, str.upper)}) == 6


def test_depth_of_expression_and_stack_do_not_matter(tmp_path: pathlib.Path) -> None:
    """A tree deeper than the recursion limit is read whole, from however deep a call."""
    seen = set()
    for last in ("x", "x", "y"):
        path = tmp_path / f"deep_{len(list(tmp_path.iterdir()))}.py"
        path.write_text(f"def f(x):\n    return {'x + ' * 1500}{last}\n", encoding="utf-8")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)

        def deeper(function: Callable[..., object], depth: int) -> bytes:
            return deeper(function, depth - 1) if depth else fingerprint(function)

        seen.add(fingerprint(module.f))
        assert deeper(module.f, 500) in seen
    assert len(seen) == 2


def test_file_edited_after_first_look_is_not_read_again(load: Callable[..., types.ModuleType]) -> None:
    """Who edits a file while its functions run sees the fingerprints of what runs, until a reload."""
    module = load()
    path = pathlib.Path(str(module.__file__))
    before = fingerprint(module.plain)
    path.write_text(path.read_text(encoding="utf-8").replace("size + LIMIT", "size * LIMIT"), encoding="utf-8")
    assert fingerprint(module.plain) == before
    importlib.invalidate_caches()
    os.utime(path, (1, 1))  # or the bytecode cache, which knows seconds only, may be taken for fresh
    assert fingerprint(importlib.reload(module).plain) != before


def test_threads_agree(load: Callable[..., types.ModuleType]) -> None:
    """Threads that ask at once get the same fingerprint, and leave the warning filters alone."""
    module = load()
    filters = list(warnings.filters)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = set(pool.map(fingerprint, [module.helped] * 64))
    assert len(found) == 1
    assert list(warnings.filters) == filters


def test_closures_of_one_function_differ(load: Callable[..., types.ModuleType]) -> None:
    """What a nested function was given counts: by value if it is constant, by code if it is a function."""
    make = load().make
    assert fingerprint(make(3)) == fingerprint(make(3))
    assert len({fingerprint(make(n)) for n in (3, 4, "3", len, None)}) == 5


def test_objects_around_a_function_count(load: Callable[..., types.ModuleType]) -> None:
    """What a nested function has around it counts by its content, if that cannot change."""
    around = load().made_around
    some = [pathlib.Path("a"), pathlib.Path("b"), collections.namedtuple("P", "x")(1), dt.date(2026, 1, 1)]  # noqa: PYI024
    assert len({fingerprint(around(value)) for value in some}) == len(some)
    assert fingerprint(around(pathlib.Path("a"))) == fingerprint(around(pathlib.Path("a")))


def test_a_checkpoint_does_not_count(load: Callable[..., types.ModuleType]) -> None:
    """The settings of a checkpoint that a function uses are no code of it."""
    old, new = "def foreign(x):\n    return math", "def foreign(x):\n    return checkpoint, math"
    made = "import skipstone\n\ncheckpoint = skipstone.NullCheckpoint({!r})\n\n\n"
    one, other = (load("app.py", old, made.format(name) + new) for name in ("one", "other"))
    assert fingerprint(one.foreign) == fingerprint(other.foreign)


def test_what_is_imported_does_not_matter(load: Callable[..., types.ModuleType]) -> None:
    """A module that a function imports counts in the same way before and after that, and is not imported for it."""
    module = load()
    before = fingerprint(module.imports)
    assert "lib.late" not in sys.modules
    module.imports(1)
    assert "lib.late" in sys.modules
    assert fingerprint(module.imports) == before
