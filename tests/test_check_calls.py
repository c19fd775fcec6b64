"""`check_calls` and `audit` find misuse: each find is a warning that names function, id and cure. Without them, nothing is checked."""

import asyncio
import itertools
import json
import warnings
from dataclasses import dataclass

import pytest

from skipstone import (
    AuditWarning,
    ChangedArgumentWarning,
    ChangedGlobalWarning,
    Checkpoint,
    CheckWarning,
    DifferentArgumentsWarning,
    RoundTripWarning,
    cache_with_checkpoint,
    get_checkpoint,
    note,
    open_checkpoint,
    use_checkpoint,
)
from skipstone.stores import MemoryStore

CHECKED = {"check_calls": True}


@pytest.fixture
def checked(tmp_path):
    """A checkpoint that checks calls."""
    with open_checkpoint("step", {"artifacts_dir": tmp_path, **CHECKED}) as checkpoint, use_checkpoint(checkpoint):
        yield checkpoint


@dataclass
class Document:
    id: str
    text: str


class Model:
    """A class of somebody else's, without a canonical form."""

    def __init__(self, name):
        self.name = name
        self._client = object()
        self.calls = 0


@cache_with_checkpoint(id="doc.id")
def embed(doc, embedding_model="small", *, logger=None):
    return [doc.text, str(embedding_model)]


def found(category, call):
    """Return the messages of what a call warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    assert {each.category for each in caught} <= {category}
    return [str(each.message) for each in caught]


def test_an_argument_that_the_id_does_not_mention(checked):
    """One id for different arguments: the message names the parameter, its values, the function, the id and the cure."""
    doc = Document("doc-1", "a")
    embed(doc)
    embed(doc)
    (told,) = found(DifferentArgumentsWarning, lambda: embed(doc, "large"))
    assert told == (
        f"{__name__}.embed, called for id 'doc-1': embedding_model differs (it was 'small' and is 'large') from the call "
        "whose result is stored under this id, but the id does not mention it. To mend it: let the id mention what the "
        "result depends on; where that is nothing of this, filter this warning"
    )
    assert found(DifferentArgumentsWarning, lambda: embed(doc, "large")) == []  # once is enough
    assert (checked.stats().hits, checked.stats().misses) == (3, 1)


def test_a_part_that_the_id_does_not_mention(checked):
    """An argument of which the id mentions a part, and another part differs."""
    embed(Document("doc-1", "a"))
    (told,) = found(DifferentArgumentsWarning, lambda: embed(Document("doc-1", "changed")))
    assert (
        "doc differs from the call whose result is stored under this id, of which the id mentions a part only"
        in told
    )


def test_objects_without_a_form_are_told_apart_by_their_names(checked):
    """Where an object has no canonical form, its type and public texts tell; counters and private parts do not."""
    doc = Document("doc-1", "a")
    small = Model("small")
    embed(doc, small)
    small.calls += 1
    small._client = object()
    embed(doc, small)
    (told,) = found(DifferentArgumentsWarning, lambda: embed(doc, Model("large")))
    assert ": embedding_model differs from the call" in told


@pytest.mark.parametrize("each", [None, "docs"])
@pytest.mark.parametrize("way", ["call", "map"])
def test_lists_and_maps_are_checked_too(checked, each, way):
    """The calls of a map, and the items of a function with `each`, are compared like single calls."""
    if each:

        @cache_with_checkpoint(id="doc.id", each="docs")
        def work(docs):
            return [doc.text for doc in docs]

        def ask(docs):
            return work(docs) if way == "call" else list(get_checkpoint().map(work, docs))
    else:

        @cache_with_checkpoint(id="doc.id")
        def work(doc):
            return doc.text

        def ask(docs):
            return [work(doc) for doc in docs] if way == "call" else list(get_checkpoint().map(work, docs))

    docs = [Document(f"doc-{number}", "a") for number in range(5)]
    assert ask(docs) == ["a"] * 5
    assert ask(docs) == ["a"] * 5
    docs[3].text = "changed"
    (told,) = found(DifferentArgumentsWarning, lambda: ask(docs))
    assert "called for id 'doc-3'" in told
    assert (checked.stats().misses, checked.stats().hits) == (5, 10)


def test_load_or_run_is_checked(checked):
    """A call that gives its id itself is compared as well, by the names of the parameters."""

    def ask(question, temperature=0):
        return question

    checked.load_or_run(ask, "q", "what")
    (told,) = found(DifferentArgumentsWarning, lambda: checked.load_or_run(ask, "q", "what", temperature=1))
    assert "temperature differs (it was 0 and is 1)" in told
    assert "and the id is the same" in told


def test_earlier_records_are_compared(tmp_path):
    """What a run without `check_calls` has stored is compared as well: each record tells its arguments."""
    doc = Document("doc-1", "a")
    with open_checkpoint("step", {"artifacts_dir": tmp_path}) as checkpoint, use_checkpoint(checkpoint):
        embed(doc)
        assert found(CheckWarning, lambda: embed(doc, "large")) == []
    with open_checkpoint("step", {"artifacts_dir": tmp_path, **CHECKED}) as checkpoint, use_checkpoint(checkpoint):
        assert len(found(DifferentArgumentsWarning, lambda: embed(doc, "large"))) == 1


def test_what_does_not_matter_is_not_compared(checked):
    """Parameters in `ignore` may differ."""

    @cache_with_checkpoint(ignore=("logger",))
    def work(x, logger):
        return x

    assert work(1, "one logger") == 1
    assert work(1, "another") == 1
    assert checked.stats().hits == 1


def test_an_argument_changed_in_place(checked):
    """A function that changes its argument is told: a hit will not do that."""

    @cache_with_checkpoint(id="chunk['id']")
    def title(chunk, others=()):
        chunk["title"] = "a title"

    (told,) = found(ChangedArgumentWarning, lambda: title({"id": 1}))
    assert told.partition(": ")[2] == (
        "it changed its argument chunk in place, which a stored result will not do again. To mend it: return what is "
        "new, and let the caller put it where it belongs"
    )
    assert found(ChangedArgumentWarning, lambda: title({"id": 2})) == []


def test_coroutine_functions_are_checked(checked):
    """Async calls are checked like others."""

    @cache_with_checkpoint(id="key")
    async def later(key, things):
        things.append(key)
        return key

    (told,) = found(ChangedArgumentWarning, lambda: asyncio.run(later("a", [])))
    assert "changed its argument things in place" in told
    (told,) = found(DifferentArgumentsWarning, lambda: asyncio.run(later("a", [1, 2])))
    assert "things differs (it was [] and is [1, 2])" in told


class Half:
    """Loses a part on the way to the store."""

    def __init__(self, text):
        self.text, self.lock = text, "a lock"

    def __getstate__(self):
        return {"text": self.text}


class Careless:
    """A serializer that changes what it is given."""

    name = "careless"

    def dumps(self, value, result_type):
        return [json.dumps(value).encode()]

    def loads(self, payload, result_type):
        return json.loads(bytes(payload))


@pytest.mark.parametrize(
    ("settings", "value", "said"),
    [
        ({}, Half("a"), "result.lock is missing"),
        ({}, [{"a": Half("a")}], "result[0]['a'].lock is missing"),
        ({"serializer": Careless()}, {"a": (1, 2)}, "result['a'] was a tuple and is a list"),
        ({"serializer": Careless()}, {"a": [1, {2: 3}]}, "result['a'][1][2] is missing"),
    ],
)
def test_a_result_that_comes_back_otherwise(settings, value, said):
    """A result that does not survive its way to the store and back is told, with the part that does not."""

    @cache_with_checkpoint(id="0")
    def work():
        return value

    with use_checkpoint(Checkpoint(MemoryStore(), {**CHECKED, **settings})):
        told = found(RoundTripWarning, work)
    assert f"its result does not come back from the store as it was: {said}. To mend it:" in told[0]


@pytest.mark.parametrize(
    "value", [None, float("nan"), {1: {2}}, Document("a", "b"), Model("a"), object, [1.5, -0.0]]
)
def test_a_result_that_comes_back_as_it_was(checked, value):
    """Equal content is equal, whoever compares; objects that know no equality are compared by their parts."""
    if isinstance(value, Model):
        value._client = None

    @cache_with_checkpoint(id="0")
    def work():
        return value

    work()
    work()
    assert (checked.stats().misses, checked.stats().hits) == (1, 1)


audits = itertools.count()


@cache_with_checkpoint(id="key")
def unsteady(key):
    return {"number": next(audits), "key": key}


@cache_with_checkpoint(id="key")
async def unsteady_later(key):
    return {"number": next(audits), "key": key}


@pytest.mark.parametrize("settings", [{"audit": 1}, {"audit": 1.0, **CHECKED}])
@pytest.mark.parametrize("ask", [unsteady, lambda key: asyncio.run(unsteady_later(key))])
def test_an_audit_finds_what_is_not_the_same(settings, ask):
    """A hit that is run again and differs is told, and where; the stored result is what is returned and stays."""
    with use_checkpoint(Checkpoint(MemoryStore(), settings)) as checkpoint:
        first = ask("a")
        (told,) = found(AuditWarning, lambda: ask("a"))
        assert f"result['number'] was {first['number']} and is {first['number'] + 1}. To mend it:" in told
        with warnings.catch_warnings(action="ignore"):
            assert ask("a") == first
        assert (checkpoint.stats().hits, checkpoint.stats().misses) == (2, 1)


def test_an_audit_that_raises_disturbs_nobody():
    """A call that raises when it is run again is told; the stored result is returned, and no failure is noted."""
    works = [True]

    @cache_with_checkpoint(id="0")
    def work():
        if not works.pop():
            raise ValueError("no")
        return 1

    with use_checkpoint(Checkpoint(MemoryStore(), {"audit": 1})) as checkpoint:
        assert work() == 1
        works.append(False)
        (told,) = found(AuditWarning, lambda: works.append(work()))
        assert "raised ValueError: no" in told
        assert works == [1]
        assert list(checkpoint.failures()) == []


def test_an_audit_samples():
    """With a share, about that many hits are run again."""
    ran = []

    @cache_with_checkpoint(id="0")
    def work():
        ran.append(1)

    with use_checkpoint(Checkpoint(MemoryStore(), {"audit": 0.2})):
        for _ in range(1000):
            work()
        get_checkpoint().map(lambda_free, range(10)).drain()
    assert 100 < len(ran) < 320


def test_an_audit_runs_nothing_else_again():
    """Neither a hit that comes after a miss is run again for that, nor a call that has just been rerun, or expired."""
    ran = []

    @cache_with_checkpoint(id="x")
    def work(x):
        ran.append(x)

    @cache_with_checkpoint(id="x", expires_seconds=0.0)
    def fleeting(x):
        ran.append(x)

    with use_checkpoint(Checkpoint(MemoryStore(), {"audit": 1e-9})):
        work(0)
        for x in range(1, 10):
            work(x)
            work(0)
        work.rerun(0)
        assert ran == [*range(10), 0]
    with use_checkpoint(Checkpoint(MemoryStore(), {"audit": 1.0})):
        work(0)
        work.rerun(0)
        fleeting(1)
        fleeting(1)
        assert ran[11:] == [0, 0, 1, 1]


@pytest.mark.parametrize("settings", [CHECKED, {"audit": 1.0}])
def test_what_is_rerun_is_told_of_nothing_else(settings):
    """Where a call is rerun although its code changed, nobody says that the result from before is returned."""
    space = {}

    def made(body):
        exec(f"def work(x):\n    return {body}", space)
        return cache_with_checkpoint(id="x", name="work")(space["work"])

    with use_checkpoint(Checkpoint(MemoryStore(), settings)):
        assert made("x + 1")(1) == 2
        assert made("x + 2").rerun(1) == 3


@pytest.mark.parametrize("is_async", [False, True])
def test_what_an_audit_notes_is_nobody_s(is_async):
    """What a call notes when it is run again for an audit is told nowhere, not even as a note without effect."""

    @cache_with_checkpoint(id="0")
    def ask():
        note(tokens=5)

    @cache_with_checkpoint(id="0")
    async def ask_later():
        note(tokens=5)

    @cache_with_checkpoint(id="x")
    def around(x):
        asyncio.run(ask_later()) if is_async else ask()

    with use_checkpoint(Checkpoint(MemoryStore(), {"audit": 1})) as checkpoint:
        around(0)
        around(1)
        asyncio.run(ask_later()) if is_async else ask()
        assert checkpoint.stats().notes_spent == {"tokens": 5}
        assert [record.notes for record in checkpoint.records(around)] == [{}, {}]


@cache_with_checkpoint
def lambda_free(x):
    return x


MODEL = {"name": "small"}


@dataclass
class Settings:
    prompt: str


settings = Settings("Summarize")
_filled = {}


def configure(name):
    global MODEL
    MODEL = {"name": name}


@cache_with_checkpoint(id="x")
def reads(x):
    _filled[x] = x
    return MODEL["name"], settings.prompt, len(_filled)


def test_a_global_that_has_another_value(checked, monkeypatch):
    """A variable that functions set, or an object's content, which a function reads and no argument tells of, is named."""
    reads(1)
    reads(2)
    assert found(ChangedGlobalWarning, lambda: reads(1)) == []  # what the function fills itself is its own affair
    configure("large")
    (told,) = found(ChangedGlobalWarning, lambda: reads(1))
    assert told.partition(": ")[2] == (
        f"it reads the variable {__name__}.MODEL, which has another value than when the result was made. To mend it: pass "
        "its value as an argument that the id mentions"
    )
    configure("small")
    monkeypatch.setattr(settings, "prompt", "Translate")
    (told,) = found(ChangedGlobalWarning, lambda: reads(2))
    assert f"{__name__}.settings" in told


def test_a_hit_is_not_checked_without_the_setting(memory):
    """Without `check_calls` no argument is looked at on a hit: not even one that cannot be."""

    class Untouchable:
        def __getattribute__(self, name):
            raise AssertionError("it was looked at")

    @cache_with_checkpoint(id="key")
    def work(key, thing):
        return key

    work("a", None)
    work("a", Untouchable())
    assert memory.stats().hits == 1


def test_an_argument_that_cannot_be_looked_at_disturbs_nobody(memory):
    """What is told of arguments never stands in a call's way."""

    class Odd:
        def __skipstone_id__(self):
            raise ValueError("no")

    @cache_with_checkpoint(id="key")
    def work(key, *things, **named):
        return key

    loop = []
    loop.append(loop)
    assert work("a", Odd(), loop, lambda: 1, odd=Odd(), huge=list(range(10_000))) == "a"
    (info,) = memory.records()
    assert info.arguments["key"].text == "'a'"
    assert info.arguments["huge"].digest is None
