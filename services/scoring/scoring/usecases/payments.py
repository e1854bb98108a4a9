"""Payments as they are attempted: what may be fraud is told in the transaction that hears of it.

The ground is the legitimate interest in preventing fraud (GDPR article 6(1)(f), recital 47). Whoever objects to
profiling (article 21) is not looked at, and nothing of theirs is kept; consent is not asked for each payment.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from pymongo import UpdateOne
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.scoring.v1 import events_pb2

import docstore
from chassis import clock, money
from docstore import aliases
from scoring.domain.purchases import KIND_TRACK
from scoring.models.fraud import Features, Payment, Score, features_of, kept, score
from scoring.store import FraudAlert, PaymentFeatures, PaymentWindow, StagedPurchase
from scoring.store.fraud import (
    ALERTS_KEPT,
    FEATURES_KEPT,
    OPEN,
    WINDOW_KEPT,
    Released,
    ask_for_model,
    released_fraud_model,
)
from scoring.store.objections import objecting

PAYMENT_ATTEMPTED = "Payment Attempted"
OPEN_MOST = 100
"""Open alerts of one customer: more of them tell nothing new, and an attack must not bury the others."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class _Told(NamedTuple):
    """A payment, and the customer (resource name) it came under."""

    customer: str
    payment: Payment


class _Judged(NamedTuple):
    told: _Told
    features: Features


def take_in(events: Iterable[identity_events_pb2.TrackedEvent], left_out: Collection[str] = ()) -> None:
    """Looks at the payments among the events, each once whatever comes again; part of a transaction.

    Features are of all payments known then; those a late one comes before are looked at again, and may alarm now.
    left_out: customers (resource names) whose events are ignored.
    """
    attempted = [event for event in events if event.event == PAYMENT_ATTEMPTED]
    if not attempted:
        return
    now = clock.now()
    told = {uid: each for uid, each in _read(attempted, now - FEATURES_KEPT) if each.customer not in left_out}
    known = PaymentFeatures.rows().find({"uid": {"$in": list(told)}}, {"uid": 1})
    for row in known:
        del told[row["uid"]]
    if not told:
        return
    model = released_fraud_model.get()
    if not model.version:
        ask_for_model(now)
    profiles = aliases.profiles({each.customer for each in told.values()})
    refused = objecting({canonical for canonical, _ in profiles.values()})
    by_profile: dict[str, list[_Told]] = defaultdict(list)
    for each in told.values():
        if (canonical := profiles[each.customer][0]) not in refused:
            by_profile[canonical].append(each)
    windows = _windows({name for each in told.values() for name in profiles[each.customer][1]})
    new: list[_Judged] = []
    again: list[_Judged] = []
    written: dict[str, list[Payment]] = {}
    for canonical, news in by_profile.items():
        members = profiles[news[0].customer][1]
        ids = {each.payment.id for each in news}
        for judged in _judge(news, {name: windows.get(name, []) for name in members}):
            (new if judged.told.payment.id in ids else again).append(judged)
        # The row of who stands for the profile, too: payments of two members at once conflict about it.
        for name in {canonical, *(each.customer for each in news)}:
            own = {*windows.get(name, ()), *(each.payment for each in news if each.customer == name)}
            written[name] = kept(sorted(own), _milliseconds(now))
    if not new:
        return
    _write(written, new)
    _alarm([*new, *again], model)


def forget(customers: Collection[str]) -> dict[str, int]:
    """Deletes all that is kept of these customers' payments, and alerts about them; returns how many of each.

    Part of a transaction. Nothing is told: an alert that was is about something that happened.
    """
    # Written before it is deleted: whoever takes a payment of theirs in meanwhile conflicts, and looks again.
    blank = {"payments": [], "expire_time": clock.real_now()}
    uids = [_uid(name) for name in customers]
    there = PaymentWindow.rows().count({"uid": {"$in": uids}})
    PaymentWindow.rows().bulk_write(
        UpdateOne({"uid": _uid(name)}, {"$set": {"customer": name, **blank}, "$inc": {"changes": 1}}, upsert=True)
        for name in customers
    )
    PaymentWindow.rows().delete_many({"uid": {"$in": uids}})
    theirs = {"customer": {"$in": list(customers)}}
    return {
        "paymentWindows": there,
        "payments": PaymentFeatures.rows().delete_many(theirs).deleted_count,
        "fraudAlerts": FraudAlert.rows().delete_many(theirs).deleted_count,
    }


def _read(events: Iterable[identity_events_pb2.TrackedEvent], since: datetime) -> Iterable[tuple[str, _Told]]:
    """Of track calls with an amount, not below 0, that are of after an instant: by uid of their event."""
    for event in events:
        time = docstore.whole_milliseconds(event.event_time.ToDatetime(UTC))
        amount = money.to_minor(event.amount) if event.HasField("amount") else -1
        if event.kind == KIND_TRACK and amount >= 0 and time > since:
            payment = Payment(
                _milliseconds(time),
                PaymentWindow.id_of(event.source, event.message_id),
                amount,
                event.amount.currency_code,
                event.payment_method_fingerprint,
                event.address_fingerprint,
            )
            yield StagedPurchase.uid_of(event.source, event.message_id), _Told(event.customer, payment)


def _windows(customers: Collection[str]) -> dict[str, list[Payment]]:
    uids = [_uid(name) for name in customers]
    rows = PaymentWindow.rows().find({"uid": {"$in": uids}}, {"customer": 1, "payments": 1})
    return {row["customer"]: [Payment(*each) for each in row["payments"]] for row in rows}


def _judge(news: Sequence[_Told], stored: Mapping[str, Sequence[Payment]]) -> Iterable[_Judged]:
    """The features of a profile's new payments, and of those that are later than any of them."""
    everything = {
        payment.id: _Told(name, payment)
        for name, payments in (*stored.items(), *((each.customer, [each.payment]) for each in news))
        for payment in payments
    }
    ordered = sorted(everything.values(), key=lambda each: each.payment)
    first = min(each.payment for each in news)
    for told, features in zip(ordered, features_of([each.payment for each in ordered]), strict=True):
        if told.payment >= first:
            yield _Judged(told, features)


def _write(windows: Mapping[str, Sequence[Payment]], new: Sequence[_Judged]) -> None:
    real_now = clock.real_now()
    PaymentWindow.rows().bulk_write(
        UpdateOne(
            {"uid": _uid(name)},
            {
                "$set": {
                    "customer": name,
                    "payments": [list(payment) for payment in payments],
                    "expire_time": real_now + WINDOW_KEPT,
                },
                "$inc": {"changes": 1},
            },
            upsert=True,
        )
        for name, payments in windows.items()
    )
    PaymentFeatures.rows().insert_many(
        {
            "uid": uid_of(told.payment),
            "customer": told.customer,
            "event_time": _instant(told.payment),
            "features": list(features),
            "currency": told.payment.currency,
            "expire_time": real_now + FEATURES_KEPT,
        }
        for told, features in new
    )


def _alarm(judged: Sequence[_Judged], released: Released) -> None:
    """Raises an alert about each payment that alarms and has none, and tells it; `OPEN_MOST` of a customer."""
    found = {}
    for told, features in judged:
        scored = score(released.model, features, told.payment.currency)
        if scored.alarm:
            found[uid_of(told.payment)] = told, scored
    if not found:
        return
    for row in FraudAlert.rows().find({"uid": {"$in": list(found)}}, {"uid": 1}):
        del found[row["uid"]]
    names = {told.customer for told, _ in found.values()}
    waiting = FraudAlert.rows().aggregate(
        [
            {"$match": {"customer": {"$in": sorted(names)}, "state": OPEN}},
            {"$group": {"_id": "$customer", "count": {"$sum": 1}}},
        ]
    )
    room = dict.fromkeys(names, OPEN_MOST) | {row["_id"]: OPEN_MOST - row["count"] for row in waiting}
    raised = []
    for uid, (told, scored) in found.items():
        room[told.customer] -= 1
        if room[told.customer] >= 0:
            raised.append(_alert(uid, told, scored, released))
    FraudAlert.insert_many(raised)


def _alert(uid: str, told: _Told, scored: Score, released: Released) -> FraudAlert:
    payment = told.payment
    source, message_id = PaymentWindow.source_and_message(payment.id)
    alert = FraudAlert.new(
        uid=uid,
        customer=told.customer,
        source=source,
        message_id=message_id,
        payment_time=_instant(payment),
        amount_minor=payment.amount,
        currency=payment.currency,
        reasons=list(scored.reasons),
        broken_rules=list(scored.broken),
        rarity=scored.rarity,
        model_version=released.version,
        model_history=released.model.history,
        model_rate=released.model.rate,
        expire_time=clock.real_now() + ALERTS_KEPT,
    )
    event = events_pb2.FraudSuspected(
        fraud_alert=alert.name,
        customer=told.customer,
        source=source,
        message_id=message_id,
        payment_time=alert.payment_time,
        amount=money.from_minor(payment.amount, payment.currency),
        reasons=scored.reasons,
        broken_rules=scored.broken,
        rarity=scored.rarity,
    )
    alert.emit(event, [told.customer])
    return alert


def uid_of(payment: Payment) -> str:
    """The uid of a payment's row and of its alert."""
    return StagedPurchase.uid_of(*PaymentWindow.source_and_message(payment.id))


def _instant(payment: Payment) -> datetime:
    return _EPOCH + payment.at * _MILLISECOND


def _milliseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MILLISECOND


def _uid(name: str) -> str:
    return name.rpartition("/")[2]
