"""Takes scores out, many at a time, without keeping a second copy of them that objections would have to reach."""

import json
import logging

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import MessageToDict
from rapport.options.v1 import options_pb2

from chassis import inputs, tenancy
from scoring import messages
from scoring.store import Score
from scoring.store.job_schedules import next_scorings
from scoring.store.scores import with_segments

ROWS_MOST = 2_000
BYTES_MOST = 3 * 2**20
CONTENT_TYPE = "application/x-ndjson"

logger = logging.getLogger(__name__)


def export(after: str, max_rows: int) -> HttpBody:
    """Scores by ascending customer, those after a customer (resource name; empty to begin). Raises InvalidArgument."""
    if max_rows < 0:
        raise inputs.refusal("INVALID_MAX_ROWS", "max_rows", f"1 to {ROWS_MOST}, or 0 for as many as there may be.")
    begin = inputs.uid(inputs.customer(after, "after")) if after else ""
    place = {"_id": {"$gt": Score.key(begin), "$lt": f"{tenancy.tenant()}0"}}
    found = Score.rows().find(place, sort=[("_id", 1)], limit=min(max_rows or ROWS_MOST, ROWS_MOST))
    planned = next_scorings()
    lines: list[bytes] = []
    size = 0
    for row in with_segments(found):
        told = MessageToDict(messages.customer_scores(row, planned))
        line = json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        size += len(line)
        if lines and size > BYTES_MOST:
            break
        lines.append(line)
    logger.info("scores of %d customers were exported", len(lines))
    body = HttpBody(content_type=CONTENT_TYPE, data=b"".join(lines))
    body.extensions.add().Pack(options_pb2.File(filename="customer-scores.ndjson"))
    return body
