"""Checkpoints for pipelines: finished work is never done twice."""

import sys as _sys

if _sys.platform == "win32":  # fcntl is not there, and its absence would be told much less clearly
    _message = "skipstone runs on Linux and macOS; on Windows, use it in WSL"
    raise ImportError(_message)

from ._checkpoint import Checkpoint
from ._config import CheckpointConfig
from ._current import get_checkpoint, use_checkpoint
from ._decorator import CheckpointedFunction, cache_with_checkpoint
from ._errors import (
    BatchLengthError,
    CheckpointNotInitializedError,
    ClaimTimeoutError,
    CodeChangedWarning,
    ConfigError,
    DamagedRecordWarning,
    DamagedStoreWarning,
    IdExpressionError,
    LoadWarning,
    MissingExtraError,
    NetworkFileSystemWarning,
    ReentrantCallError,
    SaveError,
    SaveWarning,
    SkipstoneError,
    SkipstoneWarning,
    StoreError,
    StoreFormatError,
    StoreUnavailableError,
    StoreUnavailableWarning,
    UnsafeStoreError,
    UnstableIdError,
)
from ._items import MapSummary, Plan
from ._kinds import (
    LocalStorageCheckpoint,
    NullCheckpoint,
    ObjectStorageCheckpoint,
    PostgresCheckpoint,
    RedisCheckpoint,
)
from ._opening import init_checkpoint, open_checkpoint
from ._record import Failure, RecordInfo
from ._serializers import Serializer
from ._stats import Stats

__version__ = "0.1.0"

__all__ = [
    "BatchLengthError",
    "Checkpoint",
    "CheckpointConfig",
    "CheckpointNotInitializedError",
    "CheckpointedFunction",
    "ClaimTimeoutError",
    "CodeChangedWarning",
    "ConfigError",
    "DamagedRecordWarning",
    "DamagedStoreWarning",
    "Failure",
    "IdExpressionError",
    "LoadWarning",
    "LocalStorageCheckpoint",
    "MapSummary",
    "MissingExtraError",
    "NetworkFileSystemWarning",
    "NullCheckpoint",
    "ObjectStorageCheckpoint",
    "Plan",
    "PostgresCheckpoint",
    "RecordInfo",
    "RedisCheckpoint",
    "ReentrantCallError",
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
    "UnsafeStoreError",
    "UnstableIdError",
    "cache_with_checkpoint",
    "get_checkpoint",
    "init_checkpoint",
    "open_checkpoint",
    "use_checkpoint",
]

for _public in [globals()[name] for name in __all__]:
    _public.__module__ = __name__  # tracebacks and documentation show the public name, not the private module
