"""Customers' names in order: which different ones there are, ascending, and which of them each row has.

Hashing and comparing millions of strings is what summing up purchases mostly costs. Names of one kind differ in few of
their bytes, and eight of these at a time can be taken for one integer, sorted as integers are.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from scoring.jobs.columns import column, numbers, texts
from scoring.models.summary import Ints

_WORD = 8
_WIDEST = 64
"""Longer names, if not equally long, are not filled up to be so."""
_SAMPLE = 1_000
_ROWS = 1 << 14
"""Rows compared at a time, so that they stay in the processor's cache."""
_MOST_TIES = 0.02
"""When more rows than this share their words with another name, one more word is looked at."""

Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Words = NDArray[np.uint64]


def ordered(parts: Sequence[pa.Array]) -> tuple[pa.Array, Ints]:
    """Distinct names, ascending by their bytes, and the position among them of each row's. No row may be null.

    parts: strings, one after the other; written out, or by dictionaries of their own.
    """
    if not any(map(len, parts)):
        return texts([]), np.zeros(0, dtype=np.int64)
    if all(pa.types.is_dictionary(part.type) for part in parts):
        return _by_dictionary(parts)
    parts = [part.dictionary_decode() if pa.types.is_dictionary(part.type) else part for part in parts]
    array = pa.concat_arrays(parts) if len(parts) > 1 else parts[0]
    table = _bytes(array)
    return _by_hash(array) if table is None else _by_words(array, table)


def _by_dictionary(parts: Sequence[pa.Array]) -> tuple[pa.Array, Ints]:
    names, ranks = ordered([part.dictionary for part in parts])
    ends = np.cumsum([len(part.dictionary) for part in parts])
    codes = np.concatenate(
        [ranks[end - len(part.dictionary) + numbers(part.indices)] for end, part in zip(ends, parts, strict=True)]
    )
    there = np.bincount(codes, minlength=len(names)) > 0
    if there.all():
        return names, codes
    # Names without a row, which were left out.
    return names.take(column(np.flatnonzero(there))), (np.cumsum(there) - 1)[codes]


def _by_hash(array: pa.Array) -> tuple[pa.Array, Ints]:
    """For names of any lengths."""
    encoded = array.dictionary_encode()
    order = pc.sort_indices(encoded.dictionary)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order.to_numpy()] = np.arange(len(order))
    return encoded.dictionary.take(order), rank[encoded.indices.to_numpy()]


def _by_words(array: pa.Array, table: Bytes) -> tuple[pa.Array, Ints]:
    """For names that are rows of bytes."""
    # What is the same in all names of a sample is nearly always the same in all.
    places = _varying(table[:: len(table) // _SAMPLE + 1])
    if not _same_elsewhere(table, places):
        places = _varying(table)
    words = [_word(table, places[begin : begin + _WORD]) for begin in range(0, max(len(places), 1), _WORD)]
    order, new = _in_order(words)
    codes = np.empty(len(order), dtype=np.int64)
    codes[order] = np.cumsum(new) - 1
    first = order[new]
    if table.size == len(_values(array)):
        return _strings(table.view(f"V{table.shape[1]}").ravel().take(first)), codes
    return array.take(column(first)), codes


def _bytes(array: pa.Array) -> Bytes | None:
    """Each name's bytes as a row, those of shorter names filled up with zeros; None for names that this does not suit.

    Names of one length are not copied.
    """
    widths = np.diff(_offsets(array))
    width = max(int(widths.max()), _WORD)
    if not (widths == width).all():
        if width > _WIDEST or not _values(array).all():
            return None
        array = pc.ascii_rpad(array, width, padding="\0")
    return _values(array).reshape(len(array), width)


def _offsets(array: pa.Array) -> NDArray[np.int32]:
    return np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset : array.offset + len(array) + 1]


def _values(array: pa.Array) -> Bytes:
    """All names' bytes, one after the other."""
    offsets = _offsets(array)
    return np.frombuffer(array.buffers()[2] or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]


def _strings(rows: NDArray[np.void]) -> pa.Array:
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * np.int32(rows.dtype.itemsize)
    return pa.StringArray.from_buffers(len(rows), pa.py_buffer(offsets), pa.py_buffer(rows))


def _varying(table: Bytes) -> Ints:
    """Places of the bytes in which names differ."""
    return np.flatnonzero((table != table[0]).any(axis=0))


def _same_elsewhere(table: Bytes, places: Ints) -> bool:
    """Whether all names are equal in all other bytes."""
    mask = np.full(table.shape[1], 0xFF, dtype=np.uint8)
    mask[places] = 0
    masks, wanted = np.tile(mask, _ROWS), np.tile(table[0] & mask, _ROWS)
    flat = table.ravel()
    for begin in range(0, len(flat), len(masks)):
        some = flat[begin : begin + len(masks)]
        if ((some & masks[: len(some)]) != wanted[: len(some)]).any():
            return False
    return True


def _word(table: Bytes, places: Ints) -> Words:
    """At most eight bytes of each name as a number that orders like them."""
    rows, width = table.shape
    word = np.zeros(rows, dtype=np.uint64)
    for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1) if len(places) else []:
        # The eight bytes from the run's first on, or the last eight of the name; then none but the run's.
        begin = min(int(run[0]), width - _WORD)
        some = np.ndarray(rows, ">u8", table, begin, (width,)).astype(np.uint64)
        some <<= np.uint64(8 * (int(run[0]) - begin))
        some >>= np.uint64(8 * (_WORD - len(run)))
        word <<= np.uint64(8 * len(run) % 64)
        word |= some
    return word


def _in_order(words: list[Words]) -> tuple[Ints, Flags]:
    """The order of the rows by their words, and in it where other words begin."""
    order = np.argsort(words[0])
    new = _changes(words[0], order)
    for number, word in enumerate(words[1:], start=1):
        tied = _changes(word, order)
        for later in words[number + 1 :]:
            tied |= _changes(later, order)
        tied &= ~new
        if tied.sum() <= _MOST_TIES * len(order):
            _settle_ties(words, order, new, tied)
            break
        by_word = np.argsort(word)
        key = (_ranks(order, new) << np.uint64(32)) | _ranks(by_word, _changes(word, by_word))
        order = np.argsort(key)
        new = _changes(key, order)
    return order, new


def _changes(word: Words, order: Ints) -> Flags:
    """Whether each row's word, in this order, is another than the one before; True for the first."""
    word = word[order]
    new = np.empty(len(word), dtype=bool)
    new[0] = True
    np.not_equal(word[1:], word[:-1], out=new[1:])
    return new


def _ranks(order: Ints, new: Flags) -> Words:
    """Of each row, how many different words come before its own."""
    ranks = np.empty(len(order), dtype=np.uint64)
    ranks[order] = np.cumsum(new) - 1
    return ranks


def _settle_ties(words: list[Words], order: Ints, new: Flags, tied: Flags) -> None:
    """Orders the few rows that share their first words with other names, and marks where those names begin."""
    if not tied.any():
        return
    runs = np.cumsum(new) - 1
    hit = np.zeros(runs[-1] + 1, dtype=bool)
    hit[runs[tied]] = True
    places = np.flatnonzero(hit[runs])
    some = order[places]
    # By all words: that is how the runs themselves are ordered, too.
    order[places] = some[np.lexsort([word[some] for word in reversed(words)])]
    before = order[places - 1]
    new[places] = np.logical_or.reduce([word[order[places]] != word[before] for word in words])
    new[0] = True
