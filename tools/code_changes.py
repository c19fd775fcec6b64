"""Write docs/code-changes.md: which edits count as a change of code, here and with peers.

python -m pip install -r benchmarks/requirements.txt
python tools/code_changes.py
"""

import importlib.metadata
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "edits"))

import sides

import edits

PAGE = ROOT / "docs" / "code-changes.md"
TEXT = """\
# Which edits count

A stored result carries a fingerprint of the code that made it. When the code of a function, or of anything it calls, has
changed, `on_code_change` decides whether the next call warns, runs again, or says nothing: see [the right
result](right-results.md).

Each row is an edit to one small project (`tests/edits/edits.py`). One process ran the project before the edit, another one
after it. The column *must* says whether the edit can change what the function returns. The other columns say whether the library
noticed the edit: skipstone by a warning, the others by running the call again. Wrong answers are in **bold**: a missed change
returns a result that is not right, and an invented one repeats the work of all calls. `tools/code_changes.py` made the table with
{versions}; a test checks the column of skipstone.

| edit | must | {libraries} |
| --- | --- | {lines} |
{rows}

| | | {wrong} |
"""


def main():
    """Run each project with each library, and write the page."""
    answers = {}
    for library in sides.DECORATORS:
        with tempfile.TemporaryDirectory(dir=pathlib.Path.home()) as folder:
            answers[library] = sides.taken(library, folder, edits.PROJECT, edits.EDITS)
    PAGE.write_text(written(answers), encoding="utf-8")


def written(answers):
    """Return the page."""
    rows = []
    for edit in edits.EDITS:
        cells = [shown(answer[edit.what], wrong=answer[edit.what] != edit.counts) for answer in answers.values()]
        rows.append(f"| {edit.what} | {shown(edit.counts)} | {' | '.join(cells)} |")
    missed = [sum(edit.counts and not answer[edit.what] for edit in edits.EDITS) for answer in answers.values()]
    invented = [sum(answer[edit.what] and not edit.counts for edit in edits.EDITS) for answer in answers.values()]
    counted = [f"{one} missed, {other} invented" for one, other in zip(missed, invented, strict=True)]
    page = TEXT.format(
        versions=" and ".join(
            f"{name} {importlib.metadata.version(name)}" for name in answers if name != "skipstone"
        ),
        libraries=" | ".join(answers),
        lines=" | ".join("---" for _ in answers),
        rows="\n".join(rows),
        wrong=" | ".join(counted),
    )
    return page.replace("\n\n| | | ", f"\n| **{len(edits.EDITS)} edits** | | ")


def shown(noticed, *, wrong=False):
    """Return an answer as a cell."""
    text = "yes" if noticed else "no"
    return f"**{text}**" if wrong else text


if __name__ == "__main__":
    main()
