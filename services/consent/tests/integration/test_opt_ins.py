import threading
from datetime import timedelta
from email import message_from_bytes, policy

import grpc
import pytest
from rapport.consent.v1 import consent_pb2

from chassis import clock
from chassis.keys import keyring
from consent.mail import Mail
from consent.store import Consent, ConsentRecord, OptInMail
from consent.usecases import opt_ins
from docstore.explain import assert_indexed
from eventing.records import TimerRecord

SERVICE = "consent"
State = consent_pb2.Consent


@pytest.fixture(autouse=True)
def purpose(client) -> None:
    client.purpose(double_opt_in=True)


def mails(client, consent) -> list[dict]:
    with client.context():
        return list(OptInMail.rows().find({"consent": consent.uid}, sort=[("_id", 1)]))


def test_asking_stores_state_proof_mail_and_timers_together(client) -> None:
    person = client.customer()
    pending = client.ask(
        person,
        "Alice <x>@example.com".replace(" <x>", ""),
        evidence={"method": "METHOD_FORM", "language_code": "de-AT"},
    )
    assert pending.state == State.STATE_PENDING
    assert not pending.HasField("decide_time")
    (row,) = mails(client, pending)
    mail = Mail.unsealed(bytes(row["sealed"]), row["uid"])
    message = message_from_bytes(mail.raw, policy=policy.default)
    assert mail.rcpt_to == "Alice@example.com"
    assert message["Message-ID"] == row["message_id"] == f"<{row['uid']}@shop.example>"
    assert message["Content-Language"] == "de"
    assert "Wir schreiben einmal im Monat." in message.get_body(("plain",)).get_content()
    (record,) = client.ListConsentRecords(filter=f'customer = "{person}"').consent_records
    assert record.action == consent_pb2.ConsentRecord.ACTION_REQUESTED
    with client.context():
        timers = {timer["kind"]: timer for timer in TimerRecord.rows().find({})}
        assert timers[opt_ins.MAIL_TIMER]["payload"] == {"mail": row["uid"]}
        lasts = timers[opt_ins.EXPIRY_TIMER]["due"] - clock.now()
        assert timedelta(days=6, hours=23) < lasts <= timedelta(days=7)
        (event,) = Consent.rows().find_one({"uid": pending.uid})["outbox"]
    assert event["type"] == "rapport.consent.v1.ConsentPending"


def test_the_address_is_nowhere_in_the_clear(client) -> None:
    pending = client.ask(client.customer(), "zanzibar@example.com")
    client.links(pending)
    with client.context():
        kept = [str(row) for cls in (Consent, ConsentRecord, OptInMail, TimerRecord) for row in cls.rows().find({})]
    assert len(kept) >= 5
    assert not [row for row in kept if "zanzibar" in row]


def test_view_changes_nothing_and_confirm_grants_once(client, public) -> None:
    person = client.customer()
    pending = client.ask(person)
    (token,) = client.links(pending)
    shown = public.ViewOptIn(token=token)
    assert (shown.purpose_display_name, shown.notice_text) == ("News", "We write once a month.")
    assert (shown.language_code, shown.masked_email, shown.state) == ("en", "a***@example.com", State.STATE_PENDING)
    assert client.GetConsent(name=pending.name) == pending

    confirmed = public.ConfirmOptIn(token=token, ip_address="2001:db8:1:2::3", user_agent="Browser/1")
    assert confirmed.state == State.STATE_GRANTED
    granted = client.GetConsent(name=pending.name)
    assert public.ConfirmOptIn(token=token).state == State.STATE_GRANTED
    assert public.ViewOptIn(token=token).state == State.STATE_GRANTED
    assert client.GetConsent(name=pending.name) == granted
    record = client.ListConsentRecords(filter="action = ACTION_GRANTED").consent_records[0]
    assert record.name == granted.consent_record
    assert record.evidence.method == consent_pb2.Evidence.METHOD_CONFIRMED_LINK
    assert (record.evidence.ip_address, record.evidence.user_agent) == ("2001:db8:1::/48", "Browser/1")
    assert record.actor == "public"
    assert client.reason(person) == "+CONSENT_GRANTED"
    # The message that was not yet sent is not sent any more, and its address is gone.
    (row,) = mails(client, pending)
    assert (row["state"], "sealed" in row) == ("CANCELLED", False)


def test_a_persons_odd_address_or_program_does_not_stop_the_confirmation(client, public) -> None:
    (token,) = client.links(client.ask(client.customer()))
    confirmed = public.ConfirmOptIn(token=token, ip_address="unknown", user_agent="x" * 2_000)
    assert confirmed.state == State.STATE_GRANTED


def test_an_old_link_never_undoes_a_withdrawal(client, public, refused) -> None:
    person = client.customer()
    pending = client.ask(person)
    (token,) = client.links(pending)
    public.ConfirmOptIn(token=token)
    client.withdraw(person)
    for method in (public.ConfirmOptIn, public.ViewOptIn):
        with refused("LINK_SUPERSEDED", grpc.StatusCode.FAILED_PRECONDITION):
            method(token=token)
    assert client.reason(person) == "WITHDRAWN"
    # Nor does the link of a question that was answered with no.
    other = client.customer()
    (token,) = client.links(client.ask(other, "bob@example.com"))
    client.withdraw(other)
    with refused("LINK_SUPERSEDED"):
        public.ConfirmOptIn(token=token)
    # And asking again afterwards does not bring the old link back.
    client.ask(other, "bob@example.com")
    with refused("LINK_SUPERSEDED"):
        public.ConfirmOptIn(token=token)


def test_a_corrected_address_takes_over_from_the_wrong_one(client, public, refused) -> None:
    person = client.customer()
    (wrong,) = client.links(client.ask(person, "alcie@example.com"))
    pending = client.ask(person, "alice@example.com")
    (right,) = client.links(pending)
    assert [row["state"] for row in mails(client, pending)] == ["CANCELLED", "WAITING"]
    with refused("LINK_SUPERSEDED"):
        public.ConfirmOptIn(token=wrong)
    assert public.ConfirmOptIn(token=right).state == State.STATE_GRANTED


def test_forged_foreign_and_expired_links_are_told_apart(client, public, refused) -> None:
    pending = client.ask(client.customer())
    (token,) = client.links(pending)
    mangled = token[:-5] + ("AAAAA" if token[-5:] != "AAAAA" else "BBBBB")
    foreign = keyring().mint_link("unsubscribe", client.tenant, {"c": pending.uid}, timedelta(days=1))
    data = {"c": pending.uid, "n": "x", "l": "en", "m": "a***@example.com"}
    elsewhere = keyring().mint_link(opt_ins.LINK_PURPOSE, "another-tenant", data, timedelta(days=1))
    for bad in (mangled, foreign, elsewhere, "x"):
        for method in (public.ConfirmOptIn, public.ViewOptIn):
            with refused("LINK_INVALID", grpc.StatusCode.INVALID_ARGUMENT):
                method(token=bad)
    short = keyring().mint_link(opt_ins.LINK_PURPOSE, client.tenant, data, timedelta(milliseconds=1))
    with refused("LINK_EXPIRED", grpc.StatusCode.FAILED_PRECONDITION):
        public.ConfirmOptIn(token=short)


def test_an_open_question_expires_by_the_business_clock(client, public, refused, travel) -> None:
    person = client.customer()
    pending = client.ask(person)
    (token,) = client.links(pending)
    travel(days=6, hours=23)
    with client.context():
        opt_ins.expire(pending.uid)
    assert public.ViewOptIn(token=token).state == State.STATE_PENDING
    travel(hours=1)
    with refused("LINK_EXPIRED"):  # whether or not the timer has fired yet
        public.ConfirmOptIn(token=token)
    with client.context():
        opt_ins.expire(pending.uid)
        opt_ins.expire(pending.uid)
    expired = client.GetConsent(name=pending.name)
    assert expired.state == State.STATE_EXPIRED
    with refused("LINK_EXPIRED"):
        public.ViewOptIn(token=token)
    actions = [each.action for each in client.ListConsentRecords(filter=f'customer = "{person}"').consent_records]
    assert actions == [consent_pb2.ConsentRecord.ACTION_REQUESTED, consent_pb2.ConsentRecord.ACTION_EXPIRED]
    assert client.reason(person) == "NOT_CONFIRMED"
    assert client.ask(person).state == State.STATE_PENDING


def test_a_confirmed_question_does_not_expire(client, public, travel) -> None:
    pending = client.ask(client.customer())
    (token,) = client.links(pending)
    public.ConfirmOptIn(token=token)
    travel(days=8)
    with client.context():
        opt_ins.expire(pending.uid)
    assert client.GetConsent(name=pending.name).state == State.STATE_GRANTED


def test_asking_again_is_limited_and_both_links_work(client, public, refused, travel) -> None:
    person = client.customer()
    first = client.ask(person)
    with refused("OPT_IN_TOO_SOON", grpc.StatusCode.RESOURCE_EXHAUSTED) as error:
        client.ask(person)
    assert 590 < error.retry_s <= 600
    for _ in range(4):
        travel(minutes=10)
        client.ask(person)
    travel(minutes=10)
    with refused("OPT_IN_DAILY_LIMIT", grpc.StatusCode.RESOURCE_EXHAUSTED) as error:
        client.ask(person)
    assert error.retry_s > 22 * 3600
    travel(hours=24)
    pending = client.ask(person)
    tokens = client.links(pending)
    assert len(tokens) == 6
    assert client.GetConsent(name=first.name) == pending
    assert public.ConfirmOptIn(token=tokens[0]).state == State.STATE_GRANTED
    assert public.ConfirmOptIn(token=tokens[-1]).state == State.STATE_GRANTED


def test_a_repeated_request_sends_one_message(client) -> None:
    person, request_id = client.customer(), "6f1ff3f5-3b1c-4b6e-8d7a-1f0e6b9f2c11"
    first = client.ask(person, request_id=request_id)
    assert client.ask(person, request_id=request_id) == first
    assert len(mails(client, first)) == 1


def test_asking_makes_no_sense_where_it_would_undo_or_decide_nothing(client, public, refused) -> None:
    person = client.customer()
    (token,) = client.links(client.ask(person))
    public.ConfirmOptIn(token=token)
    with refused("ALREADY_GRANTED", grpc.StatusCode.FAILED_PRECONDITION):
        client.ask(person)
    client.AddNotice(
        name="purposes/news", notice={"texts": [{"language_code": "en", "text": "New."}], "renewal_required": True}
    )
    renewed = client.ask(person)
    assert (renewed.state, renewed.notice_version) == (State.STATE_PENDING, 2)
    with refused("LINK_SUPERSEDED"):  # it asked for the text before
        public.ConfirmOptIn(token=token)
    client.purpose("invoices", legal_basis="LEGAL_BASIS_CONTRACT")
    with refused("CONSENT_NOT_THE_BASIS", grpc.StatusCode.FAILED_PRECONDITION):
        client.ask(client.customer(), purpose="purposes/invoices")
    client.purpose("texts", channels=["CHANNEL_SMS"])
    with refused("CHANNEL_NOT_IN_PURPOSE"):
        client.ask(client.customer(), purpose="purposes/texts")


@pytest.mark.parametrize("email", ["alice", "alice@", "a b@example.com", "alice@example", "a@b.com\r\nBcc: x@y.com"])
def test_a_wrong_address_is_refused_without_being_repeated(client, refused, email) -> None:
    with refused("INVALID_EMAIL", grpc.StatusCode.INVALID_ARGUMENT) as error:
        client.ask(client.customer(), email)
    assert email not in error.message


def test_confirming_and_withdrawing_at_the_same_instant_leave_one_truth(client, public) -> None:
    """Whoever comes second decides: a withdrawal always holds, a confirmation after it is refused."""
    for _ in range(5):
        person = client.customer()
        pending = client.ask(person)
        (token,) = client.links(pending)
        outcomes: list[str] = []

        def confirm(token: str = token, outcomes: list[str] = outcomes) -> None:
            try:
                public.ConfirmOptIn(token=token)
                outcomes.append("confirmed")
            except grpc.RpcError as error:
                outcomes.append(error.code().name)

        threads = [threading.Thread(target=confirm) for _ in range(3)]
        threads.append(threading.Thread(target=client.withdraw, args=[person]))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(outcomes) <= {"confirmed", "FAILED_PRECONDITION"}
        assert client.GetConsent(name=pending.name).state == State.STATE_WITHDRAWN
        actions = [each.action for each in client.ListConsentRecords(filter=f'customer = "{person}"').consent_records]
        # However many clicked: at most one grant was recorded.
        assert actions.count(consent_pb2.ConsentRecord.ACTION_GRANTED) == (1 if "confirmed" in outcomes else 0)


def test_mail_queries_run_on_indexes(client) -> None:
    pending, *_ = [client.ask(client.customer()) for _ in range(20)]
    with client.context():
        assert_indexed(OptInMail, {"consent": pending.uid, "state": "WAITING"})
