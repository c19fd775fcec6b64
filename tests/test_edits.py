"""Edits to a project, before and after in separate processes: what can change a result counts, and nothing else."""

import os
import re
import sys
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "edits"))

import sides

import edits

PAGE = Path(__file__).parent.parent / "docs" / "code-changes.md"


def test_edits_count_as_they_must(tmp_path):
    """Each edit is noticed if it can change what the function returns, and only then; the documentation says the same."""
    answers = sides.taken("skipstone", str(tmp_path), edits.PROJECT, edits.EDITS)
    assert {edit.what for edit in edits.EDITS if answers[edit.what] != edit.counts} == set()
    page = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (.+?) \| (yes|no) \| (yes|no) \|", page, re.MULTILINE)
    words = {True: "yes", False: "no"}
    assert rows == [(edit.what, words[edit.counts], words[answers[edit.what]]) for edit in edits.EDITS]


def test_there_are_many_kinds_of_edit():
    """Both kinds are many, and none is listed twice."""
    assert len({edit.what for edit in edits.EDITS}) == len(edits.EDITS) >= 60
    assert min(sum(edit.counts for edit in edits.EDITS), sum(not edit.counts for edit in edits.EDITS)) >= 20
