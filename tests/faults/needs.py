"""What a fault needs of the machine."""

import os

import pytest


def need_root(what):
    """Skip the test without root; in CI, fail."""
    need(os.geteuid() == 0, f"{what} needs root")


def need(condition, reason):
    """Skip the test where the machine cannot cause the fault; in CI, fail: there it must be caused."""
    if not condition:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
