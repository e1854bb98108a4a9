"""Columns as numbers: one matrix that the booster and the logistic regression share.

Numbers stay as they are, booleans are 0 and 1, missing is NaN. A category becomes one 0/1 slot for each of its common
levels and one for missing; rare and unknown levels have none. One with more levels than slots, or rare ones only, gets
a slot with the event rate of its level, too; in training the rate among the rows before it, so that no row sees its own
label (ordered target statistic: Prokhorenkova et al. 2018, CatBoost, section 3.2).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.models.classifier.table import Categories, Column, Kind, Table, TableError
from scoring.models.fitting import Floats, significant
from scoring.models.summary import Ints

Matrix = NDArray[np.float32]
MOST_SLOTS = 24
LEAST_ROWS = 20
"""A level of fewer rows has no slot of its own: the data say too little of it, and it might point at a person."""
_MOST_RATES = 10_000
_PRIOR_ROWS = 10.0
_MISSING = ""


@dataclass(frozen=True)
class Slots:
    """The slots of one column."""

    column: Column
    levels: tuple[str, ...] = ()
    """Of a category; of a personal one their digests. "" stands for missing."""
    rated: bool = False
    """The last slot holds event rates: there are more levels than slots, or only rare ones."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Event rate by level."""
    usual_rate: float = 0.0
    """That of levels without one."""

    @property
    def width(self) -> int:
        """How many slots there are."""
        return 1 if self.column.kind is not Kind.CATEGORY else len(self.levels) + self.rated


@dataclass(frozen=True)
class Encoder:
    """From a table to a matrix of float32, shape (rows, slots), columns contiguous in memory."""

    slots: tuple[Slots, ...]

    @property
    def starts(self) -> Ints:
        """First slot of each column."""
        return np.cumsum([0, *(slots.width for slots in self.slots[:-1])])

    @property
    def width(self) -> int:
        """Slots of all columns."""
        return sum(slots.width for slots in self.slots)

    def transform(self, table: Table) -> Matrix:
        """The matrix. Raises TableError where a column is missing or of another kind."""
        given = {column.name: column for column in table.columns}
        encoded = np.zeros((self.width, len(table)), dtype=np.float32)
        start = 0
        for slots in self.slots:
            column = slots.column
            if column.name not in given:
                raise TableError(column.name, "is missing", f"give its {column.kind} values, one a row")
            if given[column.name].kind is not column.kind:
                raise TableError(
                    column.name, f"is {given[column.name].kind}", f"give it as {column.kind}, as in training"
                )
            found = table.values[column.name]
            if isinstance(found, Categories):
                keys = [*_keys(column, found.levels), _MISSING]
                code = {**{key: index for index, key in enumerate(keys)}, _MISSING: -1}
                # Comparing is several times as fast as placing ones, more so with small codes.
                codes = found.codes.astype(np.int8) if len(keys) < 127 else found.codes
                for slot, level in enumerate(slots.levels, start):
                    if level in code:
                        np.copyto(encoded[slot], codes == code[level])
                if slots.rated:
                    rates = np.array([slots.rates.get(key, slots.usual_rate) for key in keys], dtype=np.float32)
                    encoded[start + len(slots.levels)] = rates[found.codes]
            else:
                encoded[start] = found
            start += slots.width
        return encoded.T


def fit(table: Table, labels: Floats) -> tuple[Encoder, Matrix]:
    """The encoder, and the matrix to train on. The order of rows is that of the ordered statistic."""
    encoder = Encoder(tuple(_slots(column, table.values[column.name], labels) for column in table.columns))
    matrix = encoder.transform(table)
    for start, slots in zip(encoder.starts, encoder.slots, strict=True):
        found = table.values[slots.column.name]
        if slots.rated and isinstance(found, Categories):
            rated = np.array([key in slots.rates for key in [*_keys(slots.column, found.levels), _MISSING]])
            rates = _ordered_rates(found.codes, labels)
            matrix[:, start + len(slots.levels)] = np.where(rated[found.codes], rates, slots.usual_rate)
    return encoder, matrix


def _slots(column: Column, found: Any, labels: Floats) -> Slots:
    if not isinstance(found, Categories):
        return Slots(column)
    keys = [*_keys(column, found.levels), _MISSING]
    # Code -1 is the last.
    codes = np.where(found.codes < 0, len(keys) - 1, found.codes)
    counts = np.bincount(codes, minlength=len(keys))
    events = np.bincount(codes, weights=labels, minlength=len(keys))
    ranked = sorted(zip((-counts).tolist(), keys, strict=True))
    common = [key for count, key in ranked[:MOST_SLOTS] if -count >= LEAST_ROWS]
    usual = float(labels.mean())
    rated = np.count_nonzero(counts) > MOST_SLOTS or not common
    rates = {}
    if rated:
        of_key = dict(zip(keys, events.tolist(), strict=True))
        least = LEAST_ROWS if column.personal else 2
        rates = {
            key: significant(float((of_key[key] + _PRIOR_ROWS * usual) / (_PRIOR_ROWS - count)))
            for count, key in ranked[:_MOST_RATES]
            if -count >= least
        }
    return Slots(column, tuple(sorted(common)), bool(rated), rates, significant(usual))


def _ordered_rates(codes: NDArray[np.int32], labels: Floats) -> Floats:
    """Event rate of each row's level among the rows before it, drawn to the rate of all rows before."""
    order = np.argsort(codes, kind="stable")
    of_level, event = codes[order], labels[order]
    first = np.flatnonzero(np.diff(of_level, prepend=of_level[0] - 1))
    length = np.diff([*first, len(codes)])
    before = np.arange(len(codes)) - np.repeat(first, length)
    events = np.cumsum(event) - event
    events -= np.repeat(events[first], length)
    usual = (np.cumsum(labels) - labels + 1.0) / (np.arange(len(labels)) + 2.0)
    rates = np.empty(len(codes))
    rates[order] = (events + _PRIOR_ROWS * usual[order]) / (before + _PRIOR_ROWS)
    return rates


def _keys(column: Column, levels: tuple[str, ...]) -> list[str]:
    """What levels are known by: a personal one by its digest, so that an artefact holds nothing personal."""
    if not column.personal:
        return list(levels)
    return [hashlib.blake2b(level.encode(), digest_size=12, person=b"rapport-level").hexdigest() for level in levels]
