"""Refunds that earlier versions kept with other activity come to the purchases, each once."""

import pyarrow.parquet as pq

import docstore
from chassis import clock
from scoring.domain.buckets import bucket_of
from scoring.domain.happenings import id_of
from scoring.store import PurchaseHistory, StagedActivity
from scoring.store.activity import packed
from scoring.store.features import ACTIVITY, manifest_files, subject_of
from scoring.usecases import activity, earlier_refunds, flushing

from .conftest import customer
from .test_activity_files import DAY, client, event, heard, in_files, settings  # noqa: F401 - fixtures

SERVICE = "scoring"


def test_refunds_of_before_they_were_kept_with_the_purchases_come_there_once(
    client,  # noqa: F811
    settings,  # noqa: F811
    store,
) -> None:
    anna, now = customer(), clock.now()
    whole = now.replace(microsecond=now.microsecond // 1000 * 1000)
    refunds = [event(anna, "Order Refunded", whole - days * DAY, f"r{days}", 400, order_id="o1") for days in (1, 2, 3)]
    seen = {"customer": anna, "order_id": "", "amount_minor": None, "currency": None, "event": "Seen", "id": 5}
    seen["event_time"] = whole
    ids = [id_of("shop", refund.message_id) for refund in refunds]
    rows = [
        seen | {"event": "Order Refunded", "event_time": whole - days * DAY, "amount_minor": 400, "currency": "EUR",
                "order_id": "o1", "id": ids[days - 1]}
        for days in (1, 1, 2)
    ]  # fmt: skip
    with client.context():
        with flushing.writing(settings) as leased:
            changed = flushing.heads(leased)
            for of_file in ([*rows, seen], rows[:1]):
                changed[ACTIVITY].files = flushing.with_file_of(
                    ACTIVITY, bucket_of(anna), of_file, changed[ACTIVITY].files, store
                )
            for file in changed[ACTIVITY].files:
                del file["without_refunds"]
            docstore.in_transaction(lambda: flushing.switch(leased, changed))
        happened = {"c": anna, "e": "Order Refunded", "t": round(refunds[2].event_time.ToMilliseconds()), "i": ids[2]}
        money_of = [{"place": 0, "amount": 400, "currency": "EUR", "order_id": "o1"}]
        StagedActivity.rows().insert_many([packed([happened], now, money_of)])
        PurchaseHistory.rows().insert_many(
            [{"uid": anna.rpartition("/")[2], "customer": anna, "known": True, "currency": "EUR"}]
        )
    heard(client, refunds[1])  # told again before
    with client.context():
        assert earlier_refunds.move(settings, store) == 2
        assert earlier_refunds.move(settings, store) == 0
        assert activity.flush(settings, store) == 0
        assert in_files(store) == [seen]
    heard(client, *refunds)  # and after
    with client.context():
        assert flushing.flush(settings, store) == 3
        of_order = {"customer": anna, "order_id": "o1", "currency": "EUR", "amount_minor": -400}
        (file,) = manifest_files()
        with store.open(subject_of(file["bucket"]), file["name"]) as opened:
            bought = pq.read_table(opened).to_pylist()
        assert sorted(bought, key=lambda each: each["event_time"]) == [
            {**of_order, "event_time": whole - days * DAY} for days in (3, 2, 1)
        ]
        assert PurchaseHistory.rows().find_one({"customer": anna})["known"] is False
    heard(client, *refunds)
    with client.context():
        assert flushing.flush(settings, store) == 0
