"""Garbage is collected at any time: in a thread that holds a lock, too, and what ends then may need that lock."""

import pytest

# Something is done amid garbage that is collected again and again, after so many allocations each time.
AMID = """
import gc, sys
from skipstone import Checkpoint, cache_with_checkpoint, note
from skipstone.stores import MemoryStore

class Ending:
    def __init__(self, end):
        self.end, self.ring = end, self

    def __del__(self):
        self.end()
        ended.append(1)
        if len(ended) % 100:
            Ending(self.end)

ended = []
checkpoint = Checkpoint(MemoryStore(), name="step")

def amid(act, end, most=20):
    for allocations in range(1, most):
        gc.set_threshold(allocations)
        Ending(end)
        act()
    gc.set_threshold(0)
    while gc.collect():
        pass
"""

COUNTED = """
def call():
    checkpoint.load_or_run(abs, ("end", len(ended)), -1)

amid(checkpoint.stats, call)
assert checkpoint.stats().misses == len(ended)
"""

NOTED = """
def work(x):
    amid(lambda: note(begun=1, ended=0), lambda: note(ended=1))

checkpoint.load_or_run(work, 1, 1)
spent = checkpoint.stats().notes_spent
assert (spent["begun"], spent["ended"]) == (19, len(ended))
"""

SOURCE_READ = """
import importlib, pathlib
sys.path.insert(0, ".")
for number in range(99):
    pathlib.Path(f"part{number}.py").write_text("def work(x):\\n    return [x, (x, [x])]\\n" * 9)
parts = iter([importlib.import_module(f"part{number}") for number in range(99)])

def read():
    checkpoint.load_or_run(next(parts).work, len(ended), 1)

def call():
    def work():
        pass

    checkpoint.load_or_run(work, len(ended))

call()
amid(read, call)
"""

DECORATED = """
def decorate():
    cache_with_checkpoint(id="[x, (x, [x])]")(abs_of)

def abs_of(x):
    return abs(x)

amid(decorate, decorate, most=60)
"""

PARSED = SOURCE_READ.replace(
    "amid(read, call)",
    """
def decorate():
    cache_with_checkpoint(id="[x, (x, [x])]")(work)

def work(x):
    pass

amid(read, decorate)
""",
)

MAPPED = """
from concurrent.futures import Future, ThreadPoolExecutor

class Here(ThreadPoolExecutor):
    def submit(self, function, *args):
        future = Future()
        future.set_result(function(*args))
        return future

numbers = iter(range(10**6))

def map_some():
    start = 100 * next(numbers)
    some = range(start, start + 100)
    assert [*checkpoint.map(abs, some, executor=Here())] == [*some]

amid(map_some, map_some, most=5)
"""

LEASED = """
import time
from skipstone.stores._shared_folder import SharedFolderStore

checkpoint = Checkpoint(SharedFolderStore("shared/index/step", lease_seconds=0.01), name="step")
numbers = iter(range(10**6))

def work(x):
    time.sleep(0.01)

def call():
    checkpoint.load_or_run(work, next(numbers), 1)

amid(call, checkpoint.close, most=9)
"""

CLOSED = """
numbers = iter(range(10000))

def call():
    checkpoint.load_or_run(abs, next(numbers), -1)
    [*checkpoint.runs()]

amid(call, checkpoint.close)
"""


COPIED = """
from skipstone.stores._tiers import TieredStore

class FarStore(MemoryStore):
    is_remote = True

far = FarStore()
checkpoint = Checkpoint(TieredStore(MemoryStore(), far, in_background=True), name="step")
numbers = iter(range(10**6))

def call():
    checkpoint.load_or_run(abs, next(numbers), -1)

amid(call, call)
checkpoint.close()
while gc.collect():  # the thread that copies may have been collecting
    pass
checkpoint.close()
assert len([*far.scan(function="builtins.abs")]) == next(numbers)
"""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(COUNTED, id="counted"),
        pytest.param(NOTED, id="noted"),
        pytest.param(SOURCE_READ, id="source read"),
        pytest.param(DECORATED, id="decorated"),
        pytest.param(PARSED, id="parsed"),
        pytest.param(MAPPED, id="mapped"),
        pytest.param(LEASED, id="leased"),
        pytest.param(CLOSED, id="closed"),
        pytest.param(COPIED, id="copied"),
    ],
)
def test_garbage_is_collected_at_any_time(script, program):
    """What ends amid the work of a checkpoint calls, notes and closes, and nothing waits for itself."""
    script.write("app.py", AMID + program)
    assert script("app.py").stderr == ""


def test_a_generator_is_dropped_together_with_its_checkpoint(script):
    """Where both are garbage at the same time, the generator may end last: its store leaves nothing open."""
    script.write(
        "app.py",
        """
        import gc
        from skipstone import open_checkpoint

        def numbers(x):
            yield from range(x)

        gc.disable()
        for call in range(3):
            checkpoint = open_checkpoint("step", {"artifacts_dir": "data"})
            some = checkpoint.load_or_run(numbers, call, 9)
            ring = [checkpoint, next(some), some]
            ring.append(ring)
        del checkpoint, some, ring
        gc.collect()
        """,
    )
    assert script("app.py", warnings="always").stderr == ""
