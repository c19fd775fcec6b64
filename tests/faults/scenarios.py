"""What the children of the fault tests do. Each function is a scenario: it gets its arguments, and returns JSON."""

import itertools
import random
import time
import warnings

import harness
import sequence
from harness import acknowledge, adapter, mixed_size, size_of, told, value_of

perform, look = sequence.perform, sequence.look


def ids_of(seed):
    """Yield ids of mixed sizes for ever, the same for each seed."""
    chance = random.Random(seed)
    for number in itertools.count():
        yield f"r{seed}.{number}-{mixed_size(chance)}"


def save_for_ever(kind, folder, seed, settings=None):
    """Save records, and acknowledge each, until killed."""
    store = adapter(kind, settings)
    store.open(folder)
    for id in ids_of(seed):
        store.call(id, size_of(id))
        acknowledge(id)


def save(kind, folder, ids, settings=None, leave_open=False):
    """Save these records."""
    store = adapter(kind, settings)
    store.open(folder)
    for id in ids:
        store.call(id, size_of(id))
    if not leave_open:
        store.close()


def examine(kind, folder, ids, settings=None):
    """Ask for these ids, as a user would; return which ran, which came back wrong or raised, and what was warned of."""
    store = adapter(kind, settings)
    wrong, errors = [], []
    started = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            store.open(folder)
        except Exception as error:
            return {"opened": False, "ran": [], "wrong": [], "errors": [repr(error)], "warnings": told(caught)}
        for id in ids:
            try:
                if store.call(id, size_of(id)) != value_of(id, size_of(id)):
                    wrong.append(id)
            except Exception as error:
                errors.append(f"{id}: {error!r}")
        store.close()
    return {
        "opened": True,
        "ran": store.ran,
        "wrong": wrong,
        "errors": errors,
        "warnings": told(caught),
        "seconds": time.monotonic() - started,
    }


if __name__ == "__main__":
    harness.main(globals())
