"""What a place holds is told exactly, wherever that is, and nothing changes by looking."""

import hashlib
import itertools
import os
import pickle
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from skipstone import StoreFormatError, StoreUnavailableError, UnsafeStoreError, open_checkpoint
from skipstone._catalogue import Catalogue, Growth, RecordQuery, Spread, StepName
from skipstone._catalogue._errors_alike import pattern_of
from skipstone._catalogue._scales import width_for
from skipstone.stores import Origin, Record, SqliteStore
from skipstone.stores._folder import folder_name, name_in, step_folder


class Bomb:
    """Whoever unpickles it is told."""

    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


def fails(page):
    raise ValueError(f"page {page} of 'doc-{page}.pdf' is empty")


def bomb(_):
    return Bomb()


def parts(count):
    yield from (b"x" * 1000 for _ in range(count))


def fill(checkpoint):
    for number in range(10):
        checkpoint.load_or_run(len, f"doc-{number}", "x" * number)
    checkpoint.load_or_run(bytes, "Large_1", 100_000)
    checkpoint.load_or_run(bomb, "bomb", 1)
    assert list(checkpoint.load_or_run(parts, "parts", 3))
    for page in (7, 31):
        with pytest.raises(ValueError):
            checkpoint.load_or_run(fails, page, page)


@pytest.fixture(params=["local", "folder"])
def config(request, tmp_path):
    """A place with two steps of one index and one of another."""
    config = {"artifacts_dir": str(tmp_path / "artifacts")}
    if request.param == "folder":
        config |= {"store": f"file://{tmp_path}/shared", "signing_key": "secret"}
    with open_checkpoint("load", config) as checkpoint:
        fill(checkpoint)
    with open_checkpoint("Answer / questions", config) as checkpoint:
        checkpoint.load_or_run(str, 1, 1)
    with open_checkpoint("load", config | {"index_name": "other"}) as checkpoint:
        checkpoint.load_or_run(str, 1, 1)
    return config


@pytest.fixture
def step(config):
    """The catalogue of the step that was filled."""
    catalogue = Catalogue(config)
    step = catalogue.step(next(name for name in catalogue.steps() if name[:2] == ("default", "load")))
    yield step
    step.close()


def looks(folder):
    """What a folder and all that is in it look like: names, modes, times, bytes."""
    found = {}
    for place, folders, files in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in (*folders, *files))):
            facts = os.lstat(path)
            content = hashlib.sha256(Path(path).read_bytes()).hexdigest() if os.path.isfile(path) else ""
            found[path] = (
                facts.st_mode,
                facts.st_ino,
                facts.st_size,
                facts.st_mtime_ns,
                content,
            )
    return found


def ask_everything(config):
    """Ask a place all that can be asked."""
    catalogue = Catalogue(config)
    overview = catalogue.overview()
    for name in catalogue.steps():
        step = catalogue.step(name)
        for answer in (
            step.functions,
            step.codes,
            step.runs,
            step.spread,
            step.failure_groups,
            step.space,
            step.count,
        ):
            answer()
        page = step.records()
        step.stored([record.key for record in page.records])
        step.recorded_runs()
        step.verify()
        step.close()
    return overview


def test_steps_have_their_names(config):
    """Indexes and steps are told by the names that they were given, whatever their folders are called."""
    found = [name[:2] for name in Catalogue(config).steps()]
    assert found == [("default", "Answer / questions"), ("default", "load"), ("other", "load")]


@pytest.mark.parametrize(
    "name", ["a", "Übung", "A/b", "..", ".x", "a~b", "100%", "\ud800", "x\0y", "CON", "~runs"]
)
def test_folders_lead_back_to_names(name):
    """The name of a folder tells the text that it was made of."""
    assert name_in(folder_name(name)) == name


def test_a_long_name_is_told_by_its_folder():
    """What was too long for a folder's name is told as far as it is there."""
    folder = folder_name("x" * 300)
    assert name_in(folder) == folder


def test_runs_are_no_steps(config):
    """What a step keeps of its runs, beside itself, is told as runs, and not as a step."""
    catalogue = Catalogue(config)
    names = catalogue.steps()
    assert [name.step for name in names] == ["Answer / questions", "load", "load"]
    told = [catalogue.step(name).recorded_runs() for name in names]
    assert [(run.stats.misses, run.stats.failures, run.state) for (run,) in told] == [
        (1, 0, "ended"),
        (13, 2, "ended"),
        (1, 0, "ended"),
    ]


def test_totals(config):
    """Each step tells its functions, records, failures, bytes and times."""
    _, load, _ = Catalogue(config).overview()
    assert (load.functions, load.totals.records, load.totals.failures) == (5, 13, 2)
    assert 103_000 < load.totals.size_bytes < 110_000
    assert load.totals.first_at <= load.totals.last_at
    assert load.problem == ""


def test_functions_codes_and_runs(step):
    """Functions, their codes and the runs come to what is stored; the parts of a generator count as bytes alone."""
    functions = {summary.function.rpartition(".")[2]: summary for summary in step.functions()}
    assert {name: summary.totals.records for name, summary in functions.items()} == {
        "len": 10,
        "bytes": 1,
        "bomb": 1,
        "parts": 1,
        "fails": 0,
    }
    assert functions["fails"].totals.failures == 2
    assert functions["parts"].totals.size_bytes > 3000
    assert functions["bomb"].codes == 1
    assert sum(code.totals.records for code in step.codes()) == 13
    (run,) = step.runs()
    assert (run.process, run.totals.records, run.totals.failures) == (os.getpid(), 13, 2)


@pytest.mark.parametrize("sort", ["time", "duration", "size", "id"])
@pytest.mark.parametrize("descending", [True, False])
def test_pages(step, sort, descending):
    """Page by page, each record comes once, in the order that was asked for."""
    query = RecordQuery(sort=sort, descending=descending)
    found, after = [], None
    while True:
        page = step.records(query, after=after, limit=4)
        found += page.records
        after = page.following
        if after is None:
            break
    assert len({record.key for record in found}) == len(found) == step.count(query) == 13
    attribute = {
        "time": "created_at_seconds",
        "duration": "duration_seconds",
        "size": "size_bytes",
        "id": "call_id",
    }[sort]
    values = [getattr(record, attribute) for record in found]
    assert values == sorted(values, reverse=descending)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        (RecordQuery(search="DOC-"), 10),
        (RecordQuery(search="e_1"), 1),
        (RecordQuery(search="%"), 0),
        (RecordQuery(function="builtins.len"), 10),
        (RecordQuery(function="builtins.len", search="7"), 1),
        (RecordQuery(version="2"), 0),
        (RecordQuery(run="another"), 0),
        (RecordQuery(code=b"another!"), 0),
        (RecordQuery(function="' OR 1=1 --"), 0),
    ],
)
def test_queries(step, query, count):
    """Records are found by a part of the id, by function, version, code and run."""
    found = step.records(query).records
    assert len(found) == step.count(query) == count
    totals = step.totals(query)
    assert (totals.records, totals.failures) == (count, 0)
    assert totals.size_bytes == sum(record.size_bytes for record in found)
    assert totals.seconds == pytest.approx(sum(record.duration_seconds for record in found))


def test_totals_of_failures(step):
    """What failures come to is told apart from what records do, also of those that are searched for."""
    for search, count in (("", 2), ("3", 1), ("nobody", 0)):
        query = RecordQuery(search=search, failures=True)
        totals = step.totals(query)
        assert (totals.records, totals.failures, totals.seconds) == (0, count, 0)
        assert totals.size_bytes == sum(step.keys(query).values())


@pytest.mark.parametrize("after", ["", "[1", "{}", "[1]", "[1, 2, 3]", "[[1], 2]", "null"])
def test_pages_begin_at_records_alone(step, after):
    """What no page can have ended with is refused; without it, it is the first page."""
    if not after:
        assert step.records(after=after).records == step.records().records
        return
    with pytest.raises(ValueError):
        step.records(after=after)


def test_distribution(step):
    """The bars of a distribution are as many records as there are, each between its ends."""
    spread = step.spread()
    for bins, attribute in ((spread.durations, "duration_seconds"), (spread.sizes, "size_bytes")):
        values = [getattr(record, attribute) for record in step.records().records]
        assert sum(bin.records for bin in bins) == 13
        assert bins[0].records
        assert bins[-1].records
        assert [bin.start for bin in bins[1:]] == [bin.stop for bin in bins[:-1]]
        for bin in bins:
            assert bin.records == sum(bin.start <= value < bin.stop for value in values)
    of_nobody = step.spread(RecordQuery(function="nobody"))
    assert of_nobody == Spread([], [], Growth(1.0, []))


def test_growth(step):
    """What was saved when comes to all that was saved, span after span."""
    growth = step.spread().growth
    assert sum(bucket.records for bucket in growth.buckets) == 13
    starts = [bucket.start_at for bucket in growth.buckets]
    assert starts == [starts[0] + number * growth.width_seconds for number in range(len(starts))]
    saved = [record.created_at_seconds for record in step.records().records]
    for start_at, records in growth.buckets:
        assert records == sum(start_at <= moment < start_at + growth.width_seconds for moment in saved)


@pytest.mark.parametrize("config", ["local"], indirect=True)
def test_many_records_are_asked_part_by_part(config, step):
    """Records whose numbers are millions apart, as after many removals, are each counted once, and found in their order."""

    def answers():
        queries = [
            RecordQuery(search=search, sort=sort, descending=descending)
            for search in ("", "doc")
            for sort in ("time", "duration", "size", "id")
            for descending in (True, False)
        ]
        pages = [pages_of(step, query, limit=3) for query in queries]
        numbers = [(step.count(query), step.totals(query)._replace(seconds=0)) for query in queries]
        return step.spread(), step.summary().totals._replace(seconds=0), step.space().values, pages, numbers

    whole = answers()
    step.close()
    move_apart(f"{config['artifacts_dir']}/checkpoint/default/load")
    assert answers() == whole


def move_apart(folder):
    with closing(sqlite3.connect(f"{folder}/records.sqlite3")) as database, database:
        database.execute("UPDATE records SET sequence = sequence * 1000003")


def pages_of(step, query, limit):
    page = step.records(query, limit=limit)
    found = [page.records]
    while page.following:
        page = step.records(query, after=page.following, limit=limit)
        found.append(page.records)
    return found


def test_all_parts_are_of_one_moment(tmp_path):
    """A record that is replaced while parts are asked beside one another is in one of them, and counted once."""
    folder = step_folder(str(tmp_path), "default", "load")
    config = {"artifacts_dir": str(tmp_path)}
    with open_checkpoint("load", config) as checkpoint:
        for number in range(20):
            checkpoint.load_or_run(str, number, number)
    move_apart(folder)
    store, is_over = SqliteStore(folder), threading.Event()
    records = [
        store.get(info.key)._replace(call_id=info.call_id) for info in store.scan() if info.encoding == "pickle"
    ]

    def replace():
        for record in itertools.cycle(records):
            if is_over.is_set():
                break
            store.put(record, replace=True)

    replacing = threading.Thread(target=replace)
    replacing.start()
    with closing(Catalogue(config).step(StepName("default", "load", "default/load"))) as step:
        found = {(step.count(), step.summary().totals.records) for _ in range(50)}
    is_over.set()
    replacing.join()
    store.close()
    assert found == {(20, 20)}


def test_failures_are_grouped(step):
    """Failures that differ in numbers and quoted texts are one group, with the last one as an example."""
    (group,) = step.failure_groups()
    assert (group.error, group.calls, group.attempts) == ("ValueError: page … of … is empty", 2, 2)
    assert group.example.failure.call_id == "31"
    assert "raise ValueError" in group.example.failure.traceback
    assert step.record(group.example.key) is not None


def test_one_record(step):
    """A record tells where it comes from."""
    (found,) = step.records(RecordQuery(search="Large_1")).records
    record = step.record(found.key)
    assert (record.call_id, record.function, record.process) == ("Large_1", "builtins.bytes", os.getpid())
    assert step.stored([found.key])[found.key].origin.encoding == "pickle"
    assert step.record(b"0" * 16) is None


def test_values_are_shown_where_that_runs_no_code(tmp_path):
    """Results of msgpack and JSON are shown; a pickle is loaded only when that is asked for, and from safe folders."""
    config = {"artifacts_dir": tmp_path}
    for serializer in ("json", "msgpack", "pickle"):
        with open_checkpoint(serializer, config | {"serializer": serializer, "compression": "zstd"}) as checkpoint:
            checkpoint.load_or_run(dict, "x", a=["y"] * 100)
    catalogue = Catalogue(config)
    json, msgpack, pickled = map(catalogue.step, catalogue.steps())
    for step in (json, msgpack):
        (key,) = step.keys()
        assert step.value(key).value == {"a": ["y"] * 100}
    (key,) = pickled.keys()
    assert not pickled.value(key).is_shown
    assert pickled.value(key, unpickle=True).value == {"a": ["y"] * 100}
    os.chmod(tmp_path / "checkpoint/default/pickle", 0o777)
    with pytest.raises(UnsafeStoreError):
        pickled.value(key, unpickle=True)
    assert not pickled.value(b"0" * 16).is_shown


def test_a_database_that_is_being_made(tmp_path):
    """Who looks at a step whose database has no tables yet sees no records, and nothing is made of it."""
    config = {"artifacts_dir": tmp_path}
    open_checkpoint("load", config).close()
    path = tmp_path / "checkpoint/default/load/records.sqlite3"
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    before = path.read_bytes()
    with closing(Catalogue(config).step(Catalogue(config).steps()[0])) as step:
        assert list(step.records(RecordQuery()).records) == []
    assert path.read_bytes() == before


def test_encrypted_ids_are_found(tmp_path):
    """With the key, ids that are encrypted are shown, searched and sorted as they were; without it, they are not told."""
    config = {"artifacts_dir": tmp_path, "encryption_key": "secret" * 8}
    with open_checkpoint("load", config) as checkpoint:
        fill(checkpoint)
    step = Catalogue(config).step(Catalogue(config).steps()[0])
    assert [record.call_id for record in step.records(RecordQuery(search="arge")).records] == ["Large_1"]
    ids = [record.call_id for record in step.records(RecordQuery(sort="id", descending=False)).records]
    assert ids == sorted(ids)
    assert step.failure_groups()[0].example.failure.call_id == "31"
    assert step.verify().is_good
    other = Catalogue({"artifacts_dir": tmp_path})
    assert "doc" not in repr(other.step(other.steps()[0]).records())


def test_verify_finds_damage(config):
    """A changed byte, a missing file and an orphan are found, each by itself; nothing is repaired."""
    catalogue = Catalogue(config)
    name = StepName("default", "load", "default/load")
    count, *_ = catalogue.step(name).verify()
    assert catalogue.step(name).verify() == (count, 0, [], [], [])
    assert count > 13 + 2 + 3  # records, failures and items
    if "store" in config:
        (path,) = [
            path
            for path in Path(config["store"].removeprefix("file://")).glob("default/load/records/*/*")
            if path.stat().st_size > 100_000
        ]
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        found = catalogue.step(name).verify()
        assert (found.damaged, found.damages[0].call_id) == (1, "Large_1")
        return
    values = Path(config["artifacts_dir"]) / "checkpoint/default/load/values"
    (value,) = values.glob("*/*.value")
    orphan = value.with_name("0" * 30 + "-00000000.value")
    orphan.write_bytes(b"left")
    assert catalogue.step(name).verify().orphans == []  # it may be just being saved
    os.utime(orphan, (0, 0))
    content = value.read_bytes()
    value.write_bytes(content[:-1] + b"x")
    found = catalogue.step(name).verify()
    assert (found.intact, found.damaged, [each.size_bytes for each in found.orphans]) == (count - 1, 1, [4])
    assert found.damages[0].problem == "its checksum or signature does not fit"
    value.unlink()
    (damage,) = catalogue.step(name).verify().damages
    assert (damage.call_id, damage.problem) == ("Large_1", "its value is missing, or was cut")
    assert not catalogue.step(name).verify().is_good
    assert orphan.exists()


def test_space(config):
    """A step on the local disk tells what it takes there: the database, its log, and values in files."""
    catalogue = Catalogue(config)
    space = catalogue.step(StepName("default", "load", "default/load")).space()
    if "store" in config:
        assert space is None
    else:
        folder = os.path.join(config["artifacts_dir"], "checkpoint/default/load")
        assert space.database_bytes == os.path.getsize(f"{folder}/records.sqlite3")
        assert (space.values, space.values_bytes > 100_000) == (1, True)


def test_what_is_saved_meanwhile_is_told(tmp_path):
    """Each answer is about the store as it is then, also while it is in use."""
    config = {"artifacts_dir": tmp_path}
    with open_checkpoint("load", config) as checkpoint:
        checkpoint.load_or_run(str, 1, 1)
        step = Catalogue(config).step(Catalogue(config).steps()[0])
        for number in range(2, 6):
            assert step.summary().totals.records == step.count() == number - 1
            checkpoint.load_or_run(str, number, number)
        checkpoint.clear()
        assert step.summary().totals.records == step.count() == 0
    checkpoint.load_or_run(str, 1, 1)
    assert step.count() == 1
    checkpoint.close()
    assert step.count() == 1


def test_a_log_that_begins_anew_is_noticed(tmp_path):
    """What is saved into a log that has been copied to the database, and is written from its beginning, is told."""
    config = {"artifacts_dir": tmp_path}
    with open_checkpoint("load", config) as checkpoint:
        for number in range(20):
            checkpoint.load_or_run(str, number, number)
        [database] = tmp_path.rglob("load/records.sqlite3")
        with closing(sqlite3.connect(database)) as connection:
            assert connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0] == 0
            log_bytes = os.path.getsize(f"{database}-wal")
            with closing(Catalogue(config).step(Catalogue(config).steps()[0])) as step:
                assert step.summary().totals.records == 20
                checkpoint.load_or_run(str, 20, 20)
                assert os.path.getsize(f"{database}-wal") == log_bytes
                assert step.summary().totals.records == 21


def test_a_shared_store_is_asked_again_when_told(tmp_path):
    """Of a store elsewhere, copies are asked; closing the catalogue forgets them."""
    config = {"store": f"file://{tmp_path}/shared", "signing_key": "secret"}
    with open_checkpoint("load", config) as checkpoint:
        checkpoint.load_or_run(str, 1, 1)
        step = Catalogue(config).step(Catalogue(config).steps()[0])
        assert step.summary().totals.records == 1
        checkpoint.load_or_run(str, 2, 2)
        step.close()
        assert step.summary().totals.records == step.count() == 2


IN_USE = """
    import sqlite3
    import sys
    from skipstone import init_checkpoint
    checkpoint = init_checkpoint("load", {"artifacts_dir": "artifacts"})
    for number in range(20):
        checkpoint.load_or_run(str, number, "x" * 10_000)
    checkpoint.load_or_run(bytes, "large", 100_000)
    if "apart" in sys.argv:  # so that their parts are asked beside one another
        with sqlite3.connect("artifacts/checkpoint/default/load/records.sqlite3") as database:
            database.execute("UPDATE records SET sequence = sequence * 10007")
        database.close()
    print("ready", flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("state", ["closed", "in use", "killed", "killed, and the log's index is gone"])
@pytest.mark.parametrize("numbers", ["", "apart"])
def test_looking_changes_nothing(script, state, numbers):
    """Bytes, times and names are the same before and after, also while a process uses the store or after its death."""
    script.write("app.py", IN_USE)
    process = script.start("app.py", numbers)
    try:
        assert process.stdout.readline() == "ready\n"
        if state == "closed":
            process.communicate("\n", timeout=60)
        elif state != "in use":
            process.kill()
            process.wait()
        if state.endswith("gone"):
            os.unlink(script.folder / "artifacts/checkpoint/default/load/records.sqlite3-shm")
        before = looks(script.folder)
        (load,) = ask_everything({"artifacts_dir": script.folder / "artifacts"})
        assert looks(script.folder) == before
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()
    assert (load.totals.records, load.problem) == (21, "")


def test_looking_at_nothing_makes_nothing(tmp_path):
    """A place that is not there has no steps, and is not there afterwards."""
    for config in ({"artifacts_dir": tmp_path / "a"}, {"store": f"file://{tmp_path}/b", "signing_key": "secret"}):
        assert Catalogue(config).overview() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounting needs root, on Linux")
def test_a_read_only_mount(config, tmp_path):
    """A place on a medium that cannot be written is told like any other."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    before = Catalogue(config).overview()
    subprocess.run(["mount", "--bind", tmp_path, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        there = {name: value.replace(str(tmp_path), str(folder)) for name, value in config.items()}
        assert ask_everything(there) == before
    finally:
        subprocess.run(["umount", folder], check=True)


def test_whoever_owns_it(config, tmp_path):
    """A store that others can write to can be looked at: nothing of it is loaded."""
    subprocess.run(["chmod", "-R", "go+w", tmp_path], check=True)
    assert len(ask_everything(config)) == 3


def database(config):
    return os.path.join(config["artifacts_dir"], "checkpoint/default/load/records.sqlite3")


def test_an_older_format(tmp_path):
    """A database of an older format is told as it is, and stays of that format."""
    config = {"artifacts_dir": str(tmp_path)}
    with open_checkpoint("load", config) as checkpoint:
        fill(checkpoint)
    connection = sqlite3.connect(database(config))
    connection.executescript(
        "ALTER TABLE records DROP COLUMN details; PRAGMA user_version = 1;"
        "UPDATE state SET value = 1 WHERE name = 'format'; PRAGMA journal_mode = DELETE"
    )
    connection.close()
    before = looks(tmp_path)
    (load,) = ask_everything(config)
    assert (load.totals.records, load.problem) == (13, "")
    assert looks(tmp_path) == before


def test_what_cannot_be_read_is_told(tmp_path):
    """A step that a newer skipstone wrote or that is damaged is told with the reason; the others are told all the same."""
    config = {"artifacts_dir": str(tmp_path)}
    for step in ("load", "newer", "damaged"):
        with open_checkpoint(step, config) as checkpoint:
            checkpoint.load_or_run(str, 1, 1)
    connection = sqlite3.connect(database(config).replace("load", "newer"))
    connection.executescript("PRAGMA user_version = 99; UPDATE state SET value = 99 WHERE name = 'format'")
    connection.close()
    with open(database(config).replace("load", "damaged"), "r+b") as file:
        file.write(b"x" * 5000)
    before = looks(tmp_path)
    catalogue = Catalogue(config)
    damaged, load, newer = catalogue.overview()
    assert load.totals.records == 1
    assert "update it" in newer.problem
    assert "file is not a database" in damaged.problem
    assert looks(tmp_path) == before
    with pytest.raises(StoreFormatError):
        catalogue.step(newer.name).count()
    with pytest.raises(StoreUnavailableError):
        catalogue.step(damaged.name).count()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("HTTPError: 429 for https://a.b/c?d=1", "HTTPError: 429 for http://e/f"),
        ("OSError: [Errno 2] No such file: '/a/b'", "OSError: [Errno 2] No such file: '/c'"),
        ("E: /tmp/a/b.pdf is empty", "E: /var/c.pdf/d is empty"),
        ("E: at 0x7f3a", "E: at 0x11"),
        ("E: 12:30:01 took 1.5e-3 s", "E: 1 took 22 s"),
        ("E: 123e4567-e89b-12d3-a456-426614174000 gone", "E: 00000000-e89b-12d3-a456-426614174000 gone"),
        ("E: first\nmore 1", "E: first\nless"),
    ],
)
def test_errors_that_are_alike(one, other):
    """Errors are alike where only numbers, addresses, paths, quoted texts and the like differ."""
    assert pattern_of(one) == pattern_of(other)


@pytest.mark.parametrize(
    ("one", "other"), [("KeyError: 'a'", "ValueError: 'a'"), ("E: not found", "E: not allowed"), ("E: ", "F: ")]
)
def test_errors_that_are_not(one, other):
    """Errors of another type or with other words are not alike."""
    assert pattern_of(one) != pattern_of(other)


@pytest.mark.parametrize("value", [0, 1e-9, 1e-6, 0.3, 1, 1999, 2000, 5e6, 1e15])
def test_a_value_is_between_edges(tmp_path, value):
    """Whatever a result's size or a call's duration, its bar begins at or below it, and ends above it."""
    store = SqliteStore(step_folder(tmp_path, "default", "one"))
    origin = Origin("f", "", "pickle", b"", "run", "host", 1)
    store.put(Record(b"k" * 16, b"", origin, float(value), b"", "id", 1.0))
    store.close()
    catalogue = Catalogue({"artifacts_dir": tmp_path})
    step = catalogue.step(catalogue.steps()[0])
    (bin,) = step.spread().durations
    step.close()
    assert bin.start <= value < bin.stop
    assert bin.records == 1


@pytest.mark.parametrize("span", [0, 1, 59, 3600, 86400 * 30, 86400 * 4000])
def test_widths(span):
    """The width of a bar is such that there are not too many of them."""
    assert span / width_for(span, 60) < 60


def test_answers_pickle(step):
    """What is answered can be sent elsewhere."""
    for answer in (step.summary(), step.records(), step.spread(), step.failure_groups()):
        assert pickle.loads(pickle.dumps(answer)) == answer
