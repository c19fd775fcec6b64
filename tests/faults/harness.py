"""One store under faults: whatever is done to it, it must return the value of the id that was asked for.

A value is a pure function of id and size, so a wrong one is seen. A store comes as an adapter: skipstone's own, and
those of peers for the figures. What runs in children is in `scenarios.py`; a child is a process of its own, or a
fork of a `Server` that has everything imported and nothing open.
"""

import codecs
import hashlib
import json
import os
import pickle
import select
import subprocess
import sys
import threading
import traceback
import warnings
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec

HERE = os.path.dirname(os.path.abspath(__file__))
TIMEOUT_SECONDS = 60


def value_of(id, size):
    """Return the only right result of a call."""
    return hashlib.shake_128(id.encode("utf-8", "surrogatepass")).digest(size)


def size_of(id):
    """Return the size that an id such as `doc7-4096` ends with."""
    return int(id.rpartition("-")[2])


def mixed_size(random):
    """Return a size between 100 B and 5 MB: mostly rows, some files, a few large ones."""
    kind = random.random()
    if kind < 0.6:
        return random.randrange(100, 4000)
    if kind < 0.85:
        return random.randrange(4000, 200_000)
    return random.randrange(200_000, 1_000_000) if kind < 0.97 else 5_000_000


class Skipstone:
    """skipstone's local store, through its public face."""

    name = "skipstone"

    def __init__(self, **settings):
        self.settings = settings
        self.ran = []
        self.checkpoint = None

    def open(self, folder):
        """Open the store in a folder."""
        from skipstone import open_checkpoint

        self.checkpoint = open_checkpoint("step", {"artifacts_dir": folder, **self.settings})

    def call(self, id, size):
        """Return the result for an id: stored, or computed."""
        return self.checkpoint.load_or_run(self._run, id, id, size)

    def _run(self, id, size):
        _work()
        self.ran.append(id)
        return value_of(id, size)

    def close(self):
        """Let go of the folder."""
        self.checkpoint.close()


class Joblib:
    """joblib.Memory."""

    name = "joblib.Memory"

    def __init__(self):
        self.ran = _ran

    def open(self, folder):
        import logging

        import joblib

        logging.disable()  # it tells of each damaged file at length
        self._call = joblib.Memory(folder, verbose=0).cache(_run)

    def call(self, id, size):
        return self._call(id, size)

    def close(self):
        pass


class Diskcache:
    """diskcache.Cache."""

    name = module = "diskcache"

    def __init__(self):
        self.ran = _ran

    def open(self, folder):
        self._cache = import_module(self.module).Cache(folder)

    def call(self, id, size):
        value = self._cache.get(id)
        if value is None:
            value = _run(id, size)
            self._cache.set(id, value)
        return value

    def close(self):
        self._cache.close()


class DiskcacheRs(Diskcache):
    """diskcache_rs.Cache."""

    name, module = "diskcache-rs", "diskcache_rs"


class Checkpointer:
    """checkpointer.checkpoint."""

    name = "checkpointer"

    def __init__(self):
        self.ran = _ran

    def open(self, folder):
        from checkpointer import checkpoint

        self._call = checkpoint(directory=folder, verbosity=0)(_run)

    def call(self, id, size):
        return self._call(id, size)

    def close(self):
        pass


class Exca:
    """exca.MapInfra, one item a call."""

    name = "exca"

    def __init__(self):
        self.ran = _ran

    def open(self, folder):
        from collections.abc import Iterable, Iterator

        import exca
        import pydantic

        class Values(pydantic.BaseModel):
            infra: exca.MapInfra = exca.MapInfra()

            @infra.apply(item_uid=str, cache_type="Pickle")
            def compute(self, ids: Iterable[str]) -> Iterator[bytes]:
                for id in ids:
                    yield _run(id, size_of(id))

        os.makedirs(folder, exist_ok=True)
        self._compute = Values(infra={"folder": folder}).compute

    def call(self, id, _size):
        return next(iter(self._compute([id])))

    def close(self):
        pass


class PicklePerRecord:
    """What people write themselves: one pickle file per record."""

    name = "one pickle per record"

    def __init__(self):
        self.ran = _ran

    def open(self, folder):
        self._folder = folder
        os.makedirs(folder, exist_ok=True)

    def call(self, id, size):
        path = os.path.join(self._folder, f"{id}.pickle")
        if os.path.exists(path):
            with open(path, "rb") as file:
                return pickle.load(file)
        value = _run(id, size)
        with open(path, "wb") as file:
            pickle.dump(value, file)
        return value

    def close(self):
        pass


_ran = []


_work_seconds = 0.0


def set_work(seconds):
    """Let each call take so long."""
    global _work_seconds
    _work_seconds = seconds


def _work():
    if _work_seconds:
        threading.Event().wait(_work_seconds)


def _run(id, size):
    _work()
    _ran.append(id)
    return value_of(id, size)


ADAPTERS = {
    "skipstone": Skipstone,
    "joblib": Joblib,
    "diskcache": Diskcache,
    "diskcache_rs": DiskcacheRs,
    "exca": Exca,
    "checkpointer": Checkpointer,
    "pickle": PicklePerRecord,
}


def adapter(kind, settings=None):
    """Return a store that is not open yet."""
    return ADAPTERS[kind](**settings or {})


def importable():
    """Return the kinds of stores that this machine has."""
    return [kind for kind in ADAPTERS if find_spec(kind)]


def acknowledge(text):
    """Tell the parent something, at once."""
    os.write(1, f"{text}\n".encode())


def told(caught):
    """Return caught warnings as pairs of category and message, for JSON."""
    return [(warning.category.__name__, str(warning.message)) for warning in caught]


def environment():
    """Return what children see: no setting of skipstone, nothing written beside the sources."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SKIPSTONE_", "PYTHON"))}
    paths = [HERE, *(path for path in sys.path if path.endswith(("site-packages", "/src")))]
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(paths)}


class Child:
    """A process of its own that runs one scenario. It is gone at the end of the `with` block."""

    def __init__(self, scenario, /, *, prefix=(), **arguments):
        # -S: `site` would only read more files. What it adds to the path is in the environment.
        self._process = subprocess.Popen(
            [
                *prefix,
                sys.executable,
                "-S",
                "-W",
                "ignore",
                f"{HERE}/scenarios.py",
                scenario,
                json.dumps(arguments),
            ],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.pid = self._process.pid
        self._read = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(BrokenPipeError):
                pipe.close()

    def go(self):
        """Let a child go on that waits for it."""
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def line(self, timeout=TIMEOUT_SECONDS):
        """Return the next line that the child acknowledges."""
        while b"\n" not in self._read:
            ready, _, _ = select.select([self._process.stdout], [], [], timeout)
            assert ready, f"the child said nothing for {timeout} s"
            more = os.read(self._process.stdout.fileno(), 1 << 16)
            assert more, f"the child ended: {self._process.stderr.read().decode()}"
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()

    def kill_after(self, seconds):
        """Let it run for a time, then SIGKILL it; return the lines that it had acknowledged."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self.kill()
        lines = (self._read + self._process.stdout.read()).split(b"\n")
        return [line.decode() for line in lines[:-1]]

    def kill(self):
        """SIGKILL it."""
        self._process.kill()
        self._process.wait()

    def end(self, timeout=TIMEOUT_SECONDS):
        """Wait for its end; return its exit status, the lines that it acknowledged, and what it complained of."""
        out, errors = self._process.communicate(timeout=timeout)
        return self._process.returncode, (self._read + out).decode().splitlines(), errors.decode()

    def result(self, timeout=TIMEOUT_SECONDS):
        """Wait for its end; return what the scenario returned."""
        status, lines, errors = self.end(timeout)
        assert status == 0, errors
        return json.loads(lines[-1])


def run(scenario, /, *, timeout=TIMEOUT_SECONDS, **arguments):
    """Run a scenario in a process of its own, and return its result."""
    with Child(scenario, **arguments) as child:
        return child.result(timeout)


class Died(Exception):
    """A trial's process ended without a result."""


class Hung(Exception):
    """A trial's process did not end in time."""


class Server:
    """A process that has everything imported and nothing open, and forks a child for each trial: in 5 ms, not 100."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-W", "ignore", f"{HERE}/scenarios.py"],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(TIMEOUT_SECONDS)
        self._process.stdout.close()

    def run(self, scenario, /, *, timeout=TIMEOUT_SECONDS, **arguments):
        """Run a scenario in a fresh fork, and return its result.

        Raises:
            Died: It ended without one.
            Hung: It did not end in time, and was killed.
        """
        self._process.stdin.write(json.dumps([scenario, timeout, arguments]).encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "result" in answer:
            return answer["result"]
        raise (Hung if "hung" in answer else Died)(f"{scenario} {arguments}: {answer}")


def in_parallel(servers, trial, trials):
    """Run `trial(server, one)` for each of the trials, as many at a time as there are servers; return the answers."""
    from concurrent.futures import ThreadPoolExecutor
    from queue import SimpleQueue

    idle = SimpleQueue()
    for server in servers:
        idle.put(server)

    def run_one(one):
        server = idle.get()
        try:
            return trial(server, one)
        finally:
            idle.put(server)

    with ThreadPoolExecutor(len(servers)) as pool:
        return list(pool.map(run_one, trials))


def become(user, groups=()):
    """Become another user, who is in these groups, for good."""
    import_everything()
    os.setgroups(list(groups))
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def import_everything():
    """Import all that a child may need, before it can no longer, or to have it done once."""
    codecs.lookup("unicode_escape")
    import ast  # noqa: F401
    import urllib.parse  # noqa: F401

    import skipstone._encoding._blame
    import skipstone._functions._code
    import skipstone.stores
    import skipstone.stores._local._recovery  # noqa: F401


def serve(scenarios):
    """Be the process behind a `Server`."""
    import_everything()
    for line in sys.stdin.buffer:
        scenario, timeout, arguments = json.loads(line)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            _serve_one(scenarios[scenario], arguments, reading, writing)
        os.close(writing)
        answer = _wait_for(pid, reading, timeout)
        sys.stdout.buffer.write(answer + b"\n")
        sys.stdout.buffer.flush()


def _serve_one(scenario, arguments, reading, writing):
    os.close(reading)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what it acknowledges is not for the server's parent
    try:
        answer = {"result": scenario(**arguments)}
    except BaseException:
        answer = {"exception": traceback.format_exc()}
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(json.dumps(answer).encode())
    os._exit(0)


def _wait_for(pid, reading, timeout):
    from time import monotonic

    text, deadline = b"", monotonic() + timeout
    try:
        while True:
            ready, _, _ = select.select([reading], [], [], max(0, deadline - monotonic()))
            if not ready:
                os.kill(pid, 9)
                return json.dumps({"hung": f"after {timeout} s"}).encode()
            more = os.read(reading, 1 << 20)
            if not more:
                return text or json.dumps({"died": "without an answer"}).encode()
            text += more
    finally:
        os.close(reading)
        os.waitpid(pid, 0)


def main(scenarios):
    """Be a child: run the scenario of the command line, or serve."""
    if len(sys.argv) == 1:
        return serve(scenarios)
    warnings.simplefilter("always")
    result = scenarios[sys.argv[1]](**json.loads(sys.argv[2]))
    if result is not None:
        acknowledge(json.dumps(result))
    return None
