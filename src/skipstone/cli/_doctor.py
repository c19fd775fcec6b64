"""`doctor`: what skipstone finds here, and whether it can work with it."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Annotated, Literal, NamedTuple

import typer
from rich.text import Text

from .. import __version__
from .._catalogue import Catalogue
from .._clearing import clear_step
from .._errors import SkipstoneError
from .._record import Origin, Record
from .._settings._config_file import config_file
from .._settings._places import LIBRARIES, LOCAL, checkpoint_folder, local_store, shared_store
from .._units import count_text, duration_text, plain_text, size_text
from ..stores import SqliteStore, Store
from ..stores._file_system import network_file_system
from ..stores._folder import unsafe
from ..stores._shared_folder import SharedFolderStore
from ._output import Column, print_json, print_table
from ._status import FOUND_WRONG
from ._where import ArtifactsOption, JsonOption, StoreOption, place

_EXTRAS = ("zstandard", "cryptography", *LIBRARIES, "typer")
_LEAST_FREE_BYTES = 1 << 30
_OLD_SQLITE = (3, 37, 0)
_STYLES = {"good": "green", "bad": "red", "note": "yellow"}
_TRIAL = "skipstone-doctor/trial"


class Finding(NamedTuple):
    """What was found."""

    what: str
    state: Literal["good", "note", "bad"]
    text: str


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", rich_help_panel="Check")(doctor)


def doctor(
    *,
    store: StoreOption = "",
    artifacts_dir: ArtifactsOption = "",
    write: Annotated[
        bool,
        typer.Option("--try", help="Also save, load, claim and remove a record in the store, beside the steps."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check versions, settings, file system, permissions, free space and locks. Exit status 3: something is wrong."""
    findings = [*_about_versions(), *_about_settings(store, artifacts_dir, write=write)]
    if as_json:
        print_json(findings)
    else:
        print_table(
            [Column(""), Column("what"), Column("found")],
            [[Text(each.state, _STYLES[each.state]), each.what, plain_text(each.text)] for each in findings],
        )
    if any(each.state == "bad" for each in findings):
        raise typer.Exit(FOUND_WRONG)


def _about_versions() -> Iterator[Finding]:
    yield Finding("skipstone", "good", __version__)
    yield Finding("Python", "good", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    is_old = sqlite3.sqlite_version_info < _OLD_SQLITE
    yield Finding("SQLite", "note" if is_old else "good", sqlite3.sqlite_version)
    found = []
    for name in _EXTRAS:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    yield Finding("optional libraries", "good", ", ".join(found) or "none")


def _about_settings(store: str, artifacts_dir: str, *, write: bool) -> Iterator[Finding]:
    try:
        file = config_file()
        yield Finding("settings from", "good", file.path if file else "no file: options, environment, defaults")
        catalogue = place(store, artifacts_dir)
    except SkipstoneError as error:
        yield Finding("settings", "bad", str(error))
        return
    yield Finding("store", "good", catalogue.shown_place)
    if catalogue.place == LOCAL:
        yield from _about_folder(checkpoint_folder(catalogue.config))
    yield _asked("steps", lambda: _steps(catalogue))
    if write:
        yield _asked("a record", lambda: _tried(catalogue))


def _asked(what: str, ask: Callable[[], str]) -> Finding:
    try:
        return Finding(what, "good", ask())
    except (SkipstoneError, OSError) as error:
        return Finding(what, "bad", str(error))


def _steps(catalogue: Catalogue) -> str:
    overview = catalogue.overview()
    for each in overview:
        if each.problem:
            raise SkipstoneError(each.problem)
    records = sum(each.totals.records for each in overview)
    return f"{count_text(len(overview), 'step')}, {count_text(records, 'record')}"


def _about_folder(folder: str) -> Iterator[Finding]:
    there = folder
    while not os.path.exists(there):
        there = os.path.dirname(there)
    if there != folder:
        yield Finding("folder", "note", f"not there yet; it would be made in {there}")
    kind = network_file_system(there)
    problem = f"{kind}: SQLite's log and locks cannot be trusted there" if kind else ""
    yield Finding("file system", "bad" if kind else "good", problem or "a local one")
    can_write = os.access(there, os.W_OK | os.X_OK)
    yield Finding("permission", "good" if can_write else "note", "to write" if can_write else "only to read")
    danger = unsafe(folder)
    yield Finding(
        "safety", "bad" if danger else "good", f"{folder} {danger}" if danger else "only you can write there"
    )
    free = shutil.disk_usage(there).free
    yield Finding("free space", "good" if free >= _LEAST_FREE_BYTES else "note", size_text(free))


def _tried(catalogue: Catalogue) -> str:
    """Do with a store what a call does, in a scope of its own, and leave nothing."""
    scope = f"{_TRIAL}-{os.getpid()}"
    config = catalogue.config
    store: Store = (
        local_store(f"{checkpoint_folder(config)}/{scope}", config)
        if catalogue.place == LOCAL
        else shared_store(catalogue.place, config, scope)
    )
    start = time.perf_counter()
    try:
        _use(store)
        seconds = time.perf_counter() - start
    finally:
        store.close()
        if isinstance(store, (SqliteStore, SharedFolderStore)):
            clear_step(store.folder)
    return f"saved, claimed, loaded and removed in {duration_text(seconds)}"


def _use(store: Store) -> None:
    key, payload = os.urandom(16), os.urandom(1000)
    origin = Origin("doctor", "", "trial", b"", "", "", os.getpid())
    claim = store.claim(key)
    if claim is None:
        message = "a key that nobody has could not be claimed"
        raise SkipstoneError(message)
    with claim:
        if store.claim(key) is not None:
            message = "locks do not hold: one key was claimed twice"
            raise SkipstoneError(message)
        store.put(Record(key, b"", origin, 0.0, payload))
    found = store.get(key)
    if found is None or bytes(found.payload) != payload:  # type: ignore[arg-type]
        message = "what was saved was not found again"
        raise SkipstoneError(message)
    store.delete([key])
