"""A report is one file that asks for nothing, and shows whatever is stored as text."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from skipstone import open_checkpoint
from skipstone._catalogue import Catalogue
from skipstone._report import as_html, as_markdown, gathered

NASTY = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>`[a](javascript:b)|*c* ```\nd"
NAME = "<b>\"'&|*x*"
VOID = {"meta", "rect", "line", "br", "img"}


def fails(_):
    raise ValueError(NASTY)


def name(function, text):
    function.__qualname__ = text
    return function


@pytest.fixture
def report(tmp_path):
    """A report of steps, functions, ids and errors that are full of HTML and Markdown."""
    config = {"artifacts_dir": tmp_path, "index_name": NAME}
    with open_checkpoint(NAME, config) as checkpoint:
        for number in range(50):
            checkpoint.load_or_run(len, f"{NASTY} {number}", [number])
        checkpoint.load_or_run(len, f"{NASTY} 1", [])
        with pytest.raises(ValueError):
            checkpoint.load_or_run(name(fails, f"fails{NASTY}"), NASTY, 1)
    with open_checkpoint("empty", {"artifacts_dir": tmp_path}):
        pass
    damaged = tmp_path / "checkpoint/default/damaged"
    damaged.mkdir()
    (damaged / "records.sqlite3").write_bytes(b"no database" * 100)
    catalogue = Catalogue({"artifacts_dir": tmp_path})
    return gathered(catalogue, catalogue.steps(), NASTY)


class Page(HTMLParser):
    """The tags, attributes and texts of a page; each tag that is opened is closed."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_html_asks_for_nothing(report):
    """There is no script, no event, no address; its styles are the only ones that its own policy allows."""
    html = as_html(report)
    page = Page(html)
    assert page.open == []
    assert set(page.tags) & {"script", "img", "link", "iframe", "a", "object", "form", "base"} == set()
    names = {name for name, _ in page.attributes}
    assert not [name for name in names if name.startswith("on")]
    assert names & {"src", "href", "srcset", "style", "action"} == set()
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert (
        "content",
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
    ) in (page.attributes)
    assert "url(" not in style
    assert "@import" not in style


def test_html_shows_texts_as_they_are(report):
    """Names and errors full of HTML stand there as they were given."""
    texts = "".join(Page(as_html(report)).texts)
    shown = NASTY.replace("\n", "\\n")
    assert f"{NAME} / {NAME}" in texts
    assert f"fails{shown}" in texts
    assert "raise ValueError(NASTY)" in texts
    assert "file is not a database" in texts


def test_html_tells_the_figures(report):
    """Records, failures, hits and misses are there; each chart says what it shows."""
    html = as_html(report)
    texts = "".join(Page(html).texts)
    assert "1 hit, 50 misses, 1 failure" in texts
    assert html.count('<rect class="hits"') == 2  # of the run, and of the legend
    assert html.count('role="img" aria-label="') == html.count('<svg class="chart"') == 3


def test_markdown_shows_texts_as_they_are(report):
    """Whatever Markdown would obey is escaped, rows stay rows, and a traceback cannot leave its block."""
    markdown = as_markdown(report)
    lines = markdown.splitlines()
    assert "<script>" not in re.sub(r"```+.*?```+", "", markdown, flags=re.DOTALL).replace("\\<", "")
    rows = [line for line in lines if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {8, 9}
    (start,) = [line for line in lines if re.fullmatch(r"  `{4,}text", line)]
    fence = start.strip().removesuffix("text")
    assert [line.strip() for line in lines].count(fence) == 1


def test_an_empty_place(tmp_path):
    """Where nothing is stored, the report says so."""
    report = gathered(Catalogue({"artifacts_dir": tmp_path}), [], "Nothing")
    assert "Nothing is stored." in as_html(report)
    assert as_markdown(report).startswith("# Nothing\n")
