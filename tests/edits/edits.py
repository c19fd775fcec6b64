"""Kinds of edit to a small project, and whether each must count as a change of the code that `work` runs.

The project stands in a folder, is run by one process, edited in place, and run by another: see `sides.py`.
"""

from typing import NamedTuple

PROJECT = {
    "app.py": '''\
"""An app."""
import datetime
import functools
import math

import tally
from lib import first
from lib import text as words
from lib.models import Answer, Kind, Options, Scaler, scaler
from lib.plain import LIMIT, PROMPT, STOP, TABLE, twice
from vendored import tidy

SIZE = 3
UNUSED = 1
OPTIONS = Options(width=2)
SINCE = datetime.date(2026, 1, 1)
KIND = Kind.ONE
table = {"b": 7}
_cache = {}


def fill(table):
    table["a"] = 8


def logged(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)

    return wrapper


def local(x, *, step=1):
    """Help."""
    # helps
    return x + step


def unrelated(x):
    return x


def recursive(x):
    return x if x < 1 else other_half(x - 1)


def other_half(x):
    return recursive(x - 1)


@functools.lru_cache(maxsize=8)
def kept(x):
    return x + 100


def make(n):
    def inner(x):
        return x * n

    return inner


tripled = make(3)
bound = functools.partial(local, step=2)


def around(options):
    def inside(x):
        return x * options["factor"]

    return inside


widened = around({"factor": 3})


@functools.singledispatch
def general(x):
    return x


@general.register
def _(x: int):
    return x + 5


squared = lambda x: x * x
HANDLERS = {"local": local, "twice": twice}


@logged
def wrapped(x):
    return x


class Worker(Scaler):
    """It works."""

    width = 4
    other = 5

    def run(self, x):
        return self.step(x) + self.scaled(x) + self.width + self.area

    def step(self, x):
        return x + 1

    @property
    def area(self):
        return 6

    @staticmethod
    def fixed(x):
        return x - 1

    def unused(self):
        return 0


# DECORATED
def work(x: int, size: int = 10) -> list:
    """Work."""
    # a comment
    tally.ran()
    total: int = x + SIZE + LIMIT
    _cache[x] = total
    texts = f"{PROMPT} {total:>5}"
    parts = [local(x), twice(x), first(x), words.clean(texts), STOP, TABLE["a"], tidy("a "), math.floor(1.5)]
    parts += [recursive(2), kept(1), tripled(2), bound(1), squared(3), HANDLERS["local"](1), wrapped(1)]
    parts += [Worker().run(x), Worker.fixed(1), Answer(1).doubled(), Kind.ONE.value, scaler.scaled(2)]
    parts += [OPTIONS.width, SINCE.year, KIND.name, table["b"], widened(1), general(1)]
    if total > 1000:
        return []
    from lib import later

    def nested(y):
        return y + size

    return [*parts, nested(1), later.on(x), sorted([3, 1], key=lambda y: -y)]
''',
    "lib/__init__.py": "from .deep import first\n",
    "lib/deep.py": """\
def first(x):
    return second(x)


def second(x):
    return x + 1
""",
    "lib/later.py": """\
STEP = 1


def on(x):
    return x + STEP


def off(x):
    return x - STEP
""",
    "lib/text.py": """\
import re

SPACES = re.compile(r"\\s+")


def clean(text):
    return SPACES.sub(" ", text)


def unused(text):
    return text
""",
    "lib/plain.py": """\
LIMIT = 10
PROMPT = "Summarize"
STOP = {"a", "the"}
TABLE = {"a": 1, "b": [2, 3]}
UNUSED = 1


def twice(x):
    return x * 2
""",
    "lib/models.py": """\
import dataclasses
import enum


class Scaler:
    factor = 2

    def scaled(self, x):
        return x * self.factor


@dataclasses.dataclass
class Answer:
    value: int = 0

    def doubled(self):
        return self.value * 2


@dataclasses.dataclass
class Options:
    width: int


class Kind(enum.Enum):
    ONE = 1
    TWO = 2


class Unused:
    size = 1


scaler = Scaler()
""",
    "site-packages/vendored.py": """\
VERSION = 1


def tidy(text):
    return text.strip()
""",
}


class Edit(NamedTuple):
    """One edit."""

    what: str
    counts: bool
    old: str
    new: str
    file: str = "app.py"


EDITS = [
    # of the function itself
    Edit("a number in the function", True, "1000", "1001"),
    Edit("a condition", True, "if total > 1000", "if total >= 1000"),
    Edit("an operator", True, "x + SIZE + LIMIT", "x + SIZE - LIMIT"),
    Edit("an added statement", True, "    tally.ran()\n", "    tally.ran()\n    x = abs(x)\n"),
    Edit("a removed statement", True, "    if total > 1000:\n        return []\n", ""),
    Edit(
        "the order of two statements",
        True,
        "    tally.ran()\n    total: int = x + SIZE + LIMIT\n",
        "    total: int = x + SIZE + LIMIT\n    tally.ran()\n",
    ),
    Edit("the text of an f-string", True, "{PROMPT} {total:>5}", "{PROMPT}: {total:>5}"),
    Edit("the format in an f-string", True, "{total:>5}", "{total:>6}"),
    Edit("a default value", True, "size: int = 10", "size: int = 11"),
    Edit("an added parameter", True, "size: int = 10)", "size: int = 10, more=1)"),
    Edit("a nested function", True, "return y + size", "return y - size"),
    Edit("a lambda inside it", True, "key=lambda y: -y", "key=lambda y: y"),
    Edit("a renamed local variable", True, "texts", "lines"),
    Edit("another function is called", True, "local(x), twice(x)", "unrelated(x), twice(x)"),
    # of what it calls
    Edit("a function of the same file", True, "return x + step", "return x - step"),
    Edit("a keyword's default in that function", True, "def local(x, *, step=1)", "def local(x, *, step=9)"),
    Edit("a function of another file", True, "return x * 2", "return x * 3", "lib/plain.py"),
    Edit(
        "a function imported through a package",
        True,
        "return second(x)",
        "return -second(x)",
        "lib/deep.py",
    ),
    Edit("a function that a called function calls", True, "return x + 1", "return x + 2", "lib/deep.py"),
    Edit(
        "a function of a module that is used by its name", True, 'SPACES.sub(" "', 'SPACES.sub("-"', "lib/text.py"
    ),
    Edit("one of two functions that call each other", True, "return recursive(x - 1)", "return recursive(x - 2)"),
    Edit("a function under functools.lru_cache", True, "return x + 100", "return x + 101"),
    Edit("the argument of a decorator", True, "maxsize=8", "maxsize=9"),
    Edit("a decorator's code", True, "return function(*args)", "return function(*args) or 0"),
    Edit("a removed decorator", True, "@logged\n", ""),
    Edit("what a closure was made with", True, "tripled = make(3)", "tripled = make(4)"),
    Edit("a dictionary that a closure was made with", True, '{"factor": 3}', '{"factor": 4}'),
    Edit("a closure's code", True, "return x * n", "return x + n"),
    Edit("an argument of functools.partial", True, "step=2", "step=3"),
    Edit("a function that is registered with functools.singledispatch", True, "return x + 5", "return x + 6"),
    Edit(
        "a function of a module that is imported within the function",
        True,
        "return x + STEP",
        "return x * STEP",
        "lib/later.py",
    ),
    Edit("a constant of such a module", True, "STEP = 1", "STEP = 2", "lib/later.py"),
    Edit("a lambda with a name", True, "squared = lambda x: x * x", "squared = lambda x: x ** 3"),
    Edit("a function in a dictionary", True, '{"local": local,', '{"local": unrelated,'),
    # of constants
    Edit("a constant of the same file", True, "SIZE = 3", "SIZE = 4"),
    Edit("a constant's type", True, "SIZE = 3", "SIZE = 3.0"),
    Edit("a constant of another file", True, "LIMIT = 10", "LIMIT = 11", "lib/plain.py"),
    Edit("a prompt", True, '"Summarize"', '"Translate"', "lib/plain.py"),
    Edit("a set of constants", True, '{"a", "the"}', '{"a", "an"}', "lib/plain.py"),
    Edit("a list in a dictionary", True, "[2, 3]", "[2, 4]", "lib/plain.py"),
    Edit("a constant that is an object of a dataclass", True, "Options(width=2)", "Options(width=3)"),
    Edit("a constant that is a date", True, "date(2026, 1, 1)", "date(2025, 1, 1)"),
    Edit("a constant that is an enum's member", True, "KIND = Kind.ONE", "KIND = Kind.TWO"),
    Edit("a constant of whose name functions have a local variable", True, '{"b": 7}', '{"b": 8}'),
    Edit("a regular expression", True, r'r"\s+"', r'r"\s"', "lib/text.py"),
    # of classes
    Edit(
        "a method called through self",
        True,
        "return x + 1\n\n    @property",
        "return x + 2\n\n    @property",
    ),
    Edit("an inherited method", True, "return x * self.factor", "return x + self.factor", "lib/models.py"),
    Edit("a class attribute", True, "width = 4", "width = 5"),
    Edit("an inherited attribute", True, "factor = 2", "factor = 3", "lib/models.py"),
    Edit("a property", True, "return 6", "return 7"),
    Edit("a static method", True, "return x - 1\n\n    def unused", "return x - 2\n\n    def unused"),
    Edit("a method of a dataclass", True, "return self.value * 2", "return self.value * 3", "lib/models.py"),
    Edit("a dataclass's field", True, "value: int = 0", "value: int = 1", "lib/models.py"),
    Edit("a field's type, where it is data", True, "value: int = 0", "value: float = 0", "lib/models.py"),
    Edit("an enum's value", True, "ONE = 1", "ONE = 3", "lib/models.py"),
    Edit("an uncalled method of a class that is used", True, "return 0", "return 1"),
    Edit("an unused class attribute of a class that is used", True, "other = 5", "other = 6"),
    Edit("another base class", True, "class Worker(Scaler):", "class Worker(Scaler, dict):"),
    # of what installed packages do: by name
    Edit("another function of a package", True, "math.floor", "math.ceil"),
    Edit(
        "a package's code",
        False,
        "return text.strip()",
        "return text.strip().lower()",
        "site-packages/vendored.py",
    ),
    # of looks
    Edit("a comment", False, "# a comment", "# another comment"),
    Edit("an added comment", False, "    tally.ran()\n", "    tally.ran()  # counted\n"),
    Edit("blank lines", False, "    tally.ran()\n", "    tally.ran()\n\n\n"),
    Edit("a docstring", False, '"""Work."""', '"""Work well."""'),
    Edit("a removed docstring", False, '    """Work."""\n', ""),
    Edit("a docstring of a called function", False, '"""Help."""', '"""Do help."""'),
    Edit("a docstring of a class", False, '"""It works."""', '"""It works well."""'),
    Edit("line breaks", False, "x + SIZE + LIMIT", "(\n        x\n        + SIZE\n        + LIMIT\n    )"),
    Edit("quotes", False, 'f"{PROMPT} {total:>5}"', "f'{PROMPT} {total:>5}'"),
    Edit("parentheses", False, "if total > 1000:", "if (total > 1000):"),
    Edit("annotations of parameters", False, "x: int, size: int = 10", "x, size = 10"),
    Edit("the annotation of the result", False, ") -> list:", "):"),
    Edit("the annotation of a local variable", False, "total: int = x", "total = x"),
    Edit("a number's spelling", False, "1000", "1_000"),
    Edit("pass", False, "    tally.ran()\n", "    tally.ran()\n    pass\n"),
    Edit("lines above the function", False, "# DECORATED", "def newcomer():\n    pass\n\n\n# DECORATED"),
    # of what it does not use
    Edit(
        "a function that is not called",
        False,
        "def unrelated(x):\n    return x",
        "def unrelated(x):\n    return -x",
    ),
    Edit(
        "an uncalled function of a file that is used",
        False,
        "    return text\n",
        "    return text[1:]\n",
        "lib/text.py",
    ),
    Edit(
        "a function that is not called, of a module that is imported within the function",
        False,
        "return x - STEP",
        "return -x",
        "lib/later.py",
    ),
    Edit(
        "a class that is not used",
        False,
        "class Unused:\n    size = 1",
        "class Unused:\n    size = 2",
        "lib/models.py",
    ),
    Edit("a constant that is not used", False, "UNUSED = 1", "UNUSED = 2", "lib/plain.py"),
    Edit("an added import", False, "import math\n", "import math\nimport os\n"),
    Edit("the order of imports", False, "import functools\nimport math\n", "import math\nimport functools\n"),
    Edit("the order of functions", False, "def unrelated(x):\n    return x\n\n\n", ""),
    Edit("a dictionary that functions fill", False, "_cache = {}", "_cache = {0: 1}"),
    # the same value, written otherwise
    Edit("a constant's expression", False, "SIZE = 3", "SIZE = 1 + 2"),
    Edit(
        "the order of a dictionary of constants",
        False,
        '{"a": 1, "b": [2, 3]}',
        '{"b": [2, 3], "a": 1}',
        "lib/plain.py",
    ),
    Edit("the order of a set", False, '{"a", "the"}', '{"the", "a"}', "lib/plain.py"),
]
