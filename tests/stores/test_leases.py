"""Leases with real processes: killed, stopped, with other clocks, and as if on another machine."""

import os
import signal
import threading
import time

import pytest

from skipstone._store_trials import sample
from skipstone.stores._shared_folder import SharedFolderStore
from skipstone.testing._one_process import wait_until

HOLDER = """
    import sys, time
    from skipstone._store_trials import sample, sample_key
    from skipstone.stores import _liveness
    from skipstone.stores._shared_folder import SharedFolderStore

    where, seconds = sys.argv[1], float(sys.argv[2])
    if where == "elsewhere":  # another machine: its processes cannot be seen here, and its clocks tell other times
        _liveness._machine = lambda: "another-boot"
        monotonic = time.monotonic
        time.time, time.monotonic = lambda: 0.0, lambda: monotonic() + 1e6
    store = SharedFolderStore("shared/index/step", lease_seconds=seconds)
    held = {}
    for line in sys.stdin:
        what, number = line.split()
        if what == "claim":
            held[number] = store.claim(sample_key(int(number)))
            print(held[number] is not None, flush=True)
        elif what == "put":
            print(store.put(sample(int(number), b"of the holder")), flush=True)
        else:
            held[number].__exit__(None, None, None)
            print("given back", flush=True)
"""
SECONDS = 0.6


def key(number):
    return number.to_bytes(16, "big")


@pytest.fixture
def open_store(tmp_path):
    opened = []

    def open_store(seconds):
        opened.append(SharedFolderStore(str(tmp_path / "shared/index/step"), lease_seconds=seconds))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store):
    return open_store(SECONDS)


@pytest.fixture
def patient(open_store):
    """A handle that waits long before it takes a claim over."""
    return open_store(3600)


@pytest.fixture
def begin(script):
    """Begin a process that claims what it is told to; it is killed in the end."""
    script.write("holder.py", HOLDER)
    begun = []

    def begin(where, seconds=SECONDS):
        begun.append(Holder(script.start("holder.py", where, seconds)))
        return begun[-1]

    yield begin
    for holder in begun:
        holder.process.kill()
        holder.process.communicate()


class Holder:
    def __init__(self, process):
        self.process = process

    def __call__(self, what, number):
        self.process.stdin.write(f"{what} {number}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def kill(self):
        self.process.kill()
        self.process.wait()


def claimed(store, number, seconds=30):
    """Ask for a claim until it is there."""
    found = []
    wait_until(lambda: (claim := store.claim(key(number))) is not None and not found.append(claim), seconds)
    return found[0]


def leases_of(store):
    return [name for _, _, names in os.walk(store.folder) for name in names if ".claim" in name]


def test_a_killed_holder_on_this_machine_is_seen_at_once(patient, begin):
    """Where its process can be looked for, nobody waits for the lease time."""
    holder = begin("here", seconds=3600)
    assert holder("claim", 1) == "True"
    assert patient.claim(key(1)) is None
    holder.kill()
    with claimed(patient, 1):
        pass
    assert leases_of(patient) == []


def test_a_holder_elsewhere_keeps_its_claim_while_it_lives(store, begin):
    """For many times the lease time, whatever its clocks say; when it is killed, another gets the claim."""
    holder = begin("elsewhere")
    assert holder("claim", 1) == "True"
    end = time.monotonic() + 5 * SECONDS
    while time.monotonic() < end:
        assert store.claim(key(1)) is None
        time.sleep(0.01)
    holder.kill()
    with claimed(store, 1):
        assert store.claim(key(1)) is None


def test_all_claims_of_a_dead_holder_are_free_when_one_is(store, begin):
    """A holder is watched, not each of its claims: those who meet them one by one wait once."""
    holder = begin("elsewhere", seconds=3600)
    for number in range(5):
        assert holder("claim", number) == "True"
    holder.kill()
    with claimed(store, 0):
        for number in range(1, 5):
            with store.claim(key(number)):
                pass


def test_a_stopped_holder_comes_back_and_harms_nothing(store, patient, begin):
    """It finds that another was first, and gives back no claim but its own."""
    holder = begin("elsewhere")
    assert holder("claim", 1) == "True"
    assert holder("claim", 2) == "True"
    holder.process.send_signal(signal.SIGSTOP)
    with claimed(store, 1):
        holder.process.send_signal(signal.SIGCONT)
        assert holder("release", 1) == "given back"
        assert patient.claim(key(1)) is None
        assert store.put(sample(1, b"of the other"))
        assert holder("put", 1) == "False"
    assert holder("release", 2) == "given back"
    with claimed(store, 2), claimed(store, 1):
        assert bytes(store.get(key(1)).payload) == b"of the other"


def test_a_claim_held_for_long_is_given_back_at_once(patient, begin):
    """Whoever waits has it next, without waiting for the lease time."""
    holder = begin("elsewhere", seconds=0.2)
    assert holder("claim", 1) == "True"
    assert patient.claim(key(1)) is None
    time.sleep(0.3)  # more than half of the holder's lease time
    assert holder("release", 1) == "given back"
    with claimed(patient, 1):
        pass


def signs(store):
    """Return the thread that gives signs of life, as a list, and the signs."""
    threads = [thread for thread in threading.enumerate() if thread.name == "skipstone leases"]
    return threads, os.listdir(f"{store.folder}/holders") if os.path.isdir(f"{store.folder}/holders") else []


def test_signs_of_life_end_when_nothing_is_held(store):
    """There is one thread for all claims while there are any, and afterwards neither a thread nor a file."""
    with store.claim(key(1)), store.claim(key(2)):
        wait_until(lambda: len(signs(store)[1]) == 1, 10)
        assert len(signs(store)[0]) == 1
    wait_until(lambda: signs(store) == ([], []), 10)
    with store.claim(key(1)):
        assert len(signs(store)[0]) == 1
    assert leases_of(store) == []
    store.close()
    assert signs(store) == ([], [])


def test_a_child_after_fork_does_not_give_back_what_is_its_parents(store, patient):
    """A claim that a child inherits stays the parent's; the child can make claims of its own, which end with it."""
    claim = store.claim(key(1))
    child = os.fork()
    if child == 0:
        claim.__exit__(None, None, None)
        os._exit(0 if store.claim(key(1)) is None and store.claim(key(2)) is not None else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert patient.claim(key(1)) is None
    with store.claim(key(2)):
        pass
    claim.__exit__(None, None, None)
    assert leases_of(store) == []


def test_a_claim_that_could_not_be_given_back_ends_with_its_holder(store, open_store, monkeypatch):
    """What is left behind when the store fails is taken over, though the process lives on and claims other keys."""

    def fails(path):
        raise OSError(5, "the server went away")

    claim = store.claim(key(1))
    with monkeypatch.context() as patch:
        patch.setattr(store._files, "remove", fails)
        claim.__exit__(None, None, None)
    with store.claim(key(2)), claimed(open_store(SECONDS), 1):
        pass


@pytest.mark.parametrize("text", [b"", b"rubbish", b"a b c", b"\xff\x00", b"::: 1 2"])
def test_rubbish_in_place_of_a_lease_is_taken_over(store, text):
    """What nobody understands gives no sign of life."""
    with store.claim(key(1)):
        (name,) = leases_of(store)
    path = f"{store.folder}/records/00/{name}"
    with open(path, "wb") as file:
        file.write(text)
    assert store.claim(key(1)) is None
    with claimed(store, 1):
        pass
