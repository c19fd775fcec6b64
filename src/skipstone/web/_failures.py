"""Calls that raised, grouped by their errors."""

from __future__ import annotations

from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from .._catalogue import FailureGroup, StepCatalogue, StepName
from .._errors import StoreError
from ._site import Site


class _Failed(NamedTuple):
    name: StepName
    groups: list[FailureGroup]
    problem: str = ""

    @property
    def calls(self) -> int:
        return sum(group.calls for group in self.groups)


def failures(site: Site, request: Request) -> Response:
    """Show the failures of a step, or of all."""
    fields = request.query_params
    only = site.step(fields) if "step" in fields else None
    found = [_failed(site, step) for step in ([only] if only else site.steps())]
    return site.page(
        "failures.html",
        found=[each for each in found if each.groups or each.problem],
        name=only.name if only else None,
        removed=fields.get("removed", ""),
    )


def _failed(site: Site, step: StepCatalogue) -> _Failed:
    try:
        return _Failed(step.name, site.kept(step, "failures", step.failure_groups))
    except StoreError as error:
        return _Failed(step.name, [], str(error))
