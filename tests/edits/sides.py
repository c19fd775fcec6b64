"""Before and after: many small projects, each run by one process, edited in place, and run by another.

python sides.py <library> <folder>    # runs `work` of each project below the folder; prints how each was taken
"""

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import types
import warnings

DECORATORS = {
    "skipstone": "from skipstone import cache_with_checkpoint\n\n\n@cache_with_checkpoint(id='x')",
    "joblib": "import joblib\n\n\n@joblib.Memory({place!r}, verbose=0).cache",
    "checkpointer": "import checkpointer\n\n\n@checkpointer.Checkpointer(directory={place!r}, verbosity=0, capture=True)",
}


def write(folder, library, project):
    """Write a project, its `work` decorated."""
    for name, text in project.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        decorator = DECORATORS[library].format(place=os.path.join(folder, "artifacts"))
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace("# DECORATED", decorator) if name == "app.py" else text)
        os.utime(path, (0, 0))  # each version is older or newer than the other: no bytecode is taken for fresh


def edited(project, edit):
    """Return a project after an edit, which must fit in one place, or say everywhere that it renames something."""
    text = project[edit.file]
    assert edit.old in text, edit
    return {**project, edit.file: text.replace(edit.old, edit.new)}


def taken(library, folder, project, edits):
    """Run each project, edit it, and run it again; return whether each edit was noticed, by what it is."""
    for number in range(len(edits)):
        write(f"{folder}/{number}", library, project)
    before = _run(library, folder, len(edits))
    assert before == ["ran"] * len(edits), before
    for number, edit in enumerate(edits):
        write(f"{folder}/{number}", library, edited(project, edit))
    answers = _run(library, folder, len(edits))
    return {edit.what: answer in ("changed", "ran") for edit, answer in zip(edits, answers, strict=True)}


def _run(library, folder, count):
    done = subprocess.run(
        [sys.executable, os.path.abspath(__file__), library, folder, str(count)],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=folder,  # checkpointer takes what is below for the project
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def answer(library, folder):
    """Run the project in a folder; return "ran", "returned", or "changed": returned, and told that the code changed."""
    ran = []
    tally = sys.modules["tally"] = types.ModuleType("tally")
    tally.ran = lambda: ran.append(1)
    names = {"app", "vendored", "lib"}
    for name in [name for name in sys.modules if name.partition(".")[0] in names]:
        del sys.modules[name]
    sys.path[:0] = [folder, f"{folder}/site-packages"]
    importlib.invalidate_caches()
    try:
        with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("always")
            if library == "skipstone":
                from skipstone import open_checkpoint, use_checkpoint

                with open_checkpoint("step", {"artifacts_dir": f"{folder}/artifacts"}) as checkpoint:
                    with use_checkpoint(checkpoint):
                        importlib.import_module("app").work(3)
            else:
                importlib.import_module("app").work(3)
    finally:
        del sys.path[:2]
    if ran:
        return "ran"
    return "changed" if any(each.category.__name__ == "CodeChangedWarning" for each in caught) else "returned"


if __name__ == "__main__":
    print(json.dumps([answer(sys.argv[1], f"{sys.argv[2]}/{number}") for number in range(int(sys.argv[3]))]))
