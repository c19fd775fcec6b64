"""The command line tells what is stored, tends it, and changes nothing while it looks."""

import json
import os
import pty
import re
import runpy
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import typer
from tests.test_catalogue import looks

from skipstone import note, open_checkpoint
from skipstone.cli._app import app, run
from skipstone.cli._output import Column, print_table

ROOT = Path(__file__).parent.parent
NASTY = "<b>id</b> \x1b[31mred\x1b[0m [bold]x[/bold]\nline"


def embed(doc):
    return {"doc": doc}


def fails(page):
    raise ValueError(f"page {page} of 'doc-{page}.pdf' is empty")


@pytest.fixture(params=["local", "folder"])
def place(request, tmp_path, monkeypatch):
    """A working folder whose project says where its records are: two indexes, three steps, failures, a nasty id."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    settings = 'serializer = "json"\n'
    if request.param == "folder":
        settings += f'store = "file://{tmp_path}/shared"\ntrust_store = true\n'
    (tmp_path / "skipstone.toml").write_text(settings)
    with open_checkpoint("load") as checkpoint:
        for number in range(5):
            checkpoint.load_or_run(embed, f"doc-{number}", number)
        checkpoint.load_or_run(embed, "doc-0", 0)
        checkpoint.load_or_run(embed, NASTY, 1)
        for page in (7, 31):
            with pytest.raises(ValueError):
                checkpoint.load_or_run(fails, page, page)
    for index_name in ("default", "other"):
        with open_checkpoint("ask", {"index_name": index_name, "serializer": "pickle"}) as checkpoint:
            checkpoint.load_or_run(embed, "question", "answer")
    return tmp_path


@pytest.fixture
def skipstone(capsys):
    """Run a command; return its exit status and what it printed, JSON where it was asked for."""

    def command(*arguments, status=0):
        capsys.readouterr()
        got = run(list(arguments))
        out, errors = capsys.readouterr()
        assert got == status, out + errors
        return json.loads(out) if "--json" in arguments and out else (out + errors)

    return command


def shown(checkpoint_name, **config):
    with open_checkpoint(checkpoint_name, config) as checkpoint:
        return [record.call_id for record in checkpoint.records()], len(list(checkpoint.failures()))


def test_ls(place, skipstone):
    """Indexes, steps and functions are listed with what they have; one index or step, when asked."""
    out = skipstone("ls")
    assert [line.split("  ")[0] for line in out.splitlines() if " / " in line and "step" not in line] == [
        "default / ask",
        "default / load",
        "other / ask",
    ]
    assert re.search(r"test_command_line\.embed +6 ", out)
    (load,) = skipstone("ls", "--step", "load", "--json")
    assert (load["totals"]["records"], load["totals"]["failures"], len(load["functions"])) == (6, 2, 2)
    assert [each["name"]["index_name"] for each in skipstone("ls", "-i", "other", "--json")] == ["other"]
    assert "embed" not in skipstone("ls", "--steps")


def test_records(place, skipstone):
    """Records are found by a part of the id and sorted; what a terminal would obey is shown as text."""
    found = skipstone("records", "DOC-", "--sort", "id", "--ascending", "--json")
    assert [record["call_id"] for record in found] == [f"doc-{number}" for number in range(5)]
    assert len(skipstone("records", "--json", "-n", "2", "-s", "load")) == 2
    out = skipstone("records", "red")
    assert r"<b>id</b> \x1b[31mred\x1b[0m [bold]x[/bold]\nline" in out
    assert "\x1b" not in out
    assert skipstone("records", "nobody") == "no such records\n"


def test_show(place, skipstone):
    """A record is shown by its id or the first digits of its key, with its result where that runs no code."""
    out = skipstone("show", "doc-3")
    assert "{'doc': 3}" in out
    assert "test_command_line.embed" in out
    (found,) = skipstone("show", "doc-3", "--json")
    assert found["value"] == {"doc": 3}
    assert skipstone("show", found["record"]["key"][:10], "--json") == [found]
    assert "ValueError: page 7 of" in skipstone("show", "7")
    assert "no record or failure" in skipstone("show", "nobody", status=4)


def paid(question):
    note(tokens=1200, usd=0.25)
    return question


def test_costs_are_shown(tmp_path, monkeypatch, skipstone):
    """What a call noted is shown with its record, and summed up with its run, in the report, too."""
    monkeypatch.chdir(tmp_path)
    with open_checkpoint("ask", {"serializer": "json"}) as checkpoint:
        for question in ("a", "b", "a"):
            checkpoint.load_or_run(paid, question, question)
    out = skipstone("show", "a")
    assert re.search(r"noted tokens +1,200\n", out)
    assert re.search(r"argument question +'a'\n", out)
    assert skipstone("show", "a", "--json")[0]["record"]["notes"] == {"tokens": 1200, "usd": 0.25}
    assert "0.5 usd" in skipstone("stats").replace("0.50", "0.5")
    report = skipstone("report", "-o", "-")
    assert "<dt>usd saved</dt><dd>0.25</dd>" in report


def test_pickles_are_not_loaded_unless_asked(place, skipstone):
    """A pickled result is shown only with --unpickle."""
    assert "--unpickle does so" in skipstone("show", "question", "-i", "other")
    assert "{'doc': 'answer'}" in skipstone("show", "question", "-i", "other", "--unpickle")


def test_stats(place, skipstone):
    """Runs are listed with hits, misses, failures and the time that was saved."""
    told = {(run["index_name"], run["step"]): run for run in skipstone("stats", "--json")}
    assert told["default", "load"]["stats"]["hits"] == 1
    assert (told["default", "load"]["stats"]["misses"], told["default", "load"]["stats"]["failures"]) == (6, 2)
    assert "3 runs: 1 hit, 8 misses, 2 failures; ran" in skipstone("stats")
    assert len(skipstone("stats", "-n", "1", "--json")) == 1


def asks(question):
    note(tokens=1000, usd=0.25)
    return question


def test_stats_of_noted_numbers(tmp_path, monkeypatch, skipstone):
    """Numbers that calls noted have columns, of what was spent and of what was saved; and calls that were left alone."""
    monkeypatch.chdir(tmp_path)
    with open_checkpoint("load") as checkpoint:
        for _ in range(3):
            checkpoint.load_or_run(asks, "why", "why")
        with pytest.raises(ValueError):
            checkpoint.load_or_run(fails, 7, 7)
        checkpoint.map(fails, [7], id="page", skip_failed_after=1).drain()
    monkeypatch.setenv("COLUMNS", "200")
    titles, _, cells = [re.split(r" {2,}", line.strip()) for line in skipstone("stats").splitlines()[:3]]
    told = dict(zip(titles, cells, strict=True))
    assert (told["tokens spent"], told["tokens saved"]) == ("1,000", "2,000")
    assert (told["usd spent"], told["usd saved"]) == ("0.25", "0.5")
    assert (told["failures"], told["left alone"]) == ("1", "1")
    assert "1 failure, 1 left alone; ran" in skipstone("stats")


def test_failures(place, skipstone):
    """Failures are grouped by error; with --traceback, the last one's traceback is there."""
    out = skipstone("failures")
    assert "ValueError: page … of … is empty" in out
    assert "2 calls of" in out
    assert "Traceback" not in out
    assert "in fails" in skipstone("failures", "--traceback")
    (group,) = skipstone("failures", "--json")
    assert (group["calls"], group["example"]["failure"]["call_id"]) == (2, "31")
    assert skipstone("failures", "-s", "ask") == "no failures\n"


def test_a_function_is_known_by_the_last_part_of_its_name(place, skipstone):
    """Its module may be left out where one function of the step is called like that."""
    whole = skipstone("records", "-s", "load", "-f", f"{embed.__module__}.embed", "--json")
    assert [record["call_id"] for record in skipstone("records", "-s", "load", "-f", "embed", "--json")] == [
        record["call_id"] for record in whole
    ]
    assert skipstone("failures", "-f", "fails", "--json") == skipstone("failures", "--json")
    assert "nothing to remove" in skipstone("clear", "-f", "mbed", "--dry-run")
    assert "nothing to remove" not in skipstone("clear", "-f", "embed", "--dry-run")


def test_verify(place, skipstone):
    """What is intact gives status 0; a changed byte is told, with status 3."""
    assert "default / load: 6 records and 2 failures intact" in skipstone("verify")
    if (place / "shared").exists():
        for path in place.glob("shared/default/ask/records/*/*"):
            path.write_bytes(path.read_bytes()[:-1] + b"x")
    else:
        connection = sqlite3.connect(place / "artifacts/checkpoint/default/ask/records.sqlite3")
        with connection:
            connection.execute("UPDATE records SET payload = x'00'")
        connection.close()
    out = skipstone("verify", status=3)
    assert re.search(r"default / ask: (\d+) of \1 records of all kinds are damaged", out)
    assert f"{embed.__module__}.embed for id question: its checksum or signature does not fit" in out
    found = skipstone("verify", "--json", "-s", "ask", status=3)
    assert [each["is_good"] for each in found] == [False, True]


def test_what_cannot_be_read_without_keys(tmp_path, monkeypatch, skipstone):
    """Without the keys, nobody says that there are no failures, or that all is damaged."""
    monkeypatch.chdir(tmp_path)
    keys = {"signing_key": "s", "encryption_key": "k" * 32}
    with open_checkpoint("load", keys) as checkpoint:
        checkpoint.load_or_run(embed, "doc-1", 1)
        with pytest.raises(ValueError):
            checkpoint.load_or_run(fails, 7, 7)
    assert "1 failure cannot be read: damaged, or encrypted or signed with a key" in skipstone("failures")
    assert "no failures" not in skipstone("failures")
    assert "no failures" in skipstone("failures", "-f", "embed")
    out = skipstone("verify", status=3)
    assert "are damaged, or signed with another key" in out
    assert "it does not bear the signature of a signing_key of the config" in out
    for name, value in keys.items():
        monkeypatch.setenv(f"SKIPSTONE_{name.upper()}", value)
    assert "1 call failed" in skipstone("failures")
    assert "1 record and 1 failure intact" in skipstone("verify")


def test_report(place, skipstone):
    """A report is written as the file's name says, or to standard output."""
    assert skipstone("report", "-o", "r.html", "--title", "Nightly") == "wrote r.html\n"
    assert "<title>Nightly</title>" in (place / "r.html").read_text()
    skipstone("report", "-o", "r.md")
    assert (place / "r.md").read_text().startswith("# Checkpoints\n")
    assert skipstone("report", "-o", "-", "--format", "md").startswith("# Checkpoints\n")
    assert "cannot write nowhere/r.html" in skipstone("report", "-o", "nowhere/r.html", status=1)


def test_doctor(place, skipstone):
    """Doctor tells versions, settings and the store; with --try, that a record can be saved there, and leaves nothing."""
    found = {each["what"]: each for each in skipstone("doctor", "--json")}
    assert found["settings from"]["text"] == str(place / "skipstone.toml")
    assert found["steps"]["text"] == "3 steps, 8 records"
    before = skipstone("ls", "--json")
    out = skipstone("doctor", "--try")
    assert "saved, claimed, loaded and removed" in out
    assert skipstone("ls", "--json") == before


def test_doctor_before_the_first_run(place, skipstone):
    """Where nothing was stored yet, doctor tells where the folder would be made, and makes none."""
    found = {
        each["what"]: each["text"] for each in skipstone("doctor", "-d", "new/one", "--store", "local", "--json")
    }
    assert found["folder"] == f"not there yet; it would be made in {place}"
    assert found["steps"] == "0 steps, 0 records"
    assert not (place / "new").exists()


def test_doctor_finds_what_is_wrong(place, skipstone):
    """A wrong setting, a folder that others can write to, and a store that does not answer are told with status 3."""
    away = {
        each["what"]: each for each in skipstone("doctor", "--store", "redis://127.0.0.1:1", "--json", status=3)
    }
    assert (away["store"]["state"], away["steps"]["state"]) == ("good", "bad")
    assert "127.0.0.1:1" in away["steps"]["text"]
    if (place / "artifacts").exists():
        os.chmod(place / "artifacts/checkpoint", 0o777)
        assert "can be written by others" in skipstone("doctor", status=3)
    (place / "skipstone.toml").write_text("store = 'nowhere://'")
    assert "store in" in skipstone("doctor", status=3)


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--step", "load", "--function", "test_command_line.embed"], (0, 2)),
        (["--step", "load", "--id", "doc-3"], (5, 2)),
        (["--step", "load", "--failures"], (6, 0)),
        (["--step", "load", "--older-than", "1h"], (6, 2)),
        (["--step", "load", "--older-than", "0s"], (0, 0)),
        (["--step", "load", "--code", "ff" * 8], (6, 2)),
        (["--index", "other"], (6, 2)),
        (["--step", "load"], (0, 0)),
        ([], (0, 0)),
    ],
)
def test_clear(place, skipstone, options, left):
    """What is asked for is removed, and nothing else; a dry run and a no remove nothing."""
    options = [option.replace("test_command_line.embed", f"{embed.__module__}.embed") for option in options]
    before = skipstone("ls", "--json")
    skipstone("clear", *options, "--dry-run")
    assert skipstone("ls", "--json") == before
    told = skipstone("clear", *options, "--yes", "--json")
    ids, failures = shown("load")
    assert (len(ids), failures) == left
    assert sum(each["records"] for each in told if each["step"] == "load") == 6 - left[0]
    assert len(shown("ask", index_name="other")[0]) == (0 if options in ([], ["--index", "other"]) else 1)


def test_clear_asks(place, skipstone, monkeypatch):
    """Without --yes it asks, and takes anything but a yes, or nobody to ask, for a no."""
    import io

    for answer in ("n\n", ""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(answer))
        assert "nothing was removed" in skipstone("clear", status=1)
    assert {each["records"] for each in skipstone("clear", "--json", status=1)} == {1, 6}
    assert len(shown("load")[0]) == 6
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert "removed" in skipstone("clear", "-s", "load")
    assert shown("load") == ([], 0)


def test_clear_says_what_becomes_of_runs(place, skipstone, monkeypatch):
    """Before a whole local step goes, with what is known of its runs, that is said; of a part of it, or elsewhere, they stay."""
    import io

    def question(*options):
        monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
        return skipstone("clear", "-s", "load", *options, status=1)

    is_local = "file://" not in (place / "skipstone.toml").read_text()
    assert ("with what is known of the runs of these steps?" in question()) == is_local
    assert "Remove this?" in question("--id", "doc-1")
    told = "would be removed, with what is known of the runs of these steps"
    assert (told in skipstone("clear", "-s", "load", "--dry-run")) == is_local
    skipstone("clear", "-s", "load", "--yes")
    assert [run["step"] for run in skipstone("stats", "--json")].count("load") == (0 if is_local else 1)


def test_clear_leaves_what_is_in_use(tmp_path, monkeypatch, skipstone):
    """A step that a running process uses is not deleted under it."""
    monkeypatch.chdir(tmp_path)
    with open_checkpoint("load") as checkpoint:
        checkpoint.load_or_run(embed, 1, 1)
        assert "is in use" in skipstone("clear", "--yes", status=1)
        skipstone("clear", "--yes", "--id", "1")  # its records can be
        assert list(checkpoint.records()) == []


def test_gc(place, skipstone, monkeypatch):
    """What would go is told; what is evicted is asked for, and what was used last stays."""
    import io

    (nothing,) = skipstone("gc", "-s", "load", "--dry-run", "--json")
    assert (nothing["expired"], nothing["evicted"], nothing["removed"]) == (0, 0, False)
    (would,) = skipstone("gc", "-s", "load", "--max-bytes", "0", "--dry-run", "--json")
    assert (would["evicted"], len(shown("load")[0])) == (6, 6)
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert "nothing was removed" in skipstone("gc", "--max-bytes", "0.001kB", status=1)
    assert len(shown("load")[0]) == 6
    assert "removed" in skipstone("gc", "-s", "load", "--max-bytes", "1", "--yes", "--compact")
    assert shown("load") == ([], 2)
    assert "is no size" in skipstone("gc", "--max-bytes", "much", status=2)
    monkeypatch.setenv("SKIPSTONE_EXPIRES_SECONDS", "0")
    assert [each["expired"] for each in skipstone("gc", "--json")] == [1, 0, 1]


def test_export_import_copy(place, skipstone):
    """Records go to a file and into another folder, or straight to another index; they are found there."""
    skipstone("export", "load.skipstone", "-s", "load")
    told = skipstone("import", "load.skipstone", "-s", "load", "-d", "elsewhere", "--store", "local", "--json")
    assert (told[0]["results"], told[0]["failures"]) == (6, 2)
    assert shown("load", artifacts_dir="elsewhere", store="local")[1] == 2
    told = skipstone("copy", "-s", "load", "--to-index", "third", "--json")
    assert told[0]["results"] == 6
    assert len(shown("load", index_name="third")[0]) == 6
    skipstone("copy", "--to-artifacts-dir", "all")
    assert len(shown("ask", index_name="other", artifacts_dir="all", store="local")[0]) == 1
    assert "say which step" in skipstone("export", "x", status=2)
    assert "there is no nothing" in skipstone("import", "nothing", "-s", "load", status=4)
    assert "say where to" in skipstone("copy", status=2)
    assert "skipstone: --to-store is 's4://x' (str), expected" in skipstone(
        "copy", "--to-store", "s4://x", status=1
    )


def test_files_that_cannot_be_exported_to_or_imported(place, skipstone):
    """What is wrong with a file is told in a line; one that was cut is no success, whatever came of it."""
    assert skipstone("export", "no/file", "-s", "load", status=1) == (
        "skipstone: cannot write no/file: No such file or directory\n"
    )
    Path("pickles").mkdir()
    told = skipstone("import", "pickles", "-s", "new", status=2)
    assert "pickles is a folder: name a file that export has written, or say by --from" in told
    arguments = "import", "pickles", "-s", "new", "--from", "pickles", "-f", "json.dumps", "--ids", "no"
    assert skipstone(*arguments, status=1) == "skipstone: cannot read no: No such file or directory\n"
    skipstone("export", "whole", "-s", "load")
    content = Path("whole").read_bytes()
    Path("cut").write_bytes(content[: len(content) // 2])
    assert "some of cut was left out: " in (told := skipstone("import", "cut", "-s", "new", status=3))
    assert "its end is missing" in told


def test_names_that_are_too_long_to_be_told_are_not_mistaken(tmp_path, monkeypatch, skipstone):
    """A step whose name the place has shortened is neither exported nor copied as if it were another, empty one."""
    monkeypatch.chdir(tmp_path)
    with open_checkpoint("long" * 50) as checkpoint:
        checkpoint.load_or_run(embed, 1, 1)
    assert "too long to be told" in skipstone("export", "x", status=1)
    assert "too long to be told" in skipstone("copy", "--to-artifacts-dir", "elsewhere", status=1)
    assert [path.name for path in tmp_path.iterdir()] == ["artifacts"]
    assert len(skipstone("ls", "--json")) == 1


def test_import_from_other_libraries(place, skipstone):
    """Results of one pickle per call are imported for a function of the working folder, by ids from a file."""
    import hashlib
    import pickle

    (place / "mine.py").write_text("def old(id): raise AssertionError\n")
    digest = hashlib.sha256(b"doc-1").hexdigest()
    (place / "old").mkdir()
    (place / f"old/old___{digest}.pkl").write_bytes(pickle.dumps([1]))
    (place / "ids.txt").write_text("doc-1\ndoc-2\n")
    arguments = ["import", "old", "--from", "pickles", "-s", "new"]
    out = skipstone(*arguments, "-f", "mine.old", "--ids", "ids.txt")
    assert out == "default / new: 1 result imported; 0 were there already, 0 left out, 1 id without a result\n"
    assert shown("new") == (["doc-1"], 0)
    assert "needs --ids" in skipstone(*arguments, "-f", "mine.old", status=2)
    assert "needs --function" in skipstone(*arguments, status=2)
    assert "there is no function mine.new" in skipstone(*arguments, "-f", "mine.new", status=2)
    sys.modules.pop("mine", None)


def test_import_from_caches(place, skipstone):
    """Results of joblib and diskcache are imported for a function, or a method of a class; what is left out is told."""
    import diskcache
    import joblib

    (place / "ours.py").write_text(
        "def double(x): return 2 * x\nclass Tool:\n    @staticmethod\n    def triple(x): return 3 * x\n"
    )
    sys.path.insert(0, str(place))
    try:
        import ours
    finally:
        sys.path.pop(0)
    cached = joblib.Memory("joblib", verbose=0).cache(ours.double)
    cached(1)
    cached(2)
    for path in sorted((place / "joblib").rglob("metadata.json"))[:1]:
        path.write_text("{")
    told = skipstone("import", "joblib", "--from", "joblib", "-s", "new", "-f", "ours.double", "--json", status=3)
    assert (told["results"], told["left_out"]) == (1, 1)
    assert "its metadata.json is missing or damaged" in told["reasons"][0]
    out = skipstone("import", "joblib", "--from", "joblib", "-s", "new", "-f", "ours.double", status=3)
    assert "1 left out" in out
    assert "its metadata.json is missing or damaged" in out
    with diskcache.Cache("diskcache") as cache:
        cache.memoize()(ours.Tool.triple)(1)
    told = skipstone("import", "diskcache", "--from", "diskcache", "-s", "new", "-f", "ours.Tool.triple", "--json")
    assert told["results"] == 1
    assert "no function ours.Tool.none" in skipstone(
        "import", "diskcache", "--from", "diskcache", "-s", "new", "-f", "ours.Tool.none", status=2
    )
    (place / "diskcache/cache.db").write_bytes(b"no database" * 100)
    assert "cache.db cannot be read" in skipstone(
        "import", "diskcache", "--from", "diskcache", "-s", "new", "-f", "ours.Tool.triple", status=1
    )
    sys.modules.pop("ours", None)


def test_a_report_needs_a_file(place, skipstone):
    """A folder is no place for a report."""
    assert "is a folder: name a file" in skipstone("report", "-o", str(place), status=2)


def test_showing_what_is_long_or_no_json(place, skipstone):
    """Of a long result the first lines are shown, and how many more there are; what JSON cannot say is its text."""
    with open_checkpoint("long", {"serializer": "pickle"}) as checkpoint:
        checkpoint.load_or_run(str, "lines", "line\n" * 1000)
        checkpoint.load_or_run(set, "set", [1, 2])
    out = skipstone("show", "lines", "--unpickle")
    shown_lines = out.count("line\n")
    assert 10 < shown_lines < 1000
    assert f"… {1000 - shown_lines:,} lines more: --json prints all" in out
    assert skipstone("show", "lines", "--unpickle", "--json")[0]["value"] == "line\n" * 1000
    assert skipstone("show", "set", "--unpickle", "--json")[0]["value"] == "{1, 2}"
    (failure,) = skipstone("show", "7", "--json")
    assert (failure["step"], failure["failure"]["failure"]["call_id"]) == ("load", "7")
    assert "value" not in failure


MAP = """
    import time
    from skipstone import init_checkpoint

    def work(number):
        if number == 3:
            while True:
                time.sleep(0.05)
        return number

    if __name__ == "__main__":
        checkpoint = init_checkpoint("load", {"artifacts_dir": "artifacts"})
        checkpoint.map(work, range(100), workers=1, progress=False).drain()
"""


def test_watch(script):
    """A map that runs is seen from another process, and no more when its process is dead."""
    script.write("app.py", MAP)
    running, watching = script.start("app.py"), script.start("-m", "skipstone", "watch", "--every", "0.1")
    try:
        line = watching.stdout.readline()
        assert re.fullmatch(r"default / load \S+: app\.work \d of 100, 1 worker.*\n", line), line
    finally:
        for process in (running, watching):
            process.kill()
            process.communicate()
    assert script("-m", "skipstone", "watch", "--until-idle").stdout == ""


@pytest.mark.parametrize("in_terminal", [False, True])
def test_watch_until_it_is_over(script, in_terminal):
    """Watching ends with the run; in a terminal, a bar says how far it is."""
    script.write("app.py", MAP)
    running = script.start("app.py")
    ours, theirs = pty.openpty() if in_terminal else os.pipe()
    try:
        while not script("-m", "skipstone", "watch", "--json").stdout.count('"app.work"'):
            assert running.poll() is None
        watching = subprocess.Popen(
            [sys.executable, "-m", "skipstone", "watch", "--every", "0.1", "--until-idle"],
            cwd=script.folder,
            env={**script.environment, "TERM": "xterm", "COLUMNS": "200"},
            stdout=theirs,
        )
        os.close(theirs)
        seen = b""
        while b"1 worker" not in seen:
            seen += os.read(ours, 1 << 16)
        assert (b"load  run" if in_terminal else b"default / load") in seen
        assert b"app.work" in seen
        running.kill()
        with suppress(OSError):  # a terminal whose other side was closed
            while more := os.read(ours, 1 << 16):
                seen += more
        assert watching.wait(60) == 0
        assert (b"nothing is running" in seen) == in_terminal
    finally:
        running.kill()
        running.communicate()
        os.close(ours)


LOOKING = [
    ["ls"],
    ["ls", "--json"],
    ["records"],
    ["show", "doc-1"],
    ["show", "question", "--unpickle"],
    ["stats"],
    ["failures", "-t"],
    ["verify"],
    ["doctor"],
    ["watch", "--json"],
    ["watch", "--until-idle"],
    ["report", "-o", "-"],
    ["clear", "--dry-run"],
    ["clear", "--dry-run", "--function", "x"],
    ["gc", "--dry-run"],
    ["gc", "--dry-run", "--max-bytes", "0"],
]


def test_looking_changes_nothing(place, skipstone):
    """Bytes, names and times of the folder are the same before and after all commands that look."""
    before = looks(place)
    for arguments in LOOKING:
        skipstone(*arguments)
    assert looks(place) == before


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounting needs root, on Linux")
def test_looking_at_a_read_only_mount(place, skipstone, tmp_path_factory, monkeypatch):
    """All commands that look work where nothing can be written."""
    folder = tmp_path_factory.mktemp("mounted")
    said = {
        " ".join(each): skipstone(*each) for each in LOOKING if each[0] in ("ls", "records", "failures", "stats")
    }
    subprocess.run(["mount", "--bind", place, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        (place / "skipstone.toml").write_text(
            (place / "skipstone.toml").read_text().replace(f"file://{place}", f"file://{folder}")
        )
        monkeypatch.chdir(folder)
        for arguments in LOOKING:
            out = skipstone(*arguments)
            if " ".join(arguments) in said:
                assert str(out).replace(str(folder), str(place)) == str(said[" ".join(arguments)])
    finally:
        monkeypatch.chdir(place)
        subprocess.run(["umount", folder], check=True)


def test_where_the_store_is(tmp_path, monkeypatch, skipstone):
    """An option goes before the environment, that before the project's file, that before ./artifacts."""
    monkeypatch.chdir(tmp_path)
    for folder in ("artifacts", "file", "environment", "option"):
        with open_checkpoint(folder, {"artifacts_dir": folder}) as checkpoint:
            checkpoint.load_or_run(embed, 1, 1)

    def step(*arguments):
        return skipstone("ls", "--json", *arguments)[0]["name"]["step"]

    assert step() == "artifacts"
    (tmp_path / "pyproject.toml").write_text('[tool.skipstone]\nartifacts_dir = "file"')
    assert step() == "file"
    monkeypatch.setenv("SKIPSTONE_ARTIFACTS_DIR", "environment")
    assert step() == "environment"
    assert step("--artifacts-dir", "option") == "option"
    monkeypatch.setenv("SKIPSTONE_USE_CHECKPOINTS", "0")
    monkeypatch.setenv("SKIPSTONE_INDEX_NAME", "another")
    skipstone("clear", "--yes")
    assert skipstone("ls", "--json") == []
    assert step("-d", "option") == "option"
    assert os.environ["SKIPSTONE_ARTIFACTS_DIR"] == "environment"


def test_nothing_there(tmp_path, monkeypatch, skipstone):
    """Where nothing is stored, that is said, and is no error; a step that is not there is, with status 4."""
    monkeypatch.chdir(tmp_path)
    assert "no checkpoints in" in skipstone("ls")
    assert skipstone("ls", "--json") == []
    assert "no step 'load'" in skipstone("ls", "--step", "load", status=4)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["records", "failures"])
def test_a_function_that_is_not_there(place, skipstone, command):
    """Its name may be mistyped: that is not said to have no failures, and names that are alike are told."""
    told = skipstone(command, "-f", "nobody", status=4)
    assert "no function 'nobody' in" in told
    assert "is it" not in told
    assert f"is it {embed.__module__}.embed?" in skipstone(command, "-f", f"{embed.__module__}.embd", status=4)
    assert "no function" not in skipstone(command, "-f", "embed")


def test_errors_have_a_status(tmp_path, monkeypatch, skipstone):
    """Wrong use gives 2, and what fails 1 with one line on stderr."""
    monkeypatch.chdir(tmp_path)
    assert "No such command" in skipstone("destroy", status=2)
    assert "is no age" in skipstone("clear", "--older-than", "soon", status=2)
    assert "is no fingerprint" in skipstone("clear", "--code", "x", status=2)
    assert skipstone("ls", "--store", "nowhere://x", status=1).startswith("skipstone: --store is")


def test_a_broken_pipe_is_no_traceback(place):
    """`skipstone records | head` ends quietly."""
    done = subprocess.run(
        f"{sys.executable} -m skipstone records --json | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("[", "")


@pytest.mark.parametrize(
    "name", ["a b", "50%25", "what?", "#1", "a&b=c", "[x]*", "größe", "line\nend", os.fsdecode(b"\xff")], ids=ascii
)
def test_any_name_of_a_folder(tmp_path, name):
    """A folder may have any name that the file system takes: SQLite's addresses are not mistaken."""
    folder = tmp_path / name
    try:
        folder.mkdir()
    except OSError:  # not on every file system
        pytest.skip("no such name here")
    with open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint:
        checkpoint.load_or_run(embed, "doc", 1)
    for command, said in (("ls", b"default / step"), ("verify", b"1 record")):
        arguments = [sys.executable, "-m", "skipstone", command, "--artifacts-dir", folder]
        done = subprocess.run(arguments, capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert said in done.stdout


def test_a_path_that_is_too_long(tmp_path):
    """A path that SQLite cannot open is told as one that is too long; calls run."""
    folder = tmp_path.joinpath(*("x" * 100 for _ in range(6)))
    with (
        pytest.warns(match="the path is longer than 504 bytes"),
        open_checkpoint("step", {"artifacts_dir": folder}) as checkpoint,
    ):
        assert checkpoint.load_or_run(embed, "doc", 1) == {"doc": 1}


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(place, closed):
    """Commands do without standard input, output and errors: what would be printed is lost, and what is asked is denied."""

    def status(command):
        return subprocess.run(
            f"{sys.executable} -m skipstone {command} {closed}", shell=True, timeout=60
        ).returncode

    assert status("ls") == 0
    assert status("ls --artifacts-dir nowhere --store local") == 0
    assert status("report -o report.html") == 0
    assert (place / "report.html").stat().st_size
    if "<" in closed:
        assert status("clear") == 1
        assert shown("load")[0]


def test_an_encoding_that_lacks_characters(place):
    """What the encoding of the output cannot say is escaped."""
    with open_checkpoint("load") as checkpoint:
        checkpoint.load_or_run(embed, "größe", 1)
    for command in ("records", "ls", "stats"):
        done = subprocess.run(
            [sys.executable, "-m", "skipstone", command],
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert command != "records" or r"gr\xf6\xdfe" in done.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
def test_an_output_that_is_full(place):
    """A disk that is full where the output goes to is told in a line."""
    done = subprocess.run(
        f"{sys.executable} -m skipstone ls > /dev/full", shell=True, capture_output=True, text=True, timeout=60
    )
    assert done.returncode
    assert done.stderr.startswith("skipstone: [Errno 28]")
    assert "Traceback" not in done.stderr


def test_a_narrow_terminal(monkeypatch, capsys):
    """Where a table does not fit, its extra columns are left out, the last first, and numbers are never cut."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    columns = [Column("id"), Column("records", is_number=True), Column("saved", is_extra=True)]
    rows = [["x" * 60, "1,000,000", "2026-01-01 00:00:00"]]
    for width, saved in ((100, True), (40, False)):
        monkeypatch.setenv("COLUMNS", str(width))
        print_table(columns, rows)
        out = capsys.readouterr().out
        assert "1,000,000" in out
        assert ("2026" in out) == saved
        assert all(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) <= width for line in out.splitlines())


def test_a_pipe_is_as_wide_as_need_be(monkeypatch, capsys):
    """Into a pipe, a table is whole; where COLUMNS says how wide, it keeps to that."""
    columns = [Column("id"), Column("saved", is_extra=True)]
    for width, longest in ((None, 83), ("40", 40)):
        monkeypatch.delenv("COLUMNS", raising=False)
        if width is not None:
            monkeypatch.setenv("COLUMNS", width)
        print_table(columns, [["x" * 60, "2026-01-01 00:00:00"]])
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= longest
        assert ("2026-01-01 00:00:00" in lines[-1]) == (width is None)


def test_colours_only_on_a_terminal(place):
    """Into a pipe there are no escape sequences; NO_COLOR turns colours off anywhere."""
    done = subprocess.run([sys.executable, "-m", "skipstone", "ls"], capture_output=True, text=True, timeout=60)
    assert "default / load" in done.stdout
    assert "\x1b" not in done.stdout


BARE = """
    import sys
    sys.modules["typer"] = None
    import importlib.util
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *rest: None if name == "typer" else find(name, *rest)
    sys.argv = ["skipstone", *sys.argv[1:]]
    from skipstone.cli import main
    main()
"""


def test_without_the_extra(script):
    """Without typer and rich, a command says what to install, and clear_checkpoints works."""
    script.write("bare.py", BARE)
    done = script("bare.py", "ls", check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        'skipstone: the command line needs typer and rich: pip install "skipstone[cli]"'
    )
    with open_checkpoint("load", {"artifacts_dir": script.folder / "artifacts"}) as checkpoint:
        checkpoint.load_or_run(embed, 1, 1)
    assert script("bare.py", "clear_checkpoints").stdout.startswith("removed ")
    assert script("bare.py", "clear_checkpoints", "none").stdout == "no checkpoints in none\n"


def commands():
    return typer.main.get_command(app).commands


def test_every_command_is_documented():
    """docs/command-line.md has each command with its options, as a tool writes them, and each has its help."""
    tool = runpy.run_path(str(ROOT / "tools/command_line.py"))
    page = (ROOT / "docs/command-line.md").read_text(encoding="utf-8")
    assert page == tool["written"](page), "stale: python tools/command_line.py"
    sections = dict(re.findall(r"^### `skipstone ([\w]+)[^\n]*\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL))
    shown = {name: command for name, command in commands().items() if not command.hidden}
    assert set(sections) == set(shown)
    for name, command in shown.items():
        assert command.help, name
        options = {each for parameter in command.params for each in parameter.opts}
        assert set(re.findall(r"`(--?[\w-]+)", sections[name])) <= options, name
        for parameter in command.params:
            assert getattr(parameter, "help", None) or parameter.name == "help", (name, parameter.name)


@pytest.mark.parametrize("name", [(), *((name,) for name in sorted(commands()))])
def test_help_names_no_types(skipstone, name):
    """Help says of an option what it takes, in words; a flag takes nothing."""
    text = skipstone(*name, "--help")
    assert not re.search(r"<(bool|str|int|float)\b", text)
    assert re.search(r"--help\s+(-h\s+)?Show this message", text)


def test_completion():
    """A shell that asks gets the commands that begin as typed."""
    asked = {"COMP_WORDS": "skipstone re", "COMP_CWORD": "1", "_SKIPSTONE_COMPLETE": "complete_bash"}
    script = Path(sys.executable).parent / "skipstone"
    done = subprocess.run([script], env={**os.environ, **asked}, capture_output=True, text=True, timeout=60)
    assert sorted(done.stdout.split()) == ["records", "report"]


def test_version(skipstone):
    """--version tells it."""
    import skipstone as package

    assert skipstone("--version") == f"skipstone {package.__version__}\n"
