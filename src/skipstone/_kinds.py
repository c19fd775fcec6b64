"""The kinds of checkpoints, each of which is a `Checkpoint` with its store already chosen."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import ClassVar

from ._checkpoint import Checkpoint
from ._engine._null_engine import NullEngine
from ._errors import ConfigError, NetworkFileSystemWarning, StoreUnavailableError, UnsafeStoreWarning, warn
from ._settings._config import CheckpointConfig, ConfigLike, resolve, serializer_of
from ._settings._places import LOCAL, local_folder, local_store, places_of, runs_store, scheme_of, store_of
from .stores import SqliteStore
from .stores._file_system import network_file_system
from .stores._urls import shown


class LocalStorageCheckpoint(Checkpoint):
    """Keeps results under `<artifacts_dir>/checkpoint/<index name>/<checkpoint name>/`."""

    def __init__(self, checkpoint_name: str, config: ConfigLike = None) -> None:
        """Open the step's folder, and make it if it does not exist.

        Raises:
            ConfigError: The name is empty, or a setting has the wrong type or value.
            StoreFormatError: A newer skipstone wrote the folder.
        """
        check_name(checkpoint_name)
        settings = resolve(config)
        self.folder: str = local_folder(settings, checkpoint_name)
        store = local_store(self.folder, settings)
        if not isinstance(store, SqliteStore) and not os.path.exists(self.folder):
            warn(
                f"{self.folder} is on a network file system ({network_file_system(self.folder)}): records are kept there "
                f"as one file each, with leases instead of locks. On a local disk all is quicker",
                NetworkFileSystemWarning,
            )
        super().__init__(store, settings, name=checkpoint_name)
        self.place: str = self.folder
        self._arguments = (checkpoint_name, lasting := _for_any_folder(settings))
        self._engine.runs.keep(checkpoint_name, partial(runs_store, (LOCAL,), lasting, checkpoint_name))
        try:
            store.open()
        except StoreUnavailableError as error:
            self._engine._store_failed(error)  # type: ignore[union-attr]


class SharedCheckpoint(Checkpoint):
    """Keeps results where other machines see them: at the config's `store`, or, if it names several, at the last."""

    schemes: ClassVar[tuple[str, ...]] = ()
    """The schemes of its URLs; if empty, all that no other kind has."""

    def __init__(self, checkpoint_name: str, config: ConfigLike = None) -> None:
        """Make no request yet: if a service does not answer, you hear of it at the first call.

        Raises:
            ConfigError: The name is empty, a setting has the wrong type or value, or `store` is of another kind.
            MissingExtraError: A library is not installed.
        """
        check_name(checkpoint_name)
        settings = resolve(config)
        places = places_of(settings.store)
        if self.schemes and scheme_of(places[-1]) not in self.schemes:
            message = (
                f"config.store is {shown(places[-1])!r}; a {type(self).__name__} needs a URL that begins with "
                f"{' or '.join(f'{scheme}://' for scheme in self.schemes)}"
            )
            raise ConfigError(message)
        super().__init__(store_of(places, settings, checkpoint_name), settings, name=checkpoint_name)
        self._arguments = (checkpoint_name, lasting := _for_any_folder(settings))
        self._engine.runs.keep(checkpoint_name, partial(runs_store, places, lasting, checkpoint_name))
        self.place: str = ", then ".join(map(shown, places))
        _warn_of_pickles(self.place, settings)


class ObjectStorageCheckpoint(SharedCheckpoint):
    """Keeps results in object storage, or in a folder that several machines see."""

    schemes: ClassVar[tuple[str, ...]] = ("s3", "gs", "az", "file")


class PostgresCheckpoint(SharedCheckpoint):
    """Keeps results in a PostgreSQL database."""

    schemes: ClassVar[tuple[str, ...]] = ("postgresql", "postgres")


class RedisCheckpoint(SharedCheckpoint):
    """Keeps results in Redis."""

    schemes: ClassVar[tuple[str, ...]] = ("redis", "rediss")


class NullCheckpoint(Checkpoint):
    """Runs every call, and touches no disk."""

    def __init__(self, checkpoint_name: str = "", config: ConfigLike = None) -> None:
        """Check the settings, and do nothing else with them."""
        self.name = checkpoint_name
        self.place = "no store"
        self.config: CheckpointConfig = resolve(config)
        self._arguments = (checkpoint_name, self.config)
        self._engine = NullEngine()
        self._engine.runs.keep(checkpoint_name)
        self._logged = None


_warned_of: set[str] = set()


def _warn_of_pickles(place: str, config: CheckpointConfig) -> None:
    """Warn, once for each place, that whoever can write there can have code run here."""
    is_safe = config.signing_key or config.encryption_key or config.trust_store
    if is_safe or serializer_of(config).name != "pickle" or place in _warned_of or _is_worker():
        return
    _warned_of.add(place)
    warn(
        f"results are pickled to {place}: a pickle runs code when it is loaded, so whoever can write there can have code "
        f"run here. Set a signing_key (or an encryption_key), which all who share it have and nobody else; or "
        f'serializer="msgpack" or "json", which run no code; or trust_store=True where only those can write there whom '
        f"you would let run code",
        UnsafeStoreWarning,
    )


def _is_worker() -> bool:
    """Tell whether this process was started by `multiprocessing`; its parent has given the warning."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


_KINDS = (ObjectStorageCheckpoint, PostgresCheckpoint, RedisCheckpoint)


def kind_for(config: CheckpointConfig) -> type[LocalStorageCheckpoint | SharedCheckpoint | NullCheckpoint]:
    """Return the kind of checkpoint that a checked config asks for."""
    if not config.use_checkpoints:
        return NullCheckpoint
    last = places_of(config.store)[-1]
    if last == LOCAL:
        return LocalStorageCheckpoint
    return next((kind for kind in _KINDS if scheme_of(last) in kind.schemes), SharedCheckpoint)


def check_name(checkpoint_name: object) -> None:
    """Check the name of a step.

    Raises:
        ConfigError: The name is not a text, or empty.
    """
    if not isinstance(checkpoint_name, str) or not checkpoint_name:
        message = f"checkpoint_name is {checkpoint_name!r}: give the step a name, such as 'index'"
        raise ConfigError(message)


def _for_any_folder(config: CheckpointConfig) -> CheckpointConfig:
    """Return settings that hold in any working folder: the process may change it, or a pickle be loaded elsewhere."""
    return config._replace(artifacts_dir=os.path.abspath(config.artifacts_dir))
