"""Links, pictures and unsubscribing, by the tokens in a mail that really arrived."""

import re
import uuid
from datetime import timedelta

import grpc
import pytest
from rapport.consent.v1 import consent_pb2

from campaigns import mail as mails
from campaigns.store import Unsubscribe
from campaigns.usecases import advancing, sending, tracking, unsubscribing
from chassis.keys import keyring
from chassis.smtp import Mailer
from docstore import leases

SERVICE = "campaigns"
RPCS = {"l": "FollowLink", "o": "RecordOpen", "u": "ViewUnsubscribe"}


@pytest.fixture
def person(ready, work) -> str:
    """Somebody who got a mail."""
    person = ready.consenting()
    ready.enter(person)
    work()
    return person


@pytest.fixture
def tokens(ready, inbox, person) -> dict[str, str]:
    """The tokens of the mail by kind: l, o, u."""
    (mail,) = inbox.to(ready.address(person))
    page = mail.get_body(("html",)).get_content()
    found = {kind: re.search(rf"https://crm\.example/{kind}/([A-Za-z0-9_-]+)", page)[1] for kind in "lo"}
    return found | {"u": re.search(r"/u/([A-Za-z0-9_-]+)>", mail["List-Unsubscribe"])[1]}


def test_a_click_is_counted_and_leads_where_the_mail_said(ready, public, tokens) -> None:
    for _ in range(2):
        assert public.FollowLink(token=tokens["l"]).target_url == "https://shop.example/sale?x=1"
    public.RecordOpen(token=tokens["o"])
    (message,) = ready.messages()
    assert (message.click_count, message.open_count) == (2, 1)
    assert message.HasField("first_click_time")
    assert message.HasField("first_open_time")


def test_looking_at_the_page_changes_nothing_and_unsubscribing_holds_at_once(
    ready, public, tokens, person, work, inbox, settings
) -> None:
    for _ in range(2):
        shown = public.ViewUnsubscribe(token=tokens["u"])
        assert (shown.masked_email, shown.unsubscribed) == (f"{ready.address(person)[0]}***@example.com", False)
    assert state_of(ready, person) == "STATE_GRANTED"
    assert public.Unsubscribe(token=tokens["u"]).unsubscribed
    assert public.Unsubscribe(token=tokens["u"]).unsubscribed
    assert public.ViewUnsubscribe(token=tokens["u"]).unsubscribed
    # Consent has not been told yet, and nothing is sent all the same.
    assert state_of(ready, person) == "STATE_GRANTED"
    ready.journey("again", trigger={"event": "Order Completed"})
    ready.enter(person)
    send_only(settings)
    assert ready.states() == {"SENT": 1, "REFUSED UNSUBSCRIBED": 1}
    work()
    assert state_of(ready, person) == "STATE_WITHDRAWN"
    records = ready.ListConsentRecords(filter=f'customer = "{person}"').consent_records
    assert records[-1].evidence.method == consent_pb2.Evidence.METHOD_ONE_CLICK
    assert len(records) == 2
    ready.enter(person)
    work()
    assert ready.states() == {"SENT": 1, "REFUSED UNSUBSCRIBED": 1, "REFUSED WITHDRAWN": 1}
    assert len(inbox.to(ready.address(person))) == 1


def test_consent_is_told_until_it_answers_and_once(ready, public, tokens, person, work, settings) -> None:
    public.Unsubscribe(token=tokens["u"])
    away = settings.model_copy(update={"upstreams": {"consent": "127.0.0.1:1"}})
    assert unsubscribing.tell_consent(away) == 1
    with ready.context():
        (row,) = Unsubscribe.rows().find({"customer": person})
        assert "acknowledge_time" not in row
        leases.release(Unsubscribe.rows(), row)
    # An answer that was lost: consent is told again, under the same request id, and notes it once.
    work()
    with ready.context():
        Unsubscribe.rows().update_one({"customer": person}, {"$set": {"due": row["due"]}, "$unset": {"lease": ""}})
    work()
    said = ready.ListConsentRecords(filter=f'customer = "{person}" AND action = ACTION_WITHDRAWN').consent_records
    assert len(said) == 1


def test_who_agrees_again_can_unsubscribe_again(ready, public, tokens, person, work) -> None:
    public.Unsubscribe(token=tokens["u"])
    work()
    ready.grant(person)
    ready.enter(person)
    work()
    assert ready.states()["SENT"] == 2
    with ready.context():
        (row,) = Unsubscribe.rows().find({"customer": person})
        earlier = row["acknowledge_time"] - timedelta(hours=1)
        Unsubscribe.rows().update_one({"uid": row["uid"]}, {"$set": {"acknowledge_time": earlier}})
    public.Unsubscribe(token=tokens["u"])
    work()
    assert state_of(ready, person) == "STATE_WITHDRAWN"


def test_unsubscribing_one_member_of_a_profile_stops_all_of_it(ready, public, tokens, person, work, inbox) -> None:
    other = ready.customer()
    ready.know(other)
    ready.grant(other)
    ready.merge(person, other)
    public.Unsubscribe(token=tokens["u"])
    ready.enter(other)
    work()
    assert inbox.to(ready.address(other)) == []


@pytest.mark.parametrize("kind", ["l", "o", "u"])
def test_forged_and_foreign_links_are_refused(public, tokens, refused, kind) -> None:
    wrong = [kind_token for other, kind_token in tokens.items() if other != kind]
    token = tokens[kind]
    wrong += ["x", "", token[:-2], token[:-1] + ("A" if token[-1] != "A" else "B"), token.swapcase(), "A" * 300]
    for forged in wrong:
        with refused("LINK_INVALID" if forged else "INVALID_FIELDS", grpc.StatusCode.INVALID_ARGUMENT):
            getattr(public, RPCS[kind])(token=forged)
    with refused("LINK_INVALID"):
        public.Unsubscribe(token=tokens["l"])


@pytest.mark.parametrize(("kind", "purpose"), [("l", mails.CLICK), ("o", mails.OPEN), ("u", mails.UNSUBSCRIBE)])
def test_links_run_out_and_name_only_what_there_is(ready, public, tokens, refused, kind, purpose) -> None:
    (message,) = ready.messages()

    def token(lifetime: timedelta, **data: object) -> str:
        return keyring().mint_link(purpose, ready.tenant, {"m": message.uid} | data, lifetime)

    with refused("LINK_EXPIRED", grpc.StatusCode.FAILED_PRECONDITION):
        getattr(public, RPCS[kind])(token=token(timedelta(microseconds=1), l=0))
    with refused("LINK_INVALID"):
        getattr(public, RPCS[kind])(token=token(timedelta(days=1), m=str(uuid.uuid4())))
    if kind == "l":
        for index in (1, -1):
            with refused("LINK_INVALID"):
                public.FollowLink(token=token(timedelta(days=1), l=index))


def test_what_is_told_of_one_message_is_bounded(ready, public, tokens, monkeypatch) -> None:
    monkeypatch.setattr(tracking, "EVENTS_MAX", 3)
    for _ in range(6):
        public.FollowLink(token=tokens["l"])
    (message,) = ready.messages()
    assert message.click_count == 6
    with ready.context():
        (row,) = tracking.Message.rows().find({"uid": message.uid})
    assert [event["type"].rpartition(".")[2] for event in row["outbox"]] == ["MessageSent"] + ["MessageClicked"] * 3


def state_of(client, customer: str) -> str:
    (consent,) = client.ListConsents(filter=f'customer = "{customer}"').consents
    return consent_pb2.Consent.State.Name(consent.state)


def send_only(settings) -> None:
    with Mailer(settings) as mailer:
        while advancing.advance(settings) + sending.send_due(settings, mailer):
            pass
