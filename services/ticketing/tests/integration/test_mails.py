"""Mails come in and answers go out, with the real identity service and a real SMTP server."""

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from typing import Any

import grpc
import pymongo
import pytest
from rapport.access.v1 import events_pb2 as access_events_pb2
from rapport.identity.v1 import identity_service_pb2, identity_service_pb2_grpc

import docstore
from chassis import client as chassis_client
from chassis.keys import keyring
from chassis.smtp import Mailer
from docstore import blobs
from docstore.explain import assert_indexed
from identity.store import erasures
from identity.traits import email_identifier
from localrun.ports import free_port
from testkit import eventually
from testkit.neighbours import serving
from testkit.roles import RoleProcess
from ticketing import sending
from ticketing.domain import mail_limits
from ticketing.settings import TicketingSettings
from ticketing.store import InboundMail, OutgoingMail, RawMail, TicketMessage, inbound_mails
from ticketing.usecases import inbound, outgoing
from ticketing.usecases.erasing import erase
from ticketing.usecases.learned_models import MOODS

from . import planted_moods

SERVICE = "ticketing"


@pytest.fixture(scope="module")
def identity(mongodb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoleProcess]:
    """The real identity service, on a database of its own."""
    with serving("identity", mongodb, tmp_path_factory.mktemp("identity")) as process:
        yield process


@pytest.fixture(scope="module")
def settings(database, identity, mail_server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TicketingSettings]:
    yield database.model_copy(
        update={
            "mail_from": "Shop Help <help@shop.example>",
            "desk_address": "desk@shop.example",
            "smtp_host": "127.0.0.1",
            "smtp_port": mail_server[1],
            "smtp_starttls": False,
            "clock_file": tmp_path_factory.mktemp("clock") / "offset.json",
            "upstreams": {"identity": f"127.0.0.1:{identity.settings.grpc_port}"},
        }
    )
    chassis_client.close_channels()


@pytest.fixture
def deliver(settings: TicketingSettings) -> Callable[[], None]:
    """Does in this process what `run` does with mails, until nothing is due."""

    def until_idle() -> None:
        with Mailer(settings) as mailer:
            while inbound.process_due(settings) + outgoing.send_due(settings, mailer):
                pass

    return until_idle


@pytest.fixture
def known(client, settings: TicketingSettings) -> Callable[[], list[Any]]:
    """The customers that identity knows in the tenant."""

    def customers() -> list[Any]:
        token = keyring().mint_token(
            tenant=client.tenant, principal="principals/t", permissions={"identity.*"}, audience="identity"
        )
        with grpc.insecure_channel(settings.upstreams["identity"]) as channel:
            stub = identity_service_pb2_grpc.IdentityServiceStub(channel)
            request = identity_service_pb2.ListCustomersRequest(page_size=100)
            return list(stub.ListCustomers(request, metadata=(("authorization", f"Bearer {token}"),)).customers)

    return customers


def mail(text: str = "Where is my order? It should have come.", **fields: str) -> EmailMessage:
    message = EmailMessage(policy.SMTP)
    message.set_content(text)
    values = {
        "From": "Ann Smith <ann@example.com>",
        "To": "help@shop.example",
        "Subject": "Order 7",
        "Message_ID": f"<{uuid.uuid4()}@example.com>",
    }
    for name, value in (values | fields).items():
        message[name.replace("_", "-")] = value
    return message


def take_in(client: Any, message: EmailMessage | bytes) -> Any:
    raw = message if isinstance(message, bytes) else message.as_bytes()
    return client.CreateInboundMail(inbound_mail={"raw": raw})


def said(client: Any, ticket: str) -> list[Any]:
    return list(client.ListTicketMessages(parent=ticket).ticket_messages)


def reply_to(answer: EmailMessage, text: str = "Thank you.", **fields: str) -> EmailMessage:
    return mail(text, **({"Subject": f"Re: {answer['Subject']}", "In_Reply_To": str(answer["Message-ID"])} | fields))


@pytest.fixture
def answered(client, deliver, inbox) -> tuple[Any, EmailMessage]:
    """A ticket opened by a mail, and the mail of its first answer."""
    sender = f"{uuid.uuid4().hex[:10]}@example.com"
    taken = take_in(client, mail(From=f"Ann <{sender}>"))
    deliver()
    ticket = client.GetTicket(name=client.GetInboundMail(name=taken.name).ticket)
    client.say(ticket, "It is on its way.", "AUTHOR_AGENT")
    deliver()
    (answer,) = inbox.to(sender)
    return ticket, answer


class TestInbound:
    def test_a_mail_becomes_a_ticket_of_its_sender(self, client, deliver, known) -> None:
        message = mail(Content_Language="en")
        message.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="bill.pdf")
        taken = take_in(client, message)
        assert taken.state == taken.STATE_RECEIVED
        assert taken.masked_sender == "a***@example.com"
        assert not taken.raw
        deliver()
        (customer,) = known()
        assert (customer.email, customer.display_name) == ("ann@example.com", "Ann Smith")
        done = client.GetInboundMail(name=taken.name)
        assert (done.state, done.customer) == (done.STATE_PROCESSED, customer.name)
        ticket = client.GetTicket(name=done.ticket)
        assert (ticket.subject, ticket.requester_email) == ("Order 7", "ann@example.com")
        assert (ticket.customer, ticket.channel, ticket.language_code) == (customer.name, 1, "en")
        assert ticket.kind == ticket.KIND_QUESTION
        assert ticket.sentiment.label == ticket.sentiment.LABEL_NEUTRAL
        (message_said,) = said(client, ticket.name)
        assert message_said.name == done.ticket_message
        assert message_said.text == "Where is my order? It should have come."
        assert message_said.message_id == str(message["Message-ID"])
        (attachment,) = message_said.attachments
        assert (attachment.filename, attachment.size_bytes, attachment.refusal) == ("bill.pdf", 8, "")

    def test_mails_sound_as_the_people_of_the_tenant_say(self, client, answered, deliver, learn_one) -> None:
        planted_moods.taught(client, 46)
        learn_one(MOODS)
        taken = take_in(client, mail("hello please, an awful and terrible drop", Content_Language="en"))
        ticket, answer = answered
        take_in(client, reply_to(answer, "today a great and wonderful board", From=str(answer["To"])))
        deliver()
        opened = client.GetTicket(name=client.GetInboundMail(name=taken.name).ticket)
        assert (opened.sentiment.label, opened.sentiment.source) == (planted_moods.POSITIVE, planted_moods.MODEL)
        (message,) = said(client, opened.name)
        assert message.sentiment == opened.sentiment
        replied = client.now(ticket).sentiment
        assert (replied.label, replied.source) == (planted_moods.NEGATIVE, planted_moods.MODEL)
        # A mail is a message of its own, and people can say how it sounds all the same.
        planted_moods.say_so(client, message.name, planted_moods.NEUTRAL)
        assert client.now(opened).sentiment.source == planted_moods.AGENT

    def test_attachments_are_kept_by_ticket_and_bombs_are_not(self, client, deliver, settings) -> None:
        message = mail()
        message.add_attachment(b"picture", maintype="image", subtype="png", filename="a.png")
        message.add_attachment(b"no archive", maintype="application", subtype="zip", filename="b.zip")
        taken = take_in(client, message)
        assert [each.refusal for each in taken.attachments] == ["", "ARCHIVE_UNREADABLE"]
        deliver()
        done = client.GetInboundMail(name=taken.name)
        with client.context():
            store = blobs.store(settings)
            assert store.list(done.ticket) == [done.attachments[0].sha256]
            assert store.get(done.ticket, done.attachments[0].sha256) == b"picture"

    def test_the_same_mail_is_taken_in_once_and_a_copied_message_id_is_another_mail(self, client, deliver) -> None:
        message = mail(Message_ID="<same@example.com>")
        first = take_in(client, message)
        assert take_in(client, message).name == first.name
        assert take_in(client, b"Received: by another way\r\n" + message.as_bytes()).name == first.name
        deliver()
        assert take_in(client, message).name == first.name
        other = take_in(client, mail("Something else.", Message_ID="<same@example.com>", From="eve@example.com"))
        assert other.name != first.name
        deliver()
        assert len(client.ListTickets().tickets) == 2

    def test_one_mail_taken_in_many_times_at_once_is_one(self, client, deliver) -> None:
        message = mail()
        with ThreadPoolExecutor(8) as pool:
            names = {taken.name for taken in pool.map(lambda _: take_in(client, message), range(8))}
        deliver()
        assert len(names) == len(client.ListTickets().tickets) == 1

    def test_large_mails_pass_up_to_their_limit_and_are_refused_beyond(self, client, deliver, refused) -> None:
        message = mail()
        message.add_attachment(b"x" * 7_400_000, maintype="video", subtype="mp4", filename="a.mp4")
        raw = message.as_bytes()
        taken = take_in(client, raw)
        deliver()
        assert client.GetInboundMail(name=taken.name).attachments[0].size_bytes == 7_400_000
        with refused("MAIL_TOO_LARGE"):
            take_in(client, raw + b"x" * (mail_limits.RAW_MAX + 1 - len(raw)))

    def test_every_query_runs_on_an_index(self, client) -> None:
        for number in range(40):
            take_in(client, mail(str(number)))
        by_time = [("create_time", 1), ("_id", 1)]
        with client.context():
            assert_indexed(InboundMail, {"fingerprint": "x"})
            assert_indexed(InboundMail, {"delete_time": None}, by_time, limit=50)
            assert_indexed(InboundMail, {"delete_time": None, "state": "STATE_FAILED"}, by_time, limit=50)
            assert_indexed(InboundMail, {"customer": "x"})
            waiting = {"message_id": {"$in": ["<x@y>"]}, "state": "STATE_RECEIVED", "uid": {"$ne": "z"}}
            assert_indexed(InboundMail, waiting)
            said_by_mail = {"ticket": "x", "create_time": {"$lt": datetime.now(UTC)}, "message_id": {"$exists": True}}
            TicketMessage.rows().insert_one({"ticket": "y"})
            assert_indexed(TicketMessage, said_by_mail, [("create_time", -1), ("_id", -1)], limit=20)
            assert_indexed(TicketMessage, {"message_id": {"$in": ["<x@y>"]}})
            assert_indexed(TicketMessage, {"message_id": "<x@y>", "author": "AUTHOR_AGENT"})
            OutgoingMail.rows().insert_one({"ticket": "y"})
            assert_indexed(OutgoingMail, {"token": {"$in": ["x"]}})

    def test_what_is_refused_says_why_and_leaves_nothing(self, client, refused) -> None:
        with refused("SENDER_MISSING") as error:
            take_in(client, b"Subject: x\r\n\r\nx")
        assert "inbound_mail.raw" in error.violations
        with refused("TOO_MANY_HEADERS"):
            take_in(client, b"From: a@example.com\r\n" + b"X: y\r\n" * 10_000 + b"\r\nx")
        with refused("SENDER_INVALID"):
            take_in(client, mail(From="ann@localhost"))
        assert not client.ListInboundMails().inbound_mails

    def test_a_reply_goes_into_the_ticket_and_reopens_it(self, client, answered, deliver) -> None:
        ticket, answer = answered
        client.ResolveTicket(name=ticket.name)
        sender = str(answer["To"])
        taken = take_in(client, reply_to(answer, "It is broken.\n\nOn Monday, 2 Nov Shop wrote:\n> It is", From=sender))
        deliver()
        assert client.GetInboundMail(name=taken.name).ticket == ticket.name
        assert [each.text for each in said(client, ticket.name)][2:] == ["It is broken."]
        assert client.now(ticket).state != ticket.STATE_RESOLVED

    @pytest.mark.parametrize("way", ["subject", "plus address", "own earlier mail"])
    def test_other_ways_lead_to_the_ticket_too(self, client, answered, deliver, way: str) -> None:
        ticket, answer = answered
        token = sending.reply_token(client.tenant, ticket.uid)
        fields = {
            "subject": {"Subject": str(answer["Subject"])},
            "plus address": {"To": f"help+{token}@shop.example"},
            "own earlier mail": {"References": said(client, ticket.name)[0].message_id},
        }[way]
        taken = take_in(client, mail(From=str(answer["To"]), **fields))
        deliver()
        assert client.GetInboundMail(name=taken.name).ticket == ticket.name

    def test_nobody_gets_into_the_ticket_of_another(self, client, answered, deliver) -> None:
        ticket, answer = answered
        taken = take_in(client, reply_to(answer, From="eve@example.com"))
        deliver()
        assert client.GetInboundMail(name=taken.name).ticket not in ("", ticket.name)
        assert len(said(client, ticket.name)) == 2

    def test_two_mails_of_one_new_writer_make_one_customer(self, client, deliver, known) -> None:
        take_in(client, mail("The first.", From="Ann <ann@example.com>"))
        take_in(client, mail("The second.", From="A. Smith <Ann@Example.com>"))
        deliver()
        (customer,) = known()
        assert {each.customer for each in client.ListTickets().tickets} == {customer.name}

    def test_what_no_person_wrote_opens_and_reopens_nothing(self, client, answered, deliver) -> None:
        ticket, answer = answered
        client.ResolveTicket(name=ticket.name)
        away = {"From": str(answer["To"]), "Auto_Submitted": "auto-replied"}
        in_thread = take_in(client, reply_to(answer, "I am on holiday.", **away))
        alone = take_in(client, mail("I am on holiday.", **away))
        bulk = take_in(client, mail("Buy this!", Precedence="bulk"))
        own = take_in(client, answer.as_bytes())
        del answer["Message-ID"]
        passed_on = take_in(client, answer.as_bytes())
        deliver()
        assert client.GetInboundMail(name=in_thread.name).ticket == ticket.name
        assert client.now(ticket).state == ticket.STATE_RESOLVED
        ignored = [client.GetInboundMail(name=each.name) for each in (alone, bulk, own, passed_on)]
        assert [each.state for each in ignored] == [alone.STATE_IGNORED] * 4
        assert [each.reason for each in ignored] == ["AUTO_REPLY", "BULK", "LOOP", "LOOP"]
        listed = client.ListInboundMails(filter="state = STATE_IGNORED").inbound_mails
        assert {each.name for each in listed} == {each.name for each in ignored}
        assert len(client.ListTickets().tickets) == 1

    def test_a_mail_whose_key_or_content_is_gone_fails_and_is_listed(self, client, deliver) -> None:
        first, second = take_in(client, mail("One")), take_in(client, mail("Two"))
        with client.context():
            RawMail.rows().update_one({"uid": first.uid}, {"$set": {"sealed": b"\x02k9nonsense-nonsense"}})
            RawMail.rows().delete_one({"uid": second.uid})
        deliver()
        failed = client.ListInboundMails(filter="state = STATE_FAILED").inbound_mails
        assert [(each.name, each.reason) for each in failed] == [(first.name, "KEY_GONE"), (second.name, "RAW_GONE")]

    def test_the_raw_mail_is_sealed_and_goes_after_a_month(self, client, deliver) -> None:
        taken = take_in(client, mail("a secret of mine"))
        with client.context():
            row = RawMail.rows().find_one({"uid": taken.uid})
            assert b"secret" not in row["sealed"]
            assert "purge_time" not in row
        deliver()
        with client.context():
            row = RawMail.rows().find_one({"uid": taken.uid})
            note = InboundMail.rows().find_one({"uid": taken.uid})
        assert (row["purge_time"] - note["process_time"]).days == 30

    def test_while_identity_is_away_mails_wait(self, client, settings, travel) -> None:
        taken = take_in(client, mail())
        away = settings.model_copy(update={"upstreams": {"identity": f"127.0.0.1:{free_port()}"}})
        assert inbound.process_due(away) == 1
        waiting = client.GetInboundMail(name=taken.name)
        assert (waiting.state, waiting.reason) == (waiting.STATE_RECEIVED, "IDENTITY_AWAY")
        assert not client.ListTickets().tickets
        travel(minutes=1)
        assert inbound_mails.oldest_waiting_age() >= 60
        while inbound.process_due(settings):
            pass
        assert client.GetInboundMail(name=taken.name).state == waiting.STATE_PROCESSED

    def test_a_mail_waits_for_the_earlier_one_it_follows(self, client, deliver, travel) -> None:
        earlier = mail("Where is my order?")
        first = take_in(client, earlier)
        with client.context():
            later = {"$set": {"due": datetime.now(UTC) + timedelta(hours=1)}}
            InboundMail.rows().update_one({"uid": first.uid}, later)
        second = take_in(client, mail("It is number 7.", In_Reply_To=str(earlier["Message-ID"])))
        deliver()
        waiting = client.GetInboundMail(name=second.name)
        assert (waiting.state, waiting.reason) == (waiting.STATE_RECEIVED, "EARLIER_MAIL_WAITING")
        for _ in range(2):
            travel(hours=1)
            deliver()
        (ticket,) = client.ListTickets().tickets
        assert [each.text for each in said(client, ticket.name)] == ["Where is my order?", "It is number 7."]

    def test_mails_that_follow_each_other_do_not_wait_for_ever(self, client, deliver, travel) -> None:
        one, other = "<one@example.com>", "<other@example.com>"
        taken = [
            take_in(client, mail("First.", Message_ID=one, In_Reply_To=other)),
            take_in(client, mail("Second.", Message_ID=other, In_Reply_To=one)),
        ]
        deliver()
        for _ in range(3):
            travel(minutes=1)
            deliver()
        ends = [client.GetInboundMail(name=each.name) for each in taken]
        assert [each.state for each in ends] == [ends[0].STATE_PROCESSED] * 2
        (ticket,) = client.ListTickets().tickets
        assert sorted(each.text for each in said(client, ticket.name)) == ["First.", "Second."]

    def test_a_mail_that_waited_long_is_not_given_up_at_the_first_failure(self, client, settings, monkeypatch) -> None:
        taken = take_in(client, mail())
        with client.context():
            InboundMail.rows().update_one({"uid": taken.uid}, {"$set": {"attempts": 50}})
        with monkeypatch.context() as broken:
            broken.setattr(inbound.tickets, "create", lambda *_: 1 / 0)
            assert inbound.process_due(settings) >= 1, "and others of earlier tests that are due by now"
        waiting = client.GetInboundMail(name=taken.name)
        assert (waiting.state, waiting.reason) == (waiting.STATE_RECEIVED, "INTERNAL")

    def test_mails_of_an_erased_sender_that_became_no_ticket_go_too(self, client, deliver, settings) -> None:
        answered = take_in(client, mail())
        deliver()
        ignored = take_in(client, mail("I am away.", Auto_Submitted="auto-replied"))
        deliver()
        waiting = take_in(client, mail("And another thing."))
        other = take_in(client, mail(From="Bob <bob@example.com>"))
        states = [client.GetInboundMail(name=each.name).state for each in (ignored, waiting)]
        assert states == [ignored.STATE_IGNORED, ignored.STATE_RECEIVED]
        customer = client.GetInboundMail(name=answered.name).customer
        with client.context():
            counts = erase([customer], blobs=blobs.store(settings))
            assert counts["inboundMails"] == (3, 0)
            assert [row["uid"] for row in RawMail.rows().find({"uid": {"$exists": True}})] == [other.uid]
        assert [each.uid for each in client.ListInboundMails().inbound_mails] == [other.uid]

    def test_a_mail_in_hand_while_its_sender_is_erased_leaves_nothing(
        self, client, deliver, settings, monkeypatch
    ) -> None:
        first = mail()
        taken = take_in(client, first)
        deliver()
        note = client.GetInboundMail(name=taken.name)
        follow_up = mail("See the picture.", In_Reply_To=str(first["Message-ID"]))
        follow_up.add_attachment(b"pixels", maintype="image", subtype="png", filename="me.png")
        take_in(client, follow_up)
        store, write = blobs.store(settings), inbound._write

        def erased_meanwhile(*args: Any) -> Any:
            with client.context():
                erase([note.customer], blobs=store)
                store.put(note.ticket, "a" * 64, b"pixels")  # as when the file comes just after the sweep
            return write(*args)

        monkeypatch.setattr(inbound, "_write", erased_meanwhile)
        assert inbound.process_due(settings) >= 1, "and others of earlier tests that are due by now"
        assert said(client, note.ticket) == []
        with client.context():
            assert store.list(note.ticket) == []
            assert InboundMail.rows().count({}) == 0

    def test_a_mail_that_waited_while_its_sender_was_erased_makes_nobody_known(
        self, client, deliver, known, identity, mongodb, settings, travel
    ) -> None:
        """Though ticketing had no ticket of them; what they write later opens one, for a new customer."""
        message = mail("Do you remember me?")
        message.add_attachment(b"picture", maintype="image", subtype="png", filename="a.png")
        taken = take_in(client, message)
        with pymongo.MongoClient(mongodb) as servers:  # As identity's own erasure leaves it.
            uid = erasures.fingerprint(email_identifier("ann@example.com"))
            mark = {"_id": f"{client.tenant}/{uid}", "uid": uid, "tenant": client.tenant}
            marks = servers[identity.settings.database]["erased_identifiers"]
            marks.insert_one(mark | {"erase_time": datetime.now(UTC)})
        deliver()
        failed = client.GetInboundMail(name=taken.name)
        assert (failed.state, failed.reason) == (failed.STATE_FAILED, "ERASED_PERSON")
        assert (failed.masked_sender, failed.message_id, list(failed.attachments)) == ("***", "", [])
        with client.context():
            assert RawMail.rows().count({}) == 0
            assert blobs.store(settings).list(f"tickets/{taken.uid}") == []
        assert (known(), list(client.ListTickets().tickets)) == ([], [])
        assert take_in(client, message).name == taken.name
        travel(seconds=1)
        take_in(client, mail("It is me again."))
        deliver()
        assert [each.subject for each in client.ListTickets().tickets] == ["Order 7"]
        assert len(known()) == 1

    def test_one_tenant_neither_sees_nor_reaches_the_mails_of_another(self, client, answered, deliver, channel) -> None:
        ticket, answer = answered
        other = type(client)(channel, f"t{uuid.uuid4().hex[:12]}")
        taken = take_in(other, reply_to(answer, From=str(answer["To"])))
        deliver()
        passed_on = take_in(other, answer.as_bytes())
        deliver()
        assert other.GetInboundMail(name=passed_on.name).state == passed_on.STATE_PROCESSED
        with pytest.raises(grpc.RpcError) as error:
            client.GetInboundMail(name=taken.name)
        assert error.value.code() is grpc.StatusCode.NOT_FOUND
        assert other.GetInboundMail(name=taken.name).ticket not in ("", ticket.name)


class TestKilled:
    @pytest.mark.parametrize(
        "point",
        [
            "ticketing.knowing:customer_of",
            "docstore.blobs:BlobStore.put",
            "ticketing.usecases.tickets:create",
            "ticketing.store.inbound_mails:let_raw_go",
        ],
    )
    def test_a_runner_killed_anywhere_leaves_exactly_one_ticket(
        self, client, deliver, runner, known, failpoint, point: str, monkeypatch
    ) -> None:
        message = mail()
        message.add_attachment(b"picture", maintype="image", subtype="png", filename="a.png")
        taken = take_in(client, message)
        with failpoint(point) as there:
            process = runner().start()
            there.wait()
        assert "ann@example.com" not in process.log.read_text()
        assert "Order 7" not in process.log.read_text()
        with client.context():
            InboundMail.rows().update_one({"uid": taken.uid}, {"$unset": {"lease": ""}})  # As when it ends by itself.
        deliver()
        done = client.GetInboundMail(name=taken.name)
        assert done.state == done.STATE_PROCESSED
        (ticket,) = client.ListTickets().tickets
        assert ticket.name == done.ticket
        assert len(said(client, ticket.name)) == 1
        assert len(known()) == 1


def test_a_runner_brings_mails_in_and_answers_out_and_ends_in_peace(client, runner, inbox, record_property) -> None:
    process = runner().start().wait_ready()
    taken = [take_in(client, mail(str(number), From=f"{number}-{client.tenant}@example.com")) for number in range(20)]
    started = time.monotonic()

    def processed() -> bool:
        listed = client.ListInboundMails(filter="state = STATE_PROCESSED").inbound_mails
        return len(listed) == len(taken)

    eventually(processed, message="all mails are in tickets")
    record_property("twenty_mails_into_tickets_s", round(time.monotonic() - started, 2))
    done = client.GetInboundMail(name=taken[0].name)
    client.CreateTicketMessage(parent=done.ticket, ticket_message={"author": "AUTHOR_AGENT", "text": "Hello"})
    eventually(lambda: inbox.to(f"0-{client.tenant}@example.com"), message="the answer has left")
    eventually(lambda: said(client, done.ticket)[1].HasField("send_time"), message="the answer is stamped")
    assert process.stop() == 0


class TestOutgoing:
    def test_the_answer_is_a_reply_that_finds_its_way_back(self, client, answered) -> None:
        ticket, answer = answered
        first, second = said(client, ticket.name)
        assert answer["Subject"] == f"Re: Order 7 [#{sending.reply_token(client.tenant, ticket.uid)}]"
        assert answer["From"].addresses[0].addr_spec == "help@shop.example"
        assert answer["Reply-To"] == f"desk+{sending.reply_token(client.tenant, ticket.uid)}@shop.example"
        assert answer["In-Reply-To"] == first.message_id
        assert answer["References"] == first.message_id
        assert answer["Message-ID"] == second.message_id
        assert answer.get_content().strip() == "It is on its way."
        assert second.HasField("send_time")

    def test_a_second_answer_keeps_the_thread_and_one_token(self, client, answered, deliver, inbox) -> None:
        ticket, answer = answered
        client.say(ticket, "It has arrived.", "AUTHOR_AGENT")
        deliver()
        again = inbox.to(str(answer["To"]))[1]
        assert again["In-Reply-To"] == answer["Message-ID"]
        assert again["References"].split() == [said(client, ticket.name)[0].message_id, answer["Message-ID"]]
        assert again["Subject"] == answer["Subject"]

    def test_notes_and_answers_without_an_address_stay_inside(self, client, answered, deliver, inbox) -> None:
        ticket, answer = answered
        client.say(ticket, "A difficult one.", "AUTHOR_INTERNAL")
        alone = client.ticket()
        client.say(alone, "Nobody reads this.", "AUTHOR_AGENT")
        deliver()
        assert len(inbox.to(str(answer["To"]))) == 1
        with client.context():
            assert len(list(OutgoingMail.rows().find({}))) == 1

    def test_the_tenants_own_sender_is_used_once_it_is_known(self, client, deliver, inbox) -> None:
        sender = {"display_name": "Böse & Söhne", "email": "hallo@boese.example"}
        tenant = {"name": f"tenants/{client.tenant}", "uid": client.tenant, "settings": {"sender": sender}}
        client.tell(access_events_pb2.TenantUpdated(tenant=tenant), f"tenants/{client.tenant}")
        ticket = client.ticket(requester_email="ben@example.com")
        client.say(ticket, "Guten Tag", "AUTHOR_AGENT")
        deliver()
        (answer,) = [
            mail for mail in inbox.to("ben@example.com") if mail["From"].addresses[0].domain == "boese.example"
        ]
        assert answer["From"].addresses[0].display_name == "Böse & Söhne"
        assert answer["Message-ID"].endswith("@boese.example>")
        assert answer["Reply-To"] is None

    def test_an_absent_server_is_tried_again_with_the_same_mail(self, client, deliver, inbox, travel) -> None:
        ticket = client.ticket(requester_email="cat@example.com")
        inbox.answers["cat@example.com"] = "451 later"
        client.say(ticket, "Hello", "AUTHOR_AGENT")
        deliver()
        (message,) = said(client, ticket.name)
        assert not message.HasField("send_time")
        inbox.answers.clear()
        travel(minutes=1)
        deliver()
        first, second = inbox.to("cat@example.com")
        assert first.as_bytes() == second.as_bytes()
        assert said(client, ticket.name)[0].HasField("send_time")

    def test_a_refused_answer_ends_and_forgets_its_address(self, client, deliver, inbox, travel) -> None:
        ticket = client.ticket(requester_email="dan@example.com")
        inbox.answers["dan@example.com"] = "550 no such user"
        client.say(ticket, "Hello", "AUTHOR_AGENT")
        deliver()
        travel(hours=1)
        deliver()
        assert len(inbox.to("dan@example.com")) == 1
        with client.context():
            (row,) = OutgoingMail.rows().find({"ticket": ticket.uid})
        assert (row["state"], row["smtp_code"]) == ("REFUSED", 550)
        assert "sealed" not in row
        assert "dan@" not in str(row)

    def test_a_runner_killed_while_sending_sends_the_same_mail_again(self, client, deliver, inbox, runner) -> None:
        ticket = client.ticket(requester_email="eli@example.com")
        inbox.hangs.set()
        client.say(ticket, "Hello", "AUTHOR_AGENT")
        process = runner().start()
        eventually(lambda: inbox.to("eli@example.com"), message="the mail server got the mail")
        process.kill()
        inbox.hangs.clear()
        with client.context():
            rows = OutgoingMail.rows()
            assert rows.find_one({"ticket": ticket.uid})["state"] == "WAITING"
            rows.update_one({"ticket": ticket.uid}, {"$unset": {"lease": ""}})  # As when it ends by itself.
        deliver()
        first, second = inbox.to("eli@example.com")
        assert first.as_bytes() == second.as_bytes()
        with client.context():
            (message,) = docstore.collection(TicketMessage).find({"ticket": ticket.uid})
        assert message["send_time"]
