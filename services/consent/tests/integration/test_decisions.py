import uuid
from datetime import UTC, datetime

import grpc
import pytest
from rapport.consent.v1 import consent_pb2

from consent.store import Decision
from docstore import aliases

SERVICE = "consent"
EMAIL = "CHANNEL_EMAIL"


def merge(client, customer: str, into: str, version: int) -> None:
    with client.context():
        aliases.apply([aliases.AliasChange(customer, into, (version, 0))])


def test_a_decision_is_stored_with_what_it_rests_on(client, refused) -> None:
    client.purpose()
    person = client.customer()
    granted = client.grant(person)
    decision = client.decide(person)
    assert decision.outcome == consent_pb2.Decision.OUTCOME_ALLOWED
    assert decision.reasons == [consent_pb2.Decision.REASON_CONSENT_GRANTED]
    assert decision.consent_records == [granted.consent_record]
    assert (decision.customer, decision.canonical_customer) == (person, person)
    assert decision.actor == "principals/tester"
    assert decision.expire_time.ToMilliseconds() - decision.create_time.ToMilliseconds() == 5_000
    age = datetime.now(UTC) - decision.create_time.ToDatetime(UTC)
    assert abs(age.total_seconds()) < 5
    assert client.GetDecision(name=decision.name) == decision
    with refused("NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        client.GetDecision(name="decisions/none")


def test_reasons_follow_what_was_said(client) -> None:
    client.purpose()
    person = client.customer()
    assert client.reason(person) == "NEVER_ASKED"
    client.ask(person)
    assert client.reason(person) == "NOT_CONFIRMED"
    client.grant(person)
    assert client.reason(person) == "+CONSENT_GRANTED"
    client.AddNotice(name="purposes/news", notice={"texts": [{"language_code": "en", "text": "v2"}]})
    assert client.reason(person) == "+CONSENT_GRANTED"
    client.AddNotice(
        name="purposes/news", notice={"texts": [{"language_code": "en", "text": "v3"}], "renewal_required": True}
    )
    assert client.reason(person) == "NOTICE_OUTDATED"
    client.grant(person)
    assert client.reason(person) == "+CONSENT_GRANTED"
    client.withdraw(person)
    assert client.reason(person) == "WITHDRAWN"
    assert client.reason(person, channel="CHANNEL_PHONE") == "CHANNEL_NOT_IN_PURPOSE"


def test_a_legal_obligation_ignores_an_objection(client) -> None:
    client.purpose("invoices", legal_basis="LEGAL_BASIS_LEGAL_OBLIGATION")
    person = client.customer()
    client.withdraw(person, "purposes/invoices")
    assert client.reason(person, "purposes/invoices") == "+BASIS_WITHOUT_CONSENT"


def test_a_merged_persons_most_restrictive_member_decides_and_an_unmerge_restores(client) -> None:
    client.purpose()
    anna, old = client.customer(), client.customer()
    client.grant(anna)
    objection = client.withdraw(old)
    merge(client, old, anna, version=1)
    for name in (anna, old):
        decision = client.decide(name)
        assert decision.reasons == [consent_pb2.Decision.REASON_WITHDRAWN]
        assert decision.canonical_customer == anna
        assert objection.consent_record in decision.consent_records
        assert len(decision.consent_records) == 2
    assert {each.customer for each in client.ListConsents(filter=f'customer = "{anna}"').consents} == {anna, old}
    assert len(client.ListConsentRecords(filter=f'customer = "{old}"').consent_records) == 2
    merge(client, old, old, version=2)
    assert client.reason(anna) == "+CONSENT_GRANTED"
    assert client.reason(old) == "WITHDRAWN"
    # A late, older merge changes nothing.
    merge(client, old, anna, version=1)
    assert client.reason(anna) == "+CONSENT_GRANTED"


def test_a_merged_person_can_agree_again_and_object_again(client) -> None:
    client.purpose()
    anna, old = client.customer(), client.customer()
    client.withdraw(old)
    merge(client, old, anna, version=1)
    assert client.reason(anna) == "WITHDRAWN"
    client.grant(anna)
    assert client.reason(old) == "+CONSENT_GRANTED"
    client.withdraw(old)
    assert client.reason(anna) == "WITHDRAWN"
    client.grant(anna)
    merge(client, old, old, version=2)
    assert client.reason(anna) == "+CONSENT_GRANTED"
    assert client.reason(old) == "WITHDRAWN"


def test_a_batch_answers_in_order_with_a_constant_number_of_queries(client, commands) -> None:
    client.purpose()
    people = [client.customer() for _ in range(40)]
    for person in people[:3]:
        client.grant(person)
    merge(client, people[5], people[0], version=1)

    commands.counted.clear()
    answer = client.BatchDecideConsent(customers=[*people, people[0]], purpose="purposes/news", channel=EMAIL)
    assert commands.counted == {"find": 5, "insert": 1}  # purpose, aliases twice, consents, tombstones; decisions
    assert [each.customer for each in answer.decisions] == [*people, people[0]]
    allowed = [each.outcome == consent_pb2.Decision.OUTCOME_ALLOWED for each in answer.decisions]
    assert allowed == [True] * 3 + [False] * 2 + [True] + [False] * 34 + [True]
    assert len({each.name for each in answer.decisions}) == 41


@pytest.mark.parametrize("count", [0, 501])
def test_a_batch_has_bounds(client, refused, count) -> None:
    client.purpose()
    with pytest.raises(grpc.RpcError) as caught:
        client.BatchDecideConsent(
            customers=[client.customer() for _ in range(count)], purpose="purposes/news", channel=EMAIL
        )
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_repeated_request_gets_the_same_decisions(client) -> None:
    client.purpose()
    people, request_id = [client.customer() for _ in range(3)], str(uuid.uuid4())
    first = client.BatchDecideConsent(customers=people, purpose="purposes/news", channel=EMAIL, request_id=request_id)
    client.grant(people[0])
    again = client.BatchDecideConsent(customers=people, purpose="purposes/news", channel=EMAIL, request_id=request_id)
    assert again == first
    one = client.decide(people[0], request_id=request_id)
    assert one == client.decide(people[0], request_id=request_id)
    with client.context():
        assert Decision.rows().count({"customer": people[0]}) == 2
