"""What scoring tells of leads, and what sales tells of them for it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from rapport.sales.v1 import events_pb2
from rapport.scoring.v1 import events_pb2 as scoring_events_pb2

from contracts import descriptors
from sales.store import Lead, OrderChange
from sales.usecases.erasing import erase

SERVICE = "sales"
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def score(lead: str, probability: float, minute: int = 0, **fields: Any) -> dict[str, Any]:
    values = {
        "lead": lead,
        "probability": probability,
        "low": probability - 0.1,
        "high": probability + 0.1,
        "percentile": 90.0,
        "reasons": ["Company named is yes: raises the chance of conversion by 12 points"],
        "model": "models/m",
        "score_time": NOON + timedelta(minutes=minute),
    }
    return values | fields


def scored(client, *scores: dict[str, Any], removed: tuple[str, ...] = (), minute: int = 0) -> None:
    change = NOON + timedelta(minutes=minute)
    client.tell(scoring_events_pb2.LeadsScored(scores=scores, removed_leads=removed, change_time=change))


def told(client, cls: type = Lead) -> list[Any]:
    with client.context():
        rows = list(cls.rows().find({}))
    entries = sorted((entry for row in rows for entry in row.get("outbox", ())), key=lambda entry: entry["id"])
    return [descriptors.message_class(entry["type"]).FromString(entry["body"]) for entry in entries]


def test_an_estimate_stands_beside_the_points_with_its_reasons(client) -> None:
    lead = client.lead(company_name="Acme")
    assert not lead.HasField("conversion_probability")
    scored(client, score(lead.name, 0.7, decision="decisions/d"), score("leads/gone", 0.1))
    found = client.GetLead(name=lead.name)
    assert (found.conversion_probability, found.score, found.etag) == (0.7, lead.score, lead.etag)
    estimate = found.conversion_estimate
    assert (estimate.model, estimate.decision, estimate.percentile) == ("models/m", "decisions/d", 90.0)
    assert list(estimate.reasons) == ["Company named is yes: raises the chance of conversion by 12 points"]
    # An agent who read it before the estimate came changes it with the etag of then.
    changed = client.UpdateLead(lead={"name": lead.name, "employee_count": 5, "etag": lead.etag})
    assert (changed.employee_count, changed.conversion_probability) == (5, 0.7)


def test_messages_that_overtake_each_other_leave_the_later_change(client) -> None:
    lead = client.lead().name
    scored(client, score(lead, 0.8, minute=2), minute=2)
    scored(client, score(lead, 0.2, minute=1), minute=1)
    assert client.GetLead(name=lead).conversion_probability == 0.8
    scored(client, removed=(lead,), minute=4)
    scored(client, score(lead, 0.9, minute=3), minute=3)
    found = client.GetLead(name=lead)
    assert not found.HasField("conversion_probability")
    assert not found.HasField("conversion_estimate")


def test_leads_are_listed_by_how_probable_their_conversion_is(client, refused) -> None:
    names = [client.lead().name for _ in range(5)]
    scored(client, *(score(name, place / 10) for place, name in enumerate(names[:4], 1)))
    found, token = [], ""
    while True:
        page = client.ListLeads(order_by="conversion_probability desc", page_size=2, page_token=token)
        found += [lead.name for lead in page.leads]
        if not (token := page.next_page_token):
            break
    assert found == [*reversed(names[:4]), names[4]]
    likely = client.ListLeads(filter="conversion_probability >= 0.3 AND state = STATE_OPEN")
    assert [lead.name for lead in likely.leads] == names[2:4]
    with refused("INVALID_ORDER_BY") as error:
        client.ListLeads(order_by="conversion_probability")
    assert "conversion_probability desc" in error.violations["order_by"]


def test_what_is_told_of_a_lead_are_the_facts_of_its_creation(client) -> None:
    customer = client.customer()
    lead = client.lead(email="ada@example.org", region_code="DE", message="We need forty desks.", employee_count=40)
    client.UpdateLead(lead={"name": lead.name, "employee_count": 900, "customer": customer, "phone": "+493012345678"})
    client.DisqualifyLead(name=lead.name, reason="No answer.")
    created, updated, closed = told(client)
    assert isinstance(updated, events_pb2.LeadUpdated)
    assert isinstance(closed, events_pb2.LeadDisqualified)
    facts = created.lead.facts
    assert (facts.employee_count, facts.has_email, facts.has_phone, facts.is_customer) == (40, True, False, False)
    assert (facts.region_code, facts.message_length, facts.has_company, facts.source) == ("DE", 20, False, 1)
    assert facts.create_time == facts.know_time == lead.create_time
    assert updated.lead.facts == closed.lead.facts == facts
    assert (created.lead.customer, updated.lead.customer) == ("", customer)
    assert updated.lead.initial_score == created.lead.score < updated.lead.score
    assert closed.HasField("disqualify_time")
    assert b"ada@example.org" not in created.SerializeToString()


def test_erasing_a_person_tells_which_leads_went_with_them(client) -> None:
    customer = client.customer()
    named = client.lead(customer=customer, email="ada@example.org").name
    by_address = client.lead(email="ada@example.org").name
    other = client.lead(email="other@example.org").name
    with client.context():
        erase([customer])
    gone = [name for event in told(client, OrderChange) for name in event.leads]
    assert sorted(gone) == sorted([named, by_address])
    assert [lead.name for lead in client.ListLeads().leads] == [other]
