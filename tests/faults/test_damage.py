"""Damaged files: what comes back is right or computed again, with a warning; and the store works again."""

import glob
import os
import sqlite3

import pytest
import trials

PAGE = 4096
SMALL = [f"s{number}-300" for number in range(3000)]


def is_log(path):
    return path.endswith("-wal")


def check(tally, count):
    assert tally["trials"] == count
    assert not tally.told_of("wrong", "errors", "not opened", "hung", "died", "slow", "not kept afterwards")


def test_damaged_files(servers, folder):
    """Whatever is damaged, no value is wrong, no call raises or hangs, and what is computed again is kept."""
    check(trials.damage(servers, "skipstone", folder, 60, seed=1), 60)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_damaged_files_hundreds_of_times(servers, folder):
    """The same, 300 times, and the same with signed records."""
    check(trials.damage(servers, "skipstone", folder, 240, seed=2), 240)
    check(trials.damage(servers, "skipstone", folder, 60, seed=3, settings={"signing_key": "secret"}), 60)


def test_damage_is_told(servers, folder):
    """Where damage to the database or a value file costs a computation, a warning says so."""
    tally = trials.damage(servers, "skipstone", folder, 24, seed=4, only=lambda path: not is_log(path))
    check(tally, 24)
    assert tally["computed again"]
    assert not tally.told_of("silent")


def test_a_damaged_log_is_told(servers, folder):
    """Where a flipped byte in the write-ahead log costs a computation, a warning says so."""
    tally = trials.damage(
        servers, "skipstone", folder, 12, seed=5, only=is_log, ways=["flip a bit", "zero a page"]
    )
    check(tally, 12)
    assert not tally.told_of("silent")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def database(folder):
    (path,) = glob.glob(f"{folder}/checkpoint/*/*[!s]/records.sqlite3")
    return path


def pages(path, kind):
    """Return the numbers of the pages of the table `records` that are of one kind, by what SQLite says."""
    content = read(path)
    connection = sqlite3.connect(path)
    roots = dict(connection.execute("SELECT name, rootpage - 1 FROM sqlite_master WHERE rootpage"))
    connection.close()
    first = {"leaf": 0x0D, "interior": 0x05, "index leaf": 0x0A}[kind]
    return roots, [number for number in range(1, len(content) // PAGE) if content[number * PAGE] == first]


@pytest.fixture(scope="module")
def many_small(servers, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("many"))
    servers[0].run("save", kind="skipstone", folder=folder, ids=SMALL)
    return folder


def zero_page(path, number):
    with open(path, "r+b") as file:
        file.seek(number * PAGE)
        file.write(bytes(PAGE))


@pytest.mark.parametrize("kind", ["leaf", "index leaf"])
def test_most_records_survive_a_zeroed_page(servers, folder, many_small, kind):
    """A page in the middle is zeroed: the database is set aside, and all records but those of the page are carried over."""
    seen = lose_page(servers, folder, many_small, lambda roots, found: found[len(found) // 2], kind)
    assert len(seen["ran"]) < 100, f"{len(seen['ran'])} of {len(SMALL)} records were lost with one page"


def test_most_records_survive_a_zeroed_interior_page(servers, folder, many_small):
    """The page that leads to all others is zeroed, and most records are carried over all the same."""
    seen = lose_page(servers, folder, many_small, lambda roots, found: roots["records"], "interior")
    assert len(seen["ran"]) < len(SMALL) / 2, f"{len(seen['ran'])} of {len(SMALL)} records were lost with one page"


def lose_page(servers, folder, many_small, choose, kind):
    import shutil

    copy = f"{folder}/copy"
    shutil.copytree(many_small, copy)
    path = database(copy)
    zero_page(path, choose(*pages(path, kind)))
    seen = servers[0].run("examine", kind="skipstone", folder=copy, ids=SMALL)
    assert not seen["wrong"]
    assert not seen["errors"]
    if seen["ran"]:
        assert seen["warnings"]
    again = servers[0].run("examine", kind="skipstone", folder=copy, ids=SMALL)
    assert again["ran"] == [], "what was computed again was not kept"
    return seen


def test_a_malformed_database_is_set_aside(servers, folder):
    """A database that SQLite cannot read is kept under a telling name beside the new one, and a warning names it."""
    ids = [f"a{number}-500" for number in range(200)] + ["b-100000"]
    servers[0].run("save", kind="skipstone", folder=folder, ids=ids)
    path = database(folder)
    with open(path, "r+b") as file:
        file.write(b"no database at all".ljust(100, b"!"))
    damaged = read(path)
    seen = servers[0].run("examine", kind="skipstone", folder=folder, ids=ids)
    assert (seen["opened"], seen["wrong"], seen["errors"]) == (True, [], [])
    (aside,) = glob.glob(f"{os.path.dirname(path)}/records.damaged-*.sqlite3")
    assert read(aside) == damaged
    messages = [message for category, message in seen["warnings"] if category == "DamagedStoreWarning"]
    assert len(messages) == 1
    assert os.path.basename(aside) in messages[0]
    assert servers[0].run("examine", kind="skipstone", folder=folder, ids=ids)["ran"] == []
    assert len(glob.glob(f"{os.path.dirname(path)}/records.damaged-*.sqlite3")) == 1
