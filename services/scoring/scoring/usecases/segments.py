"""Segments as callers make them."""

from collections.abc import Iterable

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from rapport.scoring.v1 import segment_pb2

import docstore
from chassis import inputs as fields
from chassis.errors import FailedPrecondition, ResourceExhausted
from docstore import masks
from scoring import expressions, messages
from scoring.domain import condition_writing, conditions
from scoring.domain.conditions import Condition
from scoring.store import OfferRule, Segment, SegmentKeeper
from scoring.store.profiles import REFERENCES
from scoring.store.segments import REFERENCE_DEPTH_MAX, SEGMENTS_MAX
from scoring.usecases.cluster_names import check_names

_EXPRESSION, _CONDITION = "segment.expression", "segment.condition"
_NAMED_MAX = 10
_LIVING = {"delete_time": None}


@docstore.command(None)
def create(uid: str, message: segment_pb2.Segment) -> Segment:
    """Creates a segment; role `run` finds its members.

    Raises AlreadyExists, InvalidArgument INVALID_EXPRESSION or INVALID_CONDITION, ResourceExhausted TOO_MANY_SEGMENTS.
    """
    if Segment.rows().count({}, limit=SEGMENTS_MAX) >= SEGMENTS_MAX:
        raise ResourceExhausted(
            "TOO_MANY_SEGMENTS", f"There are {SEGMENTS_MAX} segments, the most there can be; delete one."
        )
    given = message.HasField("condition")
    if given and message.expression:
        asked = _the_same(message)
    else:
        asked = _asked(message, "condition" if given else "expression")
    segment = Segment.new(
        uid=uid,
        display_name=fields.display_name(message.display_name, "segment.display_name"),
        evaluation_due=True,
    )
    _ask(segment, asked, message.expression, _CONDITION if given else _EXPRESSION)
    return segment.insert()


@docstore.command(None)
def update(message: segment_pb2.Segment, mask: FieldMask) -> Segment:
    """Changes what the mask names, under the message's etag if it has one.

    Raises NotFound, Aborted ETAG_MISMATCH, InvalidArgument.
    """
    segment = Segment.get(fields.uid(message.name))
    wanted = messages.segment(segment)
    changed = masks.apply(mask, message, wanted)
    segment.display_name = fields.display_name(wanted.display_name, "segment.display_name")
    by_tree = any(path.split(".")[0] == "condition" for path in changed)
    if by_tree or "expression" in changed:
        if by_tree and "expression" in changed:
            asked = _the_same(wanted)
        else:
            asked = _asked(wanted, "condition" if by_tree else "expression")
        text = wanted.expression if "expression" in changed else ""
        _ask(segment, asked, text, _CONDITION if by_tree else _EXPRESSION)
        segment.evaluation_due = True
    return segment.save(message.etag or None)


@docstore.command(None, replay=Empty.FromString)
def delete(uid: str, etag: str) -> Empty:
    """Hides a segment at once; role `run` lets its members leave and removes it.

    Raises NotFound, Aborted, FailedPrecondition SEGMENT_IN_USE.
    """
    segment = Segment.get(uid)
    segment.check_etag(etag or None)
    hold_references()
    users = [user.name for user in Segment.find({"references": uid}, limit=_NAMED_MAX) if user.uid != uid]
    users += [rule.name for rule in OfferRule.find({"segments": uid}, limit=_NAMED_MAX)]
    if users:
        named = ", ".join(sorted(users))
        raise FailedPrecondition(
            "SEGMENT_IN_USE",
            f"{segment.name} is asked for by {named}; change or delete them first.",
            metadata={"resource": segment.name, "segments": named},
            preconditions=[("NOT_IN_USE", user, "It must not ask for the segment.") for user in sorted(users)],
        )
    segment.evaluation_due = True
    segment.soft_delete(etag or None)
    return Empty()


def _asked(message: segment_pb2.Segment, by: str) -> Condition:
    if by == "condition":
        return expressions.of_message(message.condition, _CONDITION)
    return expressions.of_text(message.expression, _EXPRESSION)


def _the_same(message: segment_pb2.Segment) -> Condition:
    """What both views of a message ask. Raises InvalidArgument when that is not the same."""
    asked = _asked(message, "condition")
    if _asked(message, "expression") != asked:
        problem = "Differs from expression; give one of the two, or both alike."
        raise fields.refusal("INVALID_CONDITION", _CONDITION, problem)
    return asked


def _ask(segment: Segment, asked: Condition, text: str, field: str) -> None:
    """Makes the segment ask this; in the words given, if any were."""
    check_names(asked, field)
    references = conditions.references(asked)
    if references:
        hold_references()
        check_references(segment.uid, references, field)
    segment.expression = text or condition_writing.write(asked)
    segment.references = sorted(references) or None


def check_references(uid: str, references: Iterable[str], field: str) -> None:
    """Raises InvalidArgument UNKNOWN_SEGMENT, SEGMENT_CYCLE or SEGMENT_CHAIN_TOO_LONG, naming the segments.

    uid: of the segment that asks, empty for none.
    """
    graph = {
        row["uid"]: row.get("references") or () for row in Segment.rows().find(_LIVING, {"uid": 1, "references": 1})
    }
    known = sorted(graph)
    graph[uid] = tuple(references)
    unknown = [f"segments/{each}" for each in graph[uid] if each != uid and each not in graph]
    if unknown:
        there = ", ".join(f"segments/{each}" for each in known[:_NAMED_MAX]) or "none yet"
        problem = f"There is no {', '.join(unknown)}; there is {there}."
        raise fields.refusal("UNKNOWN_SEGMENT", field, problem)
    _walk(uid, graph, [uid], field, set())


def _walk(uid: str, graph: dict[str, Iterable[str]], path: list[str], field: str, done: set[tuple[str, int]]) -> None:
    if len(path) > REFERENCE_DEPTH_MAX:
        chain = " > ".join(f"segments/{each}" for each in path if each)
        problem = f"Segments may ask for one another {REFERENCE_DEPTH_MAX - 1} times in a row at most, not {chain}."
        raise fields.refusal("SEGMENT_CHAIN_TOO_LONG", field, problem)
    for asked in graph.get(uid, ()):
        if asked == path[0]:
            chain = " > ".join(f"segments/{each}" for each in (*path, asked))
            raise fields.refusal("SEGMENT_CYCLE", field, f"The segment would ask for itself: {chain}.")
        if (asked, len(path)) not in done:
            done.add((asked, len(path)))
            _walk(asked, graph, [*path, asked], field, done)


def hold_references() -> None:
    """Makes all changes of which segment asks for which, and which rule of offers does, conflict with one another."""
    SegmentKeeper.rows().update_one({"uid": REFERENCES}, {"$inc": {"changes": 1}}, upsert=True)
