"""How the page looks and behaves in a real browser."""

import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from skipstone import open_checkpoint

from .conftest import SCREENSHOTS, served

pytestmark = pytest.mark.slow

STEP = "index=default&step=index"
PAGES = {
    "overview": "/",
    "live": "/live",
    "step": f"/step?{STEP}",
    "records": f"/records?{STEP}",
    "found": f"/records?{STEP}&search=doc-07&function=web.conftest.embed",
    "none-found": f"/records?{STEP}&search=nowhere",
    "failures": "/failures",
    "failures-of-a-step": f"/failures?{STEP}",
    "storage": "/storage",
    "clean-up": f"/gc?{STEP}",
    "clear": f"/clear?{STEP}",
    "forget": f"/clear?{STEP}&failures=1",
}
LOOKS = {"light": (1280, "light"), "dark": (1280, "dark"), "phone": (390, "light")}
RUNNING = """
import pathlib, sys, time
from skipstone import open_checkpoint
def crawl(number):
    while not pathlib.Path(sys.argv[1], f"go-{number // 5}").exists():
        time.sleep(0.02)
    return number
with open_checkpoint("crawl", {"artifacts_dir": sys.argv[1]}) as checkpoint:
    checkpoint.map(crawl, range(20), workers=5, progress=False).drain()
"""


def records(folder):
    with open_checkpoint("index", {"artifacts_dir": folder}) as checkpoint:
        return sum(1 for _ in checkpoint.records())


def settled(page):
    """Wait until the parts that are fetched later are there."""
    page.wait_for_selector(".waiting", state="detached")


def seen(page, name, look):
    """Keep a picture of a page, and check that nothing sticks out of it."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}-{look}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def violations(page):
    """Return what axe finds wrong."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]


@pytest.mark.parametrize("look", LOOKS)
def test_pages_are_accessible_and_fit(looked_at, open_page, look):
    """Each page is free of what axe finds, in light, dark, and as wide as a phone, where nothing sticks out."""
    width, scheme = LOOKS[look]
    page = open_page(looked_at, width=width, scheme=scheme)
    keys = {}
    with open_checkpoint("index", {"artifacts_dir": looked_at.folder}) as checkpoint:
        for record in checkpoint.records():
            keys.setdefault(record.function.rpartition(".")[2], record.key.hex())
    for name, path in {**PAGES, **{name: f"/record?{STEP}&key={key}" for name, key in keys.items()}}.items():
        page.goto(looked_at.base + path)
        settled(page)
        for unfolded in page.query_selector_all("details"):
            unfolded.evaluate("part => part.open = true")
        seen(page, name, look)
        assert violations(page) == [], name


def test_what_is_stored_is_text(looked_at, open_page):
    """Ids, errors, names and results that are full of HTML stand there as text, and none of it runs."""
    page = open_page(looked_at)
    paths = ["/", f"/records?{STEP}&search=doc-07", "/failures", "/storage"]
    page.goto(looked_at.base + paths[1])
    paths += [link.get_attribute("href") for link in page.query_selector_all("td.id a")]
    assert len(paths) == 10
    for path in paths:
        page.goto(looked_at.base + path)
        settled(page)
        assert "<script>document.title='owned'</script>" in page.inner_text("body") + page.text_content("body")
        assert page.title() != "owned"
        assert page.query_selector("main script, main img[src=x]") is None


def test_the_token_is_gone_from_the_address(looked_at, open_page):
    """Neither the address, nor what scripts can read, nor the way back has the token."""
    page = open_page(looked_at)
    assert page.url == f"{looked_at.base}/"
    assert page.evaluate("document.cookie") == ""
    assert page.evaluate("history.length") <= 2
    assert looked_at.token not in page.content()


def test_all_that_is_needed_comes_from_the_page_itself(looked_at, open_page):
    """No page asks any other server for anything."""
    page = open_page(looked_at)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    for path in PAGES.values():
        page.goto(looked_at.base + path)
        settled(page)
    assert len(asked) > len(PAGES)
    assert all(address.startswith(looked_at.base) for address in asked)


def test_a_running_map_is_seen_moving(tmp_path, open_page):
    """The live page follows a map from its first calls to its end, without being loaded again."""
    script = tmp_path / "crawl.py"
    script.write_text(RUNNING)
    process = subprocess.Popen([sys.executable, script, tmp_path])
    try:
        with served(tmp_path) as site:
            page = open_page(site, "/live")
            page.evaluate("window.sameWindow = true")
            for done in (5, 10, 15):
                (tmp_path / f"go-{done // 5 - 1}").touch()
                bar = page.wait_for_selector(
                    f'progress[max="20"][value="{done}"]', state="attached", timeout=30_000
                )
                assert bar is not None
                text = page.inner_text("main")
                assert f"{done} of 20" in text
                assert "a second" in text
                assert "5 workers" in text
            seen(page, "live-running", "light")
            assert violations(page) == []
            (tmp_path / "go-3").touch()
            page.wait_for_selector("text=Nothing is running", timeout=30_000)
            assert page.evaluate("window.sameWindow")
    finally:
        process.kill()
        process.wait()


def test_a_killed_run_leaves_the_live_page(tmp_path, open_page):
    """A run whose process dies is not shown as running any more."""
    script = tmp_path / "crawl.py"
    script.write_text(RUNNING)
    process = subprocess.Popen([sys.executable, script, tmp_path])
    try:
        with served(tmp_path) as site:
            page = open_page(site, "/live")
            (tmp_path / "go-0").touch()
            page.wait_for_selector('progress[value="5"]', state="attached", timeout=30_000)
            process.kill()
            process.wait()
            page.wait_for_selector("text=Nothing is running", timeout=30_000)
    finally:
        process.kill()
        process.wait()


def test_clearing_a_function_by_clicking(changed, open_page):
    """From the overview to a step, to its function, to what would go, and it is gone; who leaves it keeps it."""
    page = open_page(changed)
    page.click("th.name a:text-is('index')")
    page.click("[aria-label='Clear web.conftest.embed']")
    assert "20" in page.inner_text(".facts")
    page.click("text=Leave it")
    assert records(changed.folder) == 120
    page.click("[aria-label='Clear web.conftest.embed']")
    page.click("button:has-text('Clear')")
    page.wait_for_selector("text=20 records removed.")
    assert records(changed.folder) == 100


def test_failures_are_forgotten_by_clicking(changed, open_page):
    """A group of failures is forgotten, after a look at it."""
    page = open_page(changed, "/failures")
    page.click("text=Forget, so that they run again")
    assert "No result is lost" in page.inner_text("main")
    page.click("button:has-text('Forget')")
    page.wait_for_selector("text=3 failures forgotten")
    with open_checkpoint("index", {"artifacts_dir": changed.folder}) as checkpoint:
        assert list(checkpoint.failures()) == []
    assert records(changed.folder) == 120


def test_the_keyboard_is_enough(changed, open_page):
    """Without a mouse: skip to the content, search, open a record, forget it."""
    page = open_page(changed, f"/records?{STEP}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("/")
    page.keyboard.type("doc-03")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("search=doc-03"))
    page.focus("td.id a")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/record\?"))
    page.focus("text=Forget this result")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/clear\?"))
    page.focus("main button")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=1 record removed.")
    assert records(changed.folder) == 119


class Attacker(BaseHTTPRequestHandler):
    """A page that tries whatever a page can."""

    site = None

    def do_GET(self):
        """Answer with the attack."""
        there = self.site.base
        page = f"""<!DOCTYPE html><title>attack</title>
        <iframe src="{there}/" name="framed"></iframe>
        <script src="{there}/static/page.js"></script>
        <img src="{there}/static/icon.svg" onload="got.push('image')">
        <script>
        var got = [];
        const tries = [{{}}, {{credentials: "include"}}, {{mode: "no-cors", credentials: "include"}}];
        Promise.allSettled(tries.map((how) => fetch("{there}/", how).then((answer) => answer.text()).then((text) => text && got.push(text))))
          .then(() => fetch("{there}/clear", {{method: "POST", mode: "no-cors", credentials: "include",
            headers: {{"Content-Type": "application/x-www-form-urlencoded"}}, body: "{STEP}&form_token=x"}}))
          .catch(() => 0).then(() => {{ document.title = "done"; }});
        </script>
        <form method="post" action="{there}/clear"><input name="index" value="default"><input name="step" value="index">
        <input name="form_token" value=""><button>clear</button></form><a href="{there}/clear?{STEP}">go</a>"""
        body = page.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "evil.example"])
def test_a_page_of_another_origin_gets_nothing(changed, chromium, host):
    """In the browser that has the cookie, a page of another port or host reads nothing, frames nothing, changes nothing."""
    Attacker.site = changed
    with ThreadingHTTPServer(("127.0.0.1", 0), Attacker) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            context = chromium.new_context()
            page = context.new_page()
            page.goto(changed.address)
            page.wait_for_url(f"{changed.base}/")
            page.goto(f"http://{host}:{server.server_port}/")
            page.wait_for_function("document.title === 'done'")
            assert page.evaluate("got") == []
            framed = page.frame("framed")
            assert framed is None or ("doc-" not in framed.content() and "Overview" not in framed.content())
            page.click("text=go")
            page.wait_for_url(re.compile("/clear"))
            assert page.query_selector("form") is None
            page.go_back()
            page.click("button")
            page.wait_for_url(re.compile("/clear"))
            assert "Overview" not in page.content()
            context.close()
        finally:
            server.shutdown()
    assert records(changed.folder) == 120


def test_a_foreign_name_for_this_machine_gets_nothing(looked_at, chromium):
    """A name that was pointed at 127.0.0.1 after its page was loaded reaches no page, with the token or without."""
    context = chromium.new_context()
    page = context.new_page()
    for path in ("/", f"/?token={looked_at.token}"):
        assert page.goto(f"http://evil.example:{looked_at.port}{path}").status == 403
        assert context.cookies() == []
    context.close()


def test_who_has_no_token_gets_nothing(looked_at, chromium):
    """A browser without the cookie is told to use the address that was printed."""
    context = chromium.new_context()
    page = context.new_page()
    assert page.goto(f"{looked_at.base}/").status == 403
    assert "has printed" in page.inner_text("body")
    context.close()


def test_a_lost_server_is_told(tmp_path, chromium):
    """The live page says when what it shows is not followed any more."""
    with served(tmp_path) as site:
        context = chromium.new_context()
        page = context.new_page()
        page.goto(site.address)
        page.wait_for_url(f"{site.base}/")
        page.goto(f"{site.base}/live")
        page.wait_for_selector("text=This page follows by itself")
        started = time.monotonic()
    assert time.monotonic() - started < 20
    page.wait_for_selector("text=The connection is lost")
    context.close()
