"""What tests share: nothing is left behind, and a rerun is another process."""

import atexit
import os
import subprocess
import sys
import textwrap

import pytest

from skipstone import Checkpoint, _current, _opening, use_checkpoint
from skipstone.stores import MemoryStore

TIMEOUT_SECONDS = 60


@pytest.fixture(autouse=True)
def _nothing_left_behind(monkeypatch):
    """Run each test without a current checkpoint and without skipstone's environment variables."""
    for name in list(os.environ):
        if name.startswith("SKIPSTONE_"):
            monkeypatch.delenv(name)
    yield
    left, _current._of_process = _current._of_process, None
    if left is not None:
        left.close()
    atexit.unregister(_opening._close_current)


@pytest.fixture
def memory():
    """A checkpoint in memory that is current for the test."""
    with use_checkpoint(Checkpoint(MemoryStore(), name="test")) as checkpoint:
        yield checkpoint


class Script:
    """A Python file in a folder of its own, run in processes of its own."""

    def __init__(self, folder, environment):
        self.folder = folder
        self.environment = environment

    def write(self, name, text):
        """Write a file next to the script."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def start(self, *arguments, warnings="error", environment=None):
        """Start `python <arguments>` in the folder, and return the process."""
        return subprocess.Popen(
            [sys.executable, "-W", warnings, *map(str, arguments)],
            cwd=self.folder,
            env={**self.environment, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments, check=True, **options):
        """Run `python <arguments>` to its end, and return what it wrote and its exit status."""
        process = self.start(*arguments, **options)
        try:
            out, errors = process.communicate(timeout=TIMEOUT_SECONDS)
        finally:
            process.kill()
        if check:
            assert process.returncode == 0, errors
        return subprocess.CompletedProcess(process.args, process.returncode, out, errors)

    def stopped(self, kill, *arguments, results=10):
        """Run `python <arguments>`, send it a signal after so many lines `result`, and return its errors."""
        process = self.start(*arguments)
        for _ in range(results):
            assert process.stdout.readline() == "result\n"
        process.send_signal(kill)
        _, errors = process.communicate(timeout=20)
        assert process.returncode != 0
        return errors


@pytest.fixture
def script(tmp_path):
    """Write files with `script.write(name, text)`, run them with `script(name, ...)`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return Script(tmp_path, {**environment, "PYTHONDONTWRITEBYTECODE": "1"})
