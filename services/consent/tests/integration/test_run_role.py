"""The role `run` as a process, killed where it hurts; a real mail server on loopback."""

import pytest
from rapport.consent.v1 import consent_pb2

from consent.store import OptInMail
from localrun.ports import free_port
from testkit import eventually
from testkit.mails import MailServer

SERVICE = "consent"
pytestmark = pytest.mark.usefixtures("amqp")
State = consent_pb2.Consent


@pytest.fixture
def runner(role, settings, mail_server):
    """Makes a runner process; start it with `.start().wait_ready()`."""

    def make():
        changes = {"role": "run", "smtp_host": "127.0.0.1", "smtp_port": mail_server[1], "probe_port": free_port()}
        return role(settings.model_copy(update=changes | {"checkpoint_seconds": 0.5}))

    return make


@pytest.fixture(autouse=True)
def purpose(client) -> None:
    client.purpose(double_opt_in=True)


def mail_of(client, consent) -> dict:
    with client.context():
        return OptInMail.rows().find_one({"consent": consent.uid})


def message_ids(inbox: MailServer, recipient: str) -> list[str]:
    """Of the mails a recipient got, repeats included."""
    return [mail["Message-ID"] for mail in inbox.to(recipient)]


def test_a_killed_runner_sends_the_same_message_again(client, public, runner, inbox) -> None:
    pending = client.ask(client.customer(), "kill@example.com")
    stored = mail_of(client, pending)
    inbox.hangs.set()  # the mail server has the message, and nobody here knows
    first = runner().start()
    eventually(lambda: inbox.to("kill@example.com"), 30, "the first attempt")
    first.kill()
    inbox.hangs.clear()
    assert mail_of(client, pending)["state"] == "WAITING"
    second = runner().start()
    eventually(lambda: mail_of(client, pending)["state"] == "SENT", 30, "the second attempt")
    assert message_ids(inbox, "kill@example.com") == [stored["message_id"]] * 2
    assert "sealed" not in mail_of(client, pending)

    # The link in what arrived works.
    raw = next(raw for address, raw in inbox.received if address == "kill@example.com")
    token = client.token(raw)
    assert public.ConfirmOptIn(token=token).state == State.STATE_GRANTED
    assert second.stop() == 0


def test_the_runner_sends_seals_retries_and_expires(client, runner, inbox, travel) -> None:
    inbox.answers |= {"gone@example.com": "550 no such user", "later@example.com": "451 come back"}
    process = runner().start().wait_ready()
    gone, later = (client.ask(client.customer(), f"{name}@example.com") for name in ("gone", "later"))

    eventually(lambda: mail_of(client, gone)["state"] == "REFUSED", message="the refusal is recorded")
    refused = mail_of(client, gone)
    assert (refused["smtp_code"], "sealed" in refused) == (550, False)
    assert client.GetConsent(name=gone.name).state == State.STATE_PENDING

    eventually(lambda: mail_of(client, later).get("attempts", 0) >= 1, message="the delay is counted")
    inbox.answers.clear()
    travel(minutes=1)
    eventually(lambda: mail_of(client, later)["state"] == "SENT", message="it is tried again")
    attempts = message_ids(inbox, "later@example.com")
    assert len(attempts) >= 2
    assert set(attempts) == {mail_of(client, later)["message_id"]}

    # Sealed within a second, signed half a second later.
    granted = client.grant(client.customer(), channel="CHANNEL_SMS")
    eventually(lambda: client.VerifyConsentRecords().unsealed_count == 0, 5, "everything is sealed")
    found = eventually(
        lambda: (answer := client.VerifyConsentRecords()).checkpoint_sequence == 3 and answer, 10, "it is signed"
    )
    assert (found.valid, found.checked_count) == (True, 3)
    records = client.ListConsentRecords().consent_records
    assert granted.consent_record in {each.name for each in records if each.hash}

    travel(days=8)
    for asked in (gone, later):
        eventually(
            lambda asked=asked: client.GetConsent(name=asked.name).state == State.STATE_EXPIRED, message="expiry"
        )
    assert process.stop() == 0
    assert "example.com" not in process.log.read_text()


def test_two_runners_share_the_work_and_one_may_die(client, runner, inbox) -> None:
    one, other = runner().start().wait_ready(), runner().start().wait_ready()
    addresses = [f"share-{number}@example.com" for number in range(10)]
    asked = [client.ask(client.customer(), address) for address in addresses[:5]]
    one.kill()
    asked += [client.ask(client.customer(), address) for address in addresses[5:]]
    eventually(lambda: all(mail_of(client, each)["state"] == "SENT" for each in asked), 30, "all are sent")
    for address, consent in zip(addresses, asked, strict=True):
        assert set(message_ids(inbox, address)) == {mail_of(client, consent)["message_id"]}
    found = eventually(
        lambda: (answer := client.VerifyConsentRecords()).unsealed_count == 0 and answer, 20, "all is sealed"
    )
    assert (found.valid, found.checked_count) == (True, 10)
    assert other.stop() == 0
