"""Takes purchases, with what was bought, out of the events identity tells."""

from collections.abc import Collection
from datetime import UTC

from pymongo import UpdateOne
from rapport.identity.v1 import events_pb2

import docstore
from chassis import clock, money
from docstore import Row
from scoring.domain.purchases import is_purchase
from scoring.store import StagedPurchase
from scoring.usecases import customer_offers, histories


def stage(events: Collection[events_pb2.TrackedEvent], left_out: Collection[str] = ()) -> int:
    """Stages the purchases among the events, each once whatever comes again; returns how many were new.

    Part of a transaction its caller opened: new ones are noted for scoring online and with the offers of customers too.

    `left_out`: customers (resource names) whose events are ignored.
    """
    now = clock.real_now()
    purchases = [
        event
        for event in events
        if is_purchase(event.event, event.kind, has_amount=event.HasField("amount")) and event.customer not in left_out
    ]
    operations = [
        UpdateOne(
            {"uid": StagedPurchase.uid_of(event.source, event.message_id)},
            {
                "$setOnInsert": {
                    "staged": True,
                    "customer": event.customer,
                    "order_id": event.order_id,
                    "event_time": docstore.whole_milliseconds(event.event_time.ToDatetime(UTC)),
                    "amount_minor": money.to_minor(event.amount),
                    "currency": event.amount.currency_code,
                    "lines": [_line(product) for product in event.products],
                    "stage_time": now,
                }
            },
            upsert=True,
        )
        for event in purchases
    ]
    result = StagedPurchase.rows().bulk_write(operations)
    new = [purchases[place] for place in sorted(result.upserted_ids or ())] if result else []
    histories.note(new)
    customer_offers.note_bought(new)
    return len(new)


def _line(product: events_pb2.TrackedProduct) -> Row:
    priced = product.HasField("price")
    return {
        "product": product.product_id,
        "quantity": product.quantity,
        "price_minor": money.to_minor(product.price) if priced else None,
        "currency": product.price.currency_code if priced else None,
    }
