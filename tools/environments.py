"""Install the wheel in clean environments, at the lowest and the newest versions of what it needs, and use it.

    python tools/environments.py                      # without extras, with each of the light ones, with all of these
    python tools/environments.py --extras ray dask    # with these, each alone and together
    python tools/environments.py --python 3.13        # by another Python

The wheel is that in dist/, which `tools/distribution.py` makes. "Lowest" is what pyproject.toml says is enough, of what
skipstone itself needs; what that needs in turn is the newest that fits. Each environment runs `tests/packaging/smoke.py`,
with servers that this environment starts. Exits with status 1 if one of them fails.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from servers.postgres import Postgres
from servers.processes import running
from servers.redis_server import RedisServer
from servers.s3 import S3Server

LIGHT = ("arrow", "cli", "crypt", "objects", "pandas", "postgres", "redis", "web", "zstd")
HEAVY = ("ray", "dask", "slurm")
WITHIN = {"web": {"cli"}}
"""Extras that another one brings along."""
RESOLUTIONS = {"lowest": "lowest-direct", "newest": "highest"}


def main():
    """Go through the environments; say what each came to."""
    options = parsed()
    sets = [(), *((extra,) for extra in options.extras)]
    if len(options.extras) > 1:
        sets.append(tuple(options.extras))
    failed = []
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory(prefix="skipstone-") as folder:
        environment = {**os.environ, **servers(stack)}
        for resolution in options.versions:
            for number, extras in enumerate(sets):
                name = f"{'+'.join(extras) or 'no extra'}, {resolution}"
                started = time.monotonic()
                works, told = tried(
                    extras, resolution, options.python, Path(folder, f"{resolution}{number}"), environment
                )
                seconds = time.monotonic() - started
                print(f"{name}: {'works' if works else 'failed'} in {seconds:.0f} s: {told}", flush=True)
                if not works:
                    failed.append(name)
    if failed:
        sys.exit(f"failed: {'; '.join(failed)}")


def parsed():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extras", nargs="*", choices=LIGHT + HEAVY, default=LIGHT)
    parser.add_argument("--versions", nargs="*", choices=tuple(RESOLUTIONS), default=tuple(RESOLUTIONS))
    parser.add_argument("--python", default=sys.executable, help="its path or version")
    return parser.parse_args()


def servers(stack):
    """Start what the extras speak to; return the environment variables that say where it is."""
    kinds = {
        kind: stack.enter_context(contextlib.contextmanager(running)(kind))
        for kind in (Postgres, RedisServer, S3Server)
    }
    postgres, redis, s3 = kinds.values()
    return {
        "SMOKE_POSTGRES": postgres.url(postgres.new_place()),
        "SMOKE_REDIS": redis.url(redis.new_place()),
        "SMOKE_OBJECTS": s3.url("smoke"),
        **s3.environment(),
    }


def tried(extras, resolution, python, folder, environment):
    """Install and use it; return whether that works, and what was said."""
    uv = [sys.executable, "-m", "uv", "--quiet"]
    (wheel,) = (ROOT / "dist").glob("*.whl")
    interpreter = folder / "bin/python"
    wanted = f"skipstone[{','.join(extras)}] @ {wheel.as_uri()}"
    # What it needs is asked for beside it: the lowest is what is found of that alone which is asked for directly.
    needed = ["-r", ROOT / "pyproject.toml", *(part for extra in extras for part in ("--extra", extra))]
    installed = {*extras}.union(*(WITHIN.get(extra, ()) for extra in extras))
    commands = [
        [*uv, "venv", "--python", python, folder],
        [*uv, "pip", "install", "--python", interpreter, "--resolution", RESOLUTIONS[resolution], wanted, *needed],
        [interpreter, "-W", "ignore", ROOT / "tests/packaging/smoke.py", *sorted(installed)],
    ]
    clean = {name: value for name, value in environment.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    for command in commands:
        done = subprocess.run([*map(str, command)], env=clean, capture_output=True, text=True, check=False)
        if done.returncode:
            return False, "\n".join((done.stdout + done.stderr).splitlines()[-40:])
    return True, done.stdout.splitlines()[0]


if __name__ == "__main__":
    main()
