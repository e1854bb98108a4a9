"""Questions about segments: who would be in one, how they overlap, who came and went. Nothing is changed."""

import heapq
import time
from collections.abc import Iterator
from itertools import combinations

from rapport.scoring.v1 import scoring_service_pb2 as pb

from chassis import clock, context, money
from chassis import inputs as fields
from docstore import Row, aliases, paging
from docstore.tenanted import Filter
from scoring import condition_messages, expressions
from scoring.domain.conditions import references
from scoring.domain.membership import rule_of
from scoring.store import Profile, Segment, SegmentChange
from scoring.usecases.cluster_names import check_names
from scoring.usecases.persons import Persons
from scoring.usecases.segments import check_references
from scoring.usecases.settling import milliseconds

SAMPLE_DEFAULT = 10
SAMPLE_MAX = 100
COMPARED_MAX = 10
_PREVIEW_S = 6.0
_COMPARE_MAX_S = 20.0
_CHUNK = 1_000


def preview(expression: str, sample_size: int) -> pb.SegmentPreview:
    """How many customers match, and the names of the most valuable. Raises InvalidArgument.

    Customers are looked at in an order by chance; when time is over, those stand for the others.
    """
    if sample_size < 0:
        raise fields.refusal("INVALID_SAMPLE_SIZE", "sample_size", "Must not be negative.")
    condition = expressions.of_text(expression, "expression")
    check_references("", references(condition), "expression")
    check_names(condition, "expression")
    rule = rule_of(condition, money.check_currency)
    now = milliseconds(clock.now())
    remaining = context.current().remaining()
    end = time.monotonic() + (_PREVIEW_S if remaining is None else min(_PREVIEW_S, remaining / 2))
    examined = count = 0
    best: list[tuple[int, str]] = []
    wanted = min(sample_size or SAMPLE_DEFAULT, SAMPLE_MAX)
    estimated = False
    for rows in _chunks():
        if time.monotonic() >= end and examined:
            estimated = True
            break
        examined += len(rows)
        known = {row["customer"]: row for row in rows}
        persons = Persons.load(known, known)
        for customer, row in known.items():
            if customer in persons.canonicals and persons.belongs(customer):
                person = persons.person(customer, now, row.get("segments", ()))
                if rule(person):
                    count += 1
                    value = row.get("value")
                    heapq.heappush(best, (-1 if value is None else value, customer))
                    if len(best) > wanted:
                        heapq.heappop(best)
    if estimated:
        count = round(count * Profile.rows().count({}) / examined)
    sample = [customer for _, customer in sorted(best, reverse=True)]
    return pb.SegmentPreview(
        member_count=count,
        sample_customers=sample,
        examined_count=examined,
        estimated=estimated,
        condition=condition_messages.to_message(condition),
    )


def _chunks() -> Iterator[list[Row]]:
    spread = {"spread": {"$gte": 0}}
    chunk: list[Row] = []
    for row in Profile.rows().find(spread, sort=[("spread", 1), ("_id", 1)], batch_size=_CHUNK):
        chunk.append(row)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def compare(names: list[str]) -> pb.SegmentComparison:
    """How segments overlap, in one look at their members. Raises InvalidArgument, NotFound."""
    uids = [fields.uid(name) for name in names]
    if len(set(uids)) != len(uids) or not 1 <= len(uids) <= COMPARED_MAX:
        raise fields.refusal("INVALID_SEGMENTS", "segments", f"Name 1 to {COMPARED_MAX} segments, each once.")
    for uid in uids:
        Segment.get(uid)
    remaining = context.current().remaining()
    pipeline: list[Row] = [
        {"$match": {"segments": {"$in": uids}}},
        {"$project": {"_id": 0, "inside": {"$setIntersection": ["$segments", uids]}}},
        {"$group": {"_id": "$inside", "customers": {"$sum": 1}}},
    ]
    limit = max(1, int(1000 * (_COMPARE_MAX_S if remaining is None else remaining)))
    groups = [(set(row["_id"]), row["customers"]) for row in Profile.rows().aggregate(pipeline, maxTimeMS=limit)]

    def number(*inside: str) -> int:
        return sum(customers for group, customers in groups if group.issuperset(inside))

    sizes = {uid: number(uid) for uid in uids}
    result = pb.SegmentComparison(customer_count=sum(customers for _, customers in groups))
    for uid in uids:
        only = sum(customers for group, customers in groups if group == {uid})
        result.sizes.add(segment=f"segments/{uid}", member_count=sizes[uid], only_count=only)
    for first, second in combinations(uids, 2):
        both = number(first, second)
        either = sizes[first] + sizes[second] - both
        result.overlaps.add(
            first_segment=f"segments/{first}",
            second_segment=f"segments/{second}",
            both_count=both,
            either_count=either,
            similarity=both / either if either else 0.0,
        )
    return result


def changes(request: pb.ListSegmentChangesRequest) -> tuple[list[Row], str]:
    """A page of who entered and left, the newest first, and the next token. Raises NotFound, InvalidArgument."""
    segment = Segment.get(fields.uid(request.parent))
    wanted: Filter = {"segment": segment.uid}
    if request.customer:
        wanted = {**wanted, "customer": {"$in": aliases.profiles([request.customer])[request.customer][1]}}
    return paging.page(
        SegmentChange.rows(),
        filter=wanted,
        order=[("_id", -1)],
        request=request,
        bind={"parent": request.parent, "customer": request.customer},
    )
