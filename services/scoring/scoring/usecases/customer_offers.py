"""Offers of customers: asked for, kept up with what is bought, and taken away from who objects, is merged or erased."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import UpdateOne
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.scoring.v1 import events_pb2
from rapport.scoring.v1 import scoring_service_pb2 as pb

import docstore
from chassis import clock
from chassis import inputs as fields
from chassis.errors import NotFound
from docstore import Row, aliases
from scoring.domain import offer_rules
from scoring.domain.consents import standing
from scoring.domain.offer_rules import Customer, Kept, Ranked, Reason, Rules
from scoring.store import CustomerOffers, Profile
from scoring.store.objections import objecting
from scoring.store.offer_rules import all_rules, rules_about
from scoring.store.offers import RECENT_MOST
from scoring.store.scores import tell

OFFERS_DEFAULT, OFFERS_MOST = 10, 30
IDS_MOST = 200
DAYS_MOST = 36_500
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)

LeftOut = Mapping[tuple[str, Reason], int]
"""How many products a rule (uid) left out, for which reason."""


def chosen(request: pb.GetCustomerOffersRequest) -> tuple[Row, list[Row], LeftOut]:
    """The stored row of a customer, those of its offers that the request and the rules leave, and what rules left out.

    Each offer has its `bought` instant and what it is `ranked` by.

    Raises InvalidArgument, NotFound PROFILING_OBJECTED or OFFERS_NOT_MADE.
    """
    _check(request)
    customer = request.name.rpartition("/")[0]
    canonical = aliases.resolve([customer])[customer]
    row = CustomerOffers.rows().find_one({"uid": fields.uid(canonical)})
    if row is None:
        raise _not_found(request.name, canonical)
    rules = rules_about([offer["product"] for offer in row["offers"]], clock.now())
    asks = any(rule.required or rule.excluded or rule.consent for rule in rules)
    facts = _facts([canonical])[canonical] if asks else Customer()
    return _chosen(row, request, Rules(rules), facts)


def usual(rows: Sequence[Row]) -> Iterator[tuple[Row, list[Row], LeftOut]]:
    """What `chosen` gives of these stored rows to a request that asks for nothing special; the same few queries.

    Each is chosen when it is taken: a file may be full before all are.
    """
    rules = Rules(all_rules(clock.now()))
    facts = _facts([row["customer"] for row in rows])
    request = pb.GetCustomerOffersRequest()
    for row in rows:
        yield _chosen(row, request, rules, facts[row["customer"]])


def _chosen(
    row: Row, request: pb.GetCustomerOffersRequest, rules: Rules, facts: Customer
) -> tuple[Row, list[Row], LeftOut]:
    within = request.exclude_bought_days if request.HasField("exclude_bought_days") else None
    unwanted, wanted = set(request.excluded_product_ids), set(request.product_ids)
    bought, today = _bought(row), (clock.now() - _EPOCH) // _DAY
    asked = []
    for place, offer in enumerate(row["offers"]):
        product = offer["product"]
        last = bought.get(product)
        if product in unwanted or (wanted and product not in wanted):
            continue
        if last is None or (within is not None and today - (last - _EPOCH) // _DAY >= within):
            asked.append(place)
    kept = [Kept(offer["product"], offer["probability"]) for offer in row["offers"]]
    power = request.margin_weight if request.HasField("margin_weight") else 1.0
    most = request.max_offers or OFFERS_DEFAULT
    choice = offer_rules.choose(rules, kept, asked, facts, most, power)
    return row, [_offer(row, ranked, bought) for ranked in choice.offers], choice.left_out


def note_bought(events: Iterable[identity_events_pb2.TrackedEvent]) -> None:
    """Notes the products of new purchases with the offers of who bought them: they are not offered before long.

    Part of the transaction that stages the purchases, each of them once.
    """
    bought = [event for event in events if event.products]
    if not bought:
        return
    canonicals = aliases.resolve({event.customer for event in bought})
    # Most have none, above all where old orders come in.
    there = {row["uid"] for row in CustomerOffers.rows().find(_of(set(canonicals.values())), {"uid": 1})}
    owners = ((fields.uid(canonicals[event.customer]), event) for event in bought)
    CustomerOffers.rows().bulk_write(
        UpdateOne({"uid": uid}, {"$push": {"recent": {"$each": _noted(event), "$slice": -RECENT_MOST}}})
        for uid, event in owners
        if uid in there
    )


def remove(customers: Collection[str]) -> None:
    """Takes the offers of these customers (resource names) away and tells whose; part of a transaction."""
    rows = list(CustomerOffers.rows().find(_of(customers), {"customer": 1}))
    if not rows:
        return
    CustomerOffers.rows().delete_many(_of(customers))
    names = [row["customer"] for row in rows]
    tell([(events_pb2.OffersUpdated(removed_customers=names), names)])


def forget(customers: Collection[str]) -> int:
    """Forgets the offers of erased customers, nothing is told; returns how many had any."""
    return CustomerOffers.rows().delete_many(_of(customers)).deleted_count


def _offer(row: Row, ranked: Ranked, bought: Mapping[str, datetime]) -> Row:
    offer = row["offers"][ranked.place]
    return {**offer, "bought": bought.get(offer["product"]), "ranked": ranked}


def _facts(canonicals: Collection[str]) -> dict[str, Customer]:
    """What rules ask of customers, as segments know it; all members of a profile count."""
    members = {name: {fields.uid(one) for one in found} for name, (_, found) in aliases.profiles(canonicals).items()}
    uids = sorted(set().union(*members.values()))
    rows = Profile.rows().find({"uid": {"$in": uids}}, {"uid": 1, "segments": 1, "consents": 1}) if uids else ()
    known = {row["uid"]: row for row in rows}
    nothing: Row = {}
    found = {}
    for name, own in members.items():
        said = (each for uid in sorted(own) for each in known.get(uid, nothing).get("consents") or ())
        found[name] = Customer(known.get(fields.uid(name), nothing).get("segments") or (), standing(said))
    return found


def _check(request: pb.GetCustomerOffersRequest) -> None:
    def refuse(field: str, problem: str) -> None:
        raise fields.refusal("INVALID_OFFERS_REQUEST", field, problem)

    if not 0 <= request.max_offers <= OFFERS_MOST:
        refuse("max_offers", f"1 to {OFFERS_MOST}, or leave it out for {OFFERS_DEFAULT}.")
    if not 0 <= request.exclude_bought_days <= DAYS_MOST:
        refuse("exclude_bought_days", f"0 to {DAYS_MOST} days, or leave it out for all that was ever bought.")
    if not 0 <= request.margin_weight <= 1:
        refuse("margin_weight", "0 to 1, or leave it out for 1.")
    for field in ("excluded_product_ids", "product_ids"):
        if len(getattr(request, field)) > IDS_MOST:
            refuse(field, f"names more than {IDS_MOST} products; name fewer.")


def _not_found(name: str, canonical: str) -> NotFound:
    metadata = {"resource": name}
    if objecting([canonical]):
        return NotFound(
            "PROFILING_OBJECTED",
            f"{name} does not exist: the customer objects to profiling, so nothing is chosen for this person. What is "
            "popular may be shown without asking here, as to anybody.",
            metadata=metadata,
        )
    return NotFound(
        "OFFERS_NOT_MADE",
        f"{name} does not exist: no scoring job of KIND_NEXT_OFFER knew products of the customer's orders, or consent "
        "refused. Send `products` with `Order Completed`, and start a job.",
        metadata=metadata,
    )


def _bought(row: Row) -> dict[str, datetime]:
    """When the products that are known to have been bought were bought last."""
    found = {offer["product"]: _EPOCH + offer["bought_day"] * _DAY for offer in row["offers"] if "bought_day" in offer}
    for one in row.get("recent") or ():
        found[one["product"]] = max(found.get(one["product"], one["time"]), one["time"])
    return found


def _noted(event: identity_events_pb2.TrackedEvent) -> list[Mapping[str, Any]]:
    time = docstore.whole_milliseconds(event.event_time.ToDatetime(UTC))
    return [{"product": uid, "time": time} for uid in dict.fromkeys(each.product_id for each in event.products)]


def _of(customers: Collection[str]) -> Row:
    return {"uid": {"$in": [fields.uid(name) for name in customers]}}
