"""Rules of offers: made and changed by callers, held to by the next answer."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from pymongo import InsertOne

import docstore
from chassis import clock
from docstore import explain
from docstore.aliases import AliasChange
from scoring.domain.offer_rules import keys_about
from scoring.store import CustomerOffers, OfferRule, Profile
from scoring.usecases import people

from .conftest import START, Client, customer

SERVICE = "scoring"
PRODUCTS = ["tent", "stove", "toys-car", "toys-doll"]
NEWS = {"purpose": "purposes/news", "channel": "CHANNEL_EMAIL"}


@pytest.fixture
def client(channels) -> Client:
    return Client(*channels, f"t{uuid.uuid4().hex[:12]}")


def kept(client: Client, name: str | None = None, products: list[str] = PRODUCTS, **facts: Any) -> str:
    """Offers as a job stores them, with what segments know of the customer; its name."""
    name = name or customer()
    offers = [
        {"product": product, "score": 1.0 - place / 10, "probability": 0.4 - place / 10, "low": 0.0, "high": 1.0}
        | {"reason": "because it is popular"}
        for place, product in enumerate(products)
    ]
    job = "019a0000-0000-7000-8000-000000000000"
    row = {"customer": name, "offers": offers, "fallback": False, "horizon_days": 90, "job": job, "model": job}
    uid = name.rpartition("/")[2]
    with client.context():
        CustomerOffers.rows().insert_one(
            {"uid": uid, **row, "as_of": START, "decision": "decisions/d", "offer_time": START}
        )
        Profile.rows().insert_one({"uid": uid, "customer": name, "spread": 1, **facts})
    return name


def rule(client: Client, uid: str = "some", **fields: Any) -> Any:
    return client.CreateOfferRule(offer_rule={"display_name": "Some", **fields}, offer_rule_id=uid)


def offered(client: Client, name: str, **fields: Any) -> tuple[list[str], dict[str, int]]:
    """Ids of what is offered, and what was left out by rule and reason."""
    found = client.GetCustomerOffers(name=f"{name}/offers", **fields)
    left_out = {
        f"{one.offer_rule} {type(one).Reason.Name(one.reason).removeprefix('REASON_')}": one.product_count
        for one in found.exclusions
    }
    return [offer.product_id for offer in found.offers], left_out


def test_a_rule_holds_with_the_next_answer_and_no_longer_than_it_is_there(client) -> None:
    name = kept(client)
    assert offered(client, name) == (PRODUCTS, {})
    made = rule(client, product_ids=["tent"], blocked=True)
    assert (made.name, made.uid) == ("offerRules/some", "some")
    assert client.GetOfferRule(name=made.name) == made
    assert offered(client, name) == (PRODUCTS[1:], {"offerRules/some BLOCKED": 1})
    changed = {"name": made.name, "product_ids": [], "product_id_prefixes": ["toys-"], "blocked": False}
    changed |= {"max_offers": 1, "etag": made.etag}
    mask = {"paths": ["product_ids", "product_id_prefixes", "blocked", "max_offers"]}
    new = client.UpdateOfferRule(offer_rule=changed, update_mask=mask)
    assert offered(client, name) == (PRODUCTS[:3], {"offerRules/some MAX_OFFERS": 1})
    assert offered(client, name, excluded_product_ids=["toys-car"])[1] == {}
    assert client.refused("UpdateOfferRule", offer_rule=changed, update_mask=mask)[0] == "ETAG_MISMATCH"
    assert client.refused("DeleteOfferRule", name=made.name, etag=made.etag)[0] == "ETAG_MISMATCH"
    client.DeleteOfferRule(name=made.name, etag=new.etag)
    assert client.refused("GetOfferRule", name=made.name)[0] == "NOT_FOUND"
    assert offered(client, name) == (PRODUCTS, {})


def test_margins_rank_as_documented(client) -> None:
    name = kept(client)
    rule(client, "all", all_products=True, margin={"amount": {"currency_code": "EUR", "units": 1}})
    doll = rule(client, "doll", product_ids=["toys-doll"], margin={"amount": {"currency_code": "EUR", "units": 6}})
    assert doll.margin.amount.units == 6
    found = client.GetCustomerOffers(name=f"{name}/offers")
    assert [offer.product_id for offer in found.offers] == ["toys-doll", *PRODUCTS[:3]]
    for offer in found.offers:
        assert offer.rank_score == pytest.approx(offer.relevance * offer.margin_weight)
        assert offer.relevance == offer.probability.value
    assert [offer.margin_weight for offer in found.offers] == [6, 1, 1, 1]
    assert offered(client, name, margin_weight=0)[0] == PRODUCTS
    rule(client, "least", all_products=True, minimum_margin={"amount": {"currency_code": "EUR", "units": 2}})
    assert offered(client, name) == (["toys-doll"], {"offerRules/least MARGIN": 3})
    share = {"display_name": "Share", "all_products": True, "margin": {"basis_points": 2_000}}
    reason, message, fields = client.refused("CreateOfferRule", offer_rule=share, offer_rule_id="share")
    assert (reason, fields) == ("MARGINS_DIFFER", ["offer_rule.margin"])
    assert "has an amount of EUR" in message


def test_segments_and_consents_of_the_whole_profile_count(client) -> None:
    client.CreateSegment(segment={"display_name": "VIP", "expression": "p_alive > 2"}, segment_id="vip")
    client.evaluated("vip")
    stranger, member = kept(client), customer()
    said = {"consent": "consents/c", "purpose": NEWS["purpose"], "channel": "EMAIL", "record": "r", "answered": []}
    name = kept(client, segments=["vip"], consents=[said | {"state": "GRANTED", "sequence": [1, 0]}])
    rule(client, "vip", product_ids=["tent"], required_segments=["segments/vip"])
    rule(client, "others", product_ids=["stove"], excluded_segments=["segments/vip"])
    rule(client, "news", product_id_prefixes=["toys-"], required_consent=NEWS)
    assert offered(client, name) == (["tent", *PRODUCTS[2:]], {"offerRules/others SEGMENT": 1})
    assert offered(client, stranger) == (["stove"], {"offerRules/vip SEGMENT": 1, "offerRules/news CONSENT": 2})
    kept(client, member, consents=[said | {"state": "REFUSED", "consent": "consents/m", "record": "m"}])
    with client.context():
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(member, name, (1, 0))))
    assert offered(client, name)[1] == {"offerRules/others SEGMENT": 1, "offerRules/news CONSENT": 2}
    reason, message, _ = client.refused("DeleteSegment", name="segments/vip")
    assert (reason, "offerRules/others, offerRules/vip" in message) == ("SEGMENT_IN_USE", True)
    client.DeleteOfferRule(name="offerRules/vip")
    client.DeleteOfferRule(name="offerRules/others")
    client.DeleteSegment(name="segments/vip")


def test_rules_hold_in_their_time_only(client) -> None:
    name, hour = kept(client), timedelta(hours=1)
    now = clock.now()
    for uid, start, end in (("over", -2 * hour, -hour), ("now", -hour, hour), ("soon", hour, 2 * hour)):
        window = {"start_time": now + start, "end_time": now + end}
        rule(client, uid, all_products=True, blocked=True, **window)
    assert offered(client, name) == ([], {"offerRules/now BLOCKED": 4})
    listed = client.ListOfferRules(page_size=2)
    assert [one.uid for one in listed.offer_rules] == ["over", "now"]
    rest = client.ListOfferRules(page_size=2, page_token=listed.next_page_token)
    assert ([one.uid for one in rest.offer_rules], rest.next_page_token) == (["soon"], "")


EUR, USD = ({"amount": {"currency_code": code, "units": 1}} for code in ("EUR", "USD"))


@pytest.mark.parametrize(
    ("fields", "reason", "named"),
    [
        ({"blocked": True}, "INVALID_OFFER_RULE", "all_products"),
        ({"all_products": True, "product_ids": ["a"], "blocked": True}, "INVALID_OFFER_RULE", "all_products"),
        ({"all_products": True}, "INVALID_OFFER_RULE", "blocked"),
        ({"product_ids": [""], "blocked": True}, "INVALID_OFFER_RULE", "product_ids[0]"),
        ({"product_ids": ["a"] * 201, "blocked": True}, "INVALID_OFFER_RULE", "product_ids"),
        ({"product_id_prefixes": ["a" * 41], "blocked": True}, "INVALID_OFFER_RULE", "product_id_prefixes[0]"),
        ({"start_time": START, "end_time": START, "blocked": True}, "INVALID_OFFER_RULE", "end_time"),
        ({"max_offers": 31}, "INVALID_OFFER_RULE", "max_offers"),
        ({"required_segments": ["segments/nowhere"]}, "UNKNOWN_SEGMENT", "required_segments"),
        ({"excluded_segments": [f"segments/s{n}" for n in range(21)]}, "INVALID_OFFER_RULE", "excluded_segments"),
        ({"required_consent": {"channel": "CHANNEL_EMAIL"}}, "INVALID_OFFER_RULE", "required_consent.purpose"),
        ({"required_consent": {"purpose": "purposes/news"}}, "INVALID_OFFER_RULE", "required_consent.channel"),
        ({"margin": {}}, "INVALID_OFFER_RULE", "margin"),
        ({"margin": {"basis_points": 10_001}}, "INVALID_OFFER_RULE", "margin.basis_points"),
        ({"margin": {"amount": {"currency_code": "EURO"}}}, "CURRENCY_UNKNOWN", "margin.amount.currency_code"),
        ({"margin": EUR, "minimum_margin": USD}, "MARGINS_DIFFER", "minimum_margin"),
    ],
)
def test_an_unusable_rule_is_refused_by_field(client, fields, reason, named) -> None:
    given = {"display_name": "Some", **fields}
    if named != "all_products" and "product_ids" not in fields and "product_id_prefixes" not in fields:
        given["all_products"] = True
    found, _, names = client.refused("CreateOfferRule", offer_rule=given, offer_rule_id="some")
    assert (found, names) == (reason, [f"offer_rule.{named}"])


def test_a_weight_that_is_none_is_refused(client) -> None:
    for weight in (-0.1, 1.1, float("nan")):
        reason, _, names = client.refused("GetCustomerOffers", name=f"{customer()}/offers", margin_weight=weight)
        assert (reason, names) == ("INVALID_OFFERS_REQUEST", ["margin_weight"])


def test_a_repeated_request_makes_one_rule(client) -> None:
    request = {"offer_rule": {"display_name": "Some", "all_products": True, "blocked": True}, "offer_rule_id": "some"}
    request["request_id"] = str(uuid.uuid4())
    assert client.CreateOfferRule(**request) == client.CreateOfferRule(**request)
    request["request_id"] = str(uuid.uuid4())
    assert client.refused("CreateOfferRule", **request)[0] == "ALREADY_EXISTS"
    delete = {"name": "offerRules/some", "request_id": str(uuid.uuid4())}
    client.DeleteOfferRule(**delete)
    client.DeleteOfferRule(**delete)
    assert len(client.ListOfferRules().offer_rules) == 0


def test_a_page_of_rules_that_name_many_products_fits_into_an_answer(client) -> None:
    now = clock.now()
    large = {"display_name": "\U0001f3d5" * 200, "blocked": True, "version": 1, "create_time": now, "update_time": now}
    large |= {"products": [f"{number:03}" + "\U0001f3d5" * 197 for number in range(200)]}
    large |= {"prefixes": [f"{number:02}" + "\U0001f3d5" * 38 for number in range(50)]}
    with client.context():
        OfferRule.rows().insert_many({"uid": f"r{number}", "keys": [f"=p{number}"], **large} for number in range(21))
    first = client.ListOfferRules(page_size=1000)
    rest = client.ListOfferRules(page_token=first.next_page_token)
    assert (len(first.offer_rules), len(rest.offer_rules), rest.next_page_token) == (20, 1, "")


def test_rules_have_a_bound_and_are_found_by_indexes(client) -> None:
    now = clock.now()
    some = {"display_name": "Some", "blocked": True, "version": 1, "create_time": now, "update_time": now}
    with client.context():
        OfferRule.rows().bulk_write(
            InsertOne({"uid": f"r{number}", "products": [f"p{number}"], "keys": [f"=p{number}"], **some})
            for number in range(999)
        )
    name = kept(client, products=[f"p{number}" for number in range(0, 300, 10)])
    rule(client, "last", all_products=True, margin=EUR)
    few = {"offer_rule": {"display_name": "More", "all_products": True, "blocked": True}, "offer_rule_id": "more"}
    assert client.refused("CreateOfferRule", **few)[0] == "TOO_MANY_OFFER_RULES"
    with client.context():
        keys = {"keys": {"$in": keys_about([f"p{number}" for number in range(0, 300, 10)])}, "delete_time": None}
        found = explain.assert_indexed(OfferRule, keys, max_keys=250)
        assert found["totalDocsExamined"] == 31
        order = [("create_time", 1), ("_id", 1)]
        explain.assert_indexed(OfferRule, {"delete_time": None}, order, limit=10)
        explain.assert_indexed(OfferRule, {"segments": "vip", "delete_time": None}, limit=10, max_keys=2)
        units = {"unit": {"$gt": "", "$ne": "USD"}, "delete_time": None}
        explain.assert_indexed(OfferRule, units, limit=2, max_keys=3)
    names, left_out = offered(client, name)
    assert (names, sum(left_out.values()), len(left_out)) == ([], 30, 30)
