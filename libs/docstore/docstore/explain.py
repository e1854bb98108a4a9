"""Proof, in tests, that a query runs on an index."""

from collections.abc import Iterator
from typing import Any

from docstore.connection import Row, database
from docstore.documents import Order, TenantDocument
from docstore.tenanted import Filter, TenantCollection, collection


def assert_indexed(
    target: type[TenantDocument] | TenantCollection | str,
    filter: Filter,
    sort: Order = (),
    *,
    limit: int = 0,
    max_keys: int | None = None,
) -> Row:
    """Run the query of the current tenant and check its plan; returns MongoDB's executionStats.

    Raises AssertionError when the winning plan scans the collection or sorts in memory, or when it examined more index
    keys than `max_keys` (default: twice the rows returned, plus 10). Insert enough other rows to make that tell.
    """
    rows = target if isinstance(target, TenantCollection) else collection(target)
    find: dict[str, Any] = {"find": rows.name, "filter": rows.scoped(filter)}
    if sort:
        find["sort"] = dict(sort)
    if limit:
        find["limit"] = limit
    explained = database().command("explain", find, verbosity="executionStats")
    plan = explained["queryPlanner"]["winningPlan"]
    stages = list(_stages(plan))
    told = f"{rows.name}: {' > '.join(stages)} for fields {sorted(filter)} sorted by {list(sort)}"
    assert "EOF" not in stages, f"the collection does not exist: {told}"
    assert "COLLSCAN" not in stages, f"scans the whole collection: {told}"
    assert "SORT" not in stages, f"sorts in memory: {told}"
    stats: Row = explained["executionStats"]
    bound = max_keys if max_keys is not None else 2 * stats["nReturned"] + 10
    examined = stats["totalKeysExamined"]
    assert examined <= bound, f"examined {examined} keys for {stats['nReturned']} rows (limit {bound}): {told}"
    return stats


def _stages(plan: Any) -> Iterator[str]:
    """Names of all stages, outermost first (a slot-based plan keeps them under `queryPlan`)."""
    if isinstance(plan, dict):
        if "stage" in plan:
            yield plan["stage"]
        for key in ("queryPlan", "inputStage", "inputStages", "outerStage", "innerStage", "shards"):
            yield from _stages(plan.get(key))
    elif isinstance(plan, list):
        for part in plan:
            yield from _stages(part)
