"""What is known of stored results, as an iterator or as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import MissingExtraError
from .._record import RecordInfo


class Records(Iterator[RecordInfo]):
    """An iterator over what is known of stored results; you can make a table of the rest of them."""

    def __init__(self, infos: Iterator[RecordInfo]) -> None:
        self._infos = infos

    def __next__(self) -> RecordInfo:
        return next(self._infos)

    def to_arrow(self) -> Any:
        """Return the remaining results as an Arrow table, with one row per result.

        Raises:
            MissingExtraError: pyarrow is not installed.
        """
        try:
            import pyarrow as pa
        except ImportError as error:
            message = 'a table needs pyarrow: pip install "skipstone[arrow]"'
            raise MissingExtraError(message) from error
        schema = pa.schema(
            [
                ("function", pa.string()),
                ("version", pa.string()),
                ("call_id", pa.string()),
                ("arguments", pa.map_(pa.string(), pa.string())),
                ("digests", pa.map_(pa.string(), pa.binary())),
                ("encoding", pa.string()),
                ("code", pa.string()),
                ("size_bytes", pa.int64()),
                ("created_at", pa.timestamp("us", tz="UTC")),
                ("duration_seconds", pa.float64()),
                ("run", pa.string()),
                ("host", pa.string()),
                ("process", pa.int64()),
                ("key", pa.string()),
            ]
        )
        columns: dict[str, list[Any]] = {name: [] for name in schema.names}
        for info in self:
            for name, value in _row(info).items():
                columns[name].append(list(value.items()) if isinstance(value, dict) else value)
        return pa.table(columns, schema=schema)

    def to_pandas(self) -> Any:
        """Return the remaining results as a data frame, with one row per result; `arguments` is a dictionary of texts.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            message = 'a data frame needs pandas: pip install "skipstone[pandas]"'
            raise MissingExtraError(message) from error
        rows = list(map(_row, self))
        frame = pd.DataFrame(rows, columns=list(_row(_NONE)))
        frame["created_at"] = pd.to_datetime(frame["created_at"], unit="us", utc=True)
        return frame


def _row(info: RecordInfo) -> dict[str, Any]:
    told = info.arguments
    return {
        "function": info.function,
        "version": info.version,
        "call_id": info.call_id,
        "arguments": {name: argument.text for name, argument in told.items()},
        "digests": {name: argument.digest for name, argument in told.items()},
        "encoding": info.encoding,
        "code": info.code.hex(),
        "size_bytes": info.size_bytes,
        "created_at": round(info.created_at_seconds * 1e6),
        "duration_seconds": info.duration_seconds,
        "run": info.run,
        "host": info.host,
        "process": info.process,
        "key": info.key.hex(),
    }


_NONE = RecordInfo(b"", "", "", "", "", b"", 0, 0.0, 0.0, "", "", 0)
