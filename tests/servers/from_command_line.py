"""What the command line shall do with any store."""

import json

import pytest

from skipstone import open_checkpoint
from skipstone.cli._app import run


def embed(doc):
    return {"doc": doc}


def fails(page):
    raise ValueError(f"page {page} is empty")


def check(url, monkeypatch, capsys, folder):
    """Fill the store at a URL, and see it, check it and clear it from the command line."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SKIPSTONE_STORE", url)

    def skipstone(*arguments):
        assert run([*arguments, "--json"]) == 0
        out = capsys.readouterr().out
        assert "s3cret" not in out
        return json.loads(out)

    assert skipstone("ls") == []
    for index_name in ("Default", "other index"):
        with open_checkpoint("load / it", {"index_name": index_name, "serializer": "json"}) as checkpoint:
            for number in range(3):
                checkpoint.load_or_run(embed, f"doc-{number}", number)
            with pytest.raises(ValueError):
                checkpoint.load_or_run(fails, 7, 7)
    listed = skipstone("ls")
    assert [(each["name"]["index_name"], each["name"]["step"]) for each in listed] == [
        ("Default", "load / it"),
        ("other index", "load / it"),
    ]
    assert {(each["totals"]["records"], each["totals"]["failures"]) for each in listed} == {(3, 1)}
    assert len(skipstone("records", "c-2")) == 2
    (found,) = skipstone("show", "doc-1", "-i", "Default")
    assert found["value"] == {"doc": 1}
    assert [group["calls"] for group in skipstone("failures")] == [1, 1]
    assert [run["stats"]["misses"] for run in skipstone("stats")] == [3, 3]
    assert all(each["is_good"] for each in skipstone("verify"))
    assert {each["state"] for each in skipstone("doctor", "--try")} <= {"good", "note"}
    assert skipstone("ls") == listed
    skipstone("clear", "-i", "Default", "--yes")
    left = {each["name"]["index_name"]: each["totals"]["records"] for each in skipstone("ls")}
    assert left.pop("other index") == 3
    assert left in ({}, {"Default": 0})
