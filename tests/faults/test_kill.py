"""kill -9 at random moments: nothing that was acknowledged is lost, nothing wrong comes back.

`make torture` kills 300 times.
"""

import pytest
import trials


def kill(servers, folder, count, seed, **settings):
    tally = trials.kill(servers, "skipstone", folder, count, seed=seed, settings=settings)
    assert tally["kills"] == count
    assert tally["acknowledged"] > count  # a run in which nothing was saved would prove nothing
    assert not tally.told_of("lost", "wrong", "errors", "not opened", "hung", "died")


def test_killed_at_random_moments(servers, folder):
    """What was acknowledged before a SIGKILL is there afterwards, right, and the store opens."""
    kill(servers, folder, 20, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_many_times(servers, folder):
    """The same, 60 times, with the records of 30 rounds in one store."""
    kill(servers, folder, 60, seed=2)
