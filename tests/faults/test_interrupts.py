"""Ctrl-C and handlers of signals at a bad moment: what was committed stays whole, what was not is not acknowledged."""

import os
import signal
import time

import pytest
from harness import run
from test_many_processes import waiting_for_another


def test_ctrl_c_while_results_are_committed(folder):
    """A row's file stays where it is, and a process that replaced a record does not find the old one."""
    seen = run("saves_and_reruns", folder=f"{folder}/checkpoint/default/step", seconds=5)
    assert seen["bad"] == []
    assert seen["interrupted"] > 20, "else it proves nothing"


def test_a_handler_saves_while_the_log_is_written_back(folder):
    """What a handler of signals saves is committed when that is told, whatever it came into."""
    seen = run("saves_in_a_handler", folder=folder, seconds=4)
    assert (seen["missing"], seen["warnings"]) == ([], [])
    assert seen["saved"] > 100, "else it proves nothing"


def test_an_exception_that_is_kept(folder):
    """The exception of a load that was interrupted, which a notebook keeps, keeps nobody from saving."""
    assert run("keeps_what_interrupted_it", folder=folder, timeout=120) == []


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_process_that_was_stopped_has_not_waited(folder):
    """A job that is suspended for more than the minute for which a save waits, and goes on, saves all the same."""
    with waiting_for_another(folder) as (child, connection):
        os.kill(child.pid, signal.SIGSTOP)
        time.sleep(62)
        os.kill(child.pid, signal.SIGCONT)
        with pytest.raises(AssertionError, match="the child said nothing for 2 s"):
            child.line(2)
        connection.rollback()
        assert child.result() == {"bad": [], "warnings": []}
    assert run("ask_kept", folder=folder, ids=["meanwhile-300"]) == {"ran": [], "bad": [], "warnings": []}
