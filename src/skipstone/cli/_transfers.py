"""`export`, `import` and `copy`: records to other places, as they are."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from functools import partial
from importlib import import_module
from typing import Annotated, Any, NamedTuple, cast

import typer

from .._catalogue import StepName
from .._checkpoint import Checkpoint
from .._errors import DamagedRecordWarning, SkipstoneError
from .._importing import Imported, import_diskcache, import_joblib, import_pickles
from .._opening import open_checkpoint
from .._selection import opened
from .._transfer import Transfer
from .._units import count_text, plain_text, size_text
from ._output import print_json, say, warn
from ._status import FAILED, FOUND_WRONG, NOT_FOUND, WRONG_USE
from ._where import ArtifactsOption, FunctionOption, IndexOption, JsonOption, StepOption, StoreOption, place, steps

_ReplaceOption = Annotated[bool, typer.Option("--replace", help="Replace what is there already.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("export", rich_help_panel="Move")(export)
    app.command("import", rich_help_panel="Move")(import_)
    app.command("copy", rich_help_panel="Move")(copy)


def export(
    path: Annotated[
        str, typer.Argument(metavar="FILE", help="The file to write; a file of this name is replaced.")
    ],
    *,
    store: StoreOption = "",
    artifacts_dir: ArtifactsOption = "",
    index: IndexOption = "",
    step: StepOption = "",
    function: FunctionOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write the records of one step to one file, to import it elsewhere."""
    catalogue = place(store, artifacts_dir)
    name = _one(steps(catalogue, index, step))
    with opened(catalogue, name) as checkpoint, _told_of(f"cannot write {path}"):
        done = _watched(partial(checkpoint.export, path, function or None))
    _tell([(name, done)], as_json=as_json)


class Source(StrEnum):
    """What results are imported from."""

    export = "export"
    pickles = "pickles"
    joblib = "joblib"
    diskcache = "diskcache"


def import_(
    path: Annotated[
        str,
        typer.Argument(metavar="PATH", help="A file that export wrote, or the folder of another library."),
    ],
    *,
    step: Annotated[str, typer.Option("--step", "-s", metavar="NAME", help="The step to import into.")],
    index: Annotated[
        str,
        typer.Option("--index", "-i", metavar="NAME", help="The index to import into; by default the config's."),
    ] = "",
    source: Annotated[
        Source,
        typer.Option(
            "--from",
            help="pickles: one pickle per call, <function>___<SHA-256 of the id>.pkl; joblib: a joblib.Memory; "
            "diskcache: what its memoize stored. Only from folders that you trust: their pickles are loaded.",
        ),
    ] = Source.export,
    function: Annotated[
        str,
        typer.Option(
            "--function",
            "-f",
            metavar="NAME",
            help="From an export: only this function. From another library: the function that the results belong to, "
            "as module.name, imported from the working folder.",
        ),
    ] = "",
    ids: Annotated[
        str, typer.Option("--ids", metavar="FILE", help="For pickles: the ids, one per line; - is standard input.")
    ] = "",
    store: StoreOption = "",
    artifacts_dir: ArtifactsOption = "",
    replace: _ReplaceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Import the records of an exported file without unpickling them, or the results of another library for one function."""
    if not os.path.exists(path):
        warn(f"there is no {path}")
        raise typer.Exit(NOT_FOUND)
    if source is Source.export and os.path.isdir(path):
        warn(f"{path} is a folder: name a file that export has written, or say by --from which library's it is")
        raise typer.Exit(WRONG_USE)
    config = place(store, artifacts_dir).config
    name = StepName(index or str(config.index_name), step, "")
    with (
        open_checkpoint(step, config._replace(index_name=name.index_name)) as checkpoint,
        _told_of(f"cannot read {path}"),
    ):
        if source is not Source.export:
            imported = _from_elsewhere(source, path, function, ids, checkpoint)
            _tell_imported(name, imported, as_json=as_json)
            return
        done = _watched(partial(checkpoint.import_from, path, function or None, replace=replace))
    _tell([(name, done)], as_json=as_json)


def _from_elsewhere(source: Source, path: str, function: str, ids: str, checkpoint: Checkpoint) -> Imported:
    if not function:
        warn(f"--from {source.value} needs --function: the function that the results belong to")
        raise typer.Exit(WRONG_USE)
    method = _function_named(function)
    if source is Source.joblib:
        return import_joblib(path, method, checkpoint=checkpoint)
    if source is Source.diskcache:
        return import_diskcache(path, method, checkpoint=checkpoint)
    if not ids:
        warn("--from pickles needs --ids: the files do not tell them")
        raise typer.Exit(WRONG_USE)
    with (
        _told_of(f"cannot read {ids}"),
        nullcontext(sys.stdin) if ids == "-" else open(ids, encoding="utf-8") as lines,
    ):
        return import_pickles(path, method, (line.rstrip("\n") for line in lines), checkpoint=checkpoint)


def _function_named(name: str) -> Callable[..., Any]:
    """Import a function from the working folder, or from what is installed."""
    sys.path.insert(0, os.getcwd())
    module, _, rest = name.replace(":", ".").rpartition(".")
    names = [rest]
    while module:
        try:
            found: Any = import_module(module)
        except ModuleNotFoundError:
            module, _, rest = module.rpartition(".")
            names.insert(0, rest)
            continue
        try:
            for each in names:
                found = getattr(found, each)
        except AttributeError:
            break
        return cast("Callable[..., Any]", found)
    warn(f"there is no function {name}: write it as module.name, and begin in the folder of the module")
    raise typer.Exit(WRONG_USE)


def _tell_imported(name: StepName, done: Imported, *, as_json: bool) -> None:
    if as_json:
        print_json({"index_name": name.index_name, "step": name.step, **done._asdict()})
    else:
        missing = f", {count_text(done.not_there, 'id')} without a result" if done.not_there else ""
        say(
            plain_text(
                f"{name.title}: {count_text(done.results, 'result')} imported; "
                f"{done.already_there:,} were there already, {done.left_out:,} left out{missing}"
            )
        )
        for reason in done.reasons:
            warn(plain_text(reason))
    if done.left_out:
        raise typer.Exit(FOUND_WRONG)


def copy(
    *,
    to_store: Annotated[str, typer.Option("--to-store", metavar="URL", help="The store to copy to.")] = "",
    to_artifacts_dir: Annotated[
        str, typer.Option("--to-artifacts-dir", metavar="FOLDER", help="The folder of a local store to copy to.")
    ] = "",
    to_index: Annotated[
        str, typer.Option("--to-index", metavar="NAME", help="The index to copy to; by default the same.")
    ] = "",
    store: StoreOption = "",
    artifacts_dir: ArtifactsOption = "",
    index: IndexOption = "",
    step: StepOption = "",
    function: FunctionOption = "",
    replace: _ReplaceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Copy the records of steps to another store, folder or index."""
    if not (to_store or to_artifacts_dir or to_index):
        warn("say where to: --to-store, --to-artifacts-dir or --to-index")
        raise typer.Exit(WRONG_USE)
    catalogue = place(store, artifacts_dir)
    there = place(to_store or ("local" if to_artifacts_dir else ""), to_artifacts_dir, prefix="--to-").config
    done: list[tuple[StepName, _Done]] = []
    for name in steps(catalogue, index, step):
        config = there if to_store or to_artifacts_dir else catalogue.config
        with (
            opened(catalogue, name) as source,
            open_checkpoint(name.step, config._replace(index_name=to_index or name.index_name)) as target,
        ):
            copied = _watched(partial(source.copy_to, target, function or None, replace=replace))
        done.append((name, copied))
    _tell(done, as_json=as_json)


def _one(names: list[StepName]) -> StepName:
    if len(names) != 1:
        there = ", ".join(name.title for name in names) or "none"
        warn(plain_text(f"say which step with --index and --step; there are: {there}"))
        raise typer.Exit(WRONG_USE)
    return names[0]


class _Done(NamedTuple):
    transfer: Transfer
    warnings: list[str]


@contextmanager
def _told_of(trouble: str) -> Generator[None]:
    """Say what went wrong with a file of the user's, and exit."""
    try:
        yield
    except SkipstoneError:
        raise
    except OSError as error:
        warn(plain_text(f"{trouble}: {error.strerror or error}"))
        raise typer.Exit(FAILED) from None


def _watched(transfer: Callable[[], Transfer]) -> _Done:
    """Do it, and keep what it warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DamagedRecordWarning)
        return _Done(transfer(), [str(each.message) for each in caught])


def _tell(done: list[tuple[StepName, _Done]], *, as_json: bool) -> None:
    """Say what was done; exit with a status where something was left out, or is missing."""
    if as_json:
        print_json(
            [{"index_name": name.index_name, "step": name.step, **each.transfer._asdict()} for name, each in done]
        )
    for name, (transfer, told) in done:
        if not as_json:
            say(
                plain_text(
                    f"{name.title}: {count_text(transfer.results, 'record')} of "
                    f"{size_text(transfer.size_bytes)}, {count_text(transfer.failures, 'failure')}; "
                    f"{transfer.already_there:,} were there already, {transfer.left_out:,} left out"
                )
            )
        for text in told:
            warn(plain_text(text))
    if any(each.transfer.left_out or each.warnings for _, each in done):
        raise typer.Exit(FOUND_WRONG)
