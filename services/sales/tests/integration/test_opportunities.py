"""Pipelines and the opportunities that go through them."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from rapport.sales.v1 import events_pb2, opportunity_pb2

from sales.store import Opportunity, Pipeline
from sales.usecases import deletions

SERVICE = "sales"
State = opportunity_pb2.Opportunity.State
STAGES = [
    {"id": "first", "display_name": "First", "probability_percent": 20},
    {"id": "last", "display_name": "Last", "probability_percent": 80},
]


@pytest.fixture
def deal(client):
    """Makes an opportunity of a new account."""

    def make(**fields):
        account = fields.pop("account", None) or client.account().name
        return client.CreateOpportunity(opportunity={"display_name": "Deal", "account": account} | fields)

    return make


def events(client, name: str) -> list[tuple[str, list[str]]]:
    with client.context():
        row = Opportunity.rows().find_one({"uid": name.partition("/")[2]})
    return [(each["type"].rpartition(".")[2], each["datasubjects"]) for each in row.get("outbox", ())]


def test_the_default_pipeline_comes_by_itself_and_can_be_changed(client, deal) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: deal(), range(4)))
    assert {(each.pipeline, each.stage) for each in made} == {("pipelines/default", "qualification")}
    (pipeline,) = client.ListPipelines().pipelines
    assert [stage.probability_percent for stage in pipeline.stages] == [10, 25, 50, 75]
    changed = client.UpdatePipeline(pipeline={"name": pipeline.name, "display_name": "All deals"})
    assert (changed.display_name, changed.stages) == ("All deals", pipeline.stages)
    with client.context():
        assert Pipeline.rows().count() == 1


def test_listing_pipelines_makes_the_default_one(client) -> None:
    assert [each.name for each in client.ListPipelines().pipelines] == ["pipelines/default"]
    assert client.GetPipeline(name="pipelines/default").display_name == "Sales"


def test_an_opportunity_moves_only_through_stages_of_its_pipeline(client, deal, refused) -> None:
    client.CreatePipeline(pipeline={"display_name": "B2B", "stages": STAGES}, pipeline_id="b2b")
    made = deal(pipeline="pipelines/b2b", amount={"currency_code": "JPY", "units": 70})
    assert (made.stage, made.owner, made.amount.units) == ("first", "principals/tester", 70)
    moved = client.UpdateOpportunity(opportunity={"name": made.name, "stage": "last", "etag": made.etag})
    assert (moved.stage, moved.amount) == ("last", made.amount)
    with refused("STAGE_UNKNOWN") as error:
        client.UpdateOpportunity(opportunity={"name": made.name, "stage": "proposal"})
    assert "first, last" in error.violations["opportunity.stage"]
    with refused("STAGE_UNKNOWN"):
        client.UpdateOpportunity(
            opportunity={"name": made.name, "pipeline": "pipelines/default"}, update_mask={"paths": ["pipeline"]}
        )
    with refused("PIPELINE_UNKNOWN"):
        client.UpdateOpportunity(opportunity={"name": made.name, "pipeline": "pipelines/none", "stage": "x"})
    over = client.UpdateOpportunity(
        opportunity={"name": made.name, "pipeline": "pipelines/default", "stage": "proposal"}
    )
    assert (over.pipeline, over.stage) == ("pipelines/default", "proposal")
    assert [each.name for each in client.ListOpportunities(filter='pipeline = "pipelines/default"').opportunities] == [
        made.name
    ]


def test_a_pipeline_is_deleted_once_no_open_opportunity_is_in_it(client, deal, refused, travel) -> None:
    made = client.CreatePipeline(pipeline={"display_name": "B2B", "stages": STAGES}, pipeline_id="b2b")
    opened, won = deal(pipeline=made.name), deal(pipeline=made.name)
    client.WinOpportunity(name=won.name)
    with refused("PIPELINE_IN_USE", grpc.StatusCode.FAILED_PRECONDITION) as error:
        client.DeletePipeline(name=made.name)
    assert error.preconditions.keys() == {opened.name}
    assert error.metadata["resource"] == made.name
    moved = {"name": opened.name, "pipeline": "pipelines/default", "stage": "proposal"}
    client.UpdateOpportunity(opportunity=moved, update_mask={"paths": ["pipeline", "stage"]})
    with refused("ETAG_MISMATCH", grpc.StatusCode.ABORTED):
        client.DeletePipeline(name=made.name, etag='"77"')
    request = {"name": made.name, "request_id": str(uuid.uuid4())}
    client.DeletePipeline(**request)
    client.DeletePipeline(**request)
    with refused("NOT_FOUND"):
        client.GetPipeline(name=made.name)
    with refused("NOT_FOUND"):
        client.DeletePipeline(name=made.name)
    with refused("PIPELINE_UNKNOWN"):
        deal(pipeline=made.name)
    with refused("DEFAULT_PIPELINE", grpc.StatusCode.FAILED_PRECONDITION):
        client.DeletePipeline(name="pipelines/default")
    assert [each.name for each in client.ListPipelines().pipelines] == ["pipelines/default"]
    travel(days=31)
    deletions.purge_due()
    back = client.ReopenOpportunity(name=won.name)
    assert (back.pipeline, back.stage) == ("pipelines/default", "qualification")
    again = client.CreatePipeline(pipeline={"display_name": "B2B", "stages": STAGES}, pipeline_id="b2b")
    assert again.name == made.name


def test_a_stage_in_use_cannot_be_left_out(client, deal, refused) -> None:
    client.CreatePipeline(pipeline={"display_name": "B2B", "stages": STAGES}, pipeline_id="b2b")
    made = deal(pipeline="pipelines/b2b")
    with refused("STAGE_IN_USE", grpc.StatusCode.FAILED_PRECONDITION):
        client.UpdatePipeline(pipeline={"name": "pipelines/b2b", "stages": STAGES[1:]})
    client.WinOpportunity(name=made.name)
    assert len(client.UpdatePipeline(pipeline={"name": "pipelines/b2b", "stages": STAGES[1:]}).stages) == 1
    with refused("ALREADY_EXISTS"):
        client.CreatePipeline(pipeline={"display_name": "B2B", "stages": STAGES}, pipeline_id="b2b")


def test_a_contact_must_speak_for_the_account_and_brings_the_customer(client, deal, refused) -> None:
    mine, other = client.account(), client.account()
    person, alias = client.customer(), client.customer()
    contact = client.CreateContact(contact={"account": mine.name, "display_name": "Ann", "customer": person})
    made = deal(account=mine.name, contact=contact.name)
    assert made.customer == person
    with refused("CONTACT_UNKNOWN"):
        deal(account=other.name, contact=contact.name)
    client.merge(alias, person)
    found = client.ListOpportunities(filter=f'customer = "{alias}"').opportunities
    assert [each.name for each in found] == [made.name]


def test_a_deal_is_won_or_lost_once_and_told(client, deal, refused) -> None:
    person = client.customer()
    won, lost = deal(customer=person), deal()
    done = client.WinOpportunity(name=won.name, etag=won.etag)
    assert (done.state, done.HasField("close_time")) == (State.STATE_WON, True)
    gone = client.LoseOpportunity(name=lost.name, lost_reason="too dear")
    assert (gone.state, gone.lost_reason) == (State.STATE_LOST, "too dear")
    assert events(client, won.name) == [("OpportunityWon", [person])]
    assert events(client, lost.name) == [("OpportunityLost", [])]
    for name in (won.name, lost.name):
        for call, fields in ((client.WinOpportunity, {}), (client.LoseOpportunity, {"lost_reason": "x"})):
            with refused("OPPORTUNITY_CLOSED", grpc.StatusCode.FAILED_PRECONDITION):
                call(name=name, **fields)
        with refused("OPPORTUNITY_CLOSED"):
            client.UpdateOpportunity(opportunity={"name": name, "stage": "proposal"})
    back = client.ReopenOpportunity(name=lost.name)
    assert (back.state, back.lost_reason, back.HasField("close_time"), back.stage) == (
        State.STATE_OPEN, "", False, lost.stage,
    )  # fmt: skip
    with refused("OPPORTUNITY_OPEN"):
        client.ReopenOpportunity(name=lost.name)
    client.WinOpportunity(name=lost.name)
    told = ["OpportunityLost", "OpportunityReopened", "OpportunityWon"]
    assert [kind for kind, _ in events(client, lost.name)] == told


def test_a_reopened_opportunity_is_in_a_stage_its_pipeline_still_has(client, deal) -> None:
    client.CreatePipeline(pipeline={"display_name": "B2B", "stages": STAGES}, pipeline_id="b2b")
    person = client.customer()
    made = deal(pipeline="pipelines/b2b", stage="last", customer=person)
    client.WinOpportunity(name=made.name)
    client.UpdatePipeline(pipeline={"name": "pipelines/b2b", "stages": STAGES[:1]})
    back = client.ReopenOpportunity(name=made.name)
    assert (back.state, back.stage) == (State.STATE_OPEN, "first")
    assert events(client, made.name)[-1] == ("OpportunityReopened", [person])


def test_what_the_event_of_a_win_says(client, deal) -> None:
    made = deal(amount={"currency_code": "EUR", "units": 12, "nanos": 500_000_000}, owner="principals/anna")
    client.WinOpportunity(name=made.name)
    with client.context():
        row = Opportunity.rows().find_one({"uid": made.uid})
    told = events_pb2.OpportunityWon.FromString(row["outbox"][0]["body"])
    assert (told.opportunity.opportunity, told.opportunity.amount, told.opportunity.owner) == (
        made.name, made.amount, "principals/anna",
    )  # fmt: skip
    assert told.HasField("win_time")
