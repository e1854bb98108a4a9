"""Takes purchases, with what was bought, and refunds out of the events identity tells."""

from collections.abc import Collection
from datetime import UTC

from pymongo import UpdateOne
from rapport.identity.v1 import events_pb2

import docstore
from chassis import clock, money
from docstore import Row
from scoring.domain.happenings import id_of
from scoring.domain.purchases import is_purchase, is_refund
from scoring.store import StagedPurchase
from scoring.usecases import customer_offers, histories


def stage(events: Collection[events_pb2.TrackedEvent], left_out: Collection[str] = ()) -> int:
    """Stages the purchases and refunds among the events, each once whatever comes again; returns how many were new.

    Part of a transaction its caller opened: new ones are noted for scoring online and with the offers of customers too.

    `left_out`: customers (resource names) whose events are ignored.
    """
    now = clock.real_now()
    purchases = [event for event in events if event.customer not in left_out and is_kept(event)]
    operations = [
        UpdateOne(
            {"uid": _uid(event)},
            {
                "$setOnInsert": {
                    "staged": True,
                    "customer": event.customer,
                    "order_id": event.order_id,
                    "event_time": docstore.whole_milliseconds(event.event_time.ToDatetime(UTC)),
                    "amount_minor": amount_of(event),
                    "currency": event.amount.currency_code,
                    "lines": [_line(product) for product in event.products] if amount_of(event) >= 0 else [],
                    "stage_time": now,
                }
            },
            upsert=True,
        )
        for event in purchases
    ]
    result = StagedPurchase.rows().bulk_write(operations)
    new = [purchases[place] for place in sorted(result.upserted_ids or ())] if result else []
    histories.note([(event, amount_of(event)) for event in new])
    customer_offers.note_bought(event for event in new if amount_of(event) >= 0)
    return len(new)


def is_kept(event: events_pb2.TrackedEvent) -> bool:
    """Whether an event is kept with the purchases: those, and refunds of something."""
    refunds = is_refund(event.event, event.kind, has_amount=event.HasField("amount"))
    return _is_purchase(event) or (refunds and amount_of(event) < 0)


def amount_of(event: events_pb2.TrackedEvent) -> int:
    """In minor units what a purchase brings; of refunds what they take, below 0, whichever sign they were told with."""
    minor = money.to_minor(event.amount)
    return minor if _is_purchase(event) else -abs(minor)


def _uid(event: events_pb2.TrackedEvent) -> str:
    if _is_purchase(event):
        return StagedPurchase.uid_of(event.source, event.message_id)
    return StagedPurchase.refund_uid(id_of(event.source, event.message_id))


def _is_purchase(event: events_pb2.TrackedEvent) -> bool:
    return is_purchase(event.event, event.kind, has_amount=event.HasField("amount"))


def _line(product: events_pb2.TrackedProduct) -> Row:
    priced = product.HasField("price")
    return {
        "product": product.product_id,
        "quantity": product.quantity,
        "price_minor": money.to_minor(product.price) if priced else None,
        "currency": product.price.currency_code if priced else None,
    }
