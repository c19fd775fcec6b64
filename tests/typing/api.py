"""Never run: type checkers see in decorated functions what was decorated."""

from __future__ import annotations

import functools
import types
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, assert_type

from skipstone import (
    Argument,
    AsyncMapResults,
    Checkpoint,
    CheckpointConfig,
    CheckpointedFunction,
    Cleanup,
    Failure,
    Failures,
    Imported,
    LocalStorageCheckpoint,
    MapResults,
    MapSummary,
    NullCheckpoint,
    ObjectStorageCheckpoint,
    Plan,
    PostgresCheckpoint,
    RecordInfo,
    Records,
    RedisCheckpoint,
    Run,
    RunningMap,
    SaveError,
    Serializer,
    Stats,
    Transfer,
    cache_with_checkpoint,
    get_checkpoint,
    import_diskcache,
    import_joblib,
    import_pickles,
    init_checkpoint,
    note,
    open_checkpoint,
    register_id,
    use_checkpoint,
)
from skipstone.stores import BaseStore, MemoryStore, Record, SqliteStore, Store

# Decorated functions keep their signatures.


@cache_with_checkpoint(id="word")
def shout(word: str, times: int = 1, *, mark: str = "!") -> list[str]:
    return [word.upper() + mark] * times


@cache_with_checkpoint
def bare(number: int) -> float:
    return number / 2


@cache_with_checkpoint(id=lambda number: (number,), name="app.old", version=2, on_code_change="rerun")
def by_callable(number: int) -> str | None:
    return str(number) or None


@cache_with_checkpoint(id="number")
async def later(number: int) -> bytes:
    return bytes(number)


assert_type(shout("a"), list[str])
assert_type(shout("a", 2, mark="?"), list[str])
assert_type(bare(1), float)
assert_type(by_callable(1), str | None)
assert_type(shout.is_done("a"), bool)
assert_type(shout.rerun("a", times=2), list[str])
assert_type(shout.forget("a"), bool)
assert_type(shout.__wrapped__("a"), list[str])


@cache_with_checkpoint(id="number")
def numbers(number: int) -> Iterator[int]:
    yield number


assert_type(numbers(1), Iterator[int])
assert_type(numbers.rerun(1), Iterator[int])
as_checkpointed: CheckpointedFunction[..., float] = bare


@cache_with_checkpoint(id="word", each="words")
def shout_all(mark: str, words: list[str]) -> tuple[str, ...]:
    return tuple(word.upper() + mark for word in words)


@cache_with_checkpoint(each="numbers")
async def all_later(numbers: Sequence[int]) -> list[bytes]:
    return [bytes(number) for number in numbers]


assert_type(shout_all("!", ["a", "b"]), list[str])
assert_type(shout_all("!", words=["a"]), list[str])
assert_type(shout_all.rerun("!", ["a"]), list[str])
assert_type(shout_all.is_done("!", ["a"]), bool)
assert_type(shout_all.forget("!", ["a"]), bool)
shout_all("!", [1])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


@cache_with_checkpoint(each="words")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
def no_list(words: list[str]) -> int:
    return len(words)


shout(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
shout("a", mark=2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
shout("a", marks="?")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
shout.is_done()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
shout.rerun(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
cache_with_checkpoint(id="x", on_code_change="redo")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
cache_with_checkpoint("doc.id")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]

as_callable: Callable[[int], float] = bare


async def use_later() -> None:
    assert_type(await later(1), bytes)
    assert_type(await later.rerun(1), bytes)
    assert_type(later.is_done(1), bool)
    assert_type(later.forget(1), bool)
    assert_type(await all_later([1, 2]), list[bytes])
    assert_type(await all_later.rerun([1, 2]), list[bytes])


# Methods bind.


class Reader:
    @cache_with_checkpoint(id="(self, page)")
    def read(self, page: int, *, lang: str = "en") -> str:
        return f"{page}{lang}"

    @cache_with_checkpoint(id="page")
    async def read_later(self, page: int) -> str:
        return str(page)

    @staticmethod
    @cache_with_checkpoint(id="page")
    def static(page: int) -> str:
        return str(page)

    @classmethod
    @cache_with_checkpoint(id="page")
    def of_class(cls, page: int) -> str:
        return str(page)

    @cache_with_checkpoint(id="page", each="pages")
    def read_all(self, pages: Iterable[int]) -> list[str]:
        return [str(page) for page in pages]

    @cache_with_checkpoint(id="page")
    @staticmethod
    def outside_static(page: int) -> str:
        return str(page)


reader = Reader()
assert_type(reader.read(1, lang="de"), str)
assert_type(Reader.read(reader, 1), str)
assert_type(Reader.read.is_done(reader, 1), bool)
assert_type(Reader.read.rerun(reader, 1), str)
assert_type(Reader.static(1), str)
assert_type(reader.read_all([1]), list[str])
assert_type(Reader.outside_static(1), str)
reader.read("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
reader.read()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def use_reader() -> None:
    assert_type(await reader.read_later(1), str)


# `load_or_run` takes the function's arguments and returns its result.


def plain(number: int, *, id: str = "") -> tuple[int, str]:
    return number, id


class Model:
    def __init__(self, size: int) -> None:
        self.size = size

    def ask(self, question: str) -> list[int]:
        return [len(question) + self.size]


async def plain_later(number: int) -> dict[str, int]:
    return {"number": number}


checkpoint = get_checkpoint()
assert_type(checkpoint, Checkpoint)
assert_type(checkpoint.load_or_run(plain, "k", 1, id="x"), tuple[int, str])
assert_type(checkpoint.load_or_run(plain, ("any", 1, None), 1), tuple[int, str])
assert_type(checkpoint.load_or_run(shout, "k", "a", mark="?"), list[str])
assert_type(checkpoint.load_or_run(Model, "k", 3), Model)
assert_type(checkpoint.load_or_run(Model(3).ask, "k", "why"), list[int])
assert_type(checkpoint.load_or_run(functools.partial(plain, 1), "k"), tuple[int, str])
checkpoint.load_or_run(plain, "k", "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
checkpoint.load_or_run(plain, "k")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
checkpoint.load_or_run("k", plain)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def use_load_or_run_async() -> None:
    assert_type(await checkpoint.load_or_run_async(plain_later, "k", 1), dict[str, int])
    assert_type(await checkpoint.load_or_run_async(later, "k", 1), bytes)
    await checkpoint.load_or_run_async(plain, "k", 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


assert_type(checkpoint.map(shout, ["a"]), MapResults[list[str]])
assert_type(checkpoint.map_async(later, [1]), AsyncMapResults[bytes])
assert_type(checkpoint.records(), Records)
assert_type(next(checkpoint.records(shout)), RecordInfo)
assert_type(next(checkpoint.records()).arguments["text"].text, str)
assert_type(checkpoint.history(shout, "k"), Iterator[tuple[RecordInfo, list[str]]])
assert_type(checkpoint.accept(shout), int)
register_id(Path, lambda path: path.name)
assert_type(checkpoint.failures("app.shout"), Failures)
assert_type(next(checkpoint.failures()), Failure)
assert_type(checkpoint.stats(), Stats)
assert_type(checkpoint.stats().hits, int)
assert_type(checkpoint.export("shouts", shout), Transfer)
assert_type(checkpoint.import_from(Path("shouts"), where=lambda record: record.size_bytes < 5), Transfer)
assert_type(checkpoint.copy_to(checkpoint, "app.shout", replace=True).results, int)
assert_type(checkpoint.clear(), int)
assert_type(checkpoint.clear(shout, id=("a", 1)), int)

# Maps give what the function returns; what else they tell has types, too.

results = checkpoint.map(plain, [1, 2], ["a", "b"], executor="processes", workers=4, ordered=False, window=100)
assert_type(results, MapResults[tuple[int, str]])
assert_type(next(results), tuple[int, str])
assert_type(list(checkpoint.map(functools.partial(plain, 1), ["a"])), list[tuple[int, str]])
assert_type(results.drain(), MapSummary)
assert_type(results.summary(), MapSummary)
assert_type(results.summary().done_before, int)
assert_type(checkpoint.map(shout_all, [["a"]], batch_size=64), MapResults[list[str]])
checkpoint.map(plain, [1], id="number", on_error="return", skip_failed_after=3, progress=False, retry=None)
checkpoint.map(plain, [1], executor=ThreadPoolExecutor(2), grace_seconds=5, on_batch_error="split")
checkpoint.map(plain, [1], on_error="skip")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
checkpoint.map(plain, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
checkpoint.map(plain, [1], processes=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def use_map_async() -> None:
    later_results = checkpoint.map_async(plain_later, [1], concurrency=10)
    assert_type(later_results, AsyncMapResults[dict[str, int]])
    assert_type([result async for result in later_results], list[dict[str, int]])
    assert_type(await later_results.drain(), MapSummary)
    await later_results.aclose()
    checkpoint.map_async(plain, [1])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


plan = checkpoint.plan(plain, [1, 2])
assert_type(plan, Plan)
assert_type(plan.missing, int)
assert_type(plan.estimated_seconds, float | None)
assert_type(checkpoint.wrap(plain)(1, id="x"), tuple[int, str])

# What is stored, and what was done.

record = next(checkpoint.records("app.shout"))
assert_type(record.key, bytes)
assert_type(record.call_id, str)
assert_type(record.created_at_seconds, float)
assert_type(record.arguments, dict[str, Argument])
assert_type(record.arguments["text"].digest, bytes | None)
assert_type(record.notes, dict[str, float])
failure = next(checkpoint.failures(shout))
assert_type(failure.attempts, int)
assert_type(failure.traceback, str)
stats = checkpoint.stats()
assert_type(stats.seconds_saved, float)
assert_type(stats.notes_spent["tokens"], float)
assert_type(stats.as_dict(), dict[str, float | dict[str, float]])
run = next(checkpoint.runs())
assert_type(run, Run)
assert_type(run.stats, Stats)
assert_type(run.state, Literal["running", "ended", "killed", "silent"])
assert_type(run.maps, tuple[RunningMap, ...])
assert_type(run.maps[0].seconds_left(0.0), float | None)
assert_type(checkpoint.gc(max_bytes=1e9, compact=True, dry_run=True), Cleanup)
assert_type(checkpoint.gc().size_bytes, int)
note(tokens=1234, usd=0.02)
note(tokens=[1, 2])
note(model="small")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_type(import_pickles("cache", shout, ["a"]), Imported)
assert_type(import_joblib(Path("cache"), shout, checkpoint=checkpoint), Imported)
assert_type(import_diskcache("cache", shout, name="old.shout"), Imported)

# Configs are mappings, CheckpointConfig, or any object.


class Settings:
    artifacts_dir = Path("out")

    def index_name(self) -> str:
        return "news"


assert_type(init_checkpoint("step"), Checkpoint)
assert_type(open_checkpoint("step", {"index_name": "a", "use_checkpoints": False}), Checkpoint)
open_checkpoint("step", types.MappingProxyType({"index_name": "a"}))
open_checkpoint("step", Settings())
open_checkpoint("step", CheckpointConfig(index_name=Settings().index_name, artifacts_dir=Path("out")))
assert_type(checkpoint.config, CheckpointConfig)
assert_type(checkpoint.config.max_bytes, float | None)
assert_type(checkpoint.name, str)
assert_type(checkpoint.place, str)
CheckpointConfig(
    store=["local", "s3://bucket/prefix"],
    background_saves=True,
    compression="zstd",
    signing_key=[b"new", "old"],
    encryption_key="0123456789abcdef",
    expires_seconds=3600,
    max_bytes=1e9,
    wait_timeout=None,
    check_calls=True,
    audit=0.01,
    keep_history=True,
    trust_store=False,
)
CheckpointConfig(durability="disk")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
CheckpointConfig(serialiser="json")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

with use_checkpoint(NullCheckpoint()) as null:
    assert_type(null, Checkpoint)
with LocalStorageCheckpoint("step", None) as local:
    assert_type(local.folder if isinstance(local, LocalStorageCheckpoint) else "", str)

shared: list[Checkpoint] = [
    ObjectStorageCheckpoint("step", {"store": "s3://bucket"}),
    PostgresCheckpoint("step", {"store": "postgresql://host/database"}),
    RedisCheckpoint("step", CheckpointConfig(store="redis://host")),
]

# Stores and serializers are protocols.

stores: list[Store] = [MemoryStore(), SqliteStore("/folder", durability="power")]
assert_type(Checkpoint(stores[0], {"on_save_error": "raise"}, name="own"), Checkpoint)


class OwnStore(BaseStore):
    def get(self, key: bytes, /) -> Record | None:
        return None


class Upper:
    name = "upper"

    def dumps(self, value: Any, result_type: Any, /) -> list[bytes]:
        return [str(value).encode(), str(result_type).encode()]

    def loads(self, payload: bytes | bytearray | memoryview, result_type: Any, /) -> Any:
        return bytes(payload).decode()


serializer: Serializer = Upper()
CheckpointConfig(serializer=Upper())


def result_of(error: SaveError) -> object:
    return error.result


coroutine_function: Callable[[int], Awaitable[bytes]] = later
coroutine: Coroutine[Any, Any, bytes] = later(1)
