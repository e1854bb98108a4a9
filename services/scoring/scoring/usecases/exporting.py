"""Takes scores and offers out, many at a time, without keeping a second copy that objections would have to reach."""

import json
import logging
import re
from collections.abc import Iterable, Sequence

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rapport.options.v1 import options_pb2

from chassis import inputs, tenancy
from docstore import Row
from docstore.records import Record
from scoring import messages, offer_messages
from scoring.store import CustomerOffers, Lead, Score
from scoring.store.job_schedules import next_scorings
from scoring.store.leads import SCORED
from scoring.store.scores import with_segments
from scoring.usecases import customer_offers as offers

ROWS_MOST = 2_000
OFFERS_ROWS_MOST = 500
BYTES_MOST = 3 * 2**20
CONTENT_TYPE = "application/x-ndjson"
_LEAD = re.compile(r"leads/[a-z0-9-]{1,63}")

logger = logging.getLogger(__name__)


def customer_scores(after: str, max_rows: int) -> HttpBody:
    """Scores by ascending customer, those after a customer (resource name; empty to begin). Raises InvalidArgument."""
    found = with_segments(_rows(Score, {}, _after_customer(after), max_rows, ROWS_MOST))
    planned = next_scorings.get()
    return _file("customer-scores", (messages.customer_scores(row, planned) for row in found))


def lead_scores(after: str, max_rows: int) -> HttpBody:
    """Scores of leads by ascending lead, those after a lead (resource name; empty to begin). Raises InvalidArgument."""
    if after and not _LEAD.fullmatch(after):
        raise inputs.refusal("INVALID_LEAD", "after", "Not a name of the form leads/{id}: that of the last line.")
    found = _rows(Lead, SCORED, inputs.uid(after), max_rows, ROWS_MOST)
    planned = next_scorings.get()
    return _file("lead-scores", (messages.lead_score(row, planned) for row in found))


def customer_offers(after: str, max_rows: int) -> HttpBody:
    """Offers by ascending customer, as whoever asks for nothing special gets them. Raises InvalidArgument."""
    found = _rows(CustomerOffers, {}, _after_customer(after), max_rows, OFFERS_ROWS_MOST)
    planned = next_scorings.get()
    chosen = offers.usual(found)
    return _file("customer-offers", (offer_messages.customer_offers(*each, planned) for each in chosen))


def _after_customer(after: str) -> str:
    return inputs.uid(inputs.customer(after, "after")) if after else ""


def _rows(cls: type[Record], which: Row, after: str, max_rows: int, most: int) -> Sequence[Row]:
    if max_rows < 0:
        raise inputs.refusal("INVALID_MAX_ROWS", "max_rows", f"1 to {most}, or 0 for as many as there may be.")
    place = {"_id": {"$gt": cls.key(after), "$lt": f"{tenancy.tenant()}0"}}
    return list(cls.rows().find({**which, **place}, sort=[("_id", 1)], limit=min(max_rows or most, most)))


def _file(name: str, told: Iterable[Message]) -> HttpBody:
    """As many lines as fit, one at least."""
    lines: list[bytes] = []
    size = 0
    for message in told:
        line = json.dumps(MessageToDict(message), separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        size += len(line)
        if lines and size > BYTES_MOST:
            break
        lines.append(line)
    logger.info("%d lines of %s were exported", len(lines), name)
    body = HttpBody(content_type=CONTENT_TYPE, data=b"".join(lines))
    body.extensions.add().Pack(options_pb2.File(filename=f"{name}.ndjson"))
    return body
