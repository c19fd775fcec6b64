"""What runs now, and how far it is, on a page that keeps itself up to date."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import NamedTuple

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from .._books._runs import Run
from .._catalogue import StepName
from .._errors import StoreError
from .._settings._places import LOCAL
from ._site import Site

_EVERY_SECONDS, _EVERY_SECONDS_FAR = 1, 5


class _Running(NamedTuple):
    name: StepName
    run: Run


def live(site: Site, _request: Request) -> Response:
    """Show the runs that are under way."""
    return site.page("live.html", now=time.time(), running=_running(site))


def events(site: Site, _request: Request) -> Response:
    """Send the runs under way again and again, as server-sent events."""
    return StreamingResponse(_events(site), media_type="text/event-stream")


async def _events(site: Site) -> AsyncIterator[str]:
    seconds = _EVERY_SECONDS if site.catalogue.place == LOCAL else _EVERY_SECONDS_FAR
    while not site.is_over():
        html = await run_in_threadpool(_part, site)
        yield "".join(f"data: {line}\n" for line in html.splitlines()) + "\n"
        for _ in range(seconds):
            if not site.is_over():
                await anyio.sleep(1)


def _part(site: Site) -> str:
    try:
        return site.rendered("_running.html", now=time.time(), running=_running(site))
    except StoreError as error:
        return site.rendered("_problem.html", text=str(error))


def _running(site: Site) -> list[_Running]:
    found = [
        _Running(step.name, run)
        for step in site.steps()
        for run in step.recorded_runs()
        if run.state in ("running", "silent")
    ]
    return sorted(found, key=lambda each: -each.run.started_at_seconds)
