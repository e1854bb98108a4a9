"""Filters (`docstore.filters`) decided on values at hand instead of stored documents.

A filter is nested mappings of fields and the operators `$and`, `$or`, `$nor`, `$eq`, `$ne`, `$lt`, `$lte`, `$gt`,
`$gte`. A missing value fulfils `$ne` only.
"""

from collections.abc import Callable, Mapping
from operator import eq, ge, gt, le, lt, ne
from typing import Any

_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": eq,
    "$ne": ne,
    "$lt": lt,
    "$lte": le,
    "$gt": gt,
    "$gte": ge,
}


def holds(filter: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Whether the values (field -> value) fulfil the filter. Raises KeyError for an operator not listed above."""
    return all(_part_holds(key, part, values) for key, part in filter.items())


def _part_holds(key: str, part: Any, values: Mapping[str, Any]) -> bool:
    if key == "$and":
        return all(holds(each, values) for each in part)
    if key == "$or":
        return any(holds(each, values) for each in part)
    if key == "$nor":
        return not any(holds(each, values) for each in part)
    return all(_compares(operator, values.get(key), wanted) for operator, wanted in part.items())


def _compares(operator: str, value: Any, wanted: Any) -> bool:
    if value is None:
        return operator == "$ne" and wanted is not None
    return _COMPARISONS[operator](value, wanted)
