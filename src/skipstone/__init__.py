"""Checkpoints for pipelines: finished work is never done twice."""

import sys as _sys
import typing as _typing

if _sys.platform == "win32":  # there is no fcntl; this message is clearer than the one about that
    _message = "skipstone runs on Linux and macOS; on Windows, use it in WSL"
    raise ImportError(_message)

from ._books._failures import Failures
from ._books._records import Records
from ._books._runs import Run, RunningMap
from ._books._stats import Stats
from ._books._upkeep import Cleanup
from ._checkpoint import Checkpoint
from ._current import get_checkpoint, use_checkpoint
from ._decorator import CheckpointedFunction, cache_with_checkpoint
from ._encoding._serializers import Serializer
from ._engine._notes import note
from ._errors import (
    AuditWarning,
    BatchLengthError,
    ChangedArgumentWarning,
    ChangedGlobalWarning,
    CheckpointNotInitializedError,
    CheckWarning,
    ClaimTimeoutError,
    CodeChangedWarning,
    ConfigError,
    DamagedRecordWarning,
    DamagedStoreWarning,
    DifferentArgumentsWarning,
    IdExpressionError,
    LoadWarning,
    MissingExtraError,
    NetworkFileSystemWarning,
    NoteWarning,
    ReentrantCallError,
    RoundTripWarning,
    SaveError,
    SaveWarning,
    SkipstoneError,
    SkipstoneWarning,
    StoreError,
    StoreFormatError,
    StoreUnavailableError,
    StoreUnavailableWarning,
    UnsafeStoreError,
    UnsafeStoreWarning,
    UnstableIdError,
)
from ._functions._canonical import register_id
from ._kinds import (
    LocalStorageCheckpoint,
    NullCheckpoint,
    ObjectStorageCheckpoint,
    PostgresCheckpoint,
    RedisCheckpoint,
)
from ._maps._items import MapSummary, Plan
from ._opening import init_checkpoint, open_checkpoint
from ._record import Argument, Failure, RecordInfo
from ._settings._config import CheckpointConfig

if _typing.TYPE_CHECKING:
    from ._importing import Imported, import_diskcache, import_joblib, import_pickles
    from ._maps._map import MapResults
    from ._maps._map_async import AsyncMapResults
    from ._transfer import Transfer

__version__: str

__all__ = [
    "Argument",
    "AsyncMapResults",
    "AuditWarning",
    "BatchLengthError",
    "ChangedArgumentWarning",
    "ChangedGlobalWarning",
    "CheckWarning",
    "Checkpoint",
    "CheckpointConfig",
    "CheckpointNotInitializedError",
    "CheckpointedFunction",
    "ClaimTimeoutError",
    "Cleanup",
    "CodeChangedWarning",
    "ConfigError",
    "DamagedRecordWarning",
    "DamagedStoreWarning",
    "DifferentArgumentsWarning",
    "Failure",
    "Failures",
    "IdExpressionError",
    "Imported",
    "LoadWarning",
    "LocalStorageCheckpoint",
    "MapResults",
    "MapSummary",
    "MissingExtraError",
    "NetworkFileSystemWarning",
    "NoteWarning",
    "NullCheckpoint",
    "ObjectStorageCheckpoint",
    "Plan",
    "PostgresCheckpoint",
    "RecordInfo",
    "Records",
    "RedisCheckpoint",
    "ReentrantCallError",
    "RoundTripWarning",
    "Run",
    "RunningMap",
    "SaveError",
    "SaveWarning",
    "Serializer",
    "SkipstoneError",
    "SkipstoneWarning",
    "Stats",
    "StoreError",
    "StoreFormatError",
    "StoreUnavailableError",
    "StoreUnavailableWarning",
    "Transfer",
    "UnsafeStoreError",
    "UnsafeStoreWarning",
    "UnstableIdError",
    "cache_with_checkpoint",
    "get_checkpoint",
    "import_diskcache",
    "import_joblib",
    "import_pickles",
    "init_checkpoint",
    "note",
    "open_checkpoint",
    "register_id",
    "use_checkpoint",
]

_LATE = {
    "AsyncMapResults": "_maps._map_async",
    "Imported": "_importing",
    "MapResults": "_maps._map",
    "Transfer": "_transfer",
    "import_diskcache": "_importing",
    "import_joblib": "_importing",
    "import_pickles": "_importing",
}
"""Names, and the modules that they are imported from when they are asked for: those import much, and many never map."""

for _public in [globals()[name] for name in __all__ if name not in _LATE]:
    _public.__module__ = __name__  # tracebacks and documentation show the public name, not the private module


def __getattr__(name: str) -> object:
    if name == "__version__":  # stands in pyproject.toml, and is installed with the package
        from importlib.metadata import version

        return version(__name__)
    if name not in _LATE:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module

    return getattr(import_module(f".{_LATE[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATE})
