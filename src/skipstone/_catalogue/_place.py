"""The indexes at a place, and their steps."""

from __future__ import annotations

from .._books._runs import Runs
from .._books._stats import Counters
from .._books._upkeep import Cleanup, Upkeep
from .._errors import StoreError
from .._settings._config import CheckpointConfig, ConfigLike, codec_of, resolve
from .._settings._places import LOCAL, checkpoint_folder, places_of, scopes_at, shared_store
from ..stores import MemoryStore, Store
from ..stores._folder import RUNS, has_files_of_records, name_in
from ..stores._local._looking import LookedAtStore
from ..stores._shared_folder import SharedFolderStore
from ..stores._urls import shown
from ._answers import StepName, StepSummary, Totals
from ._step import StepCatalogue
from ._tables import ScannedTables, Tables


class Catalogue:
    """The steps at the place where a config keeps its records; if it names several stores, at the last one."""

    def __init__(self, config: ConfigLike = None) -> None:
        """Read the settings, without asking the place anything yet.

        Raises:
            ConfigError: A setting has the wrong type or value.
            MissingExtraError: A setting needs a library that is not installed.
        """
        self.config: CheckpointConfig = resolve(config)
        self.place: str = places_of(self.config.store)[-1]
        self._codec = codec_of(self.config)

    @property
    def shown_place(self) -> str:
        """The place, for people: a folder, or a URL without its password."""
        return checkpoint_folder(self.config) if self.place == LOCAL else shown(self.place)

    def steps(self) -> list[StepName]:
        """Return all steps, in the order of their indexes and names.

        Raises:
            MissingExtraError: The place needs a library that is not installed.
            StoreUnavailableError: The place does not answer.
        """
        found: list[StepName] = []
        for scope in scopes_at(self.place, self.config):
            if not scope.endswith(RUNS):
                index, _, step = scope.partition("/")
                found.append(StepName(name_in(index), name_in(step), scope))
        return sorted(found)

    def step(self, name: StepName) -> StepCatalogue:
        """Return the catalogue of a step, which the caller closes."""
        store = self._store(name.scope)
        # To be searched, encrypted ids must be decrypted: into copies of the tables in memory, never on a disk.
        is_encrypted = self.config.encryption_key is not None
        tables: Tables = (
            store
            if isinstance(store, LookedAtStore) and not is_encrypted
            else ScannedTables(store, self._codec.shown, in_memory=is_encrypted)
        )
        return StepCatalogue(name, store, tables, self._codec, self._store(name.scope + RUNS))

    def would_remove(self, name: StepName, *, max_bytes: float | None = None) -> Cleanup:
        """Return what `Checkpoint.gc` of a step would remove.

        Args:
            name: The name of the step.
            max_bytes: How much its results may take; None for the config's `max_bytes`.

        Raises:
            StoreUnavailableError: The step cannot be read.
        """
        store, runs_store = self._store(name.scope), self._store(name.scope + RUNS)
        runs = Runs(Counters())
        runs.keep(
            name.step,
            lambda: (
                runs_store if not isinstance(runs_store, LookedAtStore) or runs_store.is_there() else MemoryStore()
            ),
        )
        most = self.config.max_bytes if max_bytes is None else max_bytes
        try:
            return Upkeep(store, self._codec, runs, None).clean(self.config.expires_seconds, most, dry_run=True)
        finally:
            store.close()
            runs_store.close()

    def overview(self) -> list[StepSummary]:
        """Return a summary of each step; for one that cannot be read, with the reason."""
        return [self._summary(name) for name in self.steps()]

    def _summary(self, name: StepName) -> StepSummary:
        catalogue = self.step(name)
        try:
            return catalogue.summary()
        except StoreError as error:
            return StepSummary(name, 0, Totals(), str(error))
        finally:
            catalogue.close()

    def _store(self, scope: str) -> Store:
        if self.place == LOCAL:
            folder = f"{checkpoint_folder(self.config)}/{scope}"
            if not has_files_of_records(folder):
                return LookedAtStore(folder)
            return SharedFolderStore(folder, trusted=True)
        # It does not matter who can write there, since nothing is unpickled.
        return shared_store(self.place, self.config._replace(trust_store=True), scope)
