"""The version stands in one place, and what is told of it elsewhere fits."""

import re
import tomllib
from pathlib import Path

import skipstone

ROOT = Path(__file__).parent.parent
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_version():
    """`__version__` is that of pyproject.toml."""
    assert skipstone.__version__ == VERSION


def test_the_changelog_tells_of_the_version():
    """The changelog has a section for what comes next, and below it one for this version, which is told of."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased, newest = re.findall(r"^## \[(.+?)\]", changelog, re.MULTILINE)[:2]
    assert (unreleased, newest) == ("Unreleased", VERSION)
    assert "\n- " in changelog.partition(f"## [{VERSION}]")[2].partition("\n## ")[0]
