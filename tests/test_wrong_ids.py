"""Ids that another process would not make again are refused, at decoration or at the first call."""

# ruff: noqa: DTZ005, DTZ011, NPY002 - what is refused

import datetime as dt
import itertools
import os
import random
import secrets
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import pytest

from skipstone import IdExpressionError, UnstableIdError, cache_with_checkpoint, register_id
from skipstone._functions._canonical import canonical

KINDS = {"a": "one"}


@dataclass
class Document:
    id: str
    text: str = "a text"


def ask(doc):
    return doc


@pytest.mark.parametrize(
    "id",
    [
        lambda doc: hash(doc.text),
        lambda doc: f"{doc.id}-{id(doc)}",
        lambda doc: (doc.id, random.random()),
        lambda doc: random.choice(doc.text),
        lambda doc: [secrets.token_hex() for _ in range(3)],
        lambda doc: str(uuid.uuid4()),
        lambda doc: time.time(),
        lambda doc: time.time_ns() // 10**12,
        lambda doc: dt.datetime.now().isoformat(),
        lambda doc: dt.date.today(),
        lambda doc: os.urandom(8),
        lambda doc: os.getpid(),
        lambda doc: np.random.rand(),
    ],
)
def test_a_callable_that_asks_for_what_changes(id):
    """A callable that uses a hash, an address, the time or chance is refused at decoration, and named."""
    with pytest.raises(
        IdExpressionError, match=r"the id of a call of .*\.ask may not depend on [a-z_.0-9]+: its value differs"
    ):
        cache_with_checkpoint(id=id)(ask)


def test_a_map_s_callable_is_refused_as_well(memory):
    """So is one that is given to a map."""
    with pytest.raises(IdExpressionError, match="may not depend on hash"):
        memory.map(ask, ["a"], id=lambda doc: hash(doc))


@pytest.mark.parametrize(
    "id",
    [
        lambda doc: str(uuid.UUID(int=len(doc.text))),
        lambda doc: str(uuid.uuid5(uuid.NAMESPACE_URL, doc.text)),
        lambda doc: dt.datetime.fromisoformat("2026-11-24"),
        lambda doc: random.Random(doc.text).random(),
        lambda doc: np.random.default_rng(17).random(),
        lambda doc: KINDS["a"] + doc.id,
        lambda doc: [hash for hash in doc.id],
        lambda doc: time.strftime("%Y", time.struct_time((2026, 1, 1, 0, 0, 0, 0, 1, 0))),
    ],
)
def test_a_callable_that_is_always_the_same(memory, id):
    """What is seeded, parsed or derived from the arguments may be used."""
    work = cache_with_checkpoint(id=id)(ask)
    assert work(Document("a")) == work(Document("a"))
    assert memory.stats().hits == 1


@pytest.mark.parametrize(
    "expression", ["hash(doc.text)", "id(doc)", "time()", "random.random()", "uuid4()", "datetime.now()"]
)
def test_an_expression_cannot_ask_for_what_changes(expression):
    """An expression has its parameters, and builtins that depend on their arguments alone."""
    with pytest.raises(IdExpressionError, match="does not fit"):
        cache_with_checkpoint(id=expression)(ask)


numbers = itertools.count()


class Clock:
    @property
    def now(self):
        return next(numbers)


@pytest.mark.parametrize("way", ["call", "map", "coroutine", "each"])
def test_an_id_that_is_another_when_it_is_made_again(memory, way):
    """The id of the first call is made twice; where that gives two ids, no call is run."""
    import asyncio

    ran = []

    @cache_with_checkpoint(id="clock.now")
    def work(clock):
        ran.append(clock)

    @cache_with_checkpoint(id="clock.now")
    async def later(clock):
        ran.append(clock)

    @cache_with_checkpoint(id="clock.now", each="clocks")
    def many(clocks):
        ran.append(clocks)

    with pytest.raises(UnstableIdError, match=r"made twice from the same arguments, is '\d+' and then '\d+'"):
        {
            "call": lambda: work(Clock()),
            "map": lambda: list(memory.map(work, [Clock()])),
            "coroutine": lambda: asyncio.run(later(Clock())),
            "each": lambda: many([Clock()]),
        }[way]()
    assert ran == []


def test_an_id_that_uses_an_iterator_up(memory):
    """An id that reads an argument to its end leaves nothing for the function."""
    work = cache_with_checkpoint(id="list(doc)")(ask)
    with pytest.raises(UnstableIdError, match="uses an iterator up"):
        work(iter("abc"))


def test_an_id_is_made_once_after_the_first_call(memory):
    """Only the first call of a process makes its id twice."""
    made = []

    @cache_with_checkpoint(id=lambda doc: made.append(doc) or doc)
    def work(doc):
        return doc

    for doc in "abca":
        work(doc)
    assert made == ["a", "a", "b", "c", "a"]


@pytest.mark.parametrize(
    "make", [lambda text: (1, text), lambda text: {"a": [text]}, lambda text: {text: 1}, lambda text: [[text]]]
)
def test_an_address_within_an_id(memory, make):
    """The default repr of an object is found within tuples, lists and dictionaries, too."""

    class Client:
        __module__ = "app"
        __qualname__ = "Client"

    call_id = make(str(Client()))
    with pytest.raises(
        UnstableIdError, match=r"the id '<app.Client object at 0x[0-9a-f]+>' of a call of .*ask has the address"
    ):
        memory.load_or_run(ask, call_id, 1)
    with pytest.raises(UnstableIdError, match="has the address"):
        list(memory.map(ask, [1], id=lambda doc: call_id))


@pytest.mark.parametrize("wrap", [str, lambda line: (1, line), lambda line: {"line": line}])
def test_an_address_in_the_data(memory, wrap):
    """A text that was given is data, whatever stands in it: a line of a log, a docstring."""
    line = "ERROR in <Task finished at 0x7f3a00c0ffee>"
    assert memory.load_or_run(ask, wrap(line), wrap(line)) == memory.load_or_run(ask, wrap(line), wrap(line))
    assert list(memory.map(ask, [wrap(line)])) == [wrap(line)]
    assert memory.stats().hits == 1


@pytest.mark.parametrize("id", ["'k'", "None", "(1, 2)", ["doc"], 3])
def test_an_id_without_a_parameter(id):
    """An id that is the same for all calls is refused at decoration, and so is what is no expression."""
    with pytest.raises(IdExpressionError, match="it mentions no parameter|give an expression such as"):
        cache_with_checkpoint(id=id, name="app.ask")(lambda doc: doc)


@pytest.mark.parametrize("argument", ["a long text", Document("doc-1", "a long text")])
def test_the_hash_of_a_text(memory, argument):
    """The hash of a text among the arguments is no id: it is another number in each process."""
    with pytest.raises(
        UnstableIdError, match=r"is hash\('a long text'\), which is another number in each process"
    ):
        memory.load_or_run(ask, hash("a long text"), argument)
    assert memory.load_or_run(ask, 1 << 40, argument) == argument


def test_parameters_that_do_not_matter(memory):
    """With `ignore`, the id is the content of all other arguments."""

    @cache_with_checkpoint(ignore=("logger", "client"))
    def work(question, *, client=None, logger=None):
        return question

    @cache_with_checkpoint(ignore="logger")
    def other(question, logger):
        return question

    assert work("a") == work("a", client=object()) == work(question="a", logger=print)
    assert other("a", 1) == other("a", lambda: 2)
    assert (memory.stats().misses, memory.stats().hits) == (2, 3)
    assert list(memory.map(work, ["a", "b"])) == ["a", "b"]
    assert (memory.stats().misses, memory.stats().hits) == (3, 4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ignore": ["loger"]}, r"ignore='loger' does not fit .*ask\(doc\): there is no such parameter"),
        (
            {"ignore": "doc", "id": "doc.id"},
            r"ignore=\('doc',\) does not fit .*ask\(doc\): it is for an id that is the content",
        ),
        ({"ignore": "doc", "id": ask}, "leave these parameters out of the id"),
    ],
)
def test_ignore_that_does_not_fit(options, said):
    """A name that is no parameter, and an id that says itself what matters, are refused at decoration."""
    with pytest.raises(IdExpressionError, match=said):
        cache_with_checkpoint(**options)(ask)


class Client:
    def __init__(self, name):
        self.name = name


class Special(Client):
    pass


class Table(OrderedDict):
    pass


def test_a_registered_type(memory):
    """What is registered for a type identifies its objects, and those of its subclasses, as `__skipstone_id__` would."""
    work = cache_with_checkpoint(ask)
    with pytest.raises(UnstableIdError, match=r"register_id\(Client, \.\.\.\)"):
        work(Client("a"))
    register_id(Client, lambda client: client.name)
    one = work(Client("a"))
    assert work(Client("a")).name == one.name == "a"
    assert memory.stats().hits == 1
    work(Client("b"))
    work(Special("a"))
    assert (memory.stats().misses, memory.stats().hits) == (3, 1)

    class Declared:
        __module__, __qualname__ = Client.__module__, "Client"

        def __skipstone_id__(self):
            return "a"

    assert canonical(Declared()) == canonical(Client("a"))


def test_a_type_that_is_registered_after_its_use():
    """What was in use before is registered anew, and so are its subclasses."""
    before = canonical(Table(a=1)), canonical(OrderedDict(a=1))
    register_id(Table, lambda table: sorted(table))
    assert canonical(Table(a=1)) != before[0]
    assert canonical(Table(a=1)) == canonical(Table(a=2))
    assert canonical(OrderedDict(a=1)) == before[1]
