"""Build the documentation as pages, and check them: no warning, no dead link, and no other server that a browser would ask.

    python tools/build_pages.py

They are in build/docs. Exits with 1 where something is wrong, after a line for each fault.
"""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "build/docs"
LOADED = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "object": "data",
    "use": "href",
}
"""Elements for which a browser asks without being told to, and where they say whom."""


class Page(HTMLParser):
    """A page: what it loads, where it leads, and where it can be led to."""

    def __init__(self, path):
        super().__init__()
        self.loads, self.links, self.anchors = [], [], {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        """Note what is of interest."""
        given = dict(attrs)
        self.anchors.update(filter(None, (given.get("id"), given.get("name"))))
        if LOADED.get(tag) in given and given.get("rel") != "canonical":
            self.loads.append(given[LOADED[tag]])
        elif tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.loads += re.findall(r"url\(([^)]+)\)", given.get("style") or "")


def faults(folder):
    """Yield what is wrong below a folder."""
    pages = {path.resolve(): Page(path) for path in folder.rglob("*.html")}
    for path, page in pages.items():
        name = path.relative_to(folder.resolve())
        for address in page.loads + page.links:
            outside = urlsplit(address)
            if outside.scheme or outside.netloc:
                if address in page.loads and outside.scheme != "data":
                    yield f"{name} makes a browser ask {address}"
                continue
            target, anchor = urldefrag(address)
            found = folder.resolve() / target[1:] if target.startswith("/") else path.parent / unquote(target)
            found = (found / "index.html" if found.is_dir() else found).resolve() if target else path
            if not found.exists():
                yield f"{name} leads to {address}, which is not there"
            elif found in pages and unquote(anchor) not in pages[found].anchors:
                yield f"{name} leads to {address}: the page is there, the place on it is not"
    for path in folder.rglob("*.css"):
        for address in re.findall(
            r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]+)", path.read_text(encoding="utf-8")
        ):
            yield f"{path.relative_to(folder)} makes a browser ask {address}"


def build():
    """Build the pages; yield what the builder, or who reads the docstrings for it, has to say."""
    command = [Path(sys.executable).with_name("zensical"), "build", "--clean", "--strict"]
    done = subprocess.run(
        command, check=False, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        yield done.stdout
    else:  # it does not count what is wrong with a docstring
        yield from (line for line in done.stdout.splitlines() if line.startswith(("griffe:", "mkdocstrings:")))


def main():
    """Build and check."""
    found = list(build()) or sorted(set(faults(PAGES)))
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(list(PAGES.rglob('*.html')))} pages in {PAGES.relative_to(ROOT)}, {len(found)} faults")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
