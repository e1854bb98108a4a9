"""Lists of mails run on an index, whatever else is stored."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from docstore.explain import assert_indexed
from ticketing.store import InboundMail
from ticketing.store.inbound_mails import FAILED, PROCESSED

SERVICE = "ticketing"
MANY = 120
LATELY = datetime(2100, 1, 1, tzinfo=UTC)
ORDER = [("create_time", 1), ("_id", 1)]


@pytest.fixture
def stored(client) -> Any:
    with client.context():
        for number in range(MANY):
            InboundMail.new(
                fingerprint=f"f{number}",
                state=(PROCESSED, FAILED)[number % 2],
                reason=f"REASON_{number % 12}",
                ticket=f"tickets/{number % 12}",
                customer=f"customers/{number % 12}",
                message_id=f"<{number % 12}@example.com>",
                masked_sender="a***@example.com",
                size_bytes=1,
                create_time=datetime(2026, 5, 1, tzinfo=UTC) + timedelta(hours=number),
            ).insert()
        yield


@pytest.mark.parametrize(
    "wanted",
    [
        {"state": FAILED},
        {"reason": "REASON_3"},
        {"ticket": "tickets/3"},
        {"customer": {"$in": ["customers/3", "customers/4"]}},
        {"message_id": "<3@example.com>"},
    ],
    ids=lambda wanted: next(iter(wanted)),
)
def test_every_field_to_filter_by_has_its_index(stored, wanted) -> None:
    stats = assert_indexed(InboundMail, InboundMail.read_filter(wanted, deleted=False), ORDER, limit=8, max_keys=20)
    assert stats["nReturned"] == 8
    lately = InboundMail.read_filter({**wanted, "create_time": {"$gte": LATELY}}, deleted=False)
    assert_indexed(InboundMail, lately, ORDER, limit=8, max_keys=4)
