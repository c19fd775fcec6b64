"""In a notebook, a map shows its bar without being asked to."""

import nbclient
import nbformat
import pytest

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

        print(open_checkpoint("step").map(str, range(3)).drain())
        """,
    )
    done = script("app.py", warnings="default")
    assert done.stdout == "MapSummary(done_before=0, done_now=3, failed=0)\n"
    assert done.stderr == ""
