"""How long the page in the browser takes with a step of a million records."""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager

from playwright.sync_api import sync_playwright

import tables
from questions import fill
from skipstone._catalogue import Catalogue

STEP = "index=default&step=questions"
_REST_SECONDS = 1.0
"""So that neither browser nor server is still starting when the clock is."""
PAGES = {
    "overview": "/",
    "live": "/live",
    "step": f"/step?{STEP}",
    "records": f"/records?{STEP}",
    "records, the slowest": f"/records?{STEP}&sort=duration",
    "records, a text in the id": f"/records?{STEP}&search=99999",
    "records, of a function, by id": f"/records?{STEP}&function=app.ask&sort=id",
    "failures": "/failures",
    "storage": "/storage",
    "clear": f"/clear?{STEP}",
    "clean up": f"/gc?{STEP}",
    "clean up, half of it over max_bytes": f"/gc?{STEP}",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = os.path.join(tempfile.gettempdir(), "skipstone-benchmarks", f"questions-{options.records}")
    if not os.path.exists(folder):
        fill(folder, options.records)
    took = {}
    for _ in range(options.rounds):
        for page, times in looked_at(folder).items():
            took.setdefault(page, []).append(times)
    rows = [
        [page, *(f"{statistics.median(each):.0f}" for each in zip(*times, strict=True))]
        for page, times in took.items()
    ]
    columns = ["page", "first look", "all of it", "the server computed", "second look", "all of it"]
    print(tables.table([columns[0], *(f"{column}, ms" for column in columns[1:])], rows))


def looked_at(folder):
    """Return, of each page, the times that a browser takes with a server that has shown nothing yet."""
    catalogue = Catalogue({"artifacts_dir": folder})
    step = catalogue.step(catalogue.steps()[0])
    key = step.records(limit=1).records[0].key.hex()
    half_bytes = step.summary().totals.size_bytes // 2
    step.close()
    took = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for name, path in {**PAGES, "record": f"/record?{STEP}&key={key}"}.items():
            most = {"SKIPSTONE_MAX_BYTES": str(half_bytes)} if "max_bytes" in name else {}
            with served(folder, most) as (process, address), browser.new_page() as page:
                base = address.partition("/?")[0]
                page.goto(address.replace("/?", "/static/icon.svg?"))
                page.wait_for_url(f"{base}/static/icon.svg")
                time.sleep(_REST_SECONDS)
                before = computed(process)
                first = look(page, base + path)
                took[name] = [*first, computed(process) - before, *look(page, base + path)]
        browser.close()
    return took


@contextmanager
def served(folder, settings):
    """Start a server; give its process and the address that it prints."""
    server = subprocess.Popen(
        [sys.executable, "-m", "skipstone", "ui", "--no-browser", "-d", folder],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | settings,
    )
    try:
        yield server.pid, next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
    finally:
        server.terminate()
        server.wait()


def look(page, address):
    """Return the milliseconds until a page is there, and until the parts are that it fetches later."""
    start = time.perf_counter()
    page.goto(address, wait_until="load")
    loaded = time.perf_counter()
    page.wait_for_function("() => !document.querySelector('.waiting')", timeout=120_000)
    return [1000 * (loaded - start), 1000 * (time.perf_counter() - start)]


def computed(process):
    """Return the milliseconds of processor time that a process has used."""
    with open(f"/proc/{process}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
