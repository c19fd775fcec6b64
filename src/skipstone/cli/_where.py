"""Which store, and which of its steps: what the options, the environment and the project's file say."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import closing, contextmanager
from difflib import get_close_matches
from typing import Annotated, TypeAlias

import typer

from .._catalogue import Catalogue, StepCatalogue, StepName
from .._errors import ConfigError
from .._settings._config import ENVIRONMENT_PREFIX, resolve
from .._units import plain_text
from ._output import warn
from ._status import NOT_FOUND

_WHERE, _WHICH = "Where", "Which"

StoreOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--store", metavar="URL", help="The store: local, or a URL as in the config.", rich_help_panel=_WHERE
    ),
]
ArtifactsOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--artifacts-dir", "-d", metavar="FOLDER", help="The folder of a local store.", rich_help_panel=_WHERE
    ),
]
IndexOption: TypeAlias = Annotated[
    str, typer.Option("--index", "-i", metavar="NAME", help="Only this index.", rich_help_panel=_WHICH)
]
StepOption: TypeAlias = Annotated[
    str, typer.Option("--step", "-s", metavar="NAME", help="Only this step.", rich_help_panel=_WHICH)
]
FunctionOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--function",
        "-f",
        metavar="NAME",
        help="Only this function: module.name, or the last part of it.",
        rich_help_panel=_WHICH,
    ),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


_environment: dict[str, str] = {}


@contextmanager
def environment_read() -> Generator[None]:
    """Take skipstone's variables out of the environment: `place` knows them, and what a command opens has its settings."""
    _environment.update(
        {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(ENVIRONMENT_PREFIX)}
    )
    try:
        yield
    finally:
        os.environ.update(_environment)
        _environment.clear()


def place(store: str, artifacts_dir: str, *, prefix: str = "--") -> Catalogue:
    """Return the catalogue of the store in use: an option, of this prefix, is an environment variable, said for this command."""
    options = {"store": store, "artifacts_dir": artifacts_dir}
    given = {_variable(name): value for name, value in options.items() if value}
    try:
        settings = resolve(None, _environment | given)
    except ConfigError as error:
        text = str(error)
        for name in options:
            if _variable(name) in given:
                text = text.replace(f"environment variable {_variable(name)}", f"{prefix}{name.replace('_', '-')}")
        raise ConfigError(text) from None
    return Catalogue(settings._replace(use_checkpoints=True))


def _variable(setting: str) -> str:
    return f"{ENVIRONMENT_PREFIX}{setting.upper()}"


def whole_name(asked: StepCatalogue, function: str) -> str | None:
    """Return the name that a function has in a step, given that or the last part of it; None where none is given."""
    return _whole_name(_names_in(asked), function) if function else None


def _names_in(asked: StepCatalogue) -> set[str]:
    return {each.function for each in asked.functions()}


def _whole_name(names: set[str], function: str) -> str:
    alike = [name for name in names if name.endswith(f".{function}")]
    return alike[0] if function not in names and len(alike) == 1 else function


def asked_of(
    catalogue: Catalogue, index: str, step: str, function: str
) -> Generator[tuple[StepCatalogue, str | None]]:
    """Yield what is known of each of the steps that are asked for, and the whole name of the function, if one is asked for.

    Raises:
        typer.Exit: There are no steps of these names; or none of them, which is known at the end, has such a function.
    """
    found = steps(catalogue, index, step)
    known: set[str] = set()
    is_known = not (function and found)
    for name in found:
        with closing(catalogue.step(name)) as asked:
            whole = None
            if function:
                names = _names_in(asked)  # a look at every record
                whole = _whole_name(names, function)
                known |= names
                is_known = is_known or whole in names
            yield asked, whole
    if not is_known:
        ends = {name: name.rpartition(".")[2] for name in known}
        close = get_close_matches(function.rpartition(".")[2], ends.values())
        alike = sorted(name for name, end in ends.items() if end in close)
        hint = f": is it {' or '.join(alike)}?" if alike else ""
        warn(plain_text(f"no function {function!r} in {catalogue.shown_place}{hint}"))
        raise typer.Exit(NOT_FOUND)


def named(catalogue: Catalogue, index: str, step: str) -> list[StepName]:
    """Return the steps of these names; an empty one stands for all."""
    return [name for name in catalogue.steps() if index in ("", name.index_name) and step in ("", name.step)]


def steps(catalogue: Catalogue, index: str, step: str) -> list[StepName]:
    """Return the steps that are asked for: none, with a word on stderr, where there are none at all.

    Raises:
        typer.Exit: There are none of the name that is asked for.
    """
    found = named(catalogue, index, step)
    if not found:
        what = " ".join(
            text
            for text in (f"no step {step!r}" if step else "no checkpoints", f"of index {index!r}" if index else "")
            if text
        )
        warn(f"{what} in {catalogue.shown_place}")
        if index or step:
            raise typer.Exit(NOT_FOUND)
    return found
