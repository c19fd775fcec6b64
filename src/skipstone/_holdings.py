"""What a step holds: listed, removed, accepted as it is, and taken elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from ._books._failures import Failures
from ._books._records import Records
from ._books._runs import Run
from ._books._upkeep import Cleanup
from ._engine._engine import Engine
from ._engine._null_engine import NullEngine
from ._functions._function import known
from ._naming import storable
from ._record import RecordInfo

if TYPE_CHECKING:
    from ._transfer import Transfer, Where  # it imports much

R = TypeVar("R")
Path: TypeAlias = "str | os.PathLike[str]"
FunctionLike: TypeAlias = "Callable[..., Any] | str | None"

_EVERY_ID: Any = object()


class Holdings:
    """The part of a checkpoint that is about what is stored."""

    _engine: Engine | NullEngine

    def records(self, function: FunctionLike = None) -> Records:
        """Return an iterator over what is known of each stored result, in the order of saving; nothing is unpickled.

        `.to_pandas()` and `.to_arrow()` of the iterator make a table of it.

        Args:
            function: Only the results of this function: the function itself, or its name.
        """
        return Records(self._engine.contents.records(_name(function)))

    def history(self, function: Callable[..., R], id: object) -> Iterator[tuple[RecordInfo, R]]:
        """Yield what is known of each result of one call, with the result itself: the first one first, the present one last.

        Earlier results were kept if the config's `keep_history` was set when the call ran again. Results that can no longer
        be loaded are left out. Generator functions have no history.

        Args:
            function: The function itself, decorated or not.
            id: The id of the call.
        """
        known_function = known(function)[0]
        if known_function.is_generator:
            return iter(())
        return cast(
            "Iterator[tuple[RecordInfo, R]]", self._engine.contents.history(known_function, known_function.key(id))
        )

    def accept(self, function: Callable[..., Any]) -> int:
        """Declare the present code of a function as good as all code that made its stored results.

        Use it after an edit that changes no result, such as a refactoring: nothing is run again, and nobody is warned. The
        store keeps it, for every process.

        Args:
            function: The function itself, decorated or not.

        Returns:
            How many results other code had made that was not accepted before.

        Raises:
            StoreError: The store does not answer.
        """
        if isinstance(function, str):
            message = f"accept({function!r}) needs the function itself, whose code it is about"
            raise TypeError(message)
        engine = self._engine
        return 0 if isinstance(engine, NullEngine) else engine.code.accept(known(function)[0])

    def failures(self, function: FunctionLike = None) -> Failures:
        """Return the calls that raised and have not succeeded since.

        Args:
            function: Only the calls of this function: the function itself, or its name.
        """
        return Failures(partial(self._engine.contents.failures, _name(function)))

    def runs(self) -> Iterator[Run]:
        """Yield the runs of this step, the newest last, which is this run up to this moment.

        A run records what it did about once a second, and at its end. At least the last thousand runs are kept where the
        records are; for a store of your own, in memory.
        """
        return self._engine.runs.all()

    def gc(self, *, max_bytes: float | None = None, compact: bool = False, dry_run: bool = False) -> Cleanup:
        """Remove what is no longer of use: expired results, and what killed processes left behind.

        With `max_bytes`, given here or in the config, also remove the least recently used results. Nothing else is removed.

        Args:
            max_bytes: How many bytes the results may take; None: as the config says.
            compact: Also give free room in the store back to the file system, which may take long.
            dry_run: Remove nothing, and return what would be removed.

        Returns:
            What was removed, or would be.

        Raises:
            StoreError: The store does not work.
        """
        return self._engine.clean(max_bytes, compact=compact, dry_run=dry_run)

    def clear(self, function: FunctionLike = None, *, id: object = _EVERY_ID) -> int:
        """Remove stored results and failures: of the step, of one function, or of one call.

        Args:
            function: The function itself, or its name. None: all functions of this step.
            id: The id of the call; needs the function itself.

        Returns:
            How many results were removed.

        Raises:
            StoreError: The store does not answer.
            TypeError: There is an id, but no function.
        """
        if id is _EVERY_ID:
            return self._engine.contents.clear(_name(function))
        if function is None or isinstance(function, str):
            message = "clear(id=...) needs the function as well: clear(function=embed, id='doc-17')"
            raise TypeError(message)
        return self._engine.contents.forget([known(function)[0].key(id)])

    def export(self, path: Path, function: FunctionLike = None, *, where: Where = None) -> Transfer:
        """Write the step's records, or a part of them, to one file, for a checkpoint elsewhere to import.

        The file gets its name when it is complete. If the export was killed, doing it again goes on from there.

        Args:
            path: The path of the file; a file of this name is replaced.
            function: Only the records of this function: the function itself, or its name.
            where: Only the records for which this function of a `RecordInfo` returns True.

        Returns:
            What was written.

        Raises:
            StoreError: The store does not answer, or somebody else is writing this file.
        """
        from ._transfer import export

        return export(self._engine, os.fspath(path), _name(function), where)

    def import_from(
        self, path: Path, function: FunctionLike = None, *, where: Where = None, replace: bool = False
    ) -> Transfer:
        """Import the records of a file that `export` wrote, from any step and store. Nothing is unpickled.

        Damaged records are left out, with a warning. So are records that are not signed or encrypted with the config's
        `signing_key` or `encryption_key`, if it has one.

        Args:
            path: The path of the file.
            function: See `export`.
            where: See `export`.
            replace: If False, a record that is there already stays.

        Returns:
            What was written.

        Raises:
            StoreError: The store does not answer.
            StoreFormatError: The file is not an export, or a newer skipstone wrote it.
        """
        from ._transfer import import_

        return import_(self._engine, os.fspath(path), _name(function), where, replace=replace)

    def copy_to(
        self, other: Holdings, function: FunctionLike = None, *, where: Where = None, replace: bool = False
    ) -> Transfer:
        """Write the step's records, or a part of them, to another checkpoint, as if exported and imported there.

        Args:
            other: A checkpoint with any store.
            function: See `export`.
            where: See `export`.
            replace: See `import_from`.

        Returns:
            What was written.

        Raises:
            StoreError: One of the stores does not answer.
        """
        from ._transfer import copy

        return copy(self._engine, other._engine, _name(function), where, replace=replace)


def _name(function: FunctionLike) -> str | None:
    if isinstance(function, str):
        return storable(function)
    return None if function is None else known(function)[0].name
