"""Power lost at moments of the sequence of operations: what the test and `tools/torture.py` share."""

import os
import random
import shutil

import disk
import sequence
from harness import Died, Hung, in_parallel


def lose_power(servers, folder, durability, moments=None, variants=2, torn_every=1):
    """Rebuild the disk at some or all moments of the sequence, and look at the store.

    Args:
        servers: For looking.
        folder: Of the trials.
        durability: Of the store.
        moments: So many of them, or all.
        variants: Of each: the first drops all that was not synced, the others random parts of it.
        torn_every: 1: these others at each moment; 2: at every second.

    Returns:
        How many states there were, and what did not hold.
    """
    recorded = os.path.join(folder, "recorded")
    os.mkdir(recorded)
    events = disk.record("perform", recorded, os.path.join(folder, "trace"), durability=durability)
    assert sum(event.what == "acknowledge" for event in events) == len(sequence.SEQUENCE)
    assert sum(event.what == "sync" for event in events) > (40 if durability == "power" else 4)
    chance = random.Random(0)
    chosen = range(len(events) + 1) if moments is None else sorted(chance.sample(range(len(events) + 1), moments))

    def trial(server, one):
        moment, variant = one
        target = os.path.join(folder, f"state{moment}-{variant}")
        found = disk.Disk(recorded)
        for event in events[:moment]:
            found.do(event)
        found.lose_power(target, random.Random(f"{moment}:{variant}") if variant else None)
        acknowledged = sum(event.what == "acknowledge" for event in events[:moment])
        try:
            seen = server.run("look", folder=target, durability=durability)
            bad = sequence.violations(seen, acknowledged, durable=durability == "power")
        except (Died, Hung) as error:
            bad = [repr(error)]
        shutil.rmtree(target)
        where = f"moment {moment} variant {variant} after {acknowledged} operations"
        return [f"{where} (next: {events[moment : moment + 1]!r:.200}): {each}" for each in bad]

    trials = [
        (moment, variant)
        for number, moment in enumerate(chosen)
        for variant in range(1 if number % torn_every else variants)
    ]
    answers = in_parallel(servers, trial, trials)
    return len(trials), [each for bad in answers for each in bad]
