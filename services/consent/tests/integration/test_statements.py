import threading
import uuid

import grpc
import pytest
from rapport.consent.v1 import consent_pb2

from consent.domain.evidence import Evidence
from consent.domain.states import Action
from consent.store import Consent, ConsentRecord
from consent.usecases.statements import Subject, say
from contracts import descriptors
from docstore import command, in_transaction
from docstore.explain import assert_indexed

SERVICE = "consent"
State, Record = consent_pb2.Consent, consent_pb2.ConsentRecord


def events(client, consent) -> list[tuple[str, object, list[int], list[str]]]:
    """What a consent has to tell: type, message, sequence, datasubjects."""
    with client.context():
        row = Consent.rows().find_one({"uid": consent.uid})
    return [
        (
            entry["type"].rpartition(".")[2],
            descriptors.message_class(entry["type"]).FromString(bytes(entry["body"])).consent,
            entry["sequence"],
            entry["datasubjects"],
        )
        for entry in row["outbox"]
    ]


def test_state_proof_and_event_of_a_yes_and_a_no(client) -> None:
    client.purpose()
    person = client.customer()
    granted = client.grant(person)
    assert granted.state == State.STATE_GRANTED
    assert granted.notice_version == 1
    assert granted.HasField("decide_time")
    withdrawn = client.withdraw(person)
    assert (withdrawn.uid, withdrawn.state) == (granted.uid, State.STATE_WITHDRAWN)
    assert withdrawn.etag != granted.etag
    assert client.GetConsent(name=granted.name) == withdrawn

    listed = client.ListConsentRecords(filter=f'customer = "{person}"').consent_records
    assert [each.action for each in listed] == [Record.ACTION_GRANTED, Record.ACTION_WITHDRAWN]
    assert [each.name for each in listed] == [granted.consent_record, withdrawn.consent_record]
    assert listed[0].actor == "principals/tester"
    assert listed[0].evidence.ip_address == "192.0.2.0/24"
    assert len(bytes.fromhex(listed[0].commitment)) == 32

    told = events(client, granted)
    assert [(kind, each.state, sequence) for kind, each, sequence, _ in told] == [
        ("ConsentGranted", State.STATE_GRANTED, [1, 0]),
        ("ConsentWithdrawn", State.STATE_WITHDRAWN, [2, 0]),
    ]
    assert all(subjects == [person] for *_, subjects in told)
    assert told[1][1].consent_record == withdrawn.consent_record


def test_a_person_can_object_before_anything_was_asked(client) -> None:
    client.purpose("mail-order", legal_basis="LEGAL_BASIS_LEGITIMATE_INTERESTS")
    person = client.customer()
    assert client.reason(person, "purposes/mail-order") == "+BASIS_WITHOUT_CONSENT"
    assert client.withdraw(person, "purposes/mail-order").state == State.STATE_WITHDRAWN
    assert client.reason(person, "purposes/mail-order") == "WITHDRAWN"
    # Also on a channel that the purpose does not (or no longer) use.
    assert client.withdraw(person, "purposes/mail-order", channel="CHANNEL_POST").state == State.STATE_WITHDRAWN


def test_refusing_is_a_no_and_after_a_yes_a_withdrawal(client) -> None:
    client.purpose()
    person = client.customer()
    said = {"customer": person, "purpose": "purposes/news", "channel": "CHANNEL_EMAIL", "evidence": client.form}
    refused = client.RefuseConsent(**said)
    assert refused.state == State.STATE_REFUSED
    assert events(client, refused)[-1][0] == "ConsentWithdrawn"
    client.grant(person)
    assert client.RefuseConsent(**said).state == State.STATE_WITHDRAWN


def test_a_repeated_request_is_one_statement(client, refused) -> None:
    client.purpose()
    person, request_id = client.customer(), str(uuid.uuid4())
    first = client.grant(person, request_id=request_id)
    assert client.grant(person, request_id=request_id) == first
    assert len(client.ListConsentRecords(filter=f'customer = "{person}"').consent_records) == 1
    with refused("REQUEST_ID_REUSED", grpc.StatusCode.ALREADY_EXISTS):
        client.grant(client.customer(), request_id=request_id)


def test_a_grant_by_mail_needs_its_confirmation_unless_imported(client, refused) -> None:
    client.purpose(double_opt_in=True)
    person = client.customer()
    for method in ("METHOD_FORM", "METHOD_CONFIRMED_LINK"):
        with refused("DOUBLE_OPT_IN_REQUIRED", grpc.StatusCode.FAILED_PRECONDITION) as error:
            client.grant(person, evidence={"method": method})
        assert list(error.preconditions) == ["purposes/news"]
    assert client.grant(person, channel="CHANNEL_SMS").state == State.STATE_GRANTED
    assert client.grant(person, evidence={"method": "METHOD_IMPORT"}).state == State.STATE_GRANTED


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"customer": "customers/Alice"}, "INVALID_CUSTOMER", "customer"),
        ({"evidence": {"method": "METHOD_FORM", "ip_address": "here"}}, "INVALID_EVIDENCE", "evidence.ip_address"),
        ({"evidence": {"method": "METHOD_FORM", "origin": "x" * 501}}, "INVALID_EVIDENCE", "evidence.origin"),
        ({"evidence": {"method": "METHOD_FORM", "language_code": "?"}}, "INVALID_LANGUAGE", "evidence.language_code"),
        ({"notice_version": 2}, "NOTICE_VERSION_UNKNOWN", "notice_version"),
    ],
)
def test_wrong_statements_are_refused_by_field(client, refused, fields, reason, field) -> None:
    client.purpose()
    with refused(reason, grpc.StatusCode.INVALID_ARGUMENT) as error:
        client.grant(**({"customer": client.customer()} | fields))
    assert next(iter(error.violations)) == field


def test_yes_needs_a_purpose_that_uses_the_channel(client, refused) -> None:
    with refused("NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        client.grant(client.customer())
    client.purpose()
    with refused("CHANNEL_NOT_IN_PURPOSE", grpc.StatusCode.FAILED_PRECONDITION):
        client.grant(client.customer(), channel="CHANNEL_PHONE")


def test_statements_at_the_same_instant_all_count_and_are_all_proven(client) -> None:
    client.purpose()
    person = client.customer()
    results: list[consent_pb2.Consent] = []
    said = [client.grant, client.withdraw] * 3
    threads = [threading.Thread(target=lambda say=say: results.append(say(person))) for say in said]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each.uid for each in results}) == 1
    assert sorted(int(each.etag.strip('"')) for each in results) == [1, 2, 3, 4, 5, 6]
    records = client.ListConsentRecords(filter=f'customer = "{person}"').consent_records
    assert {each.name for each in records} == {each.consent_record for each in results}
    last = client.GetConsent(name=results[0].name)
    assert last.consent_record == max(results, key=lambda each: int(each.etag.strip('"'))).consent_record


def test_state_and_proof_are_written_together_or_not_at_all(client) -> None:
    client.purpose()
    about = Subject(client.customer(), "purposes/news", "CHANNEL_EMAIL")

    def interrupted() -> None:
        say(about, Action.GRANTED, Evidence("METHOD_FORM"), 1)
        raise ZeroDivisionError

    with client.context():
        with pytest.raises(ZeroDivisionError):
            in_transaction(interrupted)
        assert Consent.about(about.customer, about.purpose, about.channel) is None
        assert ConsentRecord.find({"customer": about.customer}) == []


def test_a_first_statement_overtaken_by_another_follows_it(client) -> None:
    """The other one commits between this one's reading (nothing was said yet) and its writing."""
    client.purpose()
    about = Subject(client.customer(), "purposes/news", "CHANNEL_EMAIL")
    seen: list[Consent | None] = []

    @command(None)
    def overtaken() -> Consent:
        seen.append(Consent.about(about.customer, about.purpose, about.channel))
        if len(seen) == 1:
            other = threading.Thread(target=client.withdraw, args=[about.customer])
            other.start()
            other.join()
        return say(about, Action.GRANTED, Evidence("METHOD_FORM"), 1, consent=seen[-1])

    with client.context():
        granted = overtaken()
    assert seen[0] is None
    assert [each.uid for each in seen[1:] if each] == [granted.uid]
    assert (granted.version, granted.state) == (2, "STATE_GRANTED")
    assert len(client.ListConsentRecords(filter=f'customer = "{about.customer}"').consent_records) == 2


def test_consents_are_listed_by_filter_in_pages(client, channel, refused) -> None:
    client.purpose()
    people = [client.customer() for _ in range(4)]
    for person in people:
        client.grant(person)
    client.withdraw(people[0])
    first = client.ListConsents(page_size=2, filter="state = STATE_GRANTED")
    rest = client.ListConsents(page_size=2, filter="state = STATE_GRANTED", page_token=first.next_page_token)
    assert [each.customer for each in [*first.consents, *rest.consents]] == people[1:]
    found = client.ListConsents(filter=f'customer = "{people[0]}" OR customer = "{people[1]}"').consents
    assert {each.customer for each in found} == set(people[:2])
    assert not type(client)(channel, "another-tenant", ("consent.*",)).ListConsents().consents
    with refused("INVALID_FILTER"):
        client.ListConsents(filter='email = "a"')


def test_queries_run_on_indexes(client) -> None:
    client.purpose()
    people = [client.customer() for _ in range(30)]
    for person in people:
        client.grant(person)
    with client.context():
        about = {"purpose": "purposes/news", "channel": "CHANNEL_EMAIL"}
        assert_indexed(Consent, {"customer": people[3]} | about)
        assert_indexed(Consent, {"customer": {"$in": people[:10]}} | about, max_keys=40)
        by_id = [("_id", 1)]
        assert_indexed(Consent, {"delete_time": None}, by_id, limit=10)
        assert_indexed(Consent, {"delete_time": None, "state": "STATE_GRANTED"}, by_id, limit=10)
        assert_indexed(
            Consent, {"delete_time": None, "purpose": "purposes/news", "state": "STATE_GRANTED"}, by_id, limit=10
        )
        assert_indexed(ConsentRecord, {"customer": people[3]}, by_id)
        assert_indexed(ConsentRecord, {}, by_id, limit=10)
        assert_indexed(ConsentRecord, {"sequence": 0}, by_id, limit=10)
