"""Build what is released, and check it: make dist.

    python tools/distribution.py    # dist/skipstone-<version>.tar.gz and -py3-none-any.whl

The source archive holds what the repository holds and nothing that was left lying in its folders; the wheel that is built
from it is the one that is built from the repository, byte by byte. Exits with status 1 at whatever is not so.
"""

import fnmatch
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
NOT_PYTHON = {"py.typed", "_report/style.css", "web/static/*", "web/templates/*.html"}
"""What the package needs and is no module; each must be there, and nothing else."""


def main():
    """Build, check, and say what was made."""
    for old in DIST.glob("skipstone-*"):
        old.unlink()
    build(DIST, "--sdist", "--wheel")
    (wheel,), (archive,) = DIST.glob("*.whl"), DIST.glob("*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, archive)
    problems = [*of_wheel(wheel), *of_archive(archive), *of_wheel_from(archive, wheel)]
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(1)
    for made in (wheel, archive):
        print(f"{made.relative_to(ROOT)}: {made.stat().st_size:,} bytes, checked")


def run(*command, cwd=ROOT):
    """Run a command; show what it says if it fails."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}{' '.join(map(str, command))} failed")
    return done.stdout


def build(target, *what, source=ROOT):
    """Build a wheel or a source archive."""
    run(sys.executable, "-m", "build", *what, "--outdir", target, source)


def kept():
    """Return the files that git keeps, relative to the repository."""
    return set(run("git", "ls-files", "-z").split("\0")) - {""}


def of_wheel(wheel):
    """Tell what is wrong in the wheel: it holds the package and its metadata, and no more."""
    package = {name.removeprefix("src/") for name in kept() if name.startswith("src/skipstone/")}
    found = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    yield from (f"{wheel.name} lacks {name}" for name in sorted(package - found))
    yield from (f"{wheel.name} has {name}, which git does not keep" for name in sorted(found - package))
    others = {name.removeprefix("skipstone/") for name in found if not name.endswith(".py")}
    for pattern in sorted(NOT_PYTHON):
        if not fnmatch.filter(others, pattern):
            yield f"{wheel.name} has no {pattern}"
    for name in sorted(others):
        if not any(fnmatch.fnmatch(name, pattern) for pattern in NOT_PYTHON):
            yield f"{wheel.name} has {name}, which nothing needs"

    yield from (f"{wheel.name}: its page has the link {link}, which leads nowhere" for link in dead_links(wheel))


def dead_links(wheel):
    """Return the links of the page that a package index shows which lead to files of the repository."""
    (metadata,) = (content for name, content in contents(wheel).items() if name.endswith(".dist-info/METADATA"))
    page = metadata.decode().partition("\n\n")[2]
    return [link for link in re.findall(r"\]\(([^)]+)\)", page) if not link.startswith("https://")]


def of_archive(archive):
    """Tell what is wrong in the source archive: all that is in it is kept by git, and the package and its tests are."""
    with tarfile.open(archive) as content:
        found = {member.name.partition("/")[2] for member in content.getmembers() if member.isfile()}
    needed = {name for name in kept() if name.startswith(("src/", "tests/", "docs/", "examples/", "tools/"))}
    needed |= {
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "LICENSE",
        "Makefile",
        "pyproject.toml",
    }
    yield from (f"{archive.name} lacks {name}" for name in sorted(needed - found))
    yield from (
        f"{archive.name} has {name}, which git does not keep" for name in sorted(found - kept() - {"PKG-INFO"})
    )


def of_wheel_from(archive, wheel):
    """Tell where a wheel that is built from the source archive differs."""
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(archive) as content:
            content.extractall(folder, filter="data")
        (source,) = Path(folder).iterdir()
        build(folder, "--wheel", source=source)
        (other,) = Path(folder).glob("*.whl")
        ours, theirs = contents(wheel), contents(other)
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            yield f"{name} differs between the wheel of the repository and that of the source archive"


def contents(wheel):
    """Return the content of each file of a wheel, by name."""
    with zipfile.ZipFile(wheel) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


if __name__ == "__main__":
    main()
