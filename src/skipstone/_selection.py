"""Select records of a step to be looked at first, and then removed."""

from __future__ import annotations

from typing import NamedTuple

from ._catalogue import Catalogue, RecordQuery, StepName
from ._checkpoint import Checkpoint
from ._clearing import clear_step
from ._errors import StoreError
from ._opening import open_checkpoint
from ._record import Key
from ._settings._places import LOCAL, checkpoint_folder, places_of
from .stores._folder import folder_name


class Selection(NamedTuple):
    """The records and failures of a step that would be removed."""

    step: StepName
    records: dict[Key, int]
    """The size of each in bytes."""
    failures: dict[Key, int]
    is_all: bool = False

    @property
    def size_bytes(self) -> int:
        """The size of all of them."""
        return sum(self.records.values()) + sum(self.failures.values())


def select(catalogue: Catalogue, name: StepName, query: RecordQuery, *, only_failures: bool = False) -> Selection:
    """Find the records and failures, or only the failures, that a query asks for; all if it has no conditions.

    Raises:
        StoreError: The store cannot be read.
    """
    asked = catalogue.step(name)
    try:
        records = {} if only_failures else asked.keys(query)
        failures = asked.keys(query._replace(failures=True))
        return Selection(name, records, failures, query == RecordQuery() and not only_failures)
    finally:
        asked.close()


def opened(catalogue: Catalogue, name: StepName) -> Checkpoint:
    """Open the checkpoint of a step that was found at a place.

    Raises:
        StoreError: The name of the step or index was too long for a folder, so that it is unknown.
    """
    if f"{folder_name(name.index_name)}/{folder_name(name.step)}" != name.scope:
        message = (
            f"{name.scope} stands for names that are too long to be told: open it in a program that knows them"
        )
        raise StoreError(message)
    return open_checkpoint(name.step, catalogue.config._replace(index_name=name.index_name))


def takes_runs(catalogue: Catalogue) -> bool:
    """Tell whether removing all of a step removes its runs as well, since its folder is deleted."""
    return places_of(catalogue.config.store) == (LOCAL,)


def remove(catalogue: Catalogue, selection: Selection) -> None:
    """Remove what was selected.

    Raises:
        StoreError: The store does not work, or a running process uses it.
    """
    name = selection.step
    if selection.is_all and takes_runs(catalogue):
        clear_step(f"{checkpoint_folder(catalogue.config)}/{name.scope}")
        return
    with opened(catalogue, name) as checkpoint:
        if selection.is_all:
            checkpoint.clear()
            return
        contents = checkpoint._engine.contents
        contents.forget(list(selection.records))
        contents.forget_failures(list(selection.failures))
