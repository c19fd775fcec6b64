"""What takes up space, and what `gc` would free."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from .._catalogue import FunctionSummary, Space, StepCatalogue, StepSummary, Totals
from .._errors import StoreError
from .._selection import opened
from .._settings._places import LOCAL
from .._units import size_text
from ._guard import FORM
from ._site import Site, link


class _Stored(NamedTuple):
    summary: StepSummary
    functions: list[FunctionSummary]
    space: Space | None

    @property
    def disk_bytes(self) -> int:
        """How much room it takes on disk if that is known, or else how much its payloads take."""
        if self.space is None:
            return self.summary.totals.size_bytes
        return self.space.database_bytes + self.space.log_bytes + self.space.values_bytes


def storage(site: Site, request: Request) -> Response:
    """Show how much room each step and function takes."""
    found = sorted((_stored(site, step) for step in site.steps()), key=lambda each: -each.disk_bytes)
    return site.page(
        "storage.html",
        found=found,
        most=max((each.disk_bytes for each in found), default=0),
        total=sum(each.disk_bytes for each in found),
        free=_free_bytes(site),
        freed=request.query_params.get("freed", ""),
    )


def _stored(site: Site, step: StepCatalogue) -> _Stored:
    try:
        functions = sorted(step.functions(), key=lambda each: -each.totals.size_bytes)
        return _Stored(step.summary(), functions, site.kept(step, "space", step.space))
    except StoreError as error:
        return _Stored(StepSummary(step.name, 0, Totals(), str(error)), [], None)


def _free_bytes(site: Site) -> int | None:
    if site.catalogue.place == LOCAL:
        with suppress(OSError):
            return shutil.disk_usage(os.path.abspath(site.catalogue.shown_place)).free
    return None


def cleaning(site: Site, request: Request) -> Response:
    """Show the page on which a step is cleaned up."""
    return site.page("gc.html", name=site.step(request.query_params).name)


def would_free(site: Site, request: Request) -> Response:
    """Return the part of that page that says what `gc` would remove, and asks."""
    asked = site.step(request.query_params)
    config = site.catalogue.config
    return site.page(
        "_gc.html",
        name=asked.name,
        cleanup=site.catalogue.would_remove(asked.name),
        config=config,
        free_bytes=asked.free_bytes(),
    )


def free(site: Site, request: Request) -> Response:
    """Remove what is no longer of use, and compact the store if asked to."""
    fields: Mapping[str, str] = request.scope[FORM]
    asked = site.step(fields)
    with opened(site.catalogue, asked.name) as checkpoint:
        cleanup = checkpoint.gc(compact=bool(fields.get("compact")))
    asked.close()
    return RedirectResponse(link("/storage", freed=size_text(cleanup.size_bytes)), 303)
