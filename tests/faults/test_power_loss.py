"""Power loss: what was not synced is dropped or torn; the store opens, and what it returns is right."""

import os
import random
import shutil

import disk
import pytest
import sequence
import tracing
from harness import Died, Hung, in_parallel

from conftest import need


@pytest.fixture(autouse=True)
def _strace():
    need(tracing.is_there(), "strace is not installed: apt-get install strace")


def lose_power(servers, folder, durability, moments, variants):
    """Rebuild the disk at some or all moments of the sequence, in several variants, and return what does not hold."""
    recorded = os.path.join(folder, "recorded")
    os.mkdir(recorded)
    events = disk.record("perform", recorded, os.path.join(folder, "trace"), durability=durability)
    assert sum(event.what == "acknowledge" for event in events) == len(sequence.SEQUENCE)
    assert sum(event.what == "sync" for event in events) > (40 if durability == "power" else 4)
    chance = random.Random(0)
    chosen = range(len(events)) if moments is None else sorted(chance.sample(range(len(events)), moments))

    def trial(server, one):
        moment, variant = one
        target = os.path.join(folder, f"state{moment}-{variant}")
        at = random.Random(f"{moment}:{variant}") if variant else None
        found = disk.Disk(recorded)
        for event in events[:moment]:
            found.do(event)
        found.lose_power(target, at)
        acknowledged = sum(event.what == "acknowledge" for event in events[:moment])
        try:
            seen = server.run("look", folder=target, durability=durability)
            bad = sequence.violations(seen, acknowledged, durable=durability == "power")
        except (Died, Hung) as error:
            bad = [repr(error)]
        shutil.rmtree(target)
        return [
            f"moment {moment} variant {variant} after {acknowledged} operations ({events[moment - 1][:3]}): {each}"
            for each in bad
        ]

    answers = in_parallel(servers, trial, [(moment, variant) for moment in chosen for variant in range(variants)])
    return [each for bad in answers for each in bad]


@pytest.mark.parametrize("durability", ["process", "power"])
def test_power_is_lost_at_some_moments(servers, folder, durability):
    """After a power loss the store opens and returns nothing wrong; with durability="power" all that was acknowledged is there."""
    bad = lose_power(servers, folder, durability, moments=20, variants=2)
    assert not bad, "\n".join(bad[:20])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("durability", ["process", "power"])
def test_power_is_lost_at_every_moment(servers, folder, durability):
    """The same at each system call: all that was not synced dropped, and random parts of it kept, torn at sectors."""
    bad = lose_power(servers, folder, durability, moments=None, variants=3)
    assert not bad, f"{len(bad)}:\n" + "\n".join(bad[:40])
