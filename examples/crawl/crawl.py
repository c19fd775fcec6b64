"""A web crawl that goes on where it was stopped, and asks for no page twice.

    pip install "skipstone[examples]"
    python stand_in.py &                # in place of somebody's site
    python crawl/crawl.py

Start it on the next day with `--day`: pages are fetched again, and what was read of those that have not changed is kept.
"""

import argparse
import asyncio
import datetime as dt
import functools
import hashlib
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx

from skipstone import Failure, cache_with_checkpoint, init_checkpoint


class Reader(HTMLParser):
    """Collects the links and the words of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.words = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if tag == "a" and name == "href" and value]

    def handle_data(self, data: str) -> None:
        self.words += len(data.split())


# A page may be another one tomorrow: the day is part of the id.
@cache_with_checkpoint(id="(url, day)")
async def fetch(client: httpx.AsyncClient, day: str, url: str) -> str | None:
    """Return the source of a page, or None where there is none."""
    response = await client.get(url)
    if response.status_code == httpx.codes.NOT_FOUND:
        return None
    response.raise_for_status()
    return response.text


# What stands in a page depends on its source alone, whenever and wherever it was fetched.
@cache_with_checkpoint(id="digest")
def read(digest: str, source: str) -> tuple[int, list[str]]:
    """Return how many words a page has, and its links."""
    reader = Reader()
    reader.feed(source)
    return reader.words, reader.links


async def main() -> None:
    parser = argparse.ArgumentParser(description="Crawl a web site.")
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:8000/argparse")
    parser.add_argument("--day", default=dt.datetime.now(tz=dt.UTC).date().isoformat())
    options = parser.parse_args()

    checkpoint = init_checkpoint("crawl", {"artifacts_dir": "artifacts", "index_name": "site"})
    seen, level, words, dead, failed = {options.url}, [options.url], 0, 0, 0
    async with httpx.AsyncClient(timeout=30) as client:
        while level:
            found: list[str] = []
            get = functools.partial(fetch, client, options.day)
            pages = checkpoint.map_async(get, level, concurrency=10, on_error="return")
            urls = iter(level)
            async for page in pages:
                url = next(urls)
                if page is None:
                    dead += 1
                elif isinstance(page, Failure):  # it is asked for again in the next run
                    failed += 1
                    print(f"{url}: {page.error}")
                else:
                    count, links = read(hashlib.sha256(page.encode()).hexdigest(), page)
                    words += count
                    found += [urljoin(url, link) for link in links]
            level = sorted(set(found) - seen)
            seen.update(level)
    print(f"{len(seen) - dead - failed} pages with {words:,} words, {dead} dead links, {failed} failures")
    print(checkpoint.stats())


if __name__ == "__main__":
    asyncio.run(main())
