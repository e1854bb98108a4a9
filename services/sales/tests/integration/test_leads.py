"""Leads: scored, given to sales reps, converted, disqualified."""

import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from rapport.sales.v1 import events_pb2, lead_pb2

from docstore import Conflict
from sales.store import Account, Contact, Lead, LeadDesk, Opportunity, SalesRep, sales_reps
from sales.usecases import assigning

SERVICE = "sales"
Rule = lead_pb2.LeadAssignment.Rule
State = lead_pb2.Lead.State


@pytest.fixture
def give_out():
    """Does what `run` does with leads that wait, until no desk is due."""

    def until_idle() -> None:
        while assigning.give_out("test"):
            pass

    return until_idle


def told(client, kind: type, name: str) -> list:
    """The events of that kind which wait to be published with a document."""
    event = kind.DESCRIPTOR.full_name
    with client.context():
        row = Lead.rows().find_one({"uid": name.partition("/")[2]})
    return [(kind.FromString(each["body"]), each["datasubjects"]) for each in row["outbox"] if each["type"] == event]


def loads(client) -> dict[str, int]:
    """How many leads each sales rep has: as counted there, which must be what the leads themselves say."""
    with client.context():
        counted = {row["uid"]: row["load"] for row in SalesRep.rows().find({"purged": None})}
        rows = Lead.rows().find({"state": "STATE_OPEN", "waiting": None})
        found = Counter(row["assignment"]["sales_rep"] for row in rows)
    assert counted == {uid: found[uid] for uid in counted}
    return counted


def test_a_lead_is_scored_with_reasons_and_given_to_who_fits(client) -> None:
    client.settle_in(region="DE")
    client.rep("anna", region_codes=["DE"], language_codes=["de"])
    client.rep("ben", region_codes=["FR"])
    person = client.customer()
    lead = client.lead(
        company_name="Acme", region_code="de", language_code="de-at", email="ada@example.com", phone="030 1234567",
        source="SOURCE_REFERRAL", message="We need forty licences by May.", employee_count=120,
        budget={"currency_code": "EUR", "units": 900}, customer=person,
    )  # fmt: skip
    assert lead.score == sum(reason.points for reason in lead.score_reasons) == 97
    assert {reason.rule for reason in lead.score_reasons} >= {"SOURCE_REFERRAL", "HOME_REGION", "COMPANY_SIZE"}
    assigned = lead.assignment
    assert (assigned.owner, assigned.sales_rep, assigned.rule) == (
        "principals/anna", "salesReps/anna", Rule.RULE_LOWEST_LOAD,
    )  # fmt: skip
    assert (assigned.load, assigned.capacity) == (0, 10)
    assert assigned.reason.startswith("Fits (region DE, language de-AT)")
    assert (lead.phone, lead.state) == ("+49301234567", State.STATE_OPEN)
    ((event, subjects),) = told(client, events_pb2.LeadCreated, lead.name)
    assert (event.lead.lead, event.lead.customer, event.lead.score, event.lead.owner, event.lead.state) == (
        lead.name, person, 97, "principals/anna", State.STATE_OPEN,
    )  # fmt: skip
    assert subjects == [person]
    assert client.GetLead(name=lead.name) == lead
    poorer = client.UpdateLead(lead={"name": lead.name}, update_mask={"paths": ["budget", "phone"]})
    assert (poorer.score, poorer.assignment) == (72, assigned)


def test_leads_go_round_by_share_of_capacity(client) -> None:
    client.rep("anna", capacity=2)
    client.rep("ben", capacity=4)
    owners = [client.lead().assignment.sales_rep.partition("/")[2] for _ in range(6)]
    assert owners == ["anna", "ben", "ben", "anna", "ben", "ben"]
    waiting = client.lead().assignment
    assert (waiting.rule, waiting.sales_rep, waiting.owner) == (Rule.RULE_WAITING, "", "")
    assert waiting.reason.startswith("Nobody of the 2 who fit has room")


def test_a_lead_waits_with_the_reason_until_somebody_gets_room(client, give_out) -> None:
    first = client.lead(region_code="FR")
    assert first.assignment.reason == "No sales rep fits: region FR."
    client.rep("anna", capacity=1, region_codes=["DE"])
    give_out()
    assert client.GetLead(name=first.name).assignment == first.assignment
    client.rep("ben", capacity=1, region_codes=["FR"])
    give_out()
    assert client.GetLead(name=first.name).assignment.sales_rep == "salesReps/ben"
    second, third = client.lead(region_code="FR"), client.lead(region_code="FR")
    give_out()
    assert client.GetLead(name=second.name).assignment.rule == Rule.RULE_WAITING
    # Room by disqualifying, by capacity, by coming back.
    client.DisqualifyLead(name=first.name, reason="no money")
    give_out()
    assert client.GetLead(name=second.name).assignment.sales_rep == "salesReps/ben"
    client.UpdateSalesRep(sales_rep={"name": "salesReps/ben", "capacity": 2, "available": False},
                          update_mask={"paths": ["capacity", "available"]})  # fmt: skip
    give_out()
    assert client.GetLead(name=third.name).assignment.rule == Rule.RULE_WAITING
    client.UpdateSalesRep(sales_rep={"name": "salesReps/ben", "available": True}, update_mask={"paths": ["available"]})
    give_out()
    assert client.GetLead(name=third.name).assignment.sales_rep == "salesReps/ben"
    assert loads(client) == {"anna": 0, "ben": 2}
    assert list(client.ListLeads(filter="NOT owner:* AND state = STATE_OPEN").leads) == []


def test_a_lead_that_nobody_called_for_is_found_a_minute_later(client, give_out, travel) -> None:
    lead = client.lead()
    give_out()
    client.rep("anna")
    with client.context():  # as if the call had come to nothing
        LeadDesk.rows().update_one({"uid": "default"}, {"$unset": {"due": ""}})
        LeadDesk.rows().update_one({"uid": "default"}, {"$set": {"due": assigning.clock.now() + assigning.LOOK_AGAIN}})
    give_out()
    assert client.GetLead(name=lead.name).assignment.rule == Rule.RULE_WAITING
    travel(minutes=2)
    give_out()
    assert client.GetLead(name=lead.name).assignment.sales_rep == "salesReps/anna"


def test_a_call_that_comes_while_the_desk_is_worked_at_is_heard(client, give_out, monkeypatch) -> None:
    lead = client.lead()
    looked = assigning._give_some

    def somebody_comes_after(uid: str) -> object:
        result = looked(uid)
        monkeypatch.setattr(assigning, "_give_some", looked)
        client.rep("anna")
        return result

    monkeypatch.setattr(assigning, "_give_some", somebody_comes_after)
    give_out()
    assert client.GetLead(name=lead.name).assignment.sales_rep == "salesReps/anna"


def test_a_sales_rep_who_got_a_lead_meanwhile_is_not_given_another_on_old_knowledge(client) -> None:
    client.rep("anna", capacity=1)
    with client.context():
        known = {rep.uid: rep for rep in sales_reps.all_reps()}
        client.lead()
        with pytest.raises(Conflict):
            sales_reps.take_room(known, Counter(anna=1))
    assert loads(client) == {"anna": 1}


def test_many_that_wait_go_in_the_order_they_came_and_a_second_run_changes_nothing(client, give_out) -> None:
    names = [client.lead().name for _ in range(120)]
    client.rep("anna", capacity=50)
    client.rep("ben", capacity=55)
    give_out()
    got = {each.name: each.assignment for each in client.ListLeads(page_size=1000).leads}
    assert [name for name in names if got[name].sales_rep] == names[:105]
    assert Counter(each.sales_rep for each in got.values()) == {"salesReps/anna": 50, "salesReps/ben": 55, "": 15}
    give_out()
    assert {each.name: each.assignment for each in client.ListLeads(page_size=1000).leads} == got
    assert loads(client) == {"anna": 50, "ben": 55}


def test_nobody_ever_has_more_than_the_capacity_however_many_come_at_once(client, give_out) -> None:
    """Leads come, go and are given out by several at the same time."""
    for uid, capacity in (("anna", 7), ("ben", 5), ("cem", 3)):
        client.rep(uid, capacity=capacity)

    def come(number: int) -> None:
        lead = client.lead()
        if number % 5 == 0:
            client.DisqualifyLead(name=lead.name, reason="no")
        if number % 7 == 0:
            assigning.give_out(f"runner-{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come, range(40)))
    give_out()
    assert loads(client) == {"anna": 7, "ben": 5, "cem": 3}
    waiting = [each for each in client.ListLeads(filter="state = STATE_OPEN", page_size=1000).leads
               if not each.assignment.owner]  # fmt: skip
    assert len(waiting) == 40 - 8 - 15


def test_somebody_may_choose_who_looks_after_a_lead(client, refused) -> None:
    client.rep("anna", region_codes=["DE"])
    client.rep("ben", capacity=1, region_codes=["FR"])
    lead = client.lead(region_code="DE")
    moved = client.AssignLead(name=lead.name, sales_rep="salesReps/ben")
    assert (moved.assignment.owner, moved.assignment.rule) == ("principals/ben", Rule.RULE_MANUAL)
    assert moved.assignment.reason == "principals/tester chose so."
    assert loads(client) == {"anna": 0, "ben": 1}
    other = client.lead(region_code="DE")
    with refused("SALES_REP_FULL", grpc.StatusCode.FAILED_PRECONDITION) as error:
        client.AssignLead(name=other.name, sales_rep="salesReps/ben")
    assert (error.metadata["load"], error.metadata["capacity"]) == ("1", "1")
    with refused("SALES_REP_UNKNOWN"):
        client.AssignLead(name=other.name, sales_rep="salesReps/nobody")
    with refused("SALES_REP_HAS_LEADS", grpc.StatusCode.FAILED_PRECONDITION):
        client.DeleteSalesRep(name="salesReps/ben")
    client.DisqualifyLead(name=lead.name, reason="no")
    client.DeleteSalesRep(name="salesReps/ben")
    assert [each.uid for each in client.ListSalesReps().sales_reps] == ["anna"]


def test_a_lead_becomes_account_contact_and_opportunity_once(client, refused) -> None:
    client.rep("anna")
    person = client.customer()
    lead = client.lead(company_name="Acme", email="ada@example.com", customer=person, region_code="DE",
                       budget={"currency_code": "EUR", "units": 900})  # fmt: skip
    request_id = str(uuid.uuid4())
    wish = {
        "name": lead.name, "etag": lead.etag, "request_id": request_id, "opportunity_display_name": "Forty licences",
        "stage": "proposal", "expected_close_date": {"year": 2027, "month": 2, "day": 28},
    }  # fmt: skip
    done = client.ConvertLead(**wish)
    assert (done.state, loads(client)) == (State.STATE_CONVERTED, {"anna": 0})
    account = client.GetAccount(name=done.conversion.account)
    contact = client.GetContact(name=done.conversion.contact)
    deal = client.GetOpportunity(name=done.conversion.opportunity)
    assert (account.display_name, account.region_code, account.owner) == ("Acme", "DE", "principals/anna")
    assert (contact.account, contact.customer, contact.email) == (account.name, person, "ada@example.com")
    assert (deal.account, deal.contact, deal.customer, deal.lead) == (account.name, contact.name, person, lead.name)
    assert (deal.display_name, deal.stage, deal.pipeline, deal.amount.units, deal.owner) == (
        "Forty licences", "proposal", "pipelines/default", 900, "principals/anna",
    )  # fmt: skip
    assert (deal.expected_close_date.month, deal.expected_close_date.day) == (2, 28)
    ((event, subjects),) = told(client, events_pb2.LeadConverted, lead.name)
    assert (event.account, event.contact, event.opportunity, subjects) == (
        account.name, contact.name, deal.name, [person],
    )  # fmt: skip
    assert client.ConvertLead(**wish) == done
    with refused("LEAD_ALREADY_CONVERTED", grpc.StatusCode.FAILED_PRECONDITION) as error:
        client.ConvertLead(name=lead.name)
    assert {error.metadata[name] for name in ("account", "contact", "opportunity")} == {
        account.name, contact.name, deal.name,
    }  # fmt: skip
    for call, fields in (
        (client.DisqualifyLead, {"reason": "no"}),
        (client.AssignLead, {"sales_rep": "salesReps/anna"}),
    ):
        with refused("LEAD_CLOSED"):
            call(name=lead.name, **fields)
    with refused("LEAD_CLOSED"):
        client.UpdateLead(lead={"name": lead.name, "display_name": "B"})


def test_a_lead_is_converted_into_an_account_there_is_or_not_at_all(client, refused) -> None:
    account = client.account()
    lead, other = client.lead(), client.lead()
    before = client.GetLead(name=other.name)
    assert client.ConvertLead(name=lead.name, account=account.name).conversion.account == account.name
    for reason, fields in (
        ("ACCOUNT_UNKNOWN", {"account": f"accounts/{uuid.uuid4()}"}),
        ("PIPELINE_UNKNOWN", {"pipeline": "pipelines/nowhere"}),
        ("STAGE_UNKNOWN", {"stage": "nowhere"}),
        ("CURRENCY_UNKNOWN", {"amount": {"currency_code": "EURO", "units": 1}}),
        ("ETAG_MISMATCH", {"etag": '"9"'}),
    ):
        with refused(reason):
            client.ConvertLead(name=other.name, **fields)
    assert client.GetLead(name=other.name) == before
    with client.context():
        counts = [kind.rows().count() for kind in (Account, Contact, Opportunity)]
    assert counts == [1, 1, 1]


def test_two_who_convert_at_the_same_time_make_one_opportunity(client) -> None:
    lead = client.lead()

    def convert(_: int) -> str:
        try:
            return client.ConvertLead(name=lead.name).conversion.opportunity
        except grpc.RpcError as error:
            return error.code().name

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(convert, range(4)))
    made = [answer for answer in answers if answer.startswith("opportunities/")]
    assert sorted(set(answers) - set(made)) == ["FAILED_PRECONDITION"]
    assert len(made) == 1
    assert [each.name for each in client.ListOpportunities().opportunities] == made


def test_a_disqualified_lead_stays_so_and_says_why(client, refused) -> None:
    client.rep("anna")
    lead = client.lead()
    done = client.DisqualifyLead(name=lead.name, reason="wrong number")
    assert (done.state, done.disqualification_reason) == (State.STATE_DISQUALIFIED, "wrong number")
    assert client.DisqualifyLead(name=lead.name, reason="other") == done
    assert loads(client) == {"anna": 0}
    with refused("LEAD_CLOSED"):
        client.ConvertLead(name=lead.name)


def test_the_best_come_first_and_a_customers_leads_are_those_of_the_whole_profile(client) -> None:
    ann, alias = client.customer(), client.customer()
    client.merge(alias, ann)
    mine = {client.lead(customer=ann).name, client.lead(customer=alias).name}
    best = client.lead(phone="+49301234567", company_name="Acme", employee_count=500, source="SOURCE_PHONE")
    client.lead()
    for name in (ann, alias):
        assert {each.name for each in client.ListLeads(filter=f'customer = "{name}"').leads} == mine
    scores = []
    token = ""
    while True:
        page = client.ListLeads(order_by="score desc", filter="state = STATE_OPEN", page_size=2, page_token=token)
        scores += [each.score for each in page.leads]
        if not (token := page.next_page_token):
            break
    assert scores == sorted(scores, reverse=True)
    assert (len(scores), scores[0]) == (4, best.score)
