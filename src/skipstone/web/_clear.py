"""Clearing: what would go is shown first, and goes when that is confirmed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from .._catalogue import FailedCall, RecordQuery, StepCatalogue, Totals
from .._catalogue._errors_alike import pattern_of
from .._selection import Selection, remove, select, takes_runs
from .._units import count_text
from ._guard import FORM
from ._records import key_of, query_of, record_of
from ._site import Site, link

_CHOICES = ("key", "failure", "error", "failures", "search", "function", "version", "code", "run")


class _Choice(NamedTuple):
    """What was chosen to go."""

    sentence: str
    totals: Totals
    selection: Callable[[], Selection]
    is_failures: bool = False


def confirm(site: Site, request: Request) -> Response:
    """Show what would go, and ask."""
    fields = request.query_params
    asked = site.step(fields)
    choice = _choice(site, asked, fields)
    given = {name: fields[name] for name in _CHOICES if fields.get(name)}
    return site.page("clear.html", name=asked.name, choice=choice, fields=given)


def clear(site: Site, request: Request) -> Response:
    """Remove what was confirmed."""
    fields: Mapping[str, str] = request.scope[FORM]
    asked = site.step(fields)
    choice = _choice(site, asked, fields)
    selection = choice.selection()
    asked.close()  # a database that is open here may not be removed everywhere
    remove(site.catalogue, selection)
    asked.close()  # who has looked meanwhile has seen what was
    number = len(selection.failures) if choice.is_failures else len(selection.records)
    removed = count_text(number, "failure" if choice.is_failures else "record")
    if selection.is_all:
        return RedirectResponse("/", 303)
    return RedirectResponse(link("/failures" if choice.is_failures else "/step", asked.name, removed=removed), 303)


def _choice(site: Site, asked: StepCatalogue, fields: Mapping[str, str]) -> _Choice:
    if fields.get("key"):
        return _one_record(asked, fields)
    if fields.get("failure") or fields.get("error") or fields.get("failures"):
        return _failures(asked, fields)
    query = query_of(fields)
    if query == RecordQuery():
        return _Choice(
            "the whole step, and what is known of its runs" if takes_runs(site.catalogue) else "the whole step",
            asked.summary().totals,
            lambda: select(site.catalogue, asked.name, query),
        )
    conditions = {
        "function": query.function,
        "version": query.version,
        "code": query.code.hex() if query.code else None,
        "run": query.run,
        "a part of the id": query.search or None,
    }
    told = ", ".join(f"{name} “{value}”" for name, value in conditions.items() if value is not None)
    return _Choice(
        f"what has {told}",
        asked.totals(query).plus(asked.totals(query._replace(failures=True))),
        lambda: select(site.catalogue, asked.name, query),
    )


def _one_record(asked: StepCatalogue, fields: Mapping[str, str]) -> _Choice:
    found = record_of(asked, key_of(fields))
    return _Choice(
        f"the record of {found.function} for id “{found.call_id}”",
        Totals(records=1, size_bytes=found.size_bytes, seconds=found.duration_seconds),
        lambda: Selection(asked.name, {found.key: found.size_bytes}, {}),
    )


def _failures(asked: StepCatalogue, fields: Mapping[str, str]) -> _Choice:
    calls = [call for call in asked.failures(fields.get("function") or None) if _is_meant(call, fields)]
    if not calls:
        raise HTTPException(404, "These failures are gone.")
    sizes = asked.keys(RecordQuery(failures=True))
    going = {call.key: sizes.get(call.key, 0) for call in calls}
    first = calls[0].failure
    sentence = (
        "all failures" if fields.get("failures") else f"failures of {first.function} like “{fields.get('error')}”"
    )
    if fields.get("failure"):
        sentence = f"the failure of {first.function} for id “{first.call_id}”"
    return _Choice(
        sentence,
        Totals(failures=len(going), size_bytes=sum(going.values())),
        lambda: Selection(asked.name, {}, going),
        is_failures=True,
    )


def _is_meant(call: FailedCall, fields: Mapping[str, str]) -> bool:
    if fields.get("failure"):
        return call.key == key_of(fields, "failure")
    return bool(fields.get("failures")) or pattern_of(call.failure.error) == fields["error"]
