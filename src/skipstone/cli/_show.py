"""`show`: show one record, or one failure."""

from __future__ import annotations

import json
from pprint import pformat
from typing import Annotated, Any, NamedTuple

import typer

from .._catalogue import FailedCall, RecordQuery, StepCatalogue, StepName, Value
from .._record import Key, RecordInfo
from .._units import (
    count_text,
    duration_text,
    function_text,
    moment_text,
    number_text,
    plain_lines,
    plain_text,
    size_text,
)
from ._output import Column, print_json, print_table, say, warn
from ._status import NOT_FOUND
from ._where import (
    ArtifactsOption,
    FunctionOption,
    IndexOption,
    JsonOption,
    StepOption,
    StoreOption,
    place,
    steps,
    whole_name,
)

_LEAST_DIGITS = 6
_MOST_LINES = 40


class _Found(NamedTuple):
    step: StepName
    record: RecordInfo | None
    failed: FailedCall | None
    value: Value | None


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("show", rich_help_panel="See")(show)


def show(
    what: Annotated[str, typer.Argument(metavar="ID", help="The call id, or the first digits of the key.")],
    *,
    store: StoreOption = "",
    artifacts_dir: ArtifactsOption = "",
    index: IndexOption = "",
    step: StepOption = "",
    function: FunctionOption = "",
    unpickle: Annotated[
        bool,
        typer.Option("--unpickle", help="Show the result even if loading it runs code that is stored with it."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one record: where it comes from, and its result if loading that runs no code."""
    catalogue = place(store, artifacts_dir)
    found: list[_Found] = []
    for name in steps(catalogue, index, step):
        asked = catalogue.step(name)
        found.extend(_find(asked, what, whole_name(asked, function), unpickle=unpickle))
        asked.close()
    if not found:
        warn(f"no record or failure has the id {what!r}, or a key that begins with it")
        raise typer.Exit(NOT_FOUND)
    if as_json:
        print_json([_for_json(each) for each in found])
        return
    if len(found) > 1:
        say(
            f"{count_text(len(found), 'call')} with this id; --step, --index and --function choose among them\n",
            "dim",
        )
    for each in found:
        _print(each)


def _find(asked: StepCatalogue, what: str, function: str | None, *, unpickle: bool) -> list[_Found]:
    query = RecordQuery(call_id=what, function=function)
    keys = list(asked.keys(query)) or _begin_with(asked, what, RecordQuery(function=function))
    found = [
        _Found(asked.name, record, None, asked.value(key, unpickle=unpickle))
        for key in keys
        if (record := asked.record(key)) is not None
    ]
    failed = query._replace(failures=True)
    wanted = set(asked.keys(failed)) or set(
        _begin_with(asked, what, RecordQuery(function=function, failures=True))
    )
    if wanted:
        found += [_Found(asked.name, None, call, None) for call in asked.failures(function) if call.key in wanted]
    return found


def _begin_with(asked: StepCatalogue, digits: str, query: RecordQuery) -> list[Key]:
    if len(digits) < _LEAST_DIGITS or set(digits.lower()) - set("0123456789abcdef"):
        return []
    return [key for key in asked.keys(query) if key.hex().startswith(digits.lower())]


def _for_json(found: _Found) -> dict[str, Any]:
    fields: dict[str, Any] = {"index_name": found.step.index_name, "step": found.step.step}
    if found.record is not None:
        fields |= {"record": _record_for_json(found.record)}
    if found.failed is not None:
        fields |= {"failure": found.failed}
    if found.value is not None:
        fields |= {"value": _jsonable(found.value.value), "value_problem": found.value.problem}
    return fields


def _record_for_json(record: RecordInfo) -> dict[str, Any]:
    facts = record._asdict()
    del facts["details"]
    return facts | {
        "arguments": {name: argument.text for name, argument in record.arguments.items()},
        "notes": record.notes,
    }


def _jsonable(value: Any) -> object:
    """Return a result itself if JSON can represent it, or else its `repr`."""
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return repr(value)
    return value


def _print(found: _Found) -> None:
    facts: list[tuple[str, str]] = [("index", found.step.index_name), ("step", found.step.step)]
    if found.record is not None:
        record = found.record
        facts += [
            ("function", function_text(record.function, record.version)),
            ("id", record.call_id),
            ("key", record.key.hex()),
            ("saved", moment_text(record.created_at_seconds)),
            ("took", duration_text(record.duration_seconds)),
            ("size", f"{size_text(record.size_bytes)}, {record.encoding}"),
            ("code", record.code.hex() or "not known"),
            ("run", f"{record.run} on {record.host}, process {record.process}"),
            *((f"argument {name}", argument.text) for name, argument in record.arguments.items()),
            *((f"noted {name}", number_text(noted)) for name, noted in record.notes.items()),
        ]
    if found.failed is not None:
        failure = found.failed.failure
        facts += [
            ("function", function_text(failure.function, failure.version)),
            ("id", failure.call_id),
            ("key", f"{found.failed.key.hex()} (of the failure)"),
            ("failed", f"{moment_text(failure.failed_at_seconds)}, {count_text(failure.attempts, 'attempt')}"),
            ("run", f"{failure.run} on {failure.host}, process {failure.process}"),
        ]
    print_table([Column("record" if found.record else "failure", style="dim"), Column("")], facts)
    if found.failed is not None:
        say(plain_lines(found.failed.failure.traceback), "red")
    if found.value is not None:
        _print_value(found.value)


def _print_value(value: Value) -> None:
    if not value.is_shown:
        hint = ": --unpickle does so" if value.can_run_code else ""
        say(f"result not shown: {plain_text(value.problem)}{hint}\n", "dim")
        return
    lines = (value.value if isinstance(value.value, str) else pformat(value.value, width=100)).splitlines()
    say(plain_lines("\n".join(lines[:_MOST_LINES])))
    if len(lines) > _MOST_LINES:
        say(f"… {count_text(len(lines) - _MOST_LINES, 'line')} more: --json prints all", "dim")
    say()
