"""Scores of leads and offers in files of many: each line is what is told of one, and nobody is missing."""

import json
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from rapport.options.v1 import options_pb2
from rapport.scoring.v1 import customer_offers_pb2, lead_score_pb2

import docstore
from chassis import clock, ids
from docstore import explain
from docstore.aliases import AliasChange
from scoring.store import CustomerOffers, Lead, Profile
from scoring.store.leads import SCORED
from scoring.usecases import customer_offers as offers_of
from scoring.usecases import exporting, leads, people

from ..conftest import START, Client, customer

SERVICE = "scoring"
TOLD = {"probability": 0.3, "low": 0.2, "high": 0.4, "percentile": 60.0, "model": "m"}


def exported(client: Client, what: str, **fields: Any) -> list[dict[str, Any]]:
    body = getattr(client, f"Export{what}")(**fields)
    file = options_pb2.File()
    assert body.extensions[0].Unpack(file)
    assert body.content_type == "application/x-ndjson"
    assert file.filename == {"LeadScores": "lead-scores.ndjson", "CustomerOffers": "customer-offers.ndjson"}[what]
    return [json.loads(line) for line in body.data.splitlines()]


def file_by_file(client: Client, what: str, key: str, size: int) -> tuple[list[int], list[dict[str, Any]]]:
    sizes: list[int] = []
    found: list[dict[str, Any]] = []
    while part := exported(client, what, max_rows=size, after=found[-1][key] if found else ""):
        sizes.append(len(part))
        found += part
    return sizes, found


def lead_row(number: int, **fields: Any) -> dict[str, Any]:
    reason = {"fact": "source", "points": 1.5, "text": "Source is WEB: raises the chance of conversion by 2 points"}
    score = {**TOLD, "reasons": [reason], "model_time": START, "score_time": START + timedelta(hours=number)}
    return {"uid": ids.uuid7(), "facts": {}, "points": 1, "changes": 1, "score": score, "open": True, **fields}


def test_all_scored_leads_are_in_the_files_but_of_who_objects(client, monkeypatch) -> None:
    objector = customer()
    rows = [lead_row(number) for number in range(5)]
    rows[2]["customer"] = objector
    unscored = lead_row(9)
    del unscored["score"]
    with client.context():
        Lead.rows().insert_many([*rows, unscored])
        docstore.in_transaction(lambda: leads.remove_of([objector]))
    sizes, found = file_by_file(client, "LeadScores", "lead", 3)
    kept = [f"leads/{row['uid']}" for row in rows if row.get("customer") != objector]
    assert (sizes, [line["lead"] for line in found]) == ([3, 1], kept)
    for line in found:
        told, one = ParseDict(line, lead_score_pb2.LeadScore()), client.GetLeadScore(name=line["name"])
        for score in (told, one):
            score.ClearField("age")
        assert told == one
    monkeypatch.setattr(exporting, "BYTES_MOST", 1)
    assert [line["lead"] for line in exported(client, "LeadScores", after=kept[0])] == [kept[1]]
    assert client.refused("ExportLeadScores", after="customers/x")[0] == "INVALID_LEAD"
    assert client.refused("ExportLeadScores", max_rows=-1)[0] == "INVALID_MAX_ROWS"
    with client.context():
        place = {"_id": {"$gt": Lead.key(""), "$lt": f"{client.tenant}0"}}
        explain.assert_indexed(Lead, {**SCORED, **place}, [("_id", 1)], limit=2, max_keys=3)


def offers_row(name: str, *products: str) -> dict[str, Any]:
    offers = [
        {"product": product, "score": 1.0 - place / 10, "probability": 0.4 - place / 10, "low": 0.0, "high": 1.0}
        | {"reason": "because it is popular"}
        for place, product in enumerate(products)
    ]
    row = {"uid": name.rpartition("/")[2], "customer": name, "offers": offers, "fallback": False, "horizon_days": 90}
    return row | {"job": "j", "model": "m", "as_of": START, "decision": "decisions/d", "offer_time": START}


def test_offers_in_files_keep_to_the_rules_as_single_ones_do(client, monkeypatch) -> None:
    names = sorted(customer() for _ in range(6))
    member, merged = names[1], customer()
    with client.context():
        CustomerOffers.rows().insert_many(offers_row(name, "tent", "stove", "toys-car", "toys-doll") for name in names)
        granted = {"consent": "c", "purpose": "purposes/news", "channel": "EMAIL", "state": "GRANTED"}
        said = [granted | {"record": "r", "answered": [], "sequence": [1, 0]}]
        of = [(member, {"segments": ["vip"]}), (merged, {}), (names[2], {"consents": said})]
        Profile.rows().insert_many(
            {"uid": name.rpartition("/")[2], "customer": name, "spread": 1, **facts} for name, facts in of
        )
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(merged, member, (1, 0))))
        recent = [{"product": "stove", "time": clock.now()}]
        CustomerOffers.rows().update_one({"uid": names[3].rpartition("/")[2]}, {"$set": {"recent": recent}})
        docstore.in_transaction(lambda: people.object_to_profiling(names[5], "consents/c", START))
    client.CreateSegment(segment={"display_name": "V", "expression": "purchases >= 1"}, segment_id="vip")
    rules: dict[str, dict[str, Any]] = {
        "vip": {"product_ids": ["tent"], "required_segments": ["segments/vip"]},
        "news": {
            "product_ids": ["stove"],
            "required_consent": {"purpose": "purposes/news", "channel": "CHANNEL_EMAIL"},
        },
        "toys": {"product_id_prefixes": ["toys-"], "max_offers": 1},
        "other": {"product_ids": ["sledge"], "blocked": True},
        "margin": {"all_products": True, "margin": {"basis_points": 1000}},
    }
    for uid, fields in rules.items():
        client.CreateOfferRule(offer_rule={"display_name": uid, **fields}, offer_rule_id=uid)
    sizes, found = file_by_file(client, "CustomerOffers", "customer", 4)
    # The profile of a merge has its own offers, and is in no file until it has.
    there = [name for name in names[:5] if client_has(client, name)]
    assert (sum(sizes), [line["customer"] for line in found]) == (len(there), there)
    told = {line["customer"]: ParseDict(line, customer_offers_pb2.CustomerOffers()) for line in found}
    for name, offers in told.items():
        one = client.GetCustomerOffers(name=f"{name}/offers")
        for each in (offers, one):
            each.ClearField("age")
        assert offers == one
    assert [offer.product_id for offer in told[names[0]].offers] == ["toys-car"]
    assert [offer.product_id for offer in told[names[2]].offers] == ["stove", "toys-car"]
    looked_at: list[str] = []
    choose = offers_of.offer_rules.choose
    monkeypatch.setattr(offers_of.offer_rules, "choose", lambda *given: looked_at.append("") or choose(*given))
    monkeypatch.setattr(exporting, "BYTES_MOST", 1)
    assert [line["customer"] for line in exported(client, "CustomerOffers")] == there[:1]
    assert len(looked_at) == 2, "rows that find no room are not chosen from, but for the one that shows it"
    assert client.refused("ExportCustomerOffers", after="leads/x")[0] == "INVALID_CUSTOMER"


def client_has(client: Client, name: str) -> bool:
    with client.context():
        return CustomerOffers.rows().count({"uid": name.rpartition("/")[2]}) == 1


@pytest.fixture(autouse=True)
def begin(travel) -> None:
    travel.to(START + timedelta(days=1))
