"""Between Arrow columns and what numpy and Python hold, without pandas."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


class _NoPandas:
    """What finds no pandas."""

    @staticmethod
    def find_spec(name: str, _path: object, _target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def _leave_pandas() -> None:
    """Lets Arrow do without pandas, unless a table is asked to become one of its own.

    Of each Python value and each list Arrow asks pandas whether it knows the kind: to load pandas takes a job longer
    than many a task, and 45 MB. It looks for pandas once, at the first value.
    """
    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.scalar(0)
    finally:
        sys.meta_path.remove(finder)


_leave_pandas()


def column(values: NDArray[Any]) -> pa.Array:
    """An array over the memory of integers or floats; nothing is copied."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def texts(values: Sequence[str]) -> pa.Array:
    """An array of strings."""
    encoded = [str(value).encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


def places_of(values: pa.Array, among: pa.Array) -> NDArray[np.int64]:
    """Where each of the values is in `among`; -1 where it is not."""
    found = pc.index_in(values, among)
    return np.where(flags(found.is_valid()), numbers(found), -1).astype(np.int64)


def numbers(array: pa.Array) -> NDArray[Any]:
    """The memory of integers or instants; where one is null there is any number."""
    values = np.frombuffer(array.buffers()[1], dtype=f"i{array.type.bit_width // 8}")
    return values[array.offset : array.offset + len(array)]


def flags(array: pa.Array) -> NDArray[np.bool_]:
    """Truths; where one is null there is any."""
    bytes_ = array.cast(pa.uint8())
    return np.frombuffer(bytes_.buffers()[1], dtype=bool)[: len(array)]
