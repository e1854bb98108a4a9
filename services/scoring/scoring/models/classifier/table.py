"""A tenant's table: rows named by ids, columns of a declared kind, missing values allowed."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.models.fitting import Floats
from scoring.models.summary import Ints

_GREATEST = 1e37
"""Matrices are of float32."""


class Kind(StrEnum):
    """What the values of a column are."""

    NUMERIC = "numeric"
    """Floats or integers; NaN is missing."""
    CATEGORY = "category"
    """Texts; None and "" are missing."""
    BOOLEAN = "boolean"
    """True or False, or floats 1, 0 and NaN for missing; None is missing, too."""


@dataclass(frozen=True)
class Column:
    """A declared column. Values of a `personal` one never appear in reasons, messages or artefacts."""

    name: str
    kind: Kind
    words: str = ""
    """What reasons call it, such as "Monthly charge"; the name unless given."""
    personal: bool = False

    @property
    def title(self) -> str:
        """What reasons call it."""
        return self.words or self.name.replace("_", " ")


class TableError(ValueError):
    """A table that cannot be used: which column, why, and how to mend it. Holds no value of the table."""

    def __init__(self, column: str, reason: str, mend: str) -> None:
        super().__init__(f"column {column!r} {reason}: {mend}")
        self.column, self.reason, self.mend = column, reason, mend


@dataclass(frozen=True)
class Categories:
    """Values of a category column: for each row the index of its level, -1 for missing."""

    codes: NDArray[np.int32]
    levels: tuple[str, ...]

    @classmethod
    def of(cls, values: Sequence[str | None] | NDArray[Any]) -> "Categories":
        """From one text a row, None or "" for missing; levels in sorted order. Raises TypeError on anything else."""
        index: dict[str, int] = {}
        codes = np.empty(len(values), dtype=np.int64)
        for row, value in enumerate(values.tolist() if isinstance(values, np.ndarray) else values):
            if value is None or value == "":
                codes[row] = -1
            elif isinstance(value, str):
                codes[row] = index.setdefault(value, len(index))
            else:
                raise TypeError(type(value).__name__)
        levels = sorted(index)
        place = np.empty(len(levels) + 1, dtype=np.int32)
        place[[index[level] for level in levels]] = np.arange(len(levels))
        place[-1] = -1
        return cls(place[codes], tuple(levels))

    def take(self, rows: Ints | slice) -> "Categories":
        """Some of the rows; levels stay."""
        return Categories(self.codes[rows], self.levels)


Values = Floats | Categories
"""Numeric and boolean columns are floats with NaN for missing."""


@dataclass(frozen=True)
class Table:
    """Checked rows; make one with `Table.of`."""

    ids: NDArray[Any]
    columns: tuple[Column, ...]
    values: Mapping[str, Values]
    known_at: Mapping[str, NDArray[np.datetime64]] = field(default_factory=dict)
    """For some columns, when the value of each row became known; NaT where there is none."""

    @classmethod
    def of(
        cls,
        columns: Sequence[Column],
        values: Mapping[str, Any],
        ids: Sequence[str] | Sequence[int] | NDArray[Any] | None = None,
        known_at: Mapping[str, NDArray[np.datetime64]] | None = None,
    ) -> "Table":
        """A table of arrays or lists, one for each declared column. Raises TableError.

        Without `ids` rows are named by their place: then their order matters to training.
        """
        if not columns:
            raise TableError("*", "is not there", "declare at least one column")
        checked: dict[str, Values] = {}
        for column in columns:
            if column.name in checked:
                raise TableError(column.name, "is declared twice", "declare it once")
            if column.name not in values:
                raise TableError(column.name, "is missing", f"give its {column.kind} values, one a row")
            checked[column.name] = _checked(column, values[column.name])
        for name in [*values, *(known_at or {})]:
            if name not in checked:
                raise TableError(name, "is not declared", f"declare it, or leave it out; declared are {_told(checked)}")
        rows = _rows(checked[columns[0].name])
        names = np.arange(rows) if ids is None else np.asarray(ids)
        for name, length in [(name, _rows(found)) for name, found in checked.items()] + [
            ("ids", len(names)),
            *((name, len(moments)) for name, moments in (known_at or {}).items()),
        ]:
            if length != rows:
                raise TableError(name, f"has {length} rows", f"give {rows}, as {columns[0].name!r} has")
        moments = {name: np.asarray(known, dtype="datetime64[us]") for name, known in (known_at or {}).items()}
        return cls(names, tuple(columns), checked, moments)

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Ints | slice) -> "Table":
        """Some of the rows, in this order."""
        return Table(
            self.ids[rows],
            self.columns,
            {
                name: found.take(rows) if isinstance(found, Categories) else found[rows]
                for name, found in self.values.items()
            },
            {name: moments[rows] for name, moments in self.known_at.items()},
        )

    def without(self, names: set[str]) -> "Table":
        """The table without these columns."""
        kept = tuple(column for column in self.columns if column.name not in names)
        moments = {name: known for name, known in self.known_at.items() if name not in names}
        return Table(self.ids, kept, {column.name: self.values[column.name] for column in kept}, moments)

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """A number for each id that says nothing of the order rows came in."""
        if self.ids.dtype.kind in "iu":
            mixed = self.ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
            for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
                mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
            return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)
        digests = b"".join(hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in self.ids.tolist())
        return np.frombuffer(digests, dtype="<u8")


def checked_labels(labels: Sequence[bool] | NDArray[Any], rows: int) -> NDArray[np.float64]:
    """Labels as 0.0 and 1.0. Raises TableError."""
    found = np.asarray(labels)
    if found.shape != (rows,):
        raise TableError("labels", f"has shape {found.shape}", f"give one label for each of the {rows} rows")
    if found.dtype.kind not in "biuf" or not np.isin(found, (0, 1)).all():
        raise TableError("labels", "holds something else than 0 and 1", "give 1 where the event happened, else 0")
    return found.astype(np.float64)


def _checked(column: Column, values: Any) -> Values:
    if column.kind is Kind.CATEGORY:
        if isinstance(values, Categories):
            if len(values.codes) and not (values.codes.min() >= -1 and values.codes.max() < len(values.levels)):
                raise TableError(column.name, "has codes without a level", "give codes from -1 to levels - 1")
            if len(set(values.levels)) < len(values.levels) or "" in values.levels:
                raise TableError(column.name, "has a level twice or an empty one", "give each once, -1 for missing")
            return values
        try:
            return Categories.of(values)
        except TypeError as wrong:
            raise TableError(
                column.name, f"is declared category and holds {wrong}", "give text or None, or declare it numeric"
            ) from None
    found = values if isinstance(values, np.ndarray) else np.array(values)
    if column.kind is Kind.NUMERIC and found.dtype.kind == "b":
        raise TableError(column.name, "is declared numeric and holds booleans", "declare it boolean")
    if found.dtype.kind not in "biufO" or found.ndim != 1:
        raise TableError(
            column.name, f"is declared {column.kind} and holds {found.dtype.name}", f"give {_wanted(column)}"
        )
    try:
        if found.dtype.kind == "O" and any(isinstance(value, str) for value in found.tolist()):
            raise ValueError
        numbers = found.astype(np.float64)
    except (TypeError, ValueError):
        raise TableError(
            column.name, f"is declared {column.kind} and holds something else", f"give {_wanted(column)}"
        ) from None
    if (np.abs(numbers) > _GREATEST).any():
        raise TableError(column.name, "holds infinite values", "give NaN where the value is not known")
    if column.kind is Kind.BOOLEAN and not (np.isnan(numbers) | np.isin(numbers, (0, 1))).all():
        raise TableError(column.name, "is declared boolean and holds other numbers", f"give {_wanted(column)}")
    return numbers


def _wanted(column: Column) -> str:
    return "numbers, NaN for missing" if column.kind is Kind.NUMERIC else "True, False or None"


def _rows(values: Values) -> int:
    return len(values.codes) if isinstance(values, Categories) else len(values)


def _told(names: Mapping[str, Any]) -> str:
    return ", ".join(sorted(names))
