"""Records go elsewhere as they are: exported to one file, imported, copied; killed half-way and done again."""

import os
import pickle
import random
import signal

import numpy as np
import pytest

from skipstone import (
    Checkpoint,
    DamagedRecordWarning,
    NullCheckpoint,
    StoreError,
    StoreFormatError,
    StoreUnavailableError,
    Transfer,
    cache_with_checkpoint,
    open_checkpoint,
    use_checkpoint,
)
from skipstone._record import CODE
from skipstone.stores import BaseStore, MemoryStore, SqliteStore
from skipstone.stores._shared_folder import SharedFolderStore
from skipstone.stores._tiers import TieredStore


def double(x):
    if x == "raises":
        raise ValueError("no")
    return {"twice": 2 * x}


def array(seed, size):
    return np.random.default_rng(seed).normal(size=size)


@cache_with_checkpoint(id="n")
def numbers(n, offset=0):
    for number in range(n):
        yield number + offset
    return "end"


def local(folder, **settings):
    return open_checkpoint("step", {"artifacts_dir": folder, **settings})


def places(folder):
    """Openers of a store of each kind, by name."""
    return {
        "memory": MemoryStore,
        "local": lambda: SqliteStore(f"{folder}/local"),
        "folder": lambda: SharedFolderStore(f"{folder}/shared/index/step"),
        "tiers": lambda: TieredStore(SqliteStore(f"{folder}/near"), SharedFolderStore(f"{folder}/far/index/step")),
    }


def fill(checkpoint):
    """Store results small and large, of several functions, and one failure."""
    with use_checkpoint(checkpoint):
        for number in range(60):
            checkpoint.load_or_run(double, number, number)
        checkpoint.load_or_run(array, "large", 1, 50_000)
        checkpoint.load_or_run(bytes, "larger", 300_000)
        with pytest.raises(ValueError):
            checkpoint.load_or_run(double, "fails", "raises")
        assert list(numbers(5)) == [0, 1, 2, 3, 4]
        assert list(numbers(0)) == []
        unfinished = numbers(9)
        next(unfinished)
        unfinished.close()


def all_of(checkpoint):
    """All that is known of each record and failure, without order."""
    return sorted([*map(repr, checkpoint.records()), *map(repr, checkpoint.failures())])


def check(checkpoint):
    """All that `fill` stored is there, and right."""
    with use_checkpoint(checkpoint):
        before = checkpoint.stats().misses
        for number in range(60):
            assert checkpoint.load_or_run(double, number, "other") == {"twice": 2 * number}
        assert (checkpoint.load_or_run(array, "large", 2, 3) == array(1, 50_000)).all()
        assert checkpoint.load_or_run(bytes, "larger", 1) == bytes(300_000)
        assert list(numbers(5, offset=100)) == [0, 1, 2, 3, 4]
        assert list(numbers(0, offset=100)) == []
        assert checkpoint.stats().misses == before
        assert [failure.call_id for failure in checkpoint.failures()] == ["fails"]


def raw_size(checkpoint):
    """How many records there are, those of items among them."""
    return len(list(checkpoint._engine._store.scan()))


@pytest.mark.parametrize("to", ["memory", "local", "folder", "tiers"])
@pytest.mark.parametrize("via", ["file", "copy"])
@pytest.mark.parametrize("source", ["memory", "local", "folder", "tiers"])
def test_records_arrive_as_they_are(tmp_path, source, via, to):
    """From any store to any other: results, failures and items, with ids, dates, durations; twice changes nothing."""
    here = Checkpoint(places(tmp_path / "here")[source](), name="here")
    there = Checkpoint(places(tmp_path / "there")[to](), name="there")
    fill(here)

    def transfer():
        if via == "copy":
            return here.copy_to(there)
        here.export(tmp_path / "file")
        return there.import_from(tmp_path / "file")

    done = transfer()
    assert (done.results, done.failures, done.already_there, done.left_out) == (64, 1, 0, 0)
    assert 700_000 < done.size_bytes < 800_000
    assert all_of(there) == all_of(here)
    check(there)
    size = raw_size(there)
    assert transfer() == Transfer(already_there=65)
    assert raw_size(there) == size
    assert all_of(there) == all_of(here)
    here.close()
    there.close()


def test_a_part(tmp_path):
    """By function, or by whatever is known of a record."""
    here = Checkpoint(MemoryStore())
    fill(here)
    assert here.export(tmp_path / "a", double)[:2] == (60, 1)
    assert here.export(tmp_path / "b", where=lambda info: info.call_id in ("5", "7", "large"))[:2] == (4, 0)
    there = Checkpoint(MemoryStore())
    assert there.import_from(tmp_path / "b", double)[:2] == (2, 0)
    assert [info.call_id for info in there.records()] == ["5", "7"]
    assert there.import_from(tmp_path / "a", where=lambda info: info.call_id < "2")[:2] == (12, 0)
    assert here.copy_to(there, numbers)[:2] == (2, 0)
    with use_checkpoint(there):
        assert list(numbers(5, offset=7)) == [0, 1, 2, 3, 4]


def test_the_first_record_wins_unless_it_is_to_be_replaced(tmp_path):
    """What is there stays, results of generators with all their items; replaced, nothing of them is left behind."""
    here, there = Checkpoint(MemoryStore()), Checkpoint(MemoryStore())
    for checkpoint, offset in ((here, 1), (there, 100)):
        with use_checkpoint(checkpoint):
            assert list(numbers(4, offset)) == [offset + n for n in range(4)]
            checkpoint.load_or_run(int, "x", offset)
    here.export(tmp_path / "file")
    size = raw_size(there)
    assert there.import_from(tmp_path / "file") == Transfer(already_there=2)
    with use_checkpoint(there):
        assert list(numbers(4)) == [100, 101, 102, 103]
    assert there.import_from(tmp_path / "file", replace=True).results == 2
    with use_checkpoint(there):
        assert list(numbers(4)) == [1, 2, 3, 4]
        assert there.load_or_run(int, "x", 5) == 1
    assert raw_size(there) == size
    assert there.import_from(tmp_path / "file", replace=True) == Transfer(already_there=2)
    there.clear(function=numbers)
    assert raw_size(there) == 1


def test_a_failure_never_stands_beside_a_result(tmp_path):
    """A result that arrives removes the failure; a failure does not arrive where there is a result."""
    failed, done = Checkpoint(MemoryStore()), Checkpoint(MemoryStore())
    with pytest.raises(ValueError):
        failed.load_or_run(double, "id", "raises")
    done.load_or_run(double, "id", 1)
    failed.export(tmp_path / "failed")
    assert done.import_from(tmp_path / "failed") == Transfer(already_there=1)
    assert done.import_from(tmp_path / "failed", replace=True) == Transfer(already_there=1)
    assert list(done.failures()) == []
    done.export(tmp_path / "done")
    assert failed.import_from(tmp_path / "done").results == 1
    assert list(failed.failures()) == []


SCRIPT = """
    import sys
    from skipstone import Checkpoint, open_checkpoint
    from skipstone.stores._shared_folder import SharedFolderStore

    def value(number):
        return [number] * 50

    def numbers(n):
        yield from range(n)

    here = open_checkpoint("step", {"artifacts_dir": "here"})
    there = Checkpoint(SharedFolderStore("there/index/step"), name="there")

    class Told:
        # Says that work goes on, so that it can be stopped in the midst of it.
        def __init__(self, method):
            self.method, self.count = method, 0

        def __call__(self, *arguments, **options):
            kept = self.method(*arguments, **options)
            self.count += 1
            if self.count >= int(sys.argv[2]):
                print("result", flush=True)
            return kept

    def main(what):
        if what == "fill":
            here.map(value, range(2000), progress=False).drain()
            list(here.load_or_run(numbers, "many", 1200))
        elif what == "export":
            from skipstone.stores._export import ExportFile
            ExportFile.put_many = told(ExportFile.put_many)
            print(here.export("file"))
        elif what == "import":
            there._engine._store.put_many = Told(there._engine._store.put_many)
            print(there.import_from("file"))
        elif what == "copy":
            there._engine._store.put_many = Told(there._engine._store.put_many)
            print(here.copy_to(there))

    def told(method):
        counting = Told(method)
        return lambda self, *arguments, **options: counting(self, *arguments, **options)

    main(sys.argv[1])
"""


@pytest.mark.parametrize(
    "what", ["export", *(pytest.param(name, marks=pytest.mark.slow) for name in ("import", "copy"))]
)
def test_killed_and_done_again(script, what):
    """Killed several times at different places, it goes on; in the end all is there, and nothing twice."""
    script.write("transfer.py", SCRIPT)
    script("transfer.py", "fill", 0)
    if what == "import":
        script("transfer.py", "export", 10**9)
    for kills in (1, 2, 1):
        process = script.start("transfer.py", what, kills)
        assert process.stdout.readline() == "result\n"
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        assert (script.folder / "file").exists() == (what == "import")
    done = script("transfer.py", what, 10**9).stdout
    assert "failures=0" in done and "left_out=0" in done
    results, there = (
        int(done.partition(f"{name}=")[2].partition(",")[0]) for name in ("results", "already_there")
    )
    assert results + there == 2001
    assert there >= 500
    if what == "export":
        script("transfer.py", "import", 10**9)
        assert not (script.folder / "file.part").exists()
    with Checkpoint(SharedFolderStore(f"{script.folder}/there/index/step")) as checkpoint:
        found = [info for info in checkpoint._engine._store.scan() if info.encoding != CODE]
        with local(script.folder / "here") as source:
            assert [info.call_id for info in found if info.function == "transfer.value"]
            assert len(found) == 2000 + 1 + 1 + 1200
            assert sorted(checkpoint.records()) == sorted(source.records())


def test_what_a_killed_export_wrote_is_not_taken_for_true_later(tmp_path):
    """Where a record was removed or replaced since, the file is begun anew."""
    from skipstone.stores._export import ExportFile

    with local(tmp_path) as checkpoint:
        for number in range(20):
            checkpoint.load_or_run(double, number, number)
        store = checkpoint._engine._store
        keys = [info.key for info in checkpoint.records()]
        with ExportFile.to_write(str(tmp_path / "file")) as file:  # not finished
            infos = {info.key: info for info in store.scan()}
            file.put_many(
                [
                    record._replace(call_id=infos[key].call_id, created_at_seconds=infos[key].created_at_seconds)
                    for key, record in store.get_many(keys[:10]).items()
                ]
            )
        checkpoint.clear(function=double, id=3)
        assert checkpoint.export(tmp_path / "file") == Transfer(
            19, 0, 0, 0, checkpoint.stats().bytes_saved * 19 // 20
        )
    there = Checkpoint(MemoryStore())
    assert there.import_from(tmp_path / "file").results == 19
    assert "3" not in [info.call_id for info in there.records()]


def exported(folder, count=20):
    """An export of some results, one of them of a generator, and one large."""
    checkpoint = Checkpoint(MemoryStore())
    with use_checkpoint(checkpoint):
        for number in range(count):
            checkpoint.load_or_run(double, number, number)
        assert len(list(numbers(3))) == 3
        checkpoint.load_or_run(bytes, "larger", 3000)
    checkpoint.export(folder / "file")
    return (folder / "file").read_bytes()


def damaged_import(folder, content, least):
    """Import a damaged file: no crash, no wrong value, and at least so many results."""
    (folder / "damaged").write_bytes(content)
    checkpoint = Checkpoint(MemoryStore())
    with pytest.warns(DamagedRecordWarning, match="damaged|missing|does not fit"):
        done = checkpoint.import_from(folder / "damaged")
    assert done.results >= least
    assert len(list(checkpoint.records())) == done.results
    with use_checkpoint(checkpoint):
        for number in range(20):
            assert checkpoint.load_or_run(double, number, number) == {"twice": 2 * number}
        assert checkpoint.load_or_run(bytes, "larger", 3000) == bytes(3000)
        assert list(numbers(3)) == [0, 1, 2]
        assert checkpoint.stats().hits == done.results
    return done


def test_a_damaged_file_loses_what_is_damaged(tmp_path):
    """Wherever a byte has changed, it is told, at most one result is left out, and the others come."""
    content = exported(tmp_path)
    numbers = random.Random(0)
    padding = 0
    for at in numbers.sample(range(len(content)), 250):
        changed = bytearray(content)
        changed[at] ^= 1 << numbers.randrange(8)
        (tmp_path / "damaged").write_bytes(changed)
        if content[at] == 0 and _is_padding(tmp_path, changed):
            padding += 1  # between frames: nothing is damaged
            continue
        damaged_import(tmp_path, changed, 21)
    assert padding < 100


def _is_padding(folder, content):
    from skipstone.stores._export import ExportFile

    with ExportFile.to_read(str(folder / "damaged")) as file:
        keys = [info.key for info in file.scan()]
        return not file.problems and all(record.checksum for record in file.get_many(keys).values())


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_cut_file_is_no_whole_one(tmp_path, part):
    """Copied half-way, it gives what it has, and says that its end is missing."""
    content = exported(tmp_path)
    damaged_import(tmp_path, content[: int(len(content) * part)], int(20 * part) - 4)


def test_zeros_in_the_middle(tmp_path):
    """What a power loss or a bad disk leaves behind is passed over."""
    content = bytearray(exported(tmp_path))
    content[3000:5000] = bytes(2000)
    done = damaged_import(tmp_path, content, 10)
    assert done.left_out >= 3


def test_an_export_within_an_export(tmp_path):
    """A result that is such a file itself is a result, also where the frame around it is damaged."""
    inner = exported(tmp_path)
    checkpoint = Checkpoint(MemoryStore(), {"serializer": Plain()})
    checkpoint.load_or_run(bytes, "a", inner)
    checkpoint.load_or_run(bytes, "b", b"b")
    checkpoint.export(tmp_path / "outer")
    outer = (tmp_path / "outer").read_bytes()
    there = Checkpoint(MemoryStore(), {"serializer": Plain()})
    assert there.import_from(tmp_path / "outer").results == 2
    assert there.load_or_run(bytes, "a", b"") == inner
    at = outer.index(b"SKX1rec ")
    (tmp_path / "outer").write_bytes(outer[:at] + bytes(64) + outer[at + 64 :])
    there = Checkpoint(MemoryStore(), {"serializer": Plain()})
    with pytest.warns(DamagedRecordWarning, match="1 records .* were left out: bytes .* are damaged"):
        assert there.import_from(tmp_path / "outer").results == 1
    assert [info.call_id for info in there.records()] == ["b"]


class Plain:
    """Bytes as they are."""

    name = "plain"

    def dumps(self, value, _type):
        return [value]

    def loads(self, payload, _type):
        return bytes(payload)


def test_a_damaged_record_does_not_travel(tmp_path):
    """What was damaged in the store is told and left out; so is a generator's result with a damaged item."""
    here = Checkpoint(MemoryStore())
    fill(here)
    store = here._engine._store
    for info in list(store.scan()):
        if info.call_id in ("7", "5") and info.encoding in ("pickle", "item:pickle"):
            store.put(store.get(info.key)._replace(payload=b"damaged"), replace=True)
    there = Checkpoint(MemoryStore())
    told = "3 records of .*/file were left out: .*for id '5': its checksum does not fit"
    with pytest.warns(DamagedRecordWarning, match=told):
        done = here.export(tmp_path / "file")
    assert (done.results, done.left_out) == (61, 3)
    with pytest.warns(DamagedRecordWarning, match=r"numbers for id '5': some of its items are damaged or missing"):
        assert here.copy_to(there).left_out == 3
    assert there.import_from(tmp_path / "file") == Transfer(already_there=62)
    with use_checkpoint(there):
        assert list(numbers(5)) == [0, 1, 2, 3, 4]


class Planted:
    """Its pickle runs code when it is loaded."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_nothing_is_unpickled(tmp_path):
    """Neither in exporting, nor in importing, nor in copying; what is imported runs when it is loaded."""
    here, there = Checkpoint(MemoryStore()), Checkpoint(MemoryStore())
    here.load_or_run(double, "k", 1)
    store = here._engine._store
    (info,) = here.records()
    planted = store.get(info.key)._replace(payload=pickle.dumps(Planted(tmp_path / "planted"), protocol=5))
    store.put(here._engine._codec.seal(planted), replace=True)
    here.export(tmp_path / "file")
    assert there.import_from(tmp_path / "file").results == 1
    assert here.copy_to(Checkpoint(MemoryStore())).results == 1
    assert not (tmp_path / "planted").exists()
    there.load_or_run(double, "k", 1).close()
    assert (tmp_path / "planted").exists()


@pytest.mark.parametrize("setting", [{"signing_key": "secret"}, {"encryption_key": "k" * 32}])
def test_signatures_and_encryption_are_kept(tmp_path, setting):
    """Whoever moves records needs no key; a checkpoint with a key takes none that do not bear it."""
    with_key = Checkpoint(MemoryStore(), setting)
    fill(with_key)
    before = [with_key._engine._store.get(info.key) for info in with_key.records()]
    relay = Checkpoint(MemoryStore())
    with_key.export(tmp_path / "one")
    assert relay.import_from(tmp_path / "one")[:2] == (64, 1)
    relay.export(tmp_path / "two")
    end = Checkpoint(MemoryStore(), setting)
    assert end.import_from(tmp_path / "two")[:2] == (64, 1)
    assert {end._engine._store.get(record.key) for record in before} == set(before)
    check(end)
    plain, other = Checkpoint(MemoryStore()), Checkpoint(MemoryStore(), {next(iter(setting)): "other" * 10})
    plain.load_or_run(double, "plain", 1)
    plain.export(tmp_path / "plain")
    with pytest.warns(DamagedRecordWarning, match="does not bear the signature|is not encrypted"):
        assert end.import_from(tmp_path / "plain") == Transfer(left_out=1)
    with pytest.warns(
        DamagedRecordWarning, match="65 records .*(does not bear the signature|another encryption_key)"
    ):
        assert other.import_from(tmp_path / "one").results <= 2  # those without items need no key
    assert all(info.function.endswith("numbers") for info in other.records())


def test_only_one_writes_a_file(tmp_path):
    """A second export to the same file is refused while the first is under way, and both are whole afterwards."""
    from skipstone.stores._export import ExportFile

    checkpoint = Checkpoint(MemoryStore())
    checkpoint.load_or_run(double, 1, 1)
    with ExportFile.to_write(str(tmp_path / "file")):
        with pytest.raises(StoreUnavailableError, match="file.part is being written by another export"):
            checkpoint.export(tmp_path / "file")
    assert checkpoint.export(tmp_path / "file").results == 1
    assert checkpoint.export(tmp_path / "file").results == 1  # the new one takes the old one's place
    assert os.stat(tmp_path / "file").st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["file"]


class AwayStore(BaseStore):
    """A store that does not answer."""

    def scan(self, *, function=None):
        raise StoreUnavailableError("the far store is away")

    get_many = present = scan


def test_an_export_misses_nothing(tmp_path):
    """Where one of several stores does not answer, there is no file: it would look whole without what that one has."""
    near = SqliteStore(str(tmp_path / "near"))
    checkpoint = Checkpoint(TieredStore(near, AwayStore()))
    Checkpoint(near).load_or_run(double, 1, 1)
    with pytest.raises(StoreError, match="the far store is away"):
        checkpoint.export(tmp_path / "file")
    assert not (tmp_path / "file").exists()
    with pytest.raises(StoreError, match="the far store is away"):
        checkpoint.copy_to(Checkpoint(MemoryStore()))


def test_what_is_no_export(tmp_path):
    """It is refused by name, and so is one of a newer version."""
    checkpoint = Checkpoint(MemoryStore())
    with pytest.raises(FileNotFoundError):
        checkpoint.import_from(tmp_path / "nothing")
    for content in (b"", b"text", bytes(1000), os.urandom(5000)):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(StoreFormatError, match="other is no export of skipstone"):
            checkpoint.import_from(tmp_path / "other")


def test_switched_off(tmp_path):
    """Without checkpoints, there is nothing to export, and no file is touched."""
    off = NullCheckpoint()
    assert off.export(tmp_path / "file") == off.import_from(tmp_path / "file") == Transfer()
    assert off.copy_to(Checkpoint(MemoryStore())) == Checkpoint(MemoryStore()).copy_to(off) == Transfer()
    assert os.listdir(tmp_path) == []


LARGE = """
    import sys, threading
    from skipstone import open_checkpoint

    def large(size):
        return bytes(size)

    def own_bytes():
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon"))

    peak, over = own_bytes(), threading.Event()

    def watch():
        global peak
        while not over.wait(0.002):
            peak = max(peak, own_bytes())

    here, there = (open_checkpoint("step", {"artifacts_dir": name}) for name in ("here", "there"))
    if sys.argv[1] == "fill":
        here.load_or_run(large, 1, 1 << 29)
    else:
        before = own_bytes()
        thread = threading.Thread(target=watch)
        thread.start()
        print(here.export("file"), there.import_from("file"))
        over.set()
        thread.join()
        print("peak", peak - before)
        assert len(there.load_or_run(large, 1, 0)) == 1 << 29
        assert peak - before < 100 << 20, peak - before
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux tells how much memory a process has")
def test_a_large_value_is_streamed(script):
    """A result of 512 MB is exported and imported in less than 100 MB of memory."""
    script.write("large.py", LARGE)
    script("large.py", "fill")
    assert "results=1" in script("large.py", "move").stdout
