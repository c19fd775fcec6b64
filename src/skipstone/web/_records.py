"""Pages of records, out of a million perhaps; and a single record with its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import get_args

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from .._catalogue import CodeSummary, RecordQuery, StepCatalogue
from .._catalogue._answers import Sort
from .._record import Key, RecordInfo
from .._units import moment_text
from ._preview import Preview, image_kind, preview_of
from ._site import Site

_MOST_SHOWN = 50
_MOST_PREVIEWED_BYTES = 16 << 20
_SORTS = {"time": "when it was saved", "duration": "how long it took", "size": "size", "id": "id"}


def records(site: Site, request: Request) -> Response:
    """Show a page of records, and a form to choose them by."""
    fields = request.query_params
    asked = site.step(fields)
    query = query_of(fields)
    which = query._replace(sort="time", descending=True)
    try:
        page = asked.records(query, after=fields.get("after") or None, limit=_MOST_SHOWN)
    except (ValueError, OverflowError):
        raise HTTPException(404, "There is no such page of records: go to the first one.") from None
    return site.page(
        "records.html",
        name=asked.name,
        query=query,
        page=page,
        number=site.kept(asked, ("number", which), lambda: asked.totals(which).records),
        is_first=not fields.get("after"),
        functions=_choices(each.function for each in asked.functions()),
        versions=[(f"={each}", each or "none") for each in sorted({each.version for each in asked.functions()})],
        codes=[(each.code.hex(), _code_text(each)) for each in reversed(asked.codes()) if each.code],
        runs=_choices(each.run for each in reversed(asked.runs())),
        sorts=_SORTS,
        fields=fields_of(query),
        chosen=fields_of(which),
        is_filtered=which != RecordQuery(),
    )


def _choices(values: Iterable[str]) -> list[tuple[str, str]]:
    """Return the distinct values, each with the text that is shown for it."""
    return [(value, value) for value in dict.fromkeys(values) if value]


def _code_text(code: CodeSummary) -> str:
    return f"{code.function}, {code.code.hex()}, {moment_text(code.totals.last_at)}"


def query_of(fields: Mapping[str, str]) -> RecordQuery:
    """Return the query that the fields of an address or a form stand for.

    Raises:
        HTTPException: They do not stand for any.
    """
    sort = fields.get("sort") or "time"
    try:
        code = bytes.fromhex(fields["code"]) if fields.get("code") else None
    except ValueError:
        raise HTTPException(404, f"“{fields['code']}” is no fingerprint of code.") from None
    if sort not in get_args(Sort):
        raise HTTPException(404, f"Records are not sorted by “{sort}”.")
    return RecordQuery(
        search=fields.get("search", ""),
        function=fields.get("function") or None,
        version=fields["version"].removeprefix("=") if fields.get("version") else None,
        code=code,
        run=fields.get("run") or None,
        sort=sort,  # type: ignore[arg-type]
        descending=fields.get("order", "down") != "up",
    )


def fields_of(query: RecordQuery) -> dict[str, str | None]:
    """Return the fields of an address that stands for a query."""
    return {
        "search": query.search,
        "function": query.function,
        # With "=", since an empty version (asking for functions without one) is not the same as no field (any version).
        "version": None if query.version is None else f"={query.version}",
        "code": query.code.hex() if query.code else None,
        "run": query.run,
        "sort": query.sort if query.sort != "time" else None,
        "order": None if query.descending else "up",
    }


def key_of(fields: Mapping[str, str], field: str = "key") -> Key:
    """Return the key that a field gives in hexadecimal digits.

    Raises:
        HTTPException: It does not.
    """
    try:
        return bytes.fromhex(fields.get(field, ""))
    except ValueError:
        raise HTTPException(404, f"“{fields[field]}” is no key.") from None


def record_of(asked: StepCatalogue, key: Key) -> RecordInfo:
    """Return a record.

    Raises:
        HTTPException: There is none of this key.
    """
    found = asked.record(key)
    if found is None:
        raise HTTPException(
            404, f"There is no record with the key {key.hex()}: it was removed, or made again under another id."
        )
    return found


def record(site: Site, request: Request) -> Response:
    """Show where a record comes from, and its result, if loading that runs no code."""
    asked = site.step(request.query_params)
    found = record_of(asked, key_of(request.query_params))
    return site.page("record.html", name=asked.name, record=found, preview=_preview(asked, found))


def _preview(asked: StepCatalogue, found: RecordInfo) -> Preview:
    if found.size_bytes > _MOST_PREVIEWED_BYTES:
        return Preview("none", text="it is too large for a page")
    return preview_of(asked.value(found.key))


def image(site: Site, request: Request) -> Response:
    """Return a result that is an image, with the media type that its first bytes show."""
    asked = site.step(request.query_params)
    found = record_of(asked, key_of(request.query_params))
    value = asked.value(found.key).value if found.size_bytes <= _MOST_PREVIEWED_BYTES else None
    kind = image_kind(value)
    if kind is None:
        raise HTTPException(404, "This result is no image.")
    return Response(value, media_type=kind)
