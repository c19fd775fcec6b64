"""Represent arrays, tensors and data frames by plain values that differ whenever two of them do.

Libraries are imported only inside functions: a process that has such a value has imported its library already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._errors import UnstableIdError

_TEXT_TYPES = ("object", "str", "string", "string[python]", "string[pyarrow]")


def _array(value: Any) -> object:
    """An array by its type, its shape, and its content in C order, whatever its layout in memory."""
    import numpy as np

    array = np.asarray(value).view(np.ndarray)
    dtype = array.dtype
    if dtype.names:  # field by field, since the padding between them may hold anything
        return ("fields", array.shape, [(name, _array(array[name])) for name in dtype.names])
    if dtype.hasobject or dtype.kind == "T":
        return (str(dtype), array.shape, array.ravel().tolist())
    if dtype.kind in "fc" and dtype.itemsize not in (2, 4, 8, 16 if dtype.kind == "c" else 8):
        return (dtype.str, array.shape, [repr(item) for item in array.ravel()])  # such floats have padding bytes
    flat = np.ascontiguousarray(array).reshape(-1)
    return (dtype.str, array.shape, flat.view("u1").data if flat.nbytes else memoryview(b""))


def _scalar(value: Any) -> object:
    return _array(value.reshape((1,)))


def _masked(value: Any) -> object:
    import numpy as np

    mask = np.ma.getmaskarray(value)
    blank = np.zeros((), value.dtype)[()] if not value.dtype.hasobject else None
    return (
        _array(mask),
        _array(np.where(mask, blank, value.data) if not value.dtype.names else value.filled(blank)),
    )


def _tensor(value: Any) -> object:
    import torch

    if value.layout is not torch.strided or value.is_quantized or value.is_nested or value.is_meta:
        message = (
            "a torch.Tensor that is sparse, nested, quantized or without data has no canonical form, so it cannot be "
            "part of an id: use a dense one, x.to_dense() or x.dequantize(), or something that identifies the call"
        )
        raise UnstableIdError(message)
    flat = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    if flat.stride(0) != 1:  # a tensor of one number counts as contiguous whatever its stride
        flat = flat.clone(memory_format=torch.contiguous_format)
    return (str(value.dtype), tuple(value.shape), memoryview(flat.view(torch.uint8).numpy()))


def _pandas_index(value: Any) -> object:
    nameless = value.set_names([None] * value.nlevels)  # with names, a number would select the level of that name
    levels = [nameless.get_level_values(level) for level in range(value.nlevels)]
    return (list(value.names), [_pandas_column(level) for level in levels])


def _pandas_series(value: Any) -> object:
    return (value.name, _pandas_index(value.index), _pandas_column(value))


def _pandas_frame(value: Any) -> object:
    columns = [_pandas_column(value.iloc[:, position]) for position in range(value.shape[1])]
    return (_pandas_index(value.columns), _pandas_index(value.index), columns)


def _pandas_column(column: Any) -> object:
    """A column by its values, however they are stored: numbers as an array, all others one by one."""
    dtype = column.dtype
    if getattr(dtype, "kind", "") in "biufcmM" and hasattr(dtype, "str") and not hasattr(dtype, "tz"):
        return _array(column.to_numpy())
    # A missing value is None, NaN, NA or NaT, depending on version and type.
    values = [None if _is_missing(item) else item for item in column.tolist()]
    if hasattr(dtype, "categories"):
        return ("category", dtype.ordered, _pandas_column(dtype.categories), values)
    return ("text" if str(dtype) in _TEXT_TYPES else str(dtype), values)


def _pandas_timedelta(value: Any) -> object:
    return str(value.to_timedelta64()), value.isoformat()  # exact to the nanosecond; beyond the former's range


def _is_missing(item: object) -> bool:
    return type(item).__name__ in ("NAType", "NaTType") or (isinstance(item, float) and item != item)  # noqa: PLR0124


def _polars_series(value: Any) -> object:
    kind = str(value.dtype)
    is_coded = "Categorical" in kind or "Enum" in kind  # their physical numbers mean nothing elsewhere
    # The physical values of times are exact, while Python's are cut to microseconds.
    return (value.name, kind, (value if is_coded else value.to_physical()).to_list())


def _polars_frame(value: Any) -> object:
    return (value.height, [_polars_series(column) for column in value.get_columns()])


STAND_INS: dict[str, Callable[[Any], object]] = {
    "numpy.ndarray": _array,
    "numpy.generic": _scalar,
    "numpy.ma.MaskedArray": _masked,
    "numpy.ma.core.MaskedArray": _masked,
    "pandas.DataFrame": _pandas_frame,
    "pandas.Series": _pandas_series,
    "pandas.Index": _pandas_index,
    "pandas.Timedelta": _pandas_timedelta,
    "pandas._libs.tslibs.timedeltas.Timedelta": _pandas_timedelta,
    "pandas.core.frame.DataFrame": _pandas_frame,
    "pandas.core.series.Series": _pandas_series,
    "pandas.core.indexes.base.Index": _pandas_index,
    "polars.dataframe.frame.DataFrame": _polars_frame,
    "polars.series.series.Series": _polars_series,
    "torch.Tensor": _tensor,
}
"""Functions that represent a value, by the name of its class."""
