"""Power loss: what was not synced is dropped or torn; the store opens, and what it returns is right.

`make torture` does the same with four variants of each moment.
"""

import pytest
import tracing
from needs import need
from power import lose_power


@pytest.fixture(autouse=True)
def _strace():
    need(tracing.is_there(), "strace is not installed: apt-get install strace")


@pytest.mark.parametrize("durability", ["process", "power"])
def test_power_is_lost_at_some_moments(servers, folder, durability):
    """After a power loss the store opens and returns nothing wrong; with durability="power" all that was acknowledged is there."""
    _, bad = lose_power(servers, folder, durability, moments=20)
    assert not bad, "\n".join(bad[:20])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("durability", ["process", "power"])
def test_power_is_lost_at_every_moment(servers, folder, durability):
    """The same at each system call: all that was not synced dropped; at every second, random parts of it kept, torn at sectors."""
    _, bad = lose_power(servers, folder, durability, torn_every=2)
    assert not bad, f"{len(bad)}:\n" + "\n".join(bad[:40])
