"""What each page tells of a place, as any browser gets it."""

import html
import os
import re
from urllib.parse import urlencode

import pytest

from skipstone import cache_with_checkpoint, open_checkpoint, use_checkpoint
from skipstone._catalogue import Catalogue

from .conftest import NASTY, NASTY_NAME, served, text

STEP = "index=default&step=index"


def shown(site, path, status=200):
    """Return the text of a page's main part, without tags."""
    answered, _, page = site.ask(path)
    assert answered == status, page
    main = page.partition("<main")[2].partition("</main>")[0] or page
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", main)))


def key_of(site, function, call_id="doc-01", step="index", index="default"):
    with open_checkpoint(step, {"artifacts_dir": site.folder, "index_name": index}) as checkpoint:
        return next(
            each.key.hex()
            for each in checkpoint.records()
            if each.function.endswith(function) and each.call_id == call_id
        )


def test_overview(looked_at):
    """The overview sums all up, and has each index and step."""
    text = shown(looked_at, "/")
    assert "records 240 failures 3" in text
    assert "index 120 3" in text
    assert "240 misses" in text
    assert "120 hits" in text
    assert NASTY_NAME in text


def test_step(looked_at):
    """A step shows its functions, its runs, and, when all records were read, its distributions."""
    text = shown(looked_at, f"/step?{STEP}")
    assert "embed 20 0" in text
    assert "120 hits, 120 misses, 6 failures" in text
    charts = shown(looked_at, f"/step/charts?{STEP}")
    assert "Slowest calls" in charts
    assert "Growth: records saved in each" in charts


def test_pages_of_records_have_each_record_once(looked_at):
    """Next pages go on where the page before ended, in any order, to the end."""
    for sort in ("time", "duration", "size", "id"):
        for order in ("up", "down"):
            path, seen = f"/records?{STEP}&sort={sort}&order={order}", []
            while path:
                page = looked_at.ask(path)[2]
                seen += re.findall(r"key=([0-9a-f]{32})", page)
                following = re.search(r'rel="next" href="([^"]+)"', page)
                path = html.unescape(following[1]) if following else None
            assert len(seen) == len(set(seen)) == 120


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ("search=doc-01", 6),
        ("search=onerror", 6),
        ("search=%25", 0),
        ("function=none", 0),
        ("code=00", 0),
        ("run=x", 0),
    ],
)
def test_records_are_searched_and_filtered(looked_at, wanted, number):
    """Records are found by a part of their id, function, code and run."""
    assert f" {number} record" in shown(looked_at, f"/records?{STEP}&{wanted}")


def test_filters_of_the_page_lead_to_records(looked_at):
    """What a step's page links to, functions, codes and runs, finds the records that it counts."""
    key = key_of(looked_at, "embed")
    page = looked_at.ask(f"/record?{STEP}&key={key}")[2]
    links = [html.unescape(each) for each in re.findall(r'href="(/records\?[^"]+&amp;[^"]+&amp;[^"]+)"', page)]
    assert len(links) == 3
    assert [re.search(r"(\d+) records", shown(looked_at, each))[1] for each in links] == ["20", "20", "120"]


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("embed", "shape 60 least -5"),
        ("table", "page title score 1 <i>1</i> 1.0 2 <i>2</i> 2.0"),
        ("text", "text 1 <b>bold</b>"),
        ("picture", "kind image/png"),
        ("nested", f'"script": "{NASTY}"'.replace('="d', '=\\"d').replace("'\">", "'\\\">")),
        ("script_as_image", "bytes 71"),
    ],
)
def test_results_are_shown_by_what_they_are(looked_at, function, told):
    """Text, JSON, tables, arrays and images are shown, where loading them runs no code."""
    assert told in shown(looked_at, f"/record?{STEP}&key={key_of(looked_at, function)}")


def test_images_are_served_as_what_their_bytes_are(looked_at):
    """Bytes are an image where they begin like one that runs no script; others are not served."""
    status, headers, _ = looked_at.ask(f"/record/image?{STEP}&key={key_of(looked_at, 'picture')}")
    assert (status, headers["content-type"]) == (200, "image/png")
    for function in ("script_as_image", "text"):
        assert looked_at.ask(f"/record/image?{STEP}&key={key_of(looked_at, function)}")[0] == 404


class Bomb:
    """Says when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def make(path):
    return Bomb(path)


def test_pickles_are_never_loaded(tmp_path):
    """No page unpickles a result; the one of the record says so, and how to see it."""
    trace = tmp_path / "was loaded"
    with open_checkpoint("index", {"artifacts_dir": tmp_path}) as checkpoint:
        checkpoint.load_or_run(make, "bomb", str(trace))
    with served(tmp_path) as site:
        key = key_of(site, "make", "bomb")
        text = shown(site, f"/record?{STEP}&key={key}")
        assert "loading 'pickle' can run code." in text
        assert f"skipstone show {key[:12]} --unpickle" in text
        for path in (
            "/",
            f"/step?{STEP}",
            f"/step/charts?{STEP}",
            f"/records?{STEP}",
            "/failures",
            "/storage",
            f"/gc/would?{STEP}",
        ):
            assert site.ask(path)[0] == 200
    assert not trace.exists()


def test_failures_are_grouped(looked_at):
    """Failures that are alike stand together, with a traceback of the last one."""
    text = shown(looked_at, "/failures")
    assert "3 calls of" in text
    assert "6 attempts" in text
    assert "Traceback (most recent call last)" in text


def test_storage(looked_at):
    """The storage page tells what steps and functions take, and what would be freed."""
    assert "conftest.picture" in shown(looked_at, "/storage")
    assert "orphans 0" in shown(looked_at, f"/gc/would?{STEP}")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/step?index=default&step=none", "There is no step “none” of an index “default”"),
        ("/records?index=default&step=index&sort=colour", "Records are not sorted by “colour”"),
        ("/records?index=default&step=index&after=[1", "There is no such page of records"),
        ("/records?index=default&step=index&after={}", "There is no such page of records"),
        ("/records?index=default&step=index&after=[1,2,3]", "There is no such page of records"),
        ("/records?index=default&step=index&code=zz", "“zz” is no fingerprint"),
        ("/record?index=default&step=index&key=zz", "“zz” is no key"),
        ("/record?index=default&step=index&key=00", "There is no record with the key 00"),
        ("/clear?index=default&step=index&failure=00", "These failures are gone"),
        ("/none", "Not Found"),
    ],
)
def test_what_is_not_there_is_told(looked_at, path, told):
    """An address that leads nowhere is a page that says what is missing."""
    assert told in shown(looked_at, path.replace("[", "%5B").replace("{", "%7B").replace("}", "%7D"), 404)


def test_an_empty_place_says_what_to_do(tmp_path):
    """Where nothing is stored, the pages say how something comes to be."""
    with served(tmp_path / "none") as site:
        assert "init_checkpoint" in shown(site, "/")
        assert "Nothing is running" in shown(site, "/live")
        assert "No call has failed" in shown(site, "/failures")
        assert "Nothing is stored" in shown(site, "/storage")
    assert not (tmp_path / "none").exists()


def test_a_damaged_step_hides_no_other(tmp_path):
    """A step that cannot be read says why; the others are there; its own page is an error that says so."""
    with open_checkpoint("index", {"artifacts_dir": tmp_path}) as checkpoint:
        checkpoint.load_or_run(len, "a", "a")
    damaged = tmp_path / "checkpoint/default/damaged"
    damaged.mkdir()
    (damaged / "records.sqlite3").write_bytes(b"no database" * 100)
    with served(tmp_path) as site:
        for path in ("/", "/storage"):
            text = shown(site, path)
            assert "file is not a database" in text
            assert "index" in text
        assert "The store does not work" in shown(site, "/step?index=default&step=damaged", 503)


def test_what_is_new_is_seen(tmp_path):
    """A page shows what is stored when it is loaded, whatever was shown before; cleared steps are gone, and come again."""
    with served(tmp_path) as site:
        for number in range(1, 4):
            with open_checkpoint("index", {"artifacts_dir": tmp_path}) as checkpoint:
                checkpoint.load_or_run(len, number, "a" * number)
            assert f" {number} record" in shown(site, f"/records?{STEP}")
            assert f"records {number} " in shown(site, "/")
            assert site.ask(f"/step/charts?{STEP}")[2].count('href="/record?') == number
        body = {"index": "default", "step": "index", "form_token": site.form_token()}
        assert site.ask("/clear", "POST", body, Origin=site.base)[0] == 303
        assert "Nothing is stored here yet" in shown(site, "/")
        with open_checkpoint("index", {"artifacts_dir": tmp_path}) as checkpoint:
            checkpoint.load_or_run(len, 1, "a")
        assert "records 1 " in shown(site, "/")


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({}, (0, 0)),
        ({"function": "{embed}"}, (100, 3)),
        ({"search": "doc-01"}, (114, 3)),
        ({"failures": "1"}, (120, 0)),
        ({"key": "{key}"}, (119, 3)),
    ],
)
def test_clearing_removes_what_was_shown(changed, fields, left):
    """What is confirmed goes, as it was shown, and nothing else."""
    with open_checkpoint("index", {"artifacts_dir": changed.folder}) as checkpoint:
        embed = next(each.function for each in checkpoint.records() if each.function.endswith("embed"))
    key = key_of(changed, "embed")
    fields = {name: value.format(embed=embed, key=key) for name, value in fields.items()}
    page = changed.ask("/clear?" + STEP + "".join(f"&{name}={value}" for name, value in fields.items()))[2]
    shown_now = dict(re.findall(r"<dt>(\w+)</dt><dd[^>]*>([\d,]+)</dd>", page))
    assert (120 - int(shown_now["records"]), 3 - int(shown_now["failures"])) == left
    body = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    assert changed.ask("/clear", "POST", body, Origin=changed.base)[0] == 303
    with open_checkpoint("index", {"artifacts_dir": changed.folder}) as checkpoint:
        assert (sum(1 for _ in checkpoint.records()), sum(1 for _ in checkpoint.failures())) == left


def test_names_that_are_too_long_to_be_told_are_not_mistaken(tmp_path):
    """A step whose name the place has shortened is shown, and cleared as a whole, but never taken for another one."""
    with open_checkpoint("long" * 50, {"artifacts_dir": tmp_path}) as checkpoint:
        for number in range(3):
            checkpoint.load_or_run(len, number, "a")
    (name,) = Catalogue({"artifacts_dir": tmp_path}).steps()
    with served(tmp_path) as site:
        fields = {"index": name.index_name, "step": name.step}
        page = site.ask(f"/clear?{urlencode({**fields, 'search': '1'})}")[2]
        fields["form_token"] = re.search(r'name="form_token" value="([^"]+)"', page)[1]
        status, _, page = site.ask("/clear", "POST", {**fields, "search": "1"}, Origin=site.base)
        assert (status, "too long to be told" in page) == (503, True)
        assert "records 3 " in shown(site, "/")
        assert site.ask("/clear", "POST", fields, Origin=site.base)[0] == 303
        assert "Nothing is stored here yet" in shown(site, "/")


def test_a_store_of_several_machines(tmp_path):
    """A store that is no local one is copied once, and again when the page is told to; clearing works there, too."""
    place = {"store": f"file://{tmp_path}/shared", "trust_store": True, "serializer": "json"}
    with open_checkpoint("index", place) as checkpoint:
        checkpoint.load_or_run(len, 1, "a")
        checkpoint.load_or_run(len, 2, "a")
    with served(tmp_path, "--store", place["store"]) as site:
        assert "records 2 " in shown(site, "/")
        assert "Ask again" in shown(site, f"/step?{STEP}")
        with open_checkpoint("index", place) as checkpoint:
            checkpoint.load_or_run(len, 3, "a")
        assert "records 2 " in shown(site, "/")
        token = site.form_token()
        assert site.ask("/again", "POST", {"form_token": token}, Origin=site.base)[0] == 303
        assert "records 3 " in shown(site, "/")
        body = {"index": "default", "step": "index", "search": "2", "form_token": token}
        assert site.ask("/clear", "POST", body, Origin=site.base)[0] == 303
        assert "records 2 " in shown(site, "/")
        with open_checkpoint("index", place) as checkpoint:
            assert sorted(each.call_id for each in checkpoint.records()) == ["1", "3"]


def test_there_may_be_many_steps(tmp_path):
    """A page of more steps than a process may have files open shows them all, time and again."""
    for number in range(130):
        with open_checkpoint(f"step-{number}", {"artifacts_dir": tmp_path}) as checkpoint:
            checkpoint.load_or_run(len, number, "a")
    with served(tmp_path) as site:
        for _ in range(2):
            for path in ("/", "/live", "/storage", "/failures"):
                assert site.ask(path)[0] == 200
        assert "records 130 " in shown(site, "/")
        assert len(os.listdir(f"/proc/{site.process.pid}/fd")) < 500


def test_no_version_is_a_version(tmp_path):
    """A function with and without a version has two lines, and clearing the one leaves the other."""
    with open_checkpoint("index", {"artifacts_dir": tmp_path}) as checkpoint, use_checkpoint(checkpoint):
        for version, number in ((None, 3), ("2", 5)):
            function = cache_with_checkpoint(id="number", name="app.f", version=version)(text)
            for each in range(number):
                function(each)
    with served(tmp_path) as site:
        links = re.findall(r'href="(/clear\?[^"]*version=[^"]*)"', site.ask(f"/step?{STEP}")[2])
        assert [shown(site, html.unescape(each)).split("records ")[1].split()[0] for each in links] == ["3", "5"]
        page = site.ask(html.unescape(links[0]))[2]
        body = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
        assert site.ask("/clear", "POST", body, Origin=site.base)[0] == 303
        assert " 5 records" in shown(site, f"/records?{STEP}")
        assert " 5 records" in shown(site, f"/records?{STEP}&version==2")
        assert " 0 records" in shown(site, f"/records?{STEP}&version==")
