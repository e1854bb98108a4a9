"""Held out of a journey: drawn at the entry, through the same rules and decisions, and never a mail."""

from datetime import UTC, timedelta

import pytest
from rapport.campaigns.v1 import events_pb2, journey_pb2, message_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.scoring.v1 import events_pb2 as scoring_events_pb2

from campaigns.domain.holdout import is_held_out
from campaigns.store import EntryNotice, Journey
from chassis import clock
from docstore import batches

SERVICE = "campaigns"
Group = journey_pb2.JourneyEntry.Group
State = message_pb2.Message.State


@pytest.fixture
def holding(client):
    """A journey that holds out half; a purpose and a template with it."""
    client.purpose()
    client.template()
    client.journey(holdout_percent=50)
    return client


def told(client) -> list[events_pb2.JourneyEntered]:
    with client.context():
        rows = sorted(EntryNotice.rows().find({}), key=lambda row: row["_id"])
    return [events_pb2.JourneyEntered.FromString(entry["body"]) for row in rows for entry in row["outbox"]]


def groups(client) -> dict[str, int]:
    return {entry.customer: entry.group for entry in client.entries()}


def test_who_is_held_out_is_decided_on_like_all_others_and_gets_no_mail(holding, work, inbox) -> None:
    people = [holding.customer() for _ in range(24)]
    holding.know(*people)
    holding.grant(*people[:16])
    holding.enter(*people)
    work()
    drawn = groups(holding)
    assert {*drawn} == {*people}
    assert 0 < sum(group == Group.GROUP_HELD_OUT for group in drawn.values()) < 24
    messages = {message.customer: message for message in holding.messages()}
    for place, person in enumerate(people):
        held, allowed = drawn[person] == Group.GROUP_HELD_OUT, place < 16
        ends = {(True, True): State.STATE_HELD_OUT, (False, True): State.STATE_SENT}
        assert messages[person].state == ends.get((held, allowed), State.STATE_REFUSED)
        assert messages[person].decision, "consent was asked about both"
        assert len(inbox.to(holding.address(person))) == (allowed and not held)
    assert {entry.state for entry in holding.entries()} == {journey_pb2.JourneyEntry.STATE_ENDED}
    for group in (Group.GROUP_HELD_OUT, Group.GROUP_TREATED):
        asked = holding.ListJourneyEntries(
            parent="journeys/win-back", filter=f"group = {Group.Name(group)}", page_size=100
        )
        found = {entry.customer for entry in asked.journey_entries}
        assert found == {person for person in people if drawn[person] == group}


def test_entries_are_told_once_with_their_groups(holding, travel) -> None:
    people = [holding.customer() for _ in range(401)]
    event = holding.enter(*people)
    holding.enter(*people, event_id=event)
    first, second = told(holding)
    assert [len(each.entrants) for each in (first, second)] == [400, 1]
    entries = {entry.name: entry for entry in holding.entries()}
    for each in (first, second):
        assert (each.journey, each.holdout_percent) == ("journeys/win-back", 50)
        for entrant in each.entrants:
            entry = entries.pop(entrant.journey_entry)
            assert (entrant.customer, entrant.group) == (entry.customer, entry.group)
            assert each.entry_time == entry.create_time
    assert not entries
    with holding.context():
        (some, one) = sorted(
            ({*row["outbox"][0]["datasubjects"]} for row in EntryNotice.rows().find({})), key=len, reverse=True
        )
        assert some | one == {*people}, "erasing finds the events by them"
        EntryNotice.rows().update_many({"state": batches.DONE}, {"$set": {"outbox": []}})
    batches.delete_expired(EntryNotice)
    assert told(holding) == []


def test_a_person_stays_in_their_group_and_a_merged_one_is_in_that_of_the_profile(holding) -> None:
    with holding.context():
        salt = Journey.get("win-back").holdout_salt
    assert salt

    def held(person: str, percent: int = 50) -> bool:
        return is_held_out(holding.tenant, "win-back", person, salt, percent)

    people = [holding.customer() for _ in range(30)]
    holding.enter(*people)
    holding.enter(*people)
    assert len(holding.entries()) == 60
    assert groups(holding) == {
        person: Group.GROUP_HELD_OUT if held(person) else Group.GROUP_TREATED for person in people
    }
    # Those of another half percent: only who must moves.
    holding.UpdateJourney(
        journey={"name": "journeys/win-back", "holdout_percent": 10}, update_mask={"paths": ["holdout_percent"]}
    )
    others = [holding.customer() for _ in range(30)]
    holding.enter(*others)
    assert {entry.customer for entry in holding.entries() if entry.group == Group.GROUP_HELD_OUT} == {
        *(person for person in people if held(person)),
        *(person for person in others if held(person, 10)),
    }
    canonical = next(name for name in (holding.customer() for _ in range(1_000)) if held(name, 10))
    member = next(name for name in (holding.customer() for _ in range(1_000)) if not held(name))
    alias = {"customer": member, "canonical_customer": canonical}
    holding.tell(identity_events_pb2.CustomerMerged(alias=alias), subject=member)
    holding.enter(member)
    assert groups(holding)[member] == Group.GROUP_HELD_OUT


def test_without_a_percentage_nobody_is_held_out(ready, work) -> None:
    people = [ready.customer() for _ in range(3)]
    ready.know(*people)
    ready.grant(*people)
    ready.enter(*people)
    work()
    assert ready.states() == {"SENT": 3}
    assert {*groups(ready).values()} == {Group.GROUP_TREATED}
    (event,) = told(ready)
    assert event.holdout_percent == 0
    assert event.entry_time.ToDatetime(UTC) > clock.now() - timedelta(minutes=1)


@pytest.mark.parametrize("percent", [-1, 51])
def test_more_than_half_is_refused(holding, refused, percent) -> None:
    with refused("INVALID_HOLDOUT") as error:
        holding.UpdateJourney(
            journey={"name": "journeys/win-back", "holdout_percent": percent},
            update_mask={"paths": ["holdout_percent"]},
        )
    assert list(error.violations) == ["journey.holdout_percent"]


def test_held_out_messages_take_no_room_of_the_cap(holding, work, inbox) -> None:
    holding.UpdateSendingPolicy(sending_policy={"cap_messages": 1, "cap_days": 7})
    people = [holding.customer() for _ in range(12)]
    holding.know(*people)
    holding.grant(*people)
    holding.enter(*people)
    work()
    holding.journey("other", trigger={"segment": "segments/others"})
    snapshots = [{"customer": person} for person in people]
    holding.tell(scoring_events_pb2.SegmentEntered(segment="segments/others", customers=snapshots))
    work()
    drawn = {entry.customer: entry.group for entry in holding.entries()}
    for person in people:
        assert len(inbox.to(holding.address(person))) == 1
    assert holding.states() == {
        "SENT": 12,
        "HELD_OUT": sum(group == Group.GROUP_HELD_OUT for group in drawn.values()),
        "SUPPRESSED FREQUENCY_CAP": sum(group == Group.GROUP_TREATED for group in drawn.values()),
    }
