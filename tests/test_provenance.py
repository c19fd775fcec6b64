"""Each record tells where it comes from; a rerun call's earlier results can be kept; listings become tables."""

import os
import sys
import time
from dataclasses import dataclass

import pytest

from skipstone import (
    Checkpoint,
    MissingExtraError,
    cache_with_checkpoint,
    get_checkpoint,
    open_checkpoint,
    register_id,
    use_checkpoint,
)
from skipstone.stores import MemoryStore

HISTORY = {"keep_history": True}


@dataclass
class Document:
    id: str
    text: str


class Model:
    def __init__(self, name):
        self.name = name

    def __repr__(self):
        raise AssertionError("nobody asks")


@cache_with_checkpoint(id="doc.id", version=3)
def embed(model, doc, *rest, size=10, api_key=None, auth_token="", max_tokens=5, **more):
    return doc.text


@pytest.fixture(params=[{}, {"encryption_key": "0123456789abcdef0123456789abcdef"}], ids=["plain", "encrypted"])
def local(tmp_path, request):
    if request.param:
        pytest.importorskip("cryptography")
    settings = {"artifacts_dir": tmp_path, **HISTORY, **request.param}
    with open_checkpoint("step", settings) as checkpoint, use_checkpoint(checkpoint):
        yield checkpoint


def local_key(checkpoint):
    (info,) = checkpoint.records()
    return info.key


def test_a_record_tells_its_call(local):
    """Code, version, arguments, run, host, process, time and duration; what is secret by its name is not told."""
    before = time.time()
    embed(
        Model("small"),
        Document("doc-1", "a" * 1000),
        "more",
        [1, "2"],
        size=20,
        api_key="sk-1",
        auth_token="t",
        x=None,
    )
    (info,) = local.records(embed)
    assert (info.function, info.version, info.call_id) == (f"{__name__}.embed", "3", "doc-1")
    assert (info.host, info.process) == (os.uname().nodename, os.getpid())
    assert len(info.code) == 8
    assert before <= info.created_at_seconds <= time.time()
    assert info.duration_seconds >= 0
    assert {name: argument.text for name, argument in info.arguments.items()} == {
        "model": f"<{__name__}.Model>",
        "doc": f"<{__name__}.Document>",
        "rest": "('more', [1, '2'])",
        "size": "20",
        "max_tokens": "5",
        "x": "None",
    }
    (kept,) = [info for info in local._engine._store.scan() if info.key == local_key(local)]
    assert (b"max_tokens" in kept.details) == (local.config.encryption_key is None)
    assert all(len(argument.digest) == 8 for argument in info.arguments.values())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("it's", '"it\'s"'),
        ("x" * 200, "'" + "x" * 58 + "…"),
        ("a\nb", "'a\\nb'"),
        (1.5, "1.5"),
        (b"ab", "b'ab'"),
        ({"a": (1, None)}, "{'a': (1, None)}"),
        (list(range(100)), "[0, 1, 2, 3, 4, 5, ...]"),
        ([Model("a")], f"[<{__name__}.Model>]"),
        (len, "<builtin_function_or_method>"),
    ],
)
def test_the_text_of_an_argument(memory, value, text):
    """Small plain values are spelled out; of others the type is told, and nothing of theirs is called."""
    memory.load_or_run(lambda_free, "id", value)
    (info,) = memory.records()
    assert info.arguments["value"].text == text


def lambda_free(value):
    return None


def test_an_argument_of_which_only_the_type_is_known_is_left_out(memory):
    """It would take space in each record, and tell nothing; once its class says what identifies it, it is told."""

    class Client:
        __slots__ = ("name",)

    client = Client()
    client.name = "here"
    memory.load_or_run(lambda_free, "before", client)
    memory.load_or_run(lambda_free, "again", client)
    register_id(Client, lambda client: client.name)
    memory.load_or_run(lambda_free, "after", client)
    told = {info.call_id: info.arguments for info in memory.records()}
    assert told["before"] == told["again"] == {}
    assert len(told["after"]["value"].digest) == 8


@pytest.mark.parametrize("way", ["method", "partial", "class", "builtin", "generator", "coroutine", "map", "each"])
def test_whatever_is_called_tells_its_arguments(memory, way):
    """Arguments have the names of parameters, however a function is called; where there are none, their numbers."""
    import asyncio
    import functools

    class Reader:
        def read(self, page):
            return page

    def numbers(page):
        yield page

    async def later(page):
        return page

    def many(pages):
        return list(pages)

    call = {
        "method": lambda: memory.load_or_run(Reader().read, 1, 7),
        "partial": lambda: memory.load_or_run(functools.partial(lambda_free, 7), 1),
        "class": lambda: memory.load_or_run(Document, 1, "a", text=7),
        "builtin": lambda: memory.load_or_run(abs, 1, 7),
        "generator": lambda: list(memory.load_or_run(numbers, 1, 7)),
        "coroutine": lambda: asyncio.run(memory.load_or_run_async(later, 1, 7)),
        "map": lambda: list(memory.map(lambda_free, [7])),
        "each": lambda: cache_with_checkpoint(id="page", each="pages")(many)([7]),
    }
    call[way]()
    (info,) = memory.records()
    name = {"partial": "value", "map": "value", "class": "text", "builtin": "0", "each": "pages"}.get(way, "page")
    assert info.arguments[name].text == "7"


def test_a_failure_tells_its_arguments(memory):
    """What failed was called with something, too."""

    @cache_with_checkpoint(id="x")
    def fails(x):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fails("seven")
    (info,) = memory._engine._store.scan()
    assert info.arguments["x"].text == "'seven'"


def test_arguments_are_told_as_they_were(memory):
    """What a function does to its arguments comes later."""

    @cache_with_checkpoint(id="tuple(things)")
    def empties(things):
        things.clear()

    empties([1, 2])
    (info,) = memory.records()
    assert info.arguments["things"].text == "[1, 2]"


def test_a_table(local):
    """Records become an Arrow table or a data frame, a row each."""
    for number in range(3):
        embed(Model("small"), Document(f"doc-{number}", "text"), size=number)
    table = local.records().to_arrow()
    frame = local.records(embed).to_pandas()
    assert table.column("call_id").to_pylist() == list(frame["call_id"]) == ["doc-0", "doc-1", "doc-2"]
    assert [dict(row)["size"] for row in table.column("arguments").to_pylist()] == ["0", "1", "2"]
    assert [row["size"] for row in frame["arguments"]] == ["0", "1", "2"]
    assert dict(table.column("digests").to_pylist()[0])["size"] == frame["digests"][0]["size"]
    assert abs(table.column("created_at").to_pylist()[0].timestamp() - time.time()) < 60
    assert table.column("created_at").to_pylist() == [when.to_pydatetime() for when in frame["created_at"]]
    assert list(frame.columns) == table.column_names
    assert local.records("nobody").to_arrow().num_rows == len(local.records("nobody").to_pandas()) == 0


@pytest.mark.parametrize(
    ("method", "library", "extra"), [("to_arrow", "pyarrow", "arrow"), ("to_pandas", "pandas", "pandas")]
)
def test_a_table_without_its_library(memory, monkeypatch, method, library, extra):
    """Without the library, the message says what to install."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf'needs {library}: pip install "skipstone\[{extra}\]"'):
        getattr(memory.records(), method)()


answers = []


@cache_with_checkpoint(id="question")
def ask(question):
    answers.append(question)
    return f"{question} {len(answers)}"


def told(checkpoint, call_id="what"):
    return [result for _, result in checkpoint.history(ask, call_id)]


def test_a_history_of_results(local):
    """With `keep_history`, what a call returned before it was run again stays beside it, the first one first."""
    answers.clear()
    assert told(local) == []
    ask("what")
    for _ in range(40):
        ask.rerun("what")
    ask("other")
    assert told(local) == [f"what {number}" for number in range(1, 42)]
    infos = [info for info, _ in local.history(ask, "what")]
    times = [info.created_at_seconds for info in infos]
    assert times == sorted(times)
    assert len(set(times)) == 41
    assert {info.call_id for info in infos} == {"what"}
    assert {info.arguments["question"].text for info in infos} == {"'what'"}
    assert len({info.key for info in infos}) == len({info.encoding for info in infos}) == 1
    assert len(list(local.records())) == 2
    assert ask("what") == "what 41"


@pytest.mark.parametrize("how", ["call", "function", "step", "forget"])
def test_a_history_is_cleared_with_its_record(local, how):
    """Clearing a call, a function or a step leaves nothing of it."""
    answers.clear()
    ask("what")
    ask.rerun("what")
    if how == "forget":
        assert ask.forget("what")
    else:
        assert local.clear(*{"step": ()}.get(how, (ask,)), **({"id": "what"} if how == "call" else {})) == 1
    assert told(local) == []
    assert [info for info in local._engine._store.scan() if info.encoding.startswith("history")] == []


def test_code_that_is_run_again_leaves_a_history():
    """So does a result that was replaced because its code changed."""
    space = {}

    def made(body):
        exec(f"def work(x):\n    return {body}", space)
        return cache_with_checkpoint(id="x", name="work", on_code_change="rerun")(space["work"])

    with use_checkpoint(Checkpoint(MemoryStore(), HISTORY)) as checkpoint:
        assert made("x + 1")(1) == 2
        changed = made("x + 2")
        assert changed(1) == 3
        assert [result for _, result in checkpoint.history(changed, 1)] == [2, 3]
        assert len({info.code for info, _ in checkpoint.history(changed, 1)}) == 2


def test_without_the_setting_there_is_no_history(memory):
    """Without `keep_history`, a result takes the place of the one before."""
    answers.clear()
    ask("what")
    ask.rerun("what")
    assert told(memory) == ["what 2"]
    assert len(list(get_checkpoint()._engine._store.scan())) == 2  # with the record of the code
