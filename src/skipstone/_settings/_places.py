"""Where the records of a step live: from the config's `store` to a store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from .._errors import ConfigError, MissingExtraError
from ..stores import SqliteStore, Store
from ..stores._file_system import network_file_system
from ..stores._folder import CHECKPOINT_FOLDER, RUNS, folder_name, has_files_of_records, step_folder
from ..stores._local._connection import DATABASE
from ..stores._urls import received, shown

if TYPE_CHECKING:
    from ..stores._shared_folder import SharedFolderStore
    from ._config import CheckpointConfig

LOCAL = "local"


class _Service(NamedTuple):
    """What keeps the records of a scheme: a class that takes URL and scope, beside a function `scopes(url)`."""

    module: str
    store: str
    library: str = ""
    """The client, if one is needed."""
    extra: str = ""
    """What installs it."""


_FOLDER = _Service("skipstone.stores._shared_folder", "SharedFolderStore")
_OBJECTS = _Service("skipstone.stores._services._objects", "ObjectStore", "obstore", "objects")
_POSTGRES = _Service("skipstone.stores._services._postgres", "PostgresStore", "psycopg", "postgres")
_REDIS = _Service("skipstone.stores._services._redis", "RedisStore", "redis", "redis")

_SERVICES = {
    "s3": _OBJECTS,
    "gs": _OBJECTS,
    "az": _OBJECTS,
    "file": _FOLDER,
    "postgresql": _POSTGRES,
    "postgres": _POSTGRES,
    "redis": _REDIS,
    "rediss": _REDIS,
}
_EXPECTED = (
    f"{LOCAL!r} or a URL that begins with {', '.join(f'{scheme}://' for scheme in _SERVICES)}, or with module.Class:// "
    f"for a store of your own"
)

LIBRARIES = sorted({service.library for service in _SERVICES.values() if service.library})
"""Clients that stores need."""


def places_of(store: str | Sequence[str]) -> tuple[str, ...]:
    """Return the tiers of a config's `store`, the nearest first."""
    return (store,) if isinstance(store, str) else tuple(store)


def scheme_of(place: str) -> str:
    """Return what a place begins with, such as `s3`; "local" is its own."""
    return place.partition("://")[0].lower()


def is_shared(store: str | Sequence[str]) -> bool:
    """Tell whether a config's `store` is one that others may write to: any but the local one."""
    return any(place != LOCAL for place in places_of(store))


def problem_with(store: Any) -> str | None:
    """Say what a config's `store` should be, or return None where it is that."""
    if not isinstance(store, (str, list, tuple)) or not store:
        return f"{_EXPECTED}, or a list of them, the nearest first"
    return next((problem for place in places_of(store) if (problem := _problem_with_one(place))), None)


def _problem_with_one(place: Any) -> str | None:
    if place == LOCAL:
        return None
    service = _service_of(place) if isinstance(place, str) else None
    if service is None:
        return _EXPECTED
    rest = place.partition("://")[2]
    if service is _FOLDER:
        return None if rest.startswith("/") and rest != "/" else "file:///folder, an absolute path after file://"
    if service is _OBJECTS:
        return None if rest.partition("/")[0] else f"{scheme_of(place)}://bucket/prefix"
    return None


def _service_of(place: str) -> _Service | None:
    """Return what keeps the records of a URL; None where there is no such thing."""
    scheme, separator, _ = place.partition("://")
    if not separator:
        return None
    module, _, store = scheme.rpartition(".")
    return _SERVICES.get(scheme.lower()) or (_Service(module, store) if module and store else None)


def store_of(places: Sequence[str], config: CheckpointConfig, step: str) -> Store:
    """Return the store of a step at a place, or at several that stand behind one another.

    Raises:
        MissingExtraError: A place needs a library that is not installed.
    """
    place, *behind = places
    store = _store_at(place, config, step)
    if not behind:
        return store
    from ..stores._tiers import TieredStore

    return TieredStore(store, store_of(behind, config, step), in_background=config.background_saves)


def runs_store(places: Sequence[str], config: CheckpointConfig, step: str) -> Store:
    """Return the store of a step's runs: where all that use the step see them."""
    return _store_at(places[-1], config._replace(durability="process"), step, RUNS)


def _store_at(place: str, config: CheckpointConfig, step: str, part: str = "") -> Store:
    if place == LOCAL:
        return local_store(local_folder(config, step) + part, config)
    return shared_store(place, config, f"{folder_name(str(config.index_name))}/{folder_name(step)}{part}")


def shared_store(place: str, config: CheckpointConfig, scope: str) -> Store:
    """Return the store of a scope, which is `<index>/<step>` as both may stand in the name of a folder.

    Raises:
        MissingExtraError: It needs a library that is not installed.
        ConfigError: It names a class that is not there.
    """
    service, module = _opened(place)
    kind = _part_of(module, service.store, place)
    if service is _FOLDER:
        folder = f"{_unquoted_path(place)}/{scope}"
        return cast("Store", kind(folder, trusted=config.trust_store, durability=config.durability))
    return cast("Store", kind(received(place), scope))


def scopes_at(place: str, config: CheckpointConfig) -> Sequence[str]:
    """Return the scopes that there are at a place: `<index>/<step>`, as both stand in the names of folders.

    Raises:
        MissingExtraError: It needs a library that is not installed.
        ConfigError: It names a class that is not there.
    """
    if place == LOCAL:
        from ..stores import _shared_folder
        from ..stores._local import _looking

        root = checkpoint_folder(config)
        return sorted({*_looking.scopes(root), *_shared_folder.scopes(root)})
    service, module = _opened(place)
    where = _unquoted_path(place) if service is _FOLDER else received(place)
    return cast("Sequence[str]", _part_of(module, "scopes", place)(where))


def checkpoint_folder(config: CheckpointConfig) -> str:
    """Return the folder below `artifacts_dir` that has a folder for each index, absolute."""
    return os.path.join(os.path.abspath(config.artifacts_dir), CHECKPOINT_FOLDER)


def local_folder(config: CheckpointConfig, step: str) -> str:
    """Return the folder of a step below `artifacts_dir`, absolute."""
    return step_folder(str(config.artifacts_dir), str(config.index_name), step)


def local_store(folder: str, config: CheckpointConfig) -> SqliteStore | SharedFolderStore:
    """Return the store of a step in a folder: the kind that is there, else the one that its file system can carry."""
    is_database = os.path.exists(f"{folder}/{DATABASE}")
    if is_database or not (has_files_of_records(folder) or network_file_system(folder)):
        return SqliteStore(folder, durability=config.durability, trusted=config.trust_store)
    from ..stores._shared_folder import SharedFolderStore

    return SharedFolderStore(folder, durability=config.durability, trusted=config.trust_store)


def _unquoted_path(place: str) -> str:
    from urllib.parse import unquote

    return unquote(place.partition("://")[2]).rstrip("/")


def _opened(place: str) -> tuple[_Service, Any]:
    """Return what keeps the records of a checked place, and its module."""
    from importlib.util import find_spec

    service = _service_of(place)
    assert service is not None
    if service.library and find_spec(service.library) is None:
        message = f'store={shown(place)!r} needs {service.library}: pip install "skipstone[{service.extra}]"'
        raise MissingExtraError(message)
    try:
        return service, import_module(service.module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{service.module}.".startswith(f"{error.name}."):
            raise
        message = (
            f"config.store is {shown(place)!r}, but there is no module {error.name!r}: it must be importable here"
        )
        raise ConfigError(message) from error


def _part_of(module: Any, name: str, place: str) -> Any:
    if not hasattr(module, name):
        message = f"config.store is {shown(place)!r}, but {module.__name__} has no {name!r}: see docs/how-to/add-a-store.md"
        raise ConfigError(message)
    return getattr(module, name)
