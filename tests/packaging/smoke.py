"""What an installed skipstone must do, with its extras alone: run by `tools/environments.py` in clean environments.

    python smoke.py cli zstd    # these extras are installed: each is used for real; of all others it is told that they are not

It imports nothing but the standard library and skipstone. Servers are there already: their addresses are in the environment.
"""

import functools
import glob
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from importlib import metadata

import skipstone
from skipstone import cache_with_checkpoint, open_checkpoint, use_checkpoint

EXTRAS = {}
HERE = {"artifacts_dir": "artifacts"}
SHARED = f"smoke-{os.getpid()}"
KEY = "sixteen bytes or more"


def extra(function):
    """Name the function that uses an extra: it must work where that is installed, and else tell that it is missing."""
    EXTRAS[function.__name__] = function
    return function


@cache_with_checkpoint(id="number", name="smoke.repeated")
def repeated(number: int) -> list[str]:
    return [f"a text that is found again, {number}"] * 1000


def keeps(config, step=SHARED, **mapping):
    """Run calls in one checkpoint, and find them in another: what is stored went away and came back."""
    for hits in (0, 20):
        with open_checkpoint(step, config) as checkpoint, use_checkpoint(checkpoint):
            results = list(checkpoint.map(repeated, range(20), progress=False, **mapping))
            assert results == [[f"a text that is found again, {number}"] * 1000 for number in range(20)]
            assert checkpoint.stats().hits == hits, checkpoint.stats()


def stored_bytes(step):
    """Return all that the files of a step hold."""
    files = glob.glob(f"artifacts/checkpoint/default/{step}/**/*", recursive=True)
    return b"".join(open(path, "rb").read() for path in files if os.path.isfile(path))


def command(*arguments):
    """Run the command line; return what it prints."""
    program = os.path.join(os.path.dirname(sys.executable), "skipstone")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
    if "skipstone[" in done.stderr:
        raise skipstone.MissingExtraError(done.stderr)
    assert done.returncode == 0, done
    return done.stdout


def plain():
    """What works without any extra."""
    keeps(HERE, "plain")
    keeps(HERE, "processes", executor="processes", workers=2)
    keeps({**HERE, "serializer": "msgpack", "signing_key": KEY}, "msgpack")
    keeps({**HERE, "serializer": "json"}, "json")
    with open_checkpoint("plain", HERE) as checkpoint:
        assert checkpoint.export("plain.skip").results == 20
    with open_checkpoint("imported", HERE) as checkpoint:
        assert checkpoint.import_from("plain.skip").results == 20
    assert "removed" in command("clear_checkpoints", "artifacts")
    assert not os.path.exists("artifacts/checkpoint")


@extra
def zstd():
    keeps({**HERE, "compression": "zstd"}, "zstd")
    assert len(stored_bytes("zstd")) < 20 * 1000 * len("a text that is found again")


@extra
def crypt():
    keeps({**HERE, "encryption_key": KEY}, "crypt")
    assert b"found again, 7" not in stored_bytes("crypt")


@extra
def objects():
    keeps({"store": os.environ["SMOKE_OBJECTS"], "signing_key": KEY})


@extra
def postgres():
    keeps({"store": os.environ["SMOKE_POSTGRES"], "signing_key": KEY})


@extra
def redis():
    keeps({"store": os.environ["SMOKE_REDIS"], "signing_key": KEY})


def records_of(step):
    """Keep twenty results; return their records."""
    keeps(HERE, step)
    return open_checkpoint(step, HERE).records()


@extra
def arrow():
    table = records_of("arrow").to_arrow()
    assert table.num_rows == 20
    assert set(table.column("function").to_pylist()) == {"smoke.repeated"}


@extra
def pandas():
    frame = records_of("pandas").to_pandas()
    assert len(frame) == 20
    assert frame["size_bytes"].min() > 1000


@extra
def cli():
    keeps(HERE, "cli")
    assert "cli" in command("ls")
    assert "smoke.repeated" in command("records", "--step", "cli")
    assert "found again, 7" in command("show", "7", "--step", "cli", "--unpickle")
    command("stats")
    command("verify", "--step", "cli")
    command("report", "-o", "report.html")
    assert "smoke.repeated" in open("report.html").read()


@extra
def web():
    keeps(HERE, "web")
    program = os.path.join(os.path.dirname(sys.executable), "skipstone")
    page = subprocess.Popen(
        [program, "ui", "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        address = next((line.strip() for line in page.stdout if "http://" in line), None)
        if address is None:
            raise skipstone.MissingExtraError(page.stderr.read())
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        site = address.partition("/?")[0]
        opener.open(address, timeout=30).close()  # it gives a cookie, and leads to the page itself
        for path, shown in {"/": ">web<", "/static/style.css": "{", "/live": "Live"}.items():
            with opener.open(site + path, timeout=30) as answer:
                assert shown in answer.read().decode(), path
    finally:
        page.terminate()
        page.wait()


@extra
def ray():
    keeps(HERE, "ray", executor="ray", workers=2)


@extra
def dask():
    if "dask" not in INSTALLED:
        keeps(HERE, "dask", executor="dask")
    from distributed import Client

    with Client(n_workers=2, threads_per_worker=1, dashboard_address=None):
        keeps(HERE, "dask", executor="dask")


@extra
def slurm():
    # Who has no Slurm is told so by submitit, not by us; its stand-in runs the tasks in processes of this machine.
    keeps(HERE, "slurm", executor="slurm" if "slurm" not in INSTALLED else local_slurm(), workers=2)


def local_slurm():
    import submitit

    return submitit.LocalExecutor("slurm")


def is_told_missing(name):
    """Fail unless using an extra that is not installed says how to install it."""
    says = "cli" if name == "web" and "cli" not in INSTALLED else name  # a command, before it is the page
    try:
        EXTRAS[name]()
    except skipstone.MissingExtraError as error:
        assert f'pip install "skipstone[{says}]"' in str(error), error
    else:
        message = f"{name} works, and is not installed"
        raise AssertionError(message)


def needed():
    """Return what skipstone needs and is installed, with versions."""
    names = sorted({re.split(r"[ \[<>=;]", each)[0] for each in metadata.requires("skipstone")} - {"skipstone"})
    versions = {dist.metadata["Name"].lower(): dist.version for dist in metadata.distributions()}
    return ", ".join(f"{name} {versions[name]}" for name in names if name in versions)


def main():
    """Use what is installed, and ask for what is not."""
    print(needed())
    if not INSTALLED:
        plain()
    for each, use in EXTRAS.items():
        (use if each in INSTALLED else functools.partial(is_told_missing, each))()
        print(f"{each}: {'works' if each in INSTALLED else 'is told to be missing'}", flush=True)


INSTALLED = set(sys.argv[1:])

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="skipstone-smoke-", ignore_cleanup_errors=True) as own:
        os.chdir(own)
        main()
