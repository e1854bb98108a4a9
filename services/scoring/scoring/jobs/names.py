"""Customers' names in order: which different ones there are, ascending, and which of them each row has.

Hashing and comparing millions of strings is what summing up purchases mostly costs. Resource names of one kind are
equally long, so that eight bytes of each at a time can be taken for one integer, sorted as integers are.
"""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from scoring.jobs.columns import column, texts
from scoring.models.summary import Ints

_WORD = 8
_ROWS = 1 << 14
"""Rows compared at a time, so that they stay in the processor's cache."""
_MOST_TIES = 0.02
"""When more rows than this share their first eight bytes with another name, those bytes do not order names."""

Bytes = NDArray[np.uint8]


def ordered(names: pa.ChunkedArray) -> tuple[pa.Array, Ints]:
    """Distinct names, ascending by their bytes, and the position among them of each row's. No row may be null."""
    if not len(names):
        return texts([]), np.zeros(0, dtype=np.int64)
    array = pa.concat_arrays(names.chunks) if names.num_chunks > 1 else names.chunk(0)
    return _by_words(array) or _by_hash(array)


def _by_hash(array: pa.Array) -> tuple[pa.Array, Ints]:
    """For names of any lengths."""
    encoded = array.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order.to_numpy()] = np.arange(len(order))
    return encoded.dictionary.take(order), rank[encoded.indices.to_numpy()]


def _by_words(array: pa.Array) -> tuple[pa.Array, Ints] | None:
    """For names of one length that differ within eight bytes, mostly; None if these do not."""
    table = _bytes(array)
    if table is None:
        return None
    start = _common_prefix(table)
    key = _word(table, start)
    order = np.argsort(key)
    key = key[order]
    new = np.empty(len(order), dtype=bool)
    new[0] = True
    np.not_equal(key[1:], key[:-1], out=new[1:])
    other = _differing(_texts(table), order)
    tied = other & ~new
    if tied.any():
        if tied.sum() > _MOST_TIES * len(order):
            return None
        _settle_ties(table, order, new, tied)
    names = array.take(column(order[new]))
    codes = np.empty(len(order), dtype=np.int64)
    codes[order] = np.cumsum(new) - 1
    return names, codes


def _bytes(array: pa.Array) -> Bytes | None:
    """Each name's bytes as a row; None when names are not equally long. Nothing is copied."""
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset : array.offset + len(array) + 1]
    width = int(offsets[1] - offsets[0])
    if width < _WORD or (np.diff(offsets) != width).any():
        return None
    values = np.frombuffer(array.buffers()[2], dtype=np.uint8)
    return values[offsets[0] : offsets[-1]].reshape(-1, width)


def _common_prefix(table: Bytes) -> int:
    """How many bytes all names begin with alike, at most all but the last eight."""
    most = int(table.shape[1]) - _WORD
    # By the hundredth, then by all: mostly the hundredth is right.
    for rows in (table[:: len(table) // 100 + 1], table):
        differing = np.flatnonzero((rows[:, :most] != rows[0, :most]).any(axis=0))
        most = int(differing[0]) if len(differing) else most
        if rows is not table and (_texts(table[:, :most]) == _texts(table[:1, :most])).all():
            break
    return most


def _texts(table: Bytes) -> NDArray[np.void]:
    """Each row as one value, which compares fast."""
    return np.ascontiguousarray(table).view(f"V{table.shape[1]}").ravel() if table.shape[1] else np.zeros(1, "V1")


def _word(table: Bytes, start: int) -> NDArray[np.uint64]:
    """Eight bytes of each name as a number that orders like them."""
    words = np.ascontiguousarray(table[:, start : start + _WORD]).view(">u8").ravel()
    return words.astype(np.uint64)


def _differing(texts: NDArray[np.void], order: Ints) -> NDArray[np.bool_]:
    """Whether each row's name, in this order, is another than the one before; True for the first."""
    different = np.empty(len(order), dtype=bool)
    different[0] = True
    for begin in range(1, len(order), _ROWS):
        end = min(begin + _ROWS, len(order))
        rows = texts.take(order[begin - 1 : end])
        different[begin:end] = rows[1:] != rows[:-1]
    return different


def _settle_ties(table: Bytes, order: Ints, new: NDArray[np.bool_], tied: NDArray[np.bool_]) -> None:
    """Orders the rows of different names that share their eight bytes, and marks where those names begin."""
    begins = np.flatnonzero(new)
    ends = np.append(begins[1:], len(new))
    for run in np.unique(np.searchsorted(begins, np.flatnonzero(tied), side="right") - 1):
        rows = order[begins[run] : ends[run]]
        found = [table[row].tobytes() for row in rows]
        places = sorted(range(len(rows)), key=found.__getitem__)
        order[begins[run] : ends[run]] = rows[places]
        for place, (before, after) in enumerate(pairwise(places), begins[run] + 1):
            new[place] = found[before] != found[after]
