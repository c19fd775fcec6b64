"""Several stores behind one another: the near one answers, the far one is shared, and may be away for a while."""

import asyncio
import os
import signal
import sqlite3
import threading
import time
import warnings
from contextlib import closing

import pytest

from skipstone import (
    Checkpoint,
    DamagedRecordWarning,
    StoreUnavailableError,
    StoreUnavailableWarning,
    cache_with_checkpoint,
    open_checkpoint,
    use_checkpoint,
)
from skipstone._store_trials import content_of, is_large_sample, large_sample, sample, sample_key
from skipstone.stores import BaseStore, SqliteStore
from skipstone.stores._tiers import TieredStore
from skipstone.testing import StoreConformance


class FarStore(BaseStore):
    """A store that is away as long as a file is there."""

    is_remote = True

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.store = SqliteStore(f"{folder}/records")

    def __reduce__(self):
        return FarStore, (self.folder,)

    @property
    def answering(self):
        try:
            with open(f"{self.folder}/away"):
                raise StoreUnavailableError("the far store is away")
        except FileNotFoundError:
            return self.store

    def get(self, key, /):
        return self.answering.get(key)

    def get_many(self, keys, /):
        return self.answering.get_many(keys)

    def present(self, keys, /):
        return self.answering.present(keys)

    def put(self, record, /, *, replace=False):
        return self.answering.put(record, replace=replace)

    def put_many(self, records, /, *, replace=False):
        until(lambda: not os.path.exists(f"{self.folder}/busy"))
        return self.answering.put_many(records, replace=replace)

    def delete(self, keys, /):
        return self.answering.delete(keys)

    def scan(self, *, function=None):
        return self.answering.scan(function=function)

    def claim(self, key, /):
        return self.answering.claim(key)

    def close(self):
        self.store.close()


class TestTieredStore(StoreConformance):
    in_background = False

    @pytest.fixture(autouse=True)
    def place(self, tmp_path):
        self.folder = tmp_path

    def make_store(self, scope):
        near, far = SqliteStore(f"{self.folder}/near/{scope}"), SqliteStore(f"{self.folder}/far/{scope}")
        return TieredStore(near, far, in_background=self.in_background)


class TestTieredStoreInBackground(TestTieredStore):
    in_background = True


class TestThreeTiers(TestTieredStore):
    def make_store(self, scope):
        nearest = SqliteStore(f"{self.folder}/nearest/{scope}")
        return TieredStore(nearest, super().make_store(scope))


class HeldFarStore(FarStore):
    """A far store that takes nothing until it may."""

    def __init__(self, folder):
        super().__init__(folder)
        self.may_go_on, self.is_asked = threading.Event(), threading.Event()
        self.may_go_on.set()

    def put_many(self, records, /, *, replace=False):
        if not self.may_go_on.is_set():
            self.is_asked.set()
            assert self.may_go_on.wait(60)
        return super().put_many(records, replace=replace)


class InterruptedStore(SqliteStore):
    """A near store in which something is done amid the next deletion, as if garbage was collected there."""

    amid = None

    def delete(self, keys, /):
        keys = list(keys)
        if self.amid is not None:
            amid, self.amid = self.amid, None
            amid()
        return super().delete(keys)


class Place:
    """Two machines with a far store between them."""

    def __init__(self, folder):
        self.folder = folder
        self.away = folder / "far" / "away"
        self.away.parent.mkdir()

    @property
    def far(self):
        return FarStore(str(self.away.parent))

    def near(self, machine):
        return SqliteStore(str(self.folder / machine))

    def store(self, machine, **settings):
        return TieredStore(self.near(machine), self.far, **settings)

    def damage(self, machine):
        """Change a byte of each record that a machine has near; of those that are far, where it is called far."""
        for path in self.folder.glob(f"{machine}*/**/records.sqlite3"):
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute(
                    "UPDATE records SET payload = x'00' || substr(payload, 2) WHERE payload IS NOT NULL"
                )
        for path in self.folder.glob(f"{machine}*/**/values/**/*"):
            if path.is_file():
                path.chmod(0o600)
                path.write_bytes(b"damaged" + path.read_bytes()[7:])


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def until(condition):
    """Wait for something that another thread does."""
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come")


@pytest.mark.parametrize("in_background", [False, True])
def test_what_one_machine_saves_another_has(place, in_background):
    """The far store gets each record, and the other machine keeps a copy near, whole."""
    one, other = place.store("one", in_background=in_background), place.store("other")
    assert one.put(sample(1, b"first"))
    one.close()
    assert other.present([sample_key(1), sample_key(2)]) == {sample_key(1)}
    assert content_of(other.get(sample_key(1))) == b"first"
    other.close()
    place.away.touch()
    assert content_of(other.get(sample_key(1))) == b"first"
    (info,) = place.near("one").scan()
    assert (info.call_id, info.created_at_seconds, info.details) == ("id", 1e9 + 1, sample(1).details)
    place.away.unlink()
    (info,) = place.far.scan()
    assert (info.call_id, info.created_at_seconds, info.details) == ("id", 1e9 + 1, sample(1).details)


@pytest.mark.filterwarnings("ignore::skipstone.StoreUnavailableWarning")
def test_what_is_replaced_amid_its_copying_is_copied_again(place):
    """Also where it is replaced by what ends amid garbage collection, in the very thread that copies, and the far store goes away."""
    near = InterruptedStore(str(place.folder / "one"))
    one = TieredStore(near, place.far, in_background=True)

    def replace():
        place.away.touch()
        assert one.put(sample(1, b"second"), replace=True)

    near.amid = replace
    assert one.put(sample(1, b"first"))
    until(lambda: near.amid is None)
    one.close()
    place.away.unlink()
    assert content_of(place.far.get(sample_key(1))) == b"first"
    again = place.store("one")
    assert again.put(sample(2, b"other"))
    until(lambda: content_of(place.far.get(sample_key(1))) == b"second")
    again.close()


def test_who_was_first_far_is_first_near(place):
    """A record that another machine has put meanwhile is the one that is kept here, too."""
    one, other = place.store("one"), place.store("other")
    assert one.put(sample(1, b"one's"))
    assert not other.put(sample(1, b"other's"))
    assert content_of(other.get(sample_key(1))) == b"one's"
    assert content_of(place.near("other").get(sample_key(1))) == b"one's"


@pytest.mark.parametrize(
    "settings", [{"expires_seconds": 100.0, "on_code_change": "ignore"}, {"on_code_change": "rerun"}]
)
@pytest.mark.parametrize("tiers", [2, 3])
def test_what_another_machine_has_run_again_is_not_run_once_more(place, settings, tiers):
    """A near copy that may not be returned any more is replaced by what is far meanwhile; while that is away, the call runs."""
    ran = []

    def work(body, machine):
        store = place.store(machine)
        if tiers == 3:
            store = TieredStore(place.near(f"{machine}-nearest"), store)
        space = {"tell": ran.append}
        exec(f"def work(x):\n    tell(x)\n    return {body}", space)
        work = cache_with_checkpoint(id="x", name="work")(space["work"])
        with Checkpoint(store, settings) as checkpoint, use_checkpoint(checkpoint):
            return work(1), list(checkpoint.map(work, [1], progress=False))

    for machine in ("one", "other", "third"):
        assert work("x + 1", machine) == (2, [2])
    assert len(ran) == 1
    for path in place.folder.rglob("records.sqlite3"):
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("UPDATE records SET created_at = created_at - 200")
        connection.close()
    for machine in ("one", "other"):
        assert work("x + 1 + 0", machine) == (2, [2])
    assert len(ran) == 2
    place.away.touch()
    with pytest.warns(StoreUnavailableWarning):
        assert work("x + 1 + 0", "third") == (2, [2])
    assert len(ran) == 3


@pytest.mark.parametrize("tiers", [2, 3])
@pytest.mark.parametrize("size_bytes", [10, 200_000])
def test_a_damaged_copy_is_replaced_by_what_is_far(place, tiers, size_bytes):
    """A near copy that is damaged is told, and the far record returned and kept in its place; no call runs again."""
    ran = []

    def work(n):
        ran.append(n)
        return bytes([n]) * size_bytes

    def results(machine):
        store = place.store(machine)
        if tiers == 3:
            store = TieredStore(place.near(f"{machine}-nearest"), store)
        with Checkpoint(store) as checkpoint:
            one = checkpoint.load_or_run(work, 1, 1)
            return [one, *checkpoint.map(work, [2, 3], id=lambda n: n, progress=False)]

    right = results("one")
    place.damage("one")
    with pytest.warns(DamagedRecordWarning) as told:
        assert results("one") == right
    # It is told before the far store is asked, by whoever meets the damage.
    assert all("an intact copy replaces it, if another store has one; else " in str(each.message) for each in told)
    assert sorted(ran) == [1, 2, 3]
    place.away.touch()
    assert results("one") == right
    assert sorted(ran) == [1, 2, 3]


@pytest.mark.parametrize("tiers", [2, 3])
@pytest.mark.parametrize("size_bytes", [10, 200_000])
@pytest.mark.parametrize("is_async", [False, True])
def test_damaged_copies_of_items_are_replaced_by_what_is_far(place, tiers, size_bytes, is_async):
    """The same of what a generator function yields and returns; where nothing far is whole, it runs again."""
    ran = []

    @cache_with_checkpoint(id="n")
    def numbers(n):
        ran.append(n)
        for number in range(n):
            yield bytes([1 + number]) * size_bytes
        return b"returned" * size_bytes

    @cache_with_checkpoint(id="n")
    async def numbers_later(n):
        ran.append(n)
        for number in range(n):
            yield bytes([1 + number]) * size_bytes

    def drained():
        items = []

        def drain():
            items.append((yield from numbers(3)))

        async def drain_later():
            return [item async for item in numbers_later(3)]

        return asyncio.run(drain_later()) if is_async else [*drain(), *items]

    def results():
        store = place.store("one")
        if tiers == 3:
            store = TieredStore(place.near("one-nearest"), store)
        with Checkpoint(store) as checkpoint, use_checkpoint(checkpoint):
            return drained()

    right = results()
    assert len(right) == (3 if is_async else 4)
    place.damage("one")
    with pytest.warns(DamagedRecordWarning, match="an intact copy replaces it, if another store has one"):
        assert results() == right
    assert ran == [3]
    place.away.touch()
    assert results() == right
    place.away.unlink()
    place.damage("one")
    place.damage("far")
    with pytest.warns(DamagedRecordWarning):
        assert results() == right
    assert results() == right
    assert ran == [3, 3]


@pytest.mark.parametrize("in_background", [True, False])
def test_what_comes_too_late_does_not_bring_back_what_was_replaced(place, in_background):
    """While the far store is away, a record is replaced, and another one is put that is not kept: the far store gets the former."""
    store = place.store("one", in_background=in_background)
    store.put(sample(1, b"old"))
    store.close()
    place.away.touch()
    with pytest.warns(StoreUnavailableWarning):
        assert store.put(sample(1, b"new"), replace=True)
        assert not store.put(sample(1, b"too late"))
        store.close()
    place.away.unlink()
    with closing(place.store("one")) as store, closing(place.store("two")) as other:
        store.close()
        assert [content_of(each.get(sample_key(1))) for each in (store, other)] == [b"new", b"new"]


def test_what_comes_too_late_is_copied_together_with_what_was_replaced(place):
    """The same where both are waiting to be copied at the same time."""
    far = HeldFarStore(str(place.away.parent))
    with closing(TieredStore(place.near("one"), far, in_background=True)) as store:
        store.put(sample(1, b"old"))
        until(lambda: far.get(sample_key(1)))
        far.may_go_on.clear()
        store.put(sample(2, b"what is copied meanwhile"))
        assert far.is_asked.wait(60)
        assert store.put(sample(1, b"new"), replace=True)
        assert not store.put(sample(1, b"too late"))
        far.may_go_on.set()
        store.close()
        assert [content_of(each.get(sample_key(1))) for each in (store, far)] == [b"new", b"new"]


def test_a_far_store_that_is_away_is_caught_up_with(place):
    """Calls run and are kept, with one warning; when the far store is back, it gets what it lacks."""
    place.away.touch()
    checkpoint = Checkpoint(place.store("one"), name="step")
    with pytest.warns(StoreUnavailableWarning) as told:
        assert list(checkpoint.map(abs, range(-200, 0), progress=False)) == list(range(200, 0, -1))
    assert [str(each.message).partition(".")[0] for each in told] == ["the far store is away"]
    assert checkpoint.stats().not_saved == 0
    assert list(checkpoint.map(abs, range(-200, 0), progress=False)) == list(range(200, 0, -1))
    assert checkpoint.stats().misses == 200
    assert len(list(checkpoint.records())) == 200
    place.away.unlink()
    until(lambda: len(list(place.far.scan())) == 200)
    checkpoint.close()
    assert len(list(place.near("one").scan())) == 200
    other = Checkpoint(place.store("other"), name="step")
    assert list(other.map(abs, range(-200, 0), progress=False)) == list(range(200, 0, -1))
    assert other.stats().misses == 0


@pytest.mark.parametrize("in_background", [False, True])
def test_closing_waits_for_no_store_that_is_away(place, in_background):
    """A checkpoint is closed at once although the far store is away, whatever is just tried; its thread has ended."""
    for number in range(10):
        place.away.touch()
        store = place.store("one", in_background=in_background)
        with warnings.catch_warnings(action="ignore", category=StoreUnavailableWarning):
            store.put(sample(number, b"x"))
            until(lambda store=store: store._backlog.is_behind)
            if number % 2:
                store._backlog.far_answers()  # so that the thread is about to ask the far store
            store.close()
        assert "skipstone-backlog" not in {each.name for each in threading.enumerate()}
        place.away.unlink()
    store = place.store("one")
    store.close()
    assert len(list(place.far.scan())) == 10


def test_what_is_removed_while_the_far_store_is_away_stays_removed(place):
    """A deletion is caught up with, too, and what is put afterwards replaces what is there."""
    one = place.store("one")
    one.put_many([sample(1, b"old"), sample(2, b"old"), sample(3, b"old")])
    place.away.touch()
    with pytest.warns(StoreUnavailableWarning):
        assert one.delete([sample_key(1), sample_key(2)]) == 2
    assert one.put(sample(2, b"new"))
    one._near.close()  # as if the process had died: nothing is caught up with
    place.away.unlink()
    again = place.store("one")
    assert again.get(sample_key(1)) is None
    assert content_of(again.get(sample_key(2))) == b"new"
    until(lambda: place.far.get(sample_key(1)) is None)
    until(lambda: content_of(place.far.get(sample_key(2))) == b"new")
    assert content_of(again.get(sample_key(3))) == b"old"
    one.close()
    again.close()


SAVES = """
    import sys
    from test_tiers import Place
    from skipstone import Checkpoint
    from pathlib import Path

    def result(number):
        return number

    place = Place.__new__(Place)
    place.folder, place.away = Path(sys.argv[1]), Path(sys.argv[1]) / "far" / "away"
    checkpoint = Checkpoint(place.store("one", in_background=sys.argv[2] == "True"), name="step")
    for number in range(int(sys.argv[3])):
        checkpoint.load_or_run(result, number, number)
        print("result", flush=True)
    checkpoint.close()
"""


@pytest.mark.parametrize("in_background", [False, True])
def test_nothing_acknowledged_is_lost_by_a_kill(script, place, in_background, pytestconfig):
    """The next run copies what a killed one has acknowledged and not copied."""
    script.write("saves.py", SAVES)
    script.write(
        "test_tiers.py", (pytestconfig.rootpath / "tests/stores/test_tiers.py").read_text(encoding="utf-8")
    )
    if not in_background:
        place.away.touch()  # or there would be nothing left to copy
    process = script.start("saves.py", place.folder, in_background, 100_000, warnings="ignore")
    acknowledged = 0
    while acknowledged < 300:
        assert process.stdout.readline() == "result\n"
        acknowledged += 1
    process.send_signal(signal.SIGKILL)
    acknowledged += process.communicate()[0].count("result\n")
    place.away.unlink(missing_ok=True)
    script("saves.py", place.folder, in_background, 1)
    assert len([info for info in place.far.scan() if info.function == "saves.result"]) >= acknowledged


def test_who_computed_a_call_meanwhile(place):
    """Two machines compute one call while the far store is away: both end with the result of who was back first."""
    one, other = place.store("one"), place.store("other")
    place.away.touch()
    with pytest.warns(StoreUnavailableWarning):
        assert one.put(sample(1, b"one's"))
    with pytest.warns(StoreUnavailableWarning):
        assert other.put(sample(1, b"other's"))
    place.away.unlink()
    other.close()
    one.close()
    for store in (place.near("one"), place.near("other"), place.far):
        assert content_of(store.get(sample_key(1))) == b"other's"
        (info,) = store.scan()
        assert (info.call_id, info.created_at_seconds) == ("id", 1e9 + 1)


def test_three_tiers_with_the_last_one_away(place, tmp_path):
    """The middle one takes note of what the last one lacks; what only that has fills both before it."""

    def store():
        return TieredStore(SqliteStore(str(tmp_path / "nearest")), place.store("middle"))

    place.far.put(sample(1, b"far"))
    tiers = store()
    assert content_of(tiers.get(sample_key(1))) == b"far"
    place.away.touch()
    assert content_of(SqliteStore(str(tmp_path / "nearest")).get(sample_key(1))) == b"far"
    assert content_of(place.near("middle").get(sample_key(1))) == b"far"
    with pytest.warns(StoreUnavailableWarning):
        assert tiers.put(sample(2, b"new"))
    assert tiers.get(sample_key(3)) is None
    tiers._near.close()  # as if the process had died
    place.away.unlink()
    again = store()
    assert content_of(again.get(sample_key(2))) == b"new"
    until(lambda: place.far.get(sample_key(2)))
    again.close()
    tiers.close()


def test_a_near_store_that_is_away(place):
    """Records go to the far store then, also where it gets them in the background otherwise."""
    (place.folder / "one").write_text("no folder")
    one = place.store("one", in_background=True)
    with pytest.warns(StoreUnavailableWarning) as told:
        assert one.put(sample(1, b"first"))
        assert one.put_many([sample(2), sample(3)]) == {sample_key(2), sample_key(3)}
        assert content_of(one.get(sample_key(1))) == b"first"
    assert len(told) == 1
    assert place.far.present([sample_key(1), sample_key(2), sample_key(3)]) == {*map(sample_key, (1, 2, 3))}


def test_large_values_arrive_whole(place):
    """In the background, in the far store and on the other machine."""
    one, other = place.store("one", in_background=True), place.store("other")
    one.put(large_sample(50 << 20))
    one.close()
    assert is_large_sample(other.get(sample_key(1)).payload)
    assert is_large_sample(place.near("other").get(sample_key(1)).payload)
    other.close()


def test_who_waits_for_a_call_gets_its_result_although_it_is_copied_later(place):
    """A claim ends when the far store has the record: else another machine would run the call again."""
    ran = []

    def run(machine):
        ran.append(machine)
        return machine

    def ask(machine):
        with Checkpoint(place.store(machine, in_background=True), name=machine) as checkpoint:
            answers[machine] = checkpoint.load_or_run(run, 1, machine)

    answers = {}
    busy = place.folder / "far" / "busy"
    busy.touch()
    one = Checkpoint(place.store("one", in_background=True), name="one")
    assert one.load_or_run(run, 1, "one") == "one"  # does not wait for the far store
    (info,) = one.records()
    assert place.far.claim(info.key) is None
    other = threading.Thread(target=ask, args=["other"])
    other.start()
    busy.unlink()
    other.join()
    one.close()
    assert (ran, answers) == (["one"], {"other": "one"})


def test_a_claim_ends_although_the_far_store_goes_away(place):
    """Nobody waits for a machine that is cut off; when both are back, the call's claim can be taken again."""
    one = place.store("one", in_background=True)
    busy = place.folder / "far" / "busy"
    busy.touch()
    with one.claim(sample_key(1)):
        one.put(sample(1))
    assert place.far.claim(sample_key(1)) is None
    with pytest.warns(StoreUnavailableWarning):
        place.away.touch()
        busy.unlink()
        until(lambda: one._backlog.is_behind)
        one._backlog._thread.join(0.1)
    place.away.unlink()
    until(lambda: place.far.claim(sample_key(1)))
    one.close()


def test_from_the_config(tmp_path):
    """A list of places makes tiers."""
    config = {
        "artifacts_dir": tmp_path / "near",
        "store": ["local", f"file://{tmp_path}/far"],
        "background_saves": True,
        "signing_key": "secret",
    }
    with open_checkpoint("step", config) as checkpoint:
        assert checkpoint.load_or_run(abs, "id", -3) == 3
    with open_checkpoint("step", {**config, "artifacts_dir": tmp_path / "other"}) as checkpoint:
        assert checkpoint.load_or_run(abs, "id", -3) == 3
        assert checkpoint.stats().hits == 1
