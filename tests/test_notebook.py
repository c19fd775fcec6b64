"""In a notebook, a map shows its bar, and what it is about is shown as tables; cells can be run again."""

import nbclient
import nbformat
import pytest
from tests import pages

MAP = """
from skipstone import open_checkpoint

def work(x):
    if x == 3:
        raise ValueError("a bad one")
    return x

checkpoint = open_checkpoint("step")
checkpoint.map(work, range(2), progress=False).drain()
checkpoint.map(work, range(40), on_error="return").drain()
"""
WITHOUT_WIDGETS = "import sys; sys.modules['ipywidgets'] = None"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Execute cells with a Jupyter kernel, in a folder of their own, and return the notebook."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))

    def run(*cells):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        resources = {"metadata": {"path": str(tmp_path)}}
        return nbclient.NotebookClient(notebook, kernel_name="python3", timeout=60, resources=resources).execute()

    return run


def test_a_bar_of_widgets(run):
    """It stands at the end, and tells what was done before and what failed."""
    notebook = run(MAP)
    (shown, summary) = notebook.cells[0].outputs
    assert "application/vnd.jupyter.widget-view+json" in shown["data"]
    assert summary["data"]["text/plain"] == "MapSummary(done_before=2, done_now=37, failed=1)"
    widgets = notebook.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"].values()
    states = [widget["state"] for widget in widgets]
    assert [(state["value"], state["max"]) for state in states if "bar_style" in state] == [(40, 40)]
    texts = [str(state.get("value")).replace("\u2007", " ") for state in states]
    assert "work: 100%" in texts
    assert any("40/40" in text and "2 done before, 1 failed" in text for text in texts)


def test_a_bar_of_text(run):
    """Where there are no widgets, the same is told in text."""
    outputs = run(WITHOUT_WIDGETS, MAP).cells[1].outputs
    shown = "".join(output["text"] for output in outputs if output.get("name") == "stderr")
    assert "40/40" in shown
    assert "2 done before, 1 failed" in shown


def test_no_bar_outside_of_a_notebook(script):
    """Off a terminal nothing is shown, even if a library has imported what notebooks are made of."""
    script.write(
        "app.py",
        """
        import ipykernel.zmqshell
        from skipstone import open_checkpoint

        with open_checkpoint("step") as checkpoint:
            print(checkpoint.map(str, range(3)).drain())
        """,
    )
    done = script("app.py", warnings="default")
    assert done.stdout == "MapSummary(done_before=0, done_now=3, failed=0)\n"
    assert done.stderr == ""


SHOWN = """
from skipstone import MapSummary, open_checkpoint

def work(x):
    if x == "<b>bad</b>":
        raise ValueError("<script>alert(1)</script> " + x)
    return x

checkpoint = open_checkpoint("a <step>")
checkpoint.map(work, ["a", "b", "<b>bad</b>"], on_error="return", progress=False).drain()
failures = checkpoint.failures()
"""


def html_of(cell):
    (output,) = [output for output in cell.outputs if output["output_type"] == "execute_result"]
    return output["data"]["text/html"]


def test_what_is_shown_as_tables(run):
    """Checkpoints, stats, plans, summaries and failures are tables, in which ids and errors stand as text."""
    shown = [
        "checkpoint",
        "checkpoint.stats()",
        "checkpoint.plan(work, ['a', 'c'])",
        "MapSummary(1, 2, 3)",
        "failures",
    ]
    again = ["len(list(failures))", "checkpoint.gc(dry_run=True)"]
    notebook = run(SHOWN, *shown, *again)
    checkpoint, stats, plan, summary, failures = map(html_of, notebook.cells[1:6])
    assert "LocalStorageCheckpoint &#x27;a &lt;step&gt;&#x27;" in checkpoint
    assert "artifacts/checkpoint/default/a%20%3cstep%3e" in checkpoint
    for part in (checkpoint, stats):
        assert ">misses</th>" in part
        assert ">2</td>" in part
    assert ">missing</th>" in plan
    assert [f">{count}</td>" in summary for count in (1, 2, 3)] == [True] * 3
    assert "failures: 1" in failures
    assert "ValueError: &lt;script&gt;alert(1)&lt;/script&gt; &lt;b&gt;bad&lt;/b&gt;" in failures
    assert "Traceback (most recent call last)" in failures
    assert "<script>" not in failures
    assert "<b>" not in failures
    assert all("color" not in part for part in (checkpoint, stats, plan, summary, failures))
    assert notebook.cells[6].outputs[0]["data"]["text/plain"] == "1"  # to show it takes nothing from it
    assert "<table" in html_of(notebook.cells[7])


DEFINED = """
import warnings
from skipstone import cache_with_checkpoint, init_checkpoint

checkpoint = init_checkpoint("step", {policy})
ran = []

@cache_with_checkpoint(id="x")
def work(x):
    ran.append(x)
    return x + {number}
"""

ASKED = """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    answer = [work(1), work(1)]
print(answer, len(ran), [warning.category.__name__ for warning in caught])
"""


def test_a_function_that_is_defined_again(run):
    """A cell that is run again changes nothing; one that was edited gives a warning, or runs again where that is wanted."""

    def printed(policy):
        def cell(number):
            return DEFINED.format(policy=policy, number=number)

        cells = [cell(1), ASKED, cell(1), ASKED, cell(2), ASKED]
        return [cell.outputs[0]["text"] for cell in run(*cells).cells[1::2]]

    assert printed("{'index_name': 'warned'}") == [
        "[2, 2] 1 []\n",
        "[2, 2] 0 []\n",
        "[2, 2] 0 ['CodeChangedWarning']\n",
    ]
    assert printed("{'index_name': 'rerun', 'on_code_change': 'rerun'}") == [
        "[2, 2] 1 []\n",
        "[2, 2] 0 []\n",
        "[3, 3] 1 []\n",
    ]


def test_the_guide(run):
    """Each piece of code of the guide on notebooks is a cell that runs."""
    cells = [block.text for block in pages.blocks("docs/how-to/use-in-a-notebook.md") if block.kind == "python"]
    notebook = run(
        *cells, "print({record.function for record in checkpoint.records()}, checkpoint.stats().misses)"
    )
    assert notebook.cells[-1].outputs[-1]["text"] == "{'notebook.embed'} 40\n"
