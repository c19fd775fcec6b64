"""What the documentation shows runs, and says what it says."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = {
    "README.md": "1 hit, 1 miss, 0 failures",
    "docs/stores.md": "1 ['12']",
    "docs/sharing.md": "Transfer(results=1",
    "docs/costs.md": "0 expired, 0 evicted, 0 orphans, 0 old runs: 0 bytes",
    "docs/right-results.md": "True True",
}


def snippets(page):
    return re.findall(
        r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


@pytest.mark.parametrize("page", PAGES)
def test_snippets_run(page, tmp_path):
    """The snippets of a page run one after the other, as a reader would type them, and print what it says."""
    script = tmp_path / "snippets.py"
    script.write_text("\n".join(snippets(page)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert PAGES[page] in done.stdout


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


def test_the_config_table_names_every_field():
    """The README's table of settings has each field of the config with its default."""
    from skipstone import CheckpointConfig

    page = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| `(.+?)` \|", page, re.MULTILINE))
    assert rows == {
        field: repr(default).replace("'", '"') for field, default in CheckpointConfig._field_defaults.items()
    }


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
