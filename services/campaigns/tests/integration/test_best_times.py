"""Messages that wait for the hour in which a person is most active, from what scoring tells to the mail."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rapport.scoring.v1 import events_pb2
from rapport.ticketing.v1 import events_pb2 as ticketing_events_pb2

from campaigns.store import Contact, JourneyEntry
from campaigns.usecases import advancing
from chassis import clock
from docstore import due

SERVICE = "campaigns"
BERLIN = ZoneInfo("Europe/Berlin")
SUNDAY_NINE = 6 * 24 + 9
# The night after it the clocks of Berlin are put forward.
SATURDAY = datetime(2027, 3, 27, 12, 20, tzinfo=BERLIN)
NINE = datetime(2027, 3, 28, 7, tzinfo=UTC)


def told(*people: str, best: int = SUNDAY_NINE, removed: tuple[str, ...] = (), **ago: float) -> Any:
    """What scoring tells, now or so long ago."""
    change_time = Timestamp()
    change_time.FromDatetime(clock.now() - timedelta(**ago))
    hours = [best, *(hour for hour in range(168) if hour != best)]
    state = {"hours_of_week": hours, "time_zone": "Europe/Berlin"}
    return events_pb2.SendTimesUpdated(
        send_times=[{"customer": name, **state} for name in people], removed_customers=removed, change_time=change_time
    )


@pytest.fixture
def waiting(client, travel) -> Any:
    """A journey whose mail waits for the best hour, on a Saturday at noon."""
    client.purpose()
    client.template()
    mail = client.mail("mail")
    mail["send"]["at_best_time"] = {}
    client.journey("win-back", mail, {"id": "end", "end": {}})
    travel.to(SATURDAY)
    return client


def known(client, count: int) -> list[str]:
    """People of Berlin who may be written to."""
    people = [client.customer() for _ in range(count)]
    client.know(*people, time_zone="Europe/Berlin")
    client.grant(*people)
    return people


def test_a_mail_waits_for_the_best_hour_and_others_leave_at_once(waiting, work, travel, inbox) -> None:
    waits, unknown = known(waiting, 2)
    waiting.tell(told(waits))
    waiting.enter(waits, unknown)
    work()
    assert waiting.states() == {"DEFERRED BEST_TIME": 1, "SENT": 1}
    (message,) = waiting.messages(customer=waits)
    assert message.due_time.ToDatetime(UTC) == NINE
    travel.to(NINE - timedelta(seconds=30))
    work()
    assert not inbox.to(waiting.address(waits))
    travel.to(NINE + timedelta(seconds=1))
    work()
    assert waiting.states() == {"SENT": 2}
    assert len(inbox.to(waiting.address(waits))) == 1


def test_quiet_hours_and_the_cap_hold_when_it_leaves(waiting, work, travel) -> None:
    (person,) = known(waiting, 1)
    quiet = {"quiet_start": {"hours": 21}, "quiet_end": {"hours": 9, "minutes": 30}}
    waiting.UpdateSendingPolicy(sending_policy={**quiet, "cap_messages": 1, "cap_days": 7})
    waiting.tell(told(person))
    waiting.enter(person)
    waiting.enter(person)
    work()
    # Nine o'clock is quiet: of the others the first of the week is the best, Saturday's 12:00, that is now.
    assert waiting.states() == {"SENT": 1, "SUPPRESSED FREQUENCY_CAP": 1}
    (other,) = known(waiting, 1)
    waiting.tell(told(other, best=6 * 24 + 10))
    waiting.enter(other)
    waiting.enter(other)
    work()
    assert waiting.states(customer=other) == {"DEFERRED BEST_TIME": 2}
    travel.to(NINE + timedelta(hours=1, seconds=1))
    work()
    assert waiting.states(customer=other) == {"SENT": 1, "SUPPRESSED FREQUENCY_CAP": 1}


def test_what_was_told_last_counts_and_who_objects_waits_no_longer(waiting, work, inbox) -> None:
    objects, member, stands = known(waiting, 3)
    waiting.tell(told(objects, member, stands))
    waiting.tell(told(objects, stands, best=0, hours=1))
    waiting.tell(told(removed=(objects, stands), hours=1))
    waiting.enter(objects, member, stands)
    work()
    assert waiting.states() == {"DEFERRED BEST_TIME": 3}, "older news change nothing"
    waiting.merge(member, stands)
    waiting.tell(told(removed=(objects, member), seconds=-1))
    work()
    assert len(inbox.to(waiting.address(objects))) == 1
    assert waiting.states() == {"SENT": 1, "DEFERRED BEST_TIME": 2}, "the profile that one came into has its hour"
    with waiting.context():
        rows = {row["uid"]: row["send_time"] for row in Contact.rows().find({})}
    assert rows[objects.rpartition("/")[2]].keys() == {"change_time"}
    assert "ranking" in rows[stands.rpartition("/")[2]]
    waiting.enter(objects)
    work()
    assert len(inbox.to(waiting.address(objects))) == 2


def test_who_objects_while_the_message_is_being_stored_waits_no_longer(waiting, work, settings) -> None:
    objects, stays = known(waiting, 2)
    waiting.tell(told(objects, stays))
    waiting.enter(objects, stays)
    rows = dict(due.claim(JourneyEntry, 10, 60, "me"))[waiting.tenant]
    with waiting.context():
        walk = advancing._Walk(settings, rows)
        waiting.tell(told(removed=(objects,), seconds=-1))
        JourneyEntry.rows().bulk_write(walk.operations())
    work()
    assert waiting.states(customer=objects) == {"SENT": 1}
    assert waiting.states(customer=stays) == {"DEFERRED BEST_TIME": 1}


def test_after_a_complaint_or_a_pause_it_waits_for_its_hour_again(waiting, work, travel) -> None:
    complains, objects = known(waiting, 2)
    waiting.tell(told(complains, objects))
    waiting.enter(complains, objects)
    work()
    tickets = {"tickets/1": complains, "tickets/2": objects}
    for name, person in tickets.items():
        complaint = {"ticket": name, "customer": person, "open": True}
        waiting.tell(ticketing_events_pb2.ComplaintOpened(complaint=complaint), subject=name)
    assert waiting.states() == {"DEFERRED COMPLAINT_OPEN": 2}
    waiting.tell(told(removed=(objects,), seconds=-1))
    for name, person in tickets.items():
        complaint = {"ticket": name, "customer": person}
        waiting.tell(ticketing_events_pb2.ComplaintClosed(complaint=complaint), subject=name, sequence=2)
    work()
    assert waiting.states(customer=objects) == {"SENT": 1}
    waiting.PauseJourney(name="journeys/win-back")
    waiting.ActivateJourney(name="journeys/win-back")
    work()
    (message,) = waiting.messages(customer=complains)
    assert (message.reason, message.due_time.ToDatetime(UTC)) == ("BEST_TIME", NINE)
    travel.to(NINE + timedelta(seconds=1))
    work()
    assert waiting.states() == {"SENT": 2}


def test_nobody_unknown_or_deleted_is_kept(waiting) -> None:
    (gone,), stranger = known(waiting, 1), waiting.customer()
    waiting.tell(told(gone))
    deleted = Timestamp()
    deleted.FromDatetime(clock.now())
    waiting.know(gone, delete_time=deleted)
    waiting.tell(told(gone, stranger, seconds=-1))
    with waiting.context():
        (row,) = Contact.rows().find({})
    assert "send_time" not in row


def test_a_journey_keeps_how_long_it_waits_and_refuses_what_is_too_long(client, refused) -> None:
    client.template()
    mail = client.mail("mail")
    mail["send"]["at_best_time"] = {"max_wait": {"seconds": 6 * 3600}}
    made = client.journey("six", mail, {"id": "end", "end": {}})
    assert made.steps[0].send.at_best_time.max_wait.seconds == 6 * 3600
    mail["send"]["at_best_time"] = {}
    assert client.journey("day", mail, {"id": "end", "end": {}}).steps[0].send.at_best_time.max_wait.seconds == 86_400
    assert not client.journey("now", client.mail("m"), {"id": "end", "end": {}}).steps[0].send.HasField("at_best_time")
    for seconds in (3599, 86_401):
        mail["send"]["at_best_time"] = {"max_wait": {"seconds": seconds}}
        with refused("JOURNEY_INVALID") as error:
            client.journey("no", mail, {"id": "end", "end": {}})
        assert error.violations["journey.steps[0].send.at_best_time.max_wait"] == "1 to 24 hours."
