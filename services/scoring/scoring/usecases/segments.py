"""Segments as callers make them."""

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from rapport.scoring.v1 import segment_pb2

import docstore
from chassis import context
from chassis import inputs as fields
from chassis.errors import ResourceExhausted
from docstore import masks
from scoring import expressions, messages
from scoring.store import Score, Segment
from scoring.store.segments import SEGMENTS_MAX

SAMPLE_DEFAULT = 10
SAMPLE_MAX = 100
_PREVIEW_MAX_S = 20.0


@docstore.command(Segment)
def create(uid: str, message: segment_pb2.Segment) -> Segment:
    """Creates a segment; role `run` finds its members. Raises AlreadyExists, InvalidArgument INVALID_EXPRESSION,
    ResourceExhausted TOO_MANY_SEGMENTS."""
    if Segment.rows().count({}, limit=SEGMENTS_MAX) >= SEGMENTS_MAX:
        raise ResourceExhausted(
            "TOO_MANY_SEGMENTS", f"There are {SEGMENTS_MAX} segments, the most there can be; delete one."
        )
    expressions.matching(message.expression, "segment.expression")
    return Segment.new(
        uid=uid,
        display_name=fields.display_name(message.display_name, "segment.display_name"),
        expression=message.expression,
        evaluation_due=True,
    ).insert()


@docstore.command(Segment)
def update(message: segment_pb2.Segment, mask: FieldMask) -> Segment:
    """Changes what the mask names, under the message's etag if it has one.

    Raises NotFound, Aborted ETAG_MISMATCH, InvalidArgument.
    """
    segment = Segment.get(fields.uid(message.name))
    wanted = messages.segment(segment)
    changed = masks.apply(mask, message, wanted)
    segment.display_name = fields.display_name(wanted.display_name, "segment.display_name")
    if "expression" in changed:
        expressions.matching(wanted.expression, "segment.expression")
        segment.expression = wanted.expression
        segment.evaluation_due = True
    return segment.save(message.etag or None)


@docstore.command(None, replay=Empty.FromString)
def delete(uid: str, etag: str) -> Empty:
    """Hides a segment at once; role `run` lets its members leave and removes it. Raises NotFound, Aborted."""
    segment = Segment.get(uid)
    segment.evaluation_due = True
    segment.soft_delete(etag or None)
    return Empty()


def preview(expression: str, sample_size: int) -> tuple[int, list[str]]:
    """How many customers match, and the names of the most valuable. Raises InvalidArgument."""
    if sample_size < 0:
        raise fields.refusal("INVALID_SAMPLE_SIZE", "sample_size", "Must not be negative.")
    wanted = expressions.matching(expression, "expression")
    remaining = context.current().remaining()
    max_time_ms = max(1, int(1000 * (_PREVIEW_MAX_S if remaining is None else remaining)))
    count = Score.rows().count(wanted, maxTimeMS=max_time_ms)
    sample = Score.rows().find(
        wanted,
        {"_id": 0, "customer": 1},
        sort=[("lifetime_value_minor", -1)],
        limit=min(sample_size or SAMPLE_DEFAULT, SAMPLE_MAX),
        max_time_ms=max_time_ms,
    )
    return count, [row["customer"] for row in sample]
