"""Results that others have stored are taken over, where their calls can be told."""

import hashlib
import pickle

import diskcache
import joblib
import numpy as np
import pytest

from skipstone import (
    NullCheckpoint,
    SkipstoneError,
    cache_with_checkpoint,
    import_diskcache,
    import_joblib,
    import_pickles,
)


def runs_not(*_, **__):
    pytest.fail("it ran")


def embed_before(text, size=3, *, lang="en"):
    return [text, size, lang]


def pickled(folder, name, ids):
    folder.mkdir(exist_ok=True)
    for call_id in ids:
        path = folder / f"{name}___{hashlib.sha256(call_id.encode()).hexdigest()}.pkl"
        path.write_bytes(pickle.dumps({"id": call_id}))


def test_pickles(memory, tmp_path):
    """Given the ids, results of one pickle per call are found by a call of the function; those without a file are counted."""

    @cache_with_checkpoint(id="doc_id")
    def embed(doc_id):
        runs_not()

    pickled(tmp_path / "old", "embed", ["doc-1", "dok-ü"])
    done = import_pickles(tmp_path / "old", embed, ["doc-1", "dok-ü", "doc-3"])
    assert done == (2, 0, 1, 0, [])
    assert embed("doc-1") == {"id": "doc-1"}
    assert embed("dok-ü") == {"id": "dok-ü"}
    assert import_pickles(tmp_path / "old", embed, ["doc-1"])[:2] == (0, 1)
    assert memory.stats().hits == 2


def test_a_pickle_that_cannot_be_loaded(memory, tmp_path):
    """A half-written pickle is left out with the reason, and the others are imported."""

    def embed(doc_id):
        runs_not()

    pickled(tmp_path / "old", "embed", ["a", "b"])
    path = tmp_path / f"old/embed___{hashlib.sha256(b'a').hexdigest()}.pkl"
    path.write_bytes(path.read_bytes()[:5])
    done = import_pickles(tmp_path / "old", embed, ["a", "b"])
    assert (done.results, done.left_out) == (1, 1)
    assert str(path) in done.reasons[0]
    assert memory.load_or_run(embed, "b", "b") == {"id": "b"}


def test_joblib(memory, tmp_path):
    """Calls whose arguments are literals are told, defaults and keywords too, with the time they took."""
    kept = joblib.Memory(tmp_path, verbose=0).cache(embed_before)
    kept("a")
    kept("b", 2)
    kept("c", lang="de")

    @cache_with_checkpoint(id="(text, size, lang)")
    def embed(text, size=3, *, lang="en"):
        runs_not()

    embed.__wrapped__.__name__ = "embed_before"
    assert import_joblib(tmp_path, embed) == (3, 0, 0, 0, [])
    assert embed("a") == ["a", 3, "en"]
    assert embed("b", size=2) == ["b", 2, "en"]
    assert embed("c", lang="de") == ["c", 3, "de"]
    assert all(record.duration_seconds > 0 for record in memory.records())


def ask_before(model, question):
    return [question]


def test_joblib_that_cannot_be_told(memory, tmp_path):
    """An argument that is no literal, or was ignored and is needed, leaves a result out; one that is not needed does not."""
    location = joblib.Memory(tmp_path, verbose=0)
    location.cache(ask_before)(np.arange(3), "x")
    location.cache(ask_before, ignore=["model"])(object(), "y")

    @cache_with_checkpoint(id="question")
    def ask(model, question):
        runs_not()

    ask.__wrapped__.__name__ = "ask_before"
    done = import_joblib(tmp_path, ask)
    assert (done.results, done.left_out) == (1, 1)
    assert "which is no literal" in done.reasons[0]
    assert ask(None, "y") == ["y"]

    @cache_with_checkpoint(id="model.name + question")
    def ask_named(model, question):
        runs_not()

    ask_named.__wrapped__.__name__ = "ask_before"
    done = import_joblib(tmp_path, ask_named)
    assert (done.results, done.left_out) == (0, 2)
    assert any("the id needs model, which was not stored" in reason for reason in done.reasons)

    @cache_with_checkpoint
    def ask_all(model, question):
        runs_not()

    ask_all.__wrapped__.__name__ = "ask_before"
    assert import_joblib(tmp_path, ask_all).results == 0


def test_diskcache(memory, tmp_path):
    """Calls are told from the keys of memoize; large and text values too. Nothing of the folder changes."""
    with diskcache.Cache(tmp_path / "dc") as cache:
        fetch_before = cache.memoize(name="fetch")(lambda url, n=1: url * n)
        fetch_before("u")
        fetch_before("v", n=2)
        fetch_before("w", 3)
        fetch_before(b"x" * 50_000)
        fetch_before("y" * 50_000)
        cache.memoize(name="fetch", typed=True)(lambda url, n=1: [url, n])("t", n=5)
        cache.memoize(name="fetch", expire=-1)(lambda url: "gone")("expired")
        cache["fetch"] = "no call"
        cache.memoize(name="other")(lambda x: x)(1)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "dc").rglob("*")}

    @cache_with_checkpoint(name="now.fetch")
    def fetch(url, n=1):
        runs_not()

    done = import_diskcache(tmp_path / "dc", fetch, name="fetch")
    assert done == (6, 0, 0, 0, [])
    assert (fetch("u"), fetch("v", 2), fetch("w", n=3)) == ("u", "vv", "www")
    assert fetch(b"x" * 50_000) == b"x" * 50_000
    assert fetch("y" * 50_000) == "y" * 50_000
    assert fetch("t", 5) == ["t", 5]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "dc").rglob("*")} == before


def test_diskcache_finds_the_function_by_its_name(memory, tmp_path):
    """Without a name, the function's full name is looked for, also below FanoutCache's folders."""
    with diskcache.FanoutCache(tmp_path / "dc", shards=2) as cache:
        cache.memoize()(embed_before)("a", lang="de")
    assert import_diskcache(tmp_path / "dc", embed_before).results == 1
    (record,) = memory.records()
    assert record.call_id == "{'lang': 'de', 'size': 3, 'text': 'a'}"


def many(*values, **named):
    runs_not()


def two(x=0, y=0):
    runs_not()


def test_diskcache_that_cannot_be_told(memory, tmp_path):
    """A key that fits the function in several ways, or in none, is left out; one with None among its arguments is not."""
    with diskcache.Cache(tmp_path) as cache:
        cache.memoize(name="many")(lambda *values, **named: "several")(1, y=None)
        cache.memoize(name="two")(lambda *values: "none")(1, 2, 3)
        cache.memoize(name="two")(lambda x=0, y=0: "one")(None, y=None)
    done = import_diskcache(tmp_path, many, name="many")
    assert (done.results, done.left_out) == (0, 1)
    assert "fit the function in several ways" in done.reasons[0]
    done = import_diskcache(tmp_path, two, name="two")
    assert (done.results, done.left_out) == (1, 1)
    assert "do not fit the function" in done.reasons[0]
    assert memory.load_or_run(two, {"x": None, "y": None}, None, None) == "one"


def test_what_is_not_there_is_told(memory, tmp_path):
    """A folder without anything of the function is an error that says so."""
    with pytest.raises(SkipstoneError, match=r"has nothing of embed_before"):
        import_joblib(tmp_path, embed_before)
    with pytest.raises(SkipstoneError, match="nowhere is no folder"):
        import_pickles(tmp_path / "nowhere", embed_before, ["a"])
    with pytest.raises(SkipstoneError, match=r"it has no cache\.db"):
        import_diskcache(tmp_path, embed_before)
    diskcache.Cache(tmp_path / "cache")["key"] = "value"
    told = "stored under __main__.embed_before or .*test_importing.embed_before: import_diskcache"
    with pytest.raises(SkipstoneError, match=told):
        import_diskcache(tmp_path / "cache", embed_before)
    with pytest.raises(SkipstoneError, match="stores nothing"):
        import_pickles(tmp_path, embed_before, [], checkpoint=NullCheckpoint())


def generator(x):
    yield x


def test_generators_are_refused(memory, tmp_path):
    """The result of a generator function was never stored by others."""
    with pytest.raises(TypeError, match="generator function"):
        import_pickles(tmp_path, generator, [])
