"""From the event to the mail: consent, caps, quiet hours, merges, withdrawals; real services on both sides."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from rapport.access.v1 import events_pb2 as access_events_pb2
from rapport.consent.v1 import consent_pb2
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2

from campaigns.store import Message, Suppression
from campaigns.usecases import advancing, sending
from chassis import clock, ids
from chassis.smtp import Mailer

SERVICE = "campaigns"
DAY_S = 86_400


def test_members_whose_consent_stands_get_one_mail_and_all_others_a_reason(ready, work, inbox) -> None:
    people = [ready.customer() for _ in range(6)]
    ready.know(*people)
    ready.grant(*people[:3])
    ready.withdraw(people[3])
    ready.RefuseConsent(customer=people[4], purpose="purposes/news", channel=1, evidence={"method": "METHOD_FORM"})
    ready.enter(*people)
    work()
    assert ready.states() == {"SENT": 3, "REFUSED WITHDRAWN": 1, "REFUSED REFUSED": 1, "REFUSED NEVER_ASKED": 1}
    for message in ready.messages():
        decision = ready.GetDecision(name=message.decision)
        allowed = decision.outcome == consent_pb2.Decision.OUTCOME_ALLOWED
        assert allowed == (message.customer in people[:3])
        mails = inbox.to(ready.address(message.customer))
        assert [mail["Message-ID"] for mail in mails] == ([message.message_id_header] if allowed else [])
    assert {entry.state for entry in ready.entries()} == {2}
    # Doing it all again sends nothing again.
    work()
    assert ready.states()["SENT"] == 3


def test_the_mail_is_personal_tracked_and_can_be_unsubscribed_from(ready, work, inbox) -> None:
    tenant = {
        "name": f"tenants/{ready.tenant}",
        "uid": ready.tenant,
        "settings": {"time_zone": "UTC", "sender": {"display_name": "Böse & Söhne", "email": "hi@shop.example"}},
    }
    ready.tell(access_events_pb2.TenantCreated(tenant=tenant))
    ann, ben = ready.customer(), ready.customer()
    ready.know(ann, given_name="Ann <3")
    ready.know(ben, given_name="", language_code="de-AT")
    ready.grant(ann, ben)
    ready.enter(ann, ben)
    work()
    (mail,) = inbox.to(ready.address(ann))
    assert mail["Subject"] == "Hello Ann <3"
    assert mail["From"].addresses[0].addr_spec == "hi@shop.example"
    assert mail["From"].addresses[0].display_name == "Böse & Söhne"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["List-Unsubscribe"].startswith("<https://crm.example/u/")
    text, page = (mail.get_body((kind,)).get_content() for kind in ("plain", "html"))
    assert "https://crm.example/l/" in text
    assert "shop.example/sale" not in text + page
    assert "Unsubscribe: https://crm.example/u/" in text
    assert "Dear Ann &lt;3" in page
    assert page.index("https://crm.example/o/") < page.index("</body>")
    (mail,) = inbox.to(ready.address(ben))
    assert mail["Subject"] == "Hallo du"
    assert mail["Content-Language"] == "de"
    assert "Abmelden: " in mail.get_content()


def test_an_event_that_comes_again_lets_nobody_enter_again(ready, work, inbox) -> None:
    person = ready.consenting()
    event = ready.enter(person)
    ready.enter(person, event_id=event)
    work()
    ready.enter(person, event_id=event)
    work()
    assert len(ready.entries()) == 1
    assert len(inbox.to(ready.address(person))) == 1


def test_a_profile_told_after_the_trigger_is_waited_for(ready, work, inbox, travel) -> None:
    person, nobody = ready.customer(), ready.customer()
    ready.grant(person, nobody)
    ready.enter(person, nobody)
    work()
    assert ready.states() == {"DEFERRED NO_ADDRESS": 2}
    ready.know(person)
    travel(seconds=10)
    work()
    assert len(inbox.to(ready.address(person))) == 1
    travel(minutes=11)
    work()
    assert ready.states() == {"SENT": 1, "FAILED NO_ADDRESS": 1}


def test_a_withdrawal_while_it_waits_leaves_nothing_to_send(ready, work, inbox, travel) -> None:
    person, other = ready.customer(), ready.customer()
    ready.know(person, other)
    ready.grant(person, other)
    travel.to(datetime(2026, 7, 1, 23, tzinfo=UTC))
    ready.UpdateSendingPolicy(sending_policy={"quiet_start": {"hours": 21}, "quiet_end": {"hours": 8}})
    ready.enter(person, other)
    work()
    assert ready.states() == {"DEFERRED QUIET_HOURS": 2}
    # Told by the event: cancelled at once. Not told yet: consent itself says no.
    ready.told_withdrawn(person)
    assert ready.states() == {"DEFERRED QUIET_HOURS": 1, "REFUSED WITHDRAWN": 1}
    ready.withdraw(other)
    travel(hours=10)
    work()
    assert ready.states() == {"REFUSED WITHDRAWN": 2}
    assert inbox.to(ready.address(person)) + inbox.to(ready.address(other)) == []
    assert {entry.state for entry in ready.entries()} == {2}


def test_a_withdrawal_for_another_purpose_or_channel_stops_nothing(ready, work, inbox, travel) -> None:
    person = ready.consenting()
    ready.enter(person)
    with ready.context():
        assert ready.messages() == []
    for fields in ({"purpose": "purposes/other", "channel": 1}, {"purpose": "purposes/news", "channel": 2}):
        consent = {"consent": f"consents/{ids.uuid7()}", "customer": person} | fields
        ready.tell(consent_events_pb2.ConsentWithdrawn(consent=consent), consent["consent"])
    work()
    assert len(inbox.to(ready.address(person))) == 1


@pytest.mark.parametrize(
    ("zone", "hour", "due"),
    [
        ("Europe/Berlin", 22, datetime(2026, 7, 2, 6, tzinfo=UTC)),  # 00:00 there: the morning of the 2nd, 08:00
        ("America/New_York", 22, None),  # 18:00 there
        ("Asia/Tokyo", 15, datetime(2026, 7, 1, 23, tzinfo=UTC)),  # 00:00 there
        ("", 22, datetime(2026, 7, 2, 8, tzinfo=UTC)),  # the policy's default: UTC
    ],
)
def test_quiet_hours_are_those_of_the_person(ready, work, inbox, travel, zone, hour, due) -> None:
    ready.UpdateSendingPolicy(
        sending_policy={"quiet_start": {"hours": 21}, "quiet_end": {"hours": 8}, "default_time_zone": "UTC"}
    )
    travel.to(datetime(2026, 7, 1, hour, tzinfo=UTC))
    person = ready.customer()
    ready.know(person, time_zone=zone)
    ready.grant(person)
    ready.enter(person)
    work()
    (message,) = ready.messages()
    if due is None:
        assert ready.states() == {"SENT": 1}
        return
    assert ready.states() == {"DEFERRED QUIET_HOURS": 1}
    assert message.due_time.ToDatetime(UTC) == due
    assert inbox.to(ready.address(person)) == []
    travel.to(due)
    work()
    assert len(inbox.to(ready.address(person))) == 1


def test_the_cap_counts_what_was_sent_to_the_person_whoever_sent_it(ready, work, inbox, travel) -> None:
    ready.UpdateSendingPolicy(sending_policy={"cap_messages": 2, "cap_days": 3})
    ready.journey("second")
    person = ready.consenting()
    ready.enter(person)
    work()
    assert ready.states() == {"SENT": 2}
    travel(days=2)
    ready.enter(person)
    work()
    assert ready.states() == {"SENT": 2, "SUPPRESSED FREQUENCY_CAP": 2}
    travel(days=2)
    ready.enter(person)
    work()
    assert ready.states() == {"SENT": 4, "SUPPRESSED FREQUENCY_CAP": 2}


def test_what_was_not_sent_does_not_count(ready, work, inbox) -> None:
    ready.UpdateSendingPolicy(sending_policy={"cap_messages": 1, "cap_days": 7})
    person = ready.consenting()
    inbox.answers[ready.address(person)] = "554 not today"
    ready.enter(person)
    work()
    assert ready.states() == {"FAILED MAIL_SERVER_REFUSED": 1}
    inbox.answers.clear()
    ready.enter(person)
    work()
    assert ready.states() == {"FAILED MAIL_SERVER_REFUSED": 1, "SENT": 1}


def test_merged_people_get_one_message(ready, work, inbox) -> None:
    anna, old, later = (ready.customer() for _ in range(3))
    ready.know(anna, old, later)
    ready.grant(anna, old, later)
    ready.enter(anna)
    ready.enter(old)
    ready.merge(old, anna)
    work()
    assert ready.states() == {"SENT": 1}
    assert len(inbox.to(ready.address(anna))) == 1
    assert inbox.to(ready.address(old)) == []
    assert Counter(entry.state for entry in ready.entries()) == {2: 1, 3: 1}
    assert ready.messages(customer=old) == ready.messages(customer=anna) == ready.messages()
    # One who comes in and is merged later has a way of their own until then.
    ready.enter(later)
    ready.merge(later, anna, sequence=2)
    work()
    assert len(inbox.to(ready.address(anna))) == 2


def test_of_merged_people_the_most_restrictive_decides(ready, work, inbox) -> None:
    anna, old = ready.customer(), ready.customer()
    ready.know(anna)
    ready.grant(anna)
    ready.withdraw(old)
    ready.merge(old, anna)
    ready.enter(old)
    work()
    # Consent has not heard of the merge yet: both are asked.
    assert ready.states() == {"REFUSED WITHDRAWN": 1}
    assert inbox.to(ready.address(anna)) == []


def test_an_address_that_bounces_is_suppressed(ready, work, inbox) -> None:
    person = ready.consenting()
    inbox.answers[ready.address(person)] = "550 no such user"
    ready.enter(person)
    work()
    assert ready.states() == {"FAILED MAIL_SERVER_REFUSED": 1}
    (suppression,) = ready.ListSuppressions(email=ready.address(person)).suppressions
    assert suppression.reason == 1
    ready.enter(person)
    work()
    assert ready.states()["SUPPRESSED ADDRESS_SUPPRESSED"] == 1
    assert len(inbox.to(ready.address(person))) == 1
    ready.DeleteSuppression(name=suppression.name)
    inbox.answers.clear()
    ready.enter(person)
    work()
    assert ready.states()["SENT"] == 1


def test_a_mail_server_that_is_busy_is_tried_again_with_the_same_mail(ready, work, inbox, travel, stored) -> None:
    person = ready.consenting()
    inbox.answers[ready.address(person)] = "451 come back"
    ready.enter(person)
    work()
    assert ready.states() == {"DEFERRED MAIL_SERVER_AWAY": 1}
    inbox.answers.clear()
    ready.know(person, given_name="Somebody else")
    travel(seconds=30)
    work()
    first, second = inbox.to(ready.address(person))
    assert first.as_bytes() == second.as_bytes()
    (message,) = ready.messages()
    assert (message.attempt_count, message.state) == (2, 2)
    assert "sealed" not in stored(person)[0] or stored(person)[0]["sealed"] is None


def test_nothing_is_sent_while_consent_does_not_answer(ready, work, inbox, settings, stored) -> None:
    person = ready.consenting()
    ready.enter(person)

    away = settings.model_copy(update={"upstreams": {"consent": "127.0.0.1:1"}})
    advancing.advance(settings)
    with Mailer(away) as mailer:
        assert sending.send_due(away, mailer) == 1
    assert ready.states() == {"PENDING": 1}
    assert inbox.to(ready.address(person)) == []
    with ready.context():
        Message.rows().update_many({"customer": person}, {"$unset": {"lease": ""}})
    work()
    assert ready.states() == {"SENT": 1}


def test_a_deleted_customer_gets_nothing(ready, work, inbox) -> None:
    person = ready.consenting()
    ready.enter(person)
    state = {"customer": person, "delete_time": clock.now()}
    ready.tell(identity_events_pb2.CustomerDeleted(customer=state), person, sequence=2)
    work()
    assert ready.states() == {"FAILED CUSTOMER_DELETED": 1}


def test_a_purpose_that_is_not_there_ends_the_message(client, work) -> None:
    client.template()
    client.journey()
    person = client.customer()
    client.know(person)
    client.enter(person)
    work()
    assert client.states() == {"FAILED PURPOSE_UNKNOWN": 1}


def test_people_of_one_tenant_are_nobody_elses(ready, work, channels) -> None:
    person = ready.customer()
    ready.know(person)
    ready.enter(person)
    work()
    other = type(ready)(channels, "somebodyelse", ready.permissions)
    assert other.messages() == []
    with ready.context():
        assert Suppression.rows().count() == 0
