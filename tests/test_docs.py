"""What the documentation shows runs, and says what it says."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests import pages

from skipstone import Checkpoint

ROOT = Path(__file__).parent.parent
PRINTS = {
    "README.md": "1 hit, 1 miss, 0 failures",
    "docs/calls.md": "0 failures",
    "docs/sharing.md": "Transfer(results=1",
    "docs/costs.md": "0 expired, 0 evicted, 0 orphans, 0 old runs: 0 bytes",
    "docs/right-results.md": "True True",
}
PLAIN = [page for page in pages.pages() if pages.snippets(page) and not pages.is_followed(page)]
LONG = {"docs/how-to/add-an-executor.md", "docs/how-to/make-many-llm-calls.md"}
FOLLOWED = [
    pytest.param(page, marks=pytest.mark.slow if page in LONG else [])
    for page in pages.pages()
    if pages.is_followed(page)
]


@pytest.mark.parametrize("page", PLAIN)
def test_snippets_run(page, tmp_path):
    """The snippets of a page run one after the other, as a reader would type them, and print what it says."""
    script = tmp_path / "snippets.py"
    script.write_text(pages.snippets(page), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert PRINTS.get(page, "") in done.stdout


@pytest.mark.parametrize("page", FOLLOWED)
def test_a_page_can_be_followed(page, tmp_path):
    """Whoever writes the files of a page and types its commands, one after the other, sees what it shows."""
    assert pages.follow(page, tmp_path) == ""


@pytest.mark.parametrize("page", pages.pages())
def test_no_python_is_left_out(page):
    """Python code stands where these tests find it, and what stands in a file belongs to a page that is followed."""
    text = (ROOT / page).read_text(encoding="utf-8")
    fences = re.findall(r"^[ \t>]*(?:```|~~~)[ \t]*\{?\.?py[^\n]*$", text, re.MULTILINE)
    assert [fence for fence in fences if not re.fullmatch(r'```python(?: title="[^"]+")?', fence)] == []
    assert pages.is_followed(page) or not any(block.title for block in pages.blocks(page))


def test_every_page_has_its_place():
    """Each page below docs/ is found in the navigation, once."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    named = re.findall(r"[\w/-]+\.md", text)
    assert sorted(named) == sorted(page.removeprefix("docs/") for page in pages.pages() if page != "README.md")


def test_links_of_the_readme_lead_somewhere():
    """What the README and the changelog link to is there; `make docs` looks after the other pages."""
    for page in ("README.md", "CHANGELOG.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        links = re.findall(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)", text)
        assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("page", [page for page in pages.pages() if pages.elsewhere(page)])
def test_pages_that_other_tests_run(page):
    """A page that says which test runs it names one that reads it."""
    assert Path(page).name in (ROOT / pages.elsewhere(page)).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["skipstone", "skipstone.stores", "skipstone.testing"])
def test_every_public_name_is_in_the_reference(name):
    """The reference has each public name of a package once."""
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs/reference").glob("*.md"))
    shown = re.findall(rf"^::: {name}\.(\w+)$", text, re.MULTILINE)
    told_elsewhere = {"RecordInfo"} if name == "skipstone.stores" else set()
    assert sorted(shown) == sorted({*importlib.import_module(name).__all__} - told_elsewhere)


def test_every_method_of_a_checkpoint_is_in_the_reference():
    """The reference names what a checkpoint can do in an order for readers: all of it."""
    text = (ROOT / "docs/reference/checkpoints.md").read_text(encoding="utf-8")
    shown = re.search(r"members: \[(.*?)\]", text)[1].split(", ")
    public = {name for name in dir(Checkpoint) if name[0] != "_"} | {*Checkpoint.__annotations__}
    assert sorted(shown) == sorted(public)


def test_every_module_has_its_place_in_the_table():
    """The table of modules in the architecture page names every module, and none that is not there."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = set(
        re.findall(r"^\| `([a-z_.]+)` \|", page.partition("## Modules")[2].partition("## ")[0], re.MULTILINE)
    )
    package = ROOT / "src/skipstone"
    there = {".".join(path.relative_to(package).with_suffix("").parts) for path in package.rglob("*.py")}
    there = {name.removesuffix(".__init__") for name in there} - {"__init__"}
    assert named == there


def test_the_settings_page_names_every_field():
    """The page of settings has a row for each field of the config, in their order, with its variable."""
    from skipstone import CheckpointConfig

    page = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", page, re.MULTILINE)
    assert rows == [(field, f"SKIPSTONE_{field.upper()}") for field in CheckpointConfig._fields]


def test_the_readme_tells_defaults_as_they_are():
    """The README's table of settings has some fields of the config, each with its default."""
    from skipstone import CheckpointConfig

    page = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| `(.+?)` \|", page, re.MULTILINE))
    assert rows
    assert rows == {field: f'"{CheckpointConfig._field_defaults[field]}"' for field in rows}


def test_examples_are_listed_and_small():
    """The page of examples links to each program, none is long, and the notebook is kept without what it showed."""
    folder = ROOT / "examples"
    page = (folder / "README.md").read_text(encoding="utf-8")
    programs = [path for pattern in ("*.py", "*.ipynb") for path in folder.rglob(pattern)]
    programs = [path for path in programs if ".ipynb_checkpoints" not in path.parts]
    assert len(programs) >= 9
    for path in programs:
        assert str(path.relative_to(folder)) in page
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            assert text.count("\n") <= 150, path
        else:
            cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
            assert [cell for cell in cells if cell["outputs"] or cell["execution_count"]] == []
