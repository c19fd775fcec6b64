"""The page as `skipstone ui` serves it, and a browser that shows it."""

import http.client
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest

from skipstone import open_checkpoint

SCREENSHOTS = Path(__file__).parents[2] / "build/screenshots"
NASTY = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>&amp;'"
NASTY_NAME = "<script>document.title='owned'</script>"


class Site:
    """A server of the page, in a process of its own."""

    def __init__(self, folder, *options):
        self.folder = folder
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SKIPSTONE_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "skipstone", "ui", "--no-browser", "--artifacts-dir", folder, *options],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        told = ""
        for line in self.process.stdout:
            told += line
            found = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", line)
            if found:
                break
        assert found, told
        self.address, self.port, self.token = found[0], int(found[1]), found[2]
        self.base = f"http://127.0.0.1:{self.port}"
        self.cookie = f"skipstone-{self.port}={self.token}"

    def ask(self, path, method="GET", body=None, **headers):
        """Return status, headers and text of an answer; headers given as None are left out."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Host": f"127.0.0.1:{self.port}", "Cookie": self.cookie, **headers}
        connection.putrequest(method, path, skip_host=True)
        for name, value in sent.items():
            if value is not None:
                connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            body = urlencode(body).encode()
            connection.putheader("Content-Type", "application/x-www-form-urlencoded")
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        connection.close()
        return answer.status, answer.headers, text

    def form_token(self):
        """Return what a form of the page has."""
        return re.search(r'name="form_token" value="([^"]+)"', self.ask("/clear?index=default&step=index")[2])[1]

    def close(self):
        """Stop it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        self.process.stdout.close()


@contextmanager
def served(folder, *options):
    """Serve the checkpoints of a folder."""
    site = Site(folder, *options)
    try:
        yield site
    finally:
        site.close()


def embed(number):
    return [((number + 1) * each % 97) / 7 - 5 for each in range(60)]


def table(number):
    return [{"page": each, "title": f"<i>{each}</i>", "score": each / number} for each in range(1, 4)]


def text(number):
    return f"text {number} <b>bold</b>"


def picture(_):
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"\0abcdef" * 2)),
        (b"IEND", b""),
    )
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def nested(number):
    return {"number": number, "script": NASTY}


def script_as_image(_):
    return b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


def fails(number):
    raise ValueError(f"page {number} {NASTY}")


def filled(folder):
    """Make a place with a bit of everything; return its folder."""
    safe = {"artifacts_dir": folder, "serializer": "msgpack"}
    for _ in range(2):
        with open_checkpoint("index", safe) as checkpoint:
            for function in (embed, table, text, picture, nested, script_as_image):
                for number in range(1, 21):
                    checkpoint.load_or_run(function, f"doc-{number:02}{NASTY if number == 7 else ''}", number)
            for number in range(3):
                with pytest.raises(ValueError):
                    checkpoint.load_or_run(fails, f"bad-{number}{NASTY}", number)
    with open_checkpoint("pickled", {"artifacts_dir": folder, "index_name": NASTY_NAME}) as checkpoint:
        for number in range(120):
            checkpoint.load_or_run(embed, number, number)
    return folder


@pytest.fixture(scope="session")
def looked_at(tmp_path_factory):
    """A page of a place with a bit of everything, for tests that change nothing."""
    with served(filled(tmp_path_factory.mktemp("looked-at"))) as site:
        yield site


@pytest.fixture
def changed(tmp_path):
    """A page of such a place, for a test that changes it."""
    with served(filled(tmp_path)) as site:
        yield site


@pytest.fixture(scope="session")
def chromium():
    """A browser, which takes evil.example for this machine."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            "needs Chromium: apt-get install chromium"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--disable-component-update",
                "--no-first-run",
                "--host-resolver-rules=MAP evil.example 127.0.0.1",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Open a page in a window of its own; it must log nothing, and raise nothing."""
    contexts, said = [], []

    def open_it(site, path="/", *, width=1280, scheme="light"):
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(site.address)
        page.wait_for_url(f"{site.base}/")
        if path != "/":
            page.goto(site.base + path)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert said == []
