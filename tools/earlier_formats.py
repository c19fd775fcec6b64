"""Keep what an earlier commit stores as a fixture, made with that commit's own code.

    python tools/earlier_formats.py 3a73595 4de4e1a    # tests/fixtures/earlier/<commit>.tar.xz

What is stored is said in `tests/fixtures/holdings.py`; that it can still be read, in `tests/test_earlier_formats.py`. A
commit needs a fixture when it changes what is written anywhere: tables, files, names of keys, encodings, heads. One that
was made is never made anew. In the archive:

    commit.json       its commit, its version, and what it could keep
    local/            the local store, in artifacts_dir
    folder/           file://
    exports/          an export file of each local step
    objects/          s3://: a file for each object
    redis.msgpack     redis://: names and values
    postgres.msgpack  postgresql://: the statements that make the tables, and their rows
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import msgspec

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "tests/fixtures"
sys.path.insert(0, str(ROOT / "tests"))

from servers.postgres import Postgres
from servers.processes import running
from servers.redis_server import RedisServer
from servers.s3 import S3Server

PRELUDE = """
import json, os, re, sys, traceback, warnings
from types import SimpleNamespace

# Nothing tells of the machine that this runs on.
os.uname = lambda: os.uname_result(("Linux", "a-machine", "", "", ""))
exactly = traceback.format_exception
traceback.format_exception = lambda *a, **k: [re.sub('File ".*/', 'File "', line) for line in exactly(*a, **k)]
warnings.simplefilter("ignore")
import holdings
"""
WRITE = "name, value = sys.argv[1:]; print(json.dumps(holdings.write({name: value})))"
EXPORT = "holdings.export({'artifacts_dir': sys.argv[1]}, sys.argv[2])"
VERSION = "import skipstone; print(skipstone.__version__)"
TABLES = "from skipstone.stores import _postgres_tables; print(json.dumps(_postgres_tables._MIGRATIONS))"


class Commit:
    """An earlier state of the repository, in a folder of its own."""

    def __init__(self, name, folder):
        """Check it out."""
        self.folder = folder
        git("worktree", "add", "--detach", folder, name)
        self.name = git("rev-parse", "--short=7", name)
        self.date = git("log", "-1", "--format=%cs", name)

    def has(self, module):
        """Tell whether it has a module."""
        return (self.folder / f"src/skipstone/{module}.py").exists()

    def run(self, code, *arguments):
        """Run code with its skipstone; return what that prints."""
        paths = f"{self.folder / 'src'}{os.pathsep}{FIXTURES}"
        command = [sys.executable, "-c", PRELUDE + code, *map(str, arguments)]
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": paths},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{self.name}: {done.stderr}")
        return done.stdout


def main():
    """Make the fixtures of the commits that are named."""
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(contextlib.contextmanager(running)(kind))
            for kind in (S3Server, RedisServer, Postgres)
        ]
        os.environ.update(servers[0].environment())
        for name in sys.argv[1:]:
            with tempfile.TemporaryDirectory() as folder:
                commit = Commit(name, Path(folder, "commit"))
                try:
                    made = keep(commit, Path(folder, "kept"), *servers)
                finally:
                    git("worktree", "remove", "--force", commit.folder)
            print(f"{made.relative_to(ROOT)}: {made.stat().st_size:,} bytes")


def keep(commit, folder, s3, redis, postgres):
    """Write all that a commit can into a folder, and pack it; return the archive."""
    folder.mkdir()
    held = json.loads(commit.run(WRITE, "artifacts_dir", folder / "local"))
    if commit.has("stores/_export"):
        (folder / "exports").mkdir()
        commit.run(EXPORT, folder / "local", folder / "exports")
    if commit.has("stores/_shared_folder"):
        commit.run(WRITE, "store", f"file://{folder}/folder")
    if commit.has("stores/_objects"):
        commit.run(WRITE, "store", s3.url(commit.name))
        save_objects(s3.client(commit.name), folder / "objects")
    if commit.has("stores/_redis"):
        place = redis.new_place()
        commit.run(WRITE, "store", redis.url(place))
        save(folder / "redis.msgpack", redis_values(redis.client(place)))
    if commit.has("stores/_postgres_tables"):
        place = postgres.new_place()
        commit.run(WRITE, "store", postgres.url(place))
        save(folder / "postgres.msgpack", [json.loads(commit.run(TABLES)), postgres_rows(postgres, place)])
    about = {"commit": commit.name, "date": commit.date, "version": commit.run(VERSION).strip(), **held}
    (folder / "commit.json").write_text(json.dumps(about, indent=1))
    return pack(folder, FIXTURES / f"earlier/{commit.name}.tar.xz")


def save_objects(client, folder):
    """Save each object as a file."""
    for batch in client.list():
        for each in batch:
            path = folder / each["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(client.get(each["path"]).bytes()))


def redis_values(client):
    """Return names and values; what is there for a while only is left out."""
    found = {
        name: client.hgetall(name) if client.type(name) == b"hash" else client.get(name)
        for name in client.scan_iter()
    }
    return sorted((name, value) for name, value in found.items() if client.ttl(name) == -1)


def postgres_rows(postgres, place):
    """Return the rows of all tables."""
    return {
        table: postgres.execute(f"SELECT * FROM {table}", place)
        for table in ("skipstone_records", "skipstone_parts")
    }


def save(path, value):
    """Save plain values."""
    path.write_bytes(msgspec.msgpack.encode(value))


def pack(folder, archive):
    """Pack a folder, without what tells who did it; return the archive."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz", preset=9) as content:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            member = tarfile.TarInfo(str(path.relative_to(folder)))
            member.size = path.stat().st_size
            member.mode = 0o600
            with path.open("rb") as file:
                content.addfile(member, file)
    archive.parent.mkdir(exist_ok=True)
    archive.write_bytes(packed.getvalue())
    return archive


def git(*arguments):
    """Ask git."""
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
