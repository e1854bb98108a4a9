"""Calendars, SLA policies, and clocks that tell, through the API and what `run` does."""

import uuid
from datetime import UTC, datetime, timedelta

import grpc
import pytest

SERVICE = "ticketing"
MONDAY = datetime(2026, 6, 1, 8, tzinfo=UTC)  # ten in Berlin
HOUR = timedelta(hours=1)


def at(timestamp) -> datetime:
    return timestamp.ToDatetime(UTC)


@pytest.fixture
def monday(travel):
    """Begins on a Monday at ten in Berlin; call it to make time pass."""
    travel.to(MONDAY)
    return travel


def test_calendars_are_written_listed_and_changed(client, refused) -> None:
    made = client.calendar(holidays=[{"year": 2026, "month": 12, "day": 25}, {"year": 2026, "month": 1, "day": 1}])
    assert [each.month for each in made.holidays] == [1, 12]
    assert client.GetCalendar(name=made.name) == made
    changed = client.UpdateCalendar(
        calendar={"name": made.name, "hours": [{"day_of_week": "SUNDAY", "end": {"hours": 24}}]},
        update_mask={"paths": ["hours"]},
    )
    assert (changed.hours[0].end.hours, changed.time_zone) == (24, "Europe/Berlin")
    assert [each.uid for each in client.ListCalendars().calendars] == ["office"]
    with refused("ETAG_MISMATCH"):
        client.UpdateCalendar(calendar={"name": made.name, "display_name": "x", "etag": made.etag})


def hours(day: str, start: float, end: float) -> dict:
    return {
        "day_of_week": day,
        "start": {"hours": int(start), "minutes": int(start % 1 * 60)},
        "end": {"hours": int(end), "minutes": int(end % 1 * 60)},
    }


@pytest.mark.parametrize(
    ("fields", "reason", "places"),
    [
        (
            {"hours": [hours("MONDAY", 9, 17), hours("TUESDAY", 9, 12), hours("MONDAY", 16.5, 18)]},
            "INVALID_OPEN_HOURS", {"calendar.hours[2].start": "overlaps calendar.hours[0] on Monday"},
        ),
        (
            {"hours": [hours("MONDAY", 17, 9), hours("TUESDAY", 9, 9)]}, "INVALID_OPEN_HOURS",
            {"calendar.hours[0].end": "after the start", "calendar.hours[1].end": "after the start"},
        ),
        ({"hours": [hours("MONDAY", 9, 24.5)]}, "INVALID_OPEN_HOURS", {"calendar.hours[0].end": "24:00"}),
        ({"hours": [hours("MONDAY", 24, 24)]}, "INVALID_OPEN_HOURS", {"calendar.hours[0].start": "23:59"}),
        (
            {"holidays": [{"year": 2026, "month": 2, "day": 30}]}, "INVALID_HOLIDAY",
            {"calendar.holidays[0]": "Not a day"},
        ),
        ({"time_zone": "Mars/Olympus"}, "INVALID_TIME_ZONE", {"calendar.time_zone": "IANA"}),
    ],
)  # fmt: skip
def test_a_calendar_that_cannot_be_is_refused_with_all_that_is_wrong(client, refused, fields, reason, places) -> None:
    with refused(reason, grpc.StatusCode.INVALID_ARGUMENT) as error:
        client.calendar(**fields)
    assert error.violations.keys() == places.keys()
    assert all(words in error.violations[place] for place, words in places.items())


def test_a_calendar_that_is_never_open_is_refused(client, refused) -> None:
    with refused("CALENDAR_NEVER_OPEN", grpc.StatusCode.INVALID_ARGUMENT) as error:
        client.calendar(hours=[])
    assert "calendar.hours" in error.violations
    made = client.calendar()
    with refused("CALENDAR_NEVER_OPEN"):
        client.UpdateCalendar(calendar={"name": made.name}, update_mask={"paths": ["hours"]})


def test_policies_are_written_listed_changed_and_deleted(client, refused) -> None:
    client.calendar()
    made = client.policy(order=5)
    assert (made.warning_percent, made.targets[0].resolution.seconds) == (80, 8 * 3600)
    assert client.GetSlaPolicy(name=made.name) == made
    client.policy("first", order=1)
    assert [each.uid for each in client.ListSlaPolicies().sla_policies] == ["first", "standard"]
    changed = client.UpdateSlaPolicy(sla_policy={"name": made.name, "warning_percent": 50})
    assert changed.warning_percent == 50
    with refused("ETAG_MISMATCH"):
        client.DeleteSlaPolicy(name=made.name, etag=made.etag)
    client.DeleteSlaPolicy(name=made.name)
    with refused("NOT_FOUND"):
        client.GetSlaPolicy(name=made.name)
    assert client.policy().name == made.name


def test_a_calendar_is_deleted_once_no_policy_goes_by_it_and_tickets_go_on(client, monday, refused) -> None:
    office = client.calendar()
    client.policy()
    client.policy("second")
    ticket = client.ticket()
    with refused("CALENDAR_IN_USE", grpc.StatusCode.FAILED_PRECONDITION) as error:
        client.DeleteCalendar(name=office.name)
    assert error.preconditions.keys() == {"slaPolicies/standard", "slaPolicies/second"}
    assert error.metadata == {"resource": office.name, "users": "slaPolicies/second, slaPolicies/standard"}
    client.always()
    client.UpdateSlaPolicy(sla_policy={"name": "slaPolicies/standard", "calendar": "calendars/always"})
    client.DeleteSlaPolicy(name="slaPolicies/second")
    with refused("ETAG_MISMATCH", grpc.StatusCode.ABORTED):
        client.DeleteCalendar(name=office.name, etag='"77"')
    request = {"name": office.name, "request_id": str(uuid.uuid4())}
    client.DeleteCalendar(**request)
    client.DeleteCalendar(**request)
    for call in (
        lambda: client.GetCalendar(name=office.name),
        lambda: client.DeleteCalendar(name=office.name),
        lambda: client.policy("third"),
    ):
        with refused("NOT_FOUND"):
            call()
    assert [each.uid for each in client.ListCalendars().calendars] == ["always"]
    with refused("ALREADY_EXISTS"):
        client.calendar()
    # What the ticket used was counted in the deleted one.
    monday(hours=2)
    client.PendTicket(name=ticket.name)
    assert client.now(ticket).sla.resolution.used_duration.seconds == 2 * 3600


NORMAL = "PRIORITY_NORMAL"


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"targets": [{"priority": NORMAL}]}, "INVALID_TARGET", "sla_policy.targets[0]"),
        (
            {"targets": [{"priority": NORMAL, "resolution": HOUR}] * 2}, "INVALID_TARGET",
            "sla_policy.targets[1].priority",
        ),
        (
            {"targets": [{"priority": NORMAL, "resolution": timedelta(days=367)}]}, "INVALID_TARGET",
            "sla_policy.targets[0].resolution",
        ),
        (
            {"targets": [{"priority": NORMAL, "first_response": timedelta()}]}, "INVALID_TARGET",
            "sla_policy.targets[0].first_response",
        ),
        ({"warning_percent": 100}, "INVALID_WARNING_PERCENT", "sla_policy.warning_percent"),
        ({"filter": "subject = x"}, "INVALID_FILTER", "sla_policy.filter"),
        ({"order": 1_000_001}, "INVALID_ORDER", "sla_policy.order"),
    ],
)  # fmt: skip
def test_a_policy_that_cannot_be_is_refused(client, refused, fields, reason, field) -> None:
    client.calendar()
    with refused(reason, grpc.StatusCode.INVALID_ARGUMENT) as error:
        client.policy(**fields)
    assert field in error.violations
    with refused("NOT_FOUND"):
        client.policy("lost", calendar="calendars/none")


def test_clocks_begin_with_the_ticket_in_open_hours(client, monday) -> None:
    client.calendar()
    client.policy("vip", filter="kind = KIND_COMPLAINT", order=0,
                  targets=[{"priority": NORMAL, "resolution": HOUR}])  # fmt: skip
    client.policy(order=1)
    ticket = client.ticket()
    sla = ticket.sla
    assert sla.sla_policy == "slaPolicies/standard"
    assert at(sla.first_response.due_time) - MONDAY == pytest.approx(HOUR, abs=timedelta(seconds=10))
    assert at(sla.resolution.due_time) - MONDAY == pytest.approx(24 * HOUR, abs=timedelta(seconds=10))
    assert (sla.resolution.target_duration.seconds, sla.resolution.paused) == (8 * 3600, False)
    monday(hours=2)
    assert client.now(ticket).sla.resolution.used_duration.seconds == pytest.approx(7200, abs=10)
    complaint = client.ticket(kind="KIND_COMPLAINT").sla
    assert complaint.sla_policy == "slaPolicies/vip"
    assert not complaint.HasField("first_response")
    urgent = client.ticket(priority="PRIORITY_URGENT").sla
    assert (urgent.sla_policy, urgent.HasField("resolution")) == ("slaPolicies/standard", False)


def test_a_pause_is_a_pause(client, monday, work) -> None:
    client.calendar()
    client.policy()
    ticket = client.ticket()
    monday(hours=2)
    paused = client.PendTicket(name=ticket.name).sla
    assert (paused.resolution.paused, paused.resolution.HasField("due_time")) == (True, False)
    assert not paused.first_response.paused
    monday(hours=24)
    work()
    assert [name for name in client.told_names(ticket.name) if name.startswith("Sla")] == ["SlaWarning", "SlaBreached"]
    client.say(ticket)
    running = client.now(ticket).sla.resolution
    assert running.used_duration.seconds == pytest.approx(7200, abs=10)
    # Tuesday at noon: five hours are left that day, one is for Wednesday.
    assert at(running.due_time) - MONDAY == pytest.approx(48 * HOUR, abs=timedelta(seconds=10))


def test_an_answer_ends_the_first_response_and_resolving_ends_all(client, monday) -> None:
    client.calendar()
    client.policy()
    ticket = client.ticket()
    monday(minutes=30)
    client.say(ticket, author="AUTHOR_INTERNAL")
    assert not client.now(ticket).sla.first_response.HasField("done_time")
    client.say(ticket, author="AUTHOR_AGENT")
    first = client.now(ticket).sla.first_response
    assert first.used_duration.seconds == pytest.approx(1800, abs=10)
    assert first.HasField("done_time")
    monday(hours=5)
    client.say(ticket, author="AUTHOR_AGENT")
    resolved = client.ResolveTicket(name=ticket.name).sla
    assert resolved.first_response.done_time == first.done_time
    assert resolved.resolution.used_duration.seconds == pytest.approx(5.5 * 3600, abs=10)
    monday(hours=48)
    reopened = client.ReopenTicket(name=ticket.name).sla.resolution
    assert (reopened.HasField("done_time"), reopened.used_duration.seconds) == (
        False,
        resolved.resolution.used_duration.seconds,
    )


def sla(client, ticket) -> list[tuple[str, int]]:
    return [(name, event.clock.target) for name, event in client.told(ticket.name) if name.startswith("Sla")]


def test_warnings_and_breaches_are_told_once_each(client, monday, work) -> None:
    customer = client.customer()
    client.calendar()
    client.policy(warning_percent=50)
    client.agent("ann")
    ticket = client.ticket(customer=customer)
    work()
    monday(minutes=29)
    work()
    assert sla(client, ticket) == []
    monday(minutes=2)
    work()
    work()
    assert sla(client, ticket) == [("SlaWarning", 1)]
    monday(minutes=30)
    work()
    assert sla(client, ticket) == [("SlaWarning", 1), ("SlaBreached", 1)]
    shown = client.now(ticket).sla.first_response
    assert at(shown.warning_time) - MONDAY == pytest.approx(0.5 * HOUR, abs=timedelta(seconds=10))
    assert shown.breach_time == shown.due_time
    # Past both of the other clock at once, a week later.
    monday(days=7)
    work()
    work()
    assert sla(client, ticket)[2:] == [("SlaWarning", 2), ("SlaBreached", 2)]
    told = client.told(ticket.name)[-1][1].clock
    assert (told.ticket, told.customer, told.agent) == (ticket.name, customer, "agents/ann")
    assert at(told.due_time) - MONDAY == pytest.approx(24 * HOUR, abs=timedelta(seconds=10))


def test_what_is_late_before_anybody_looked_is_told_by_the_change(client, monday, work) -> None:
    client.calendar()
    client.policy()
    ticket = client.ticket()
    monday(hours=3)
    client.say(ticket, author="AUTHOR_AGENT")
    assert sla(client, ticket) == [("SlaWarning", 1), ("SlaBreached", 1)]
    work()
    assert sla(client, ticket) == [("SlaWarning", 1), ("SlaBreached", 1)]


def test_another_priority_means_other_times(client, monday, work) -> None:
    client.calendar()
    client.policy(
        targets=[
            {"priority": NORMAL, "first_response": 4 * HOUR, "resolution": 8 * HOUR},
            {"priority": "PRIORITY_URGENT", "first_response": 2 * HOUR, "resolution": HOUR},
        ]
    )
    ticket = client.ticket()
    monday(minutes=90)
    urgent = client.UpdateTicket(ticket={"name": ticket.name, "priority": "PRIORITY_URGENT"}).sla
    assert urgent.first_response.target_duration.seconds == 7200
    assert urgent.first_response.used_duration.seconds == pytest.approx(5400, abs=10)
    assert urgent.resolution.HasField("breach_time")
    assert sla(client, ticket) == [("SlaWarning", 2), ("SlaBreached", 2)]
    normal = client.UpdateTicket(ticket={"name": ticket.name, "priority": NORMAL}).sla
    assert normal.resolution.HasField("breach_time")
    low = client.UpdateTicket(ticket={"name": ticket.name, "priority": "PRIORITY_LOW"}).sla
    assert not low.HasField("resolution")
    work()
    assert len(sla(client, ticket)) == 2
