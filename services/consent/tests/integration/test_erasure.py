"""The erasure saga: asked, answered in any order, asked again, certified; consent's own part of it."""

import json
import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from rapport.campaigns.v1 import events_pb2 as campaigns_events
from rapport.consent.v1 import erasure_request_pb2
from rapport.consent.v1 import events_pb2 as consent_events
from rapport.identity.v1 import events_pb2 as identity_events
from rapport.sales.v1 import events_pb2 as sales_events
from rapport.scoring.v1 import events_pb2 as scoring_events
from rapport.ticketing.v1 import events_pb2 as ticketing_events

import docstore
from chassis import ids
from consent.handlers import Handlers
from consent.store import Consent, ConsentRecord, ErasureRequest, OptInMail
from consent.store.erasures import oldest_open
from consent.usecases import erasures, sealing
from consent.usecases.erasing import erase
from docstore import blobs
from docstore.explain import assert_indexed
from eventing import erasing, topology
from eventing.delivery import Delivery
from eventing.envelope import Envelope
from eventing.verdicts import DONE
from localrun.ports import free_port
from testkit import eventually
from testkit.telling import delivered, enveloped

SERVICE = "consent"
pytestmark = pytest.mark.usefixtures("amqp")

ANSWERS = {
    "identity": identity_events.SubjectErased,
    "sales": sales_events.SubjectErased,
    "campaigns": campaigns_events.SubjectErased,
    "ticketing": ticketing_events.SubjectErased,
    "scoring": scoring_events.SubjectErased,
}
OTHERS = list(ANSWERS)
EVIDENCE = {"method": "METHOD_AGENT", "origin": "case:4711"}
State = erasure_request_pb2.ErasureRequest.State


class Saga:
    """One tenant's saga: the broker's part done by hand, the other services' answers made up."""

    def __init__(self, client, settings) -> None:
        self.client = client
        self.settings = settings
        self._delivery = Delivery("consent", Handlers)
        self._versions: dict[str, int] = {}

    def ask(self, customer: str, evidence=None) -> erasure_request_pb2.ErasureRequest:
        given = {"customer": customer, "evidence": evidence or EVIDENCE}
        return self.client.CreateErasureRequest(erasure_request=given)

    def get(self, name: str) -> erasure_request_pb2.ErasureRequest:
        return self.client.GetErasureRequest(name=name)

    def deliver(self, envelope: Envelope) -> None:
        outcome = delivered(self._delivery, envelope)
        assert outcome == DONE, outcome

    def unsent(self, event_class) -> list[Envelope]:
        """The events of one type that wait in consent's outboxes, in order."""
        found = []
        with self.client.context():
            for cls in docstore.aggregates():
                for row in cls.rows().find({"outbox.type": event_class.DESCRIPTOR.full_name}, {"outbox": 1}):
                    found += [Envelope.from_outbox(entry, "consent") for entry in row["outbox"]]
        return [each for each in found if each.type == event_class.DESCRIPTOR.full_name]

    def answer(self, service: str, request: str, *customers: str, version: int | None = None, **items: int) -> None:
        """A service's answer; `items`: how many were removed, by kind."""
        if version is None:
            version = self._versions[service] = self._versions.get(service, 0) + 1
        answer = {"erasure_request": request, "customers": customers, "erase_time": datetime.now(UTC)}
        event = ANSWERS[service](answer=answer | {"items": [{"kind": k, "removed": n} for k, n in items.items()]})
        self.tell(event, f"erasureTasks/{request.rpartition('/')[2]}", version, customers)

    def tell(self, event, subject: str, version: int, datasubjects=()) -> Envelope:
        envelope = enveloped(event, self.client.tenant, *datasubjects, subject=subject, sequence=version)
        self.deliver(envelope)
        return envelope

    def erase_here(self) -> None:
        """Consent's own part: is asked, erases, answers itself."""
        for envelope in self.unsent(consent_events.ErasureRequested):
            self.deliver(envelope)
        erasing.step(self.settings, erase, consent_events.SubjectErased)
        for envelope in self.unsent(consent_events.SubjectErased):
            self.deliver(envelope)

    def steps(self, name: str) -> dict[str, str]:
        """Service -> WAITING or ANSWERED."""
        kinds = erasure_request_pb2.ErasureStep.State
        return {step.service: kinds.Name(step.state).removeprefix("STATE_") for step in self.get(name).steps}

    def merge(self, customer: str, canonical: str, version: int = 1, told=None) -> Envelope:
        alias = identity_events.CustomerMerged(alias={"customer": customer, "canonical_customer": canonical})
        return self.tell(alias, customer, version, told or (customer,))


@pytest.fixture(autouse=True)
def swift(monkeypatch) -> None:
    """The second sweep follows at once."""
    monkeypatch.setattr(erasing, "QUIET_S", 0.0)


@pytest.fixture
def saga(client, settings) -> Saga:
    return Saga(client, settings)


@pytest.fixture
def anna(client) -> str:
    """Somebody who has said much: granted, withdrawn, asked by e-mail and not confirmed yet."""
    client.purpose()
    client.purpose("offers", double_opt_in=True)
    name = client.customer()
    client.grant(name)
    client.withdraw(name, channel="CHANNEL_SMS")
    client.ask(name, "anna@example.com", purpose="purposes/offers")
    return name


def test_asking_closes_the_door_and_asks_every_service(saga, client, anna, refused) -> None:
    made = saga.ask(anna)
    assert (made.customer, list(made.customers), made.state) == (anna, [anna], State.STATE_REQUESTED)
    assert (made.evidence.origin, made.actor, made.rounds) == ("case:4711", "principals/tester", 1)
    assert made.HasField("create_time")
    due = made.due_time.ToDatetime() - made.request_time.ToDatetime()
    assert timedelta(days=28) <= due <= timedelta(days=31)
    assert saga.steps(made.name) == dict.fromkeys([*OTHERS, "consent"], "WAITING")
    (asked,) = saga.unsent(consent_events.ErasureRequested)
    assert asked.datasubjects == (anna,)
    event = consent_events.ErasureRequested.FromString(asked.body)
    assert (event.erasure_request, list(event.customers)) == (made.name, [anna])
    with refused("CUSTOMER_ERASED", grpc.StatusCode.FAILED_PRECONDITION):
        client.grant(anna)
    with refused("CUSTOMER_ERASED"):
        client.withdraw(anna)
    with refused("CUSTOMER_ERASED"):
        client.ask(anna)
    assert client.reason(anna) == "ERASED"


@pytest.mark.parametrize("seed", range(3))
def test_answers_in_any_order_and_repeated_complete_it_once(saga, anna, seed) -> None:
    name = saga.ask(anna).name
    saga.erase_here()
    arrivals = [(service, version) for service in OTHERS for version in (1, 1, 2)]
    random.Random(seed).shuffle(arrivals)
    for service, version in arrivals:
        saga.answer(service, name, anna, version=version, things=version)
    done = saga.get(name)
    assert done.state == State.STATE_COMPLETED
    assert set(saga.steps(name).values()) == {"ANSWERED"}
    assert len(saga.unsent(consent_events.ErasureCompleted)) == 1
    told = {each["service"]: each["items"] for each in json.loads(done.certificate.text)["services"]}
    assert set(told) == {*OTHERS, "consent"}
    assert {"kind": "consents", "removed": 0, "anonymized": 3} in told["consent"]


def test_the_highest_answer_holds_whichever_comes_last(saga, anna) -> None:
    name = saga.ask(anna).name
    saga.answer("sales", name, anna, version=7, orders=5)
    saga.answer("sales", name, anna, version=3, orders=2)
    (sales,) = [step for step in saga.get(name).steps if step.service == "sales"]
    assert [(item.kind, item.removed) for item in sales.items] == [("orders", 5)]


def test_a_service_that_never_answers_keeps_it_open(saga, client, anna, travel) -> None:
    name = saga.ask(anna).name
    saga.erase_here()
    for service in OTHERS[1:]:
        saga.answer(service, name, anna)
    made = saga.get(name)
    assert (made.state, made.HasField("certificate")) == (State.STATE_RUNNING, False)
    assert [service for service, state in saga.steps(name).items() if state == "WAITING"] == [OTHERS[0]]
    assert saga.unsent(consent_events.ErasureCompleted) == []
    open_ones = client.ListErasureRequests(filter="state = STATE_RUNNING").erasure_requests
    assert [each.name for each in open_ones] == [name]
    travel(days=40)
    assert erasures.oldest_open_age() >= timedelta(days=40).total_seconds() - 60
    late = client.ListErasureRequests(filter=f"due_time < {datetime.now(UTC) + timedelta(days=35):%Y-%m-%dT%H:%M:%SZ}")
    assert [each.name for each in late.erasure_requests] == [name]
    assert client.ListErasureRequests(filter=f'customer = "{anna}"').erasure_requests[0].name == name


def test_the_same_person_has_one_open_request(saga, client, anna, refused) -> None:
    bert = client.customer()
    saga.merge(bert, anna)
    name = saga.ask(bert).name
    for again in (anna, bert):
        with refused("ERASURE_IS_OPEN", grpc.StatusCode.ALREADY_EXISTS) as error:
            saga.ask(again)
        assert error.metadata["resource"] == name
    saga.erase_here()
    for service in OTHERS:
        saga.answer(service, name, anna, bert)
    assert saga.get(name).state == State.STATE_COMPLETED
    assert saga.ask(anna).name != name


def test_a_repeated_request_is_the_same(client, anna) -> None:
    request_id = str(uuid.uuid4())
    given = {"erasure_request": {"customer": anna, "evidence": EVIDENCE}, "request_id": request_id}
    assert client.CreateErasureRequest(**given).name == client.CreateErasureRequest(**given).name


@pytest.mark.parametrize(
    ("customer", "evidence", "reason"),
    [
        ("customers/anna", EVIDENCE, "INVALID_CUSTOMER"),
        (f"customers/{ids.uuid7()}", EVIDENCE | {"origin": "anna@example.com"}, "INVALID_EVIDENCE"),
        (f"customers/{ids.uuid7()}", {"origin": "case:1"}, "INVALID_FIELDS"),
    ],
)
def test_requests_that_cannot_be_used_are_refused(saga, refused, customer, evidence, reason) -> None:
    with refused(reason, grpc.StatusCode.INVALID_ARGUMENT):
        saga.ask(customer, evidence)


def test_all_members_of_a_merged_person_are_erased(saga, client, anna) -> None:
    bert = client.customer()
    client.grant(bert)
    saga.merge(bert, anna)
    made = saga.ask(bert)
    assert list(made.customers) == sorted([anna, bert])
    saga.erase_here()
    with client.context():
        assert Consent.rows().count({"customer": bert, "erased": True}) == 1


def test_further_customers_are_asked_about_in_another_round(saga, client, anna, refused) -> None:
    clara = client.customer()
    client.grant(clara)
    name = saga.ask(anna).name
    saga.erase_here()
    for service in OTHERS[1:]:
        saga.answer(service, name, anna, things=1)
    saga.answer("identity", name, anna, clara, customers=2)
    made = saga.get(name)
    assert (list(made.customers), made.rounds) == (sorted([anna, clara]), 2)
    assert saga.steps(name) == dict.fromkeys([*OTHERS, "consent"], "WAITING") | {"identity": "ANSWERED"}
    with refused("CUSTOMER_ERASED"):
        client.grant(clara)
    second = saga.unsent(consent_events.ErasureRequested)[-1]
    assert set(second.datasubjects) == {anna, clara}
    saga.erase_here()
    for service in OTHERS[1:]:
        saga.answer(service, name, anna, clara, things=3)
    done = saga.get(name)
    assert done.state == State.STATE_COMPLETED
    told = json.loads(done.certificate.text)
    assert (told["rounds"], told["customers"]) == (2, sorted([anna, clara]))
    sums = {
        each["service"]: {i["kind"]: (i["removed"], i["anonymized"]) for i in each["items"]}
        for each in told["services"]
    }
    assert sums["consent"]["consents"] == (0, 4)
    assert sums["sales"] == {"things": (3, 0)}
    with client.context():
        assert Consent.rows().count({"customer": clara, "erased": True}) == 1


def test_a_customer_found_after_completion_gets_a_request_of_its_own(saga, client, anna) -> None:
    clara = client.customer()
    name = saga.ask(anna).name
    saga.erase_here()
    for service in OTHERS:
        saga.answer(service, name, anna)
    for _ in range(2):
        saga.answer("identity", name, anna, clara)
    assert list(saga.get(name).customers) == [anna]
    (other,) = client.ListErasureRequests(filter=f'customer = "{clara}"').erasure_requests
    assert (list(other.customers), other.state, other.evidence.origin) == ([clara], State.STATE_REQUESTED, "case:4711")


def test_the_certificate_holds_by_its_public_key_alone_and_no_byte_can_change(saga, anna) -> None:
    name = saga.ask(anna).name
    saga.erase_here()
    for service in OTHERS:
        saga.answer(service, name, anna, things=2)
    proof = saga.get(name).certificate
    key = load_pem_public_key(proof.public_key_pem.encode())
    text = proof.text.encode()
    key.verify(proof.signature, text)
    for position in range(len(text)):
        changed = text[:position] + bytes([text[position] ^ 1]) + text[position + 1 :]
        with pytest.raises(InvalidSignature):
            key.verify(proof.signature, changed)
    told = json.loads(text)
    gone_by = datetime.fromisoformat(told["residue"]["gone_by"])
    assert gone_by - datetime.fromisoformat(told["complete_time"]) == timedelta(days=35)
    assert "anna@example.com" not in proof.text


def test_what_consent_held_is_gone_and_the_chain_still_holds(saga, client, settings, anna, public, refused) -> None:
    bert = client.customer()
    client.grant(bert)
    (link,) = client.links(client.GetConsent(name=consent_of(client, anna, "purposes/offers")))
    store = blobs.store(settings)
    signing = settings.model_copy(update={"checkpoint_seconds": 1e-9})
    with client.context():
        before = list(ConsentRecord.rows().find({"customer": anna}))
        assert all(row["salt"] for row in before)
        assert any("address_fingerprint" in row["evidence"] for row in before)
        sealing.seal(signing, store, "sealer")
    saga.ask(anna)
    with refused("CUSTOMER_ERASED"):
        public.ConfirmOptIn(token=link)
    saga.erase_here()
    with refused("CUSTOMER_ERASED"):
        public.ViewOptIn(token=link)
    with client.context():
        rows = list(ConsentRecord.rows().find({"customer": anna}))
        assert len(rows) == len(before)
        assert not any("salt" in row or "evidence" in row for row in rows)
        assert not any("opt_in" in row for row in Consent.rows().find({"customer": anna}))
        assert OptInMail.rows().count({}) == 0
        assert [event for each in Consent.find({"customer": anna}) for event in each.state_events()] == []
        assert ConsentRecord.rows().find_one({"customer": bert})["salt"]
    found = client.VerifyConsentRecords()
    assert (found.valid, found.checked_count) == (True, len(before) + 1)
    assert client.reason(bert) == "+CONSENT_GRANTED"
    # Whoever erases without being asked is still found.
    with client.context():
        ConsentRecord.rows().update_one({"customer": bert}, {"$unset": {"salt": ""}})
    assert not client.VerifyConsentRecords().valid


def consent_of(client, customer: str, purpose: str) -> str:
    with client.context():
        return Consent.about(customer, purpose, "CHANNEL_EMAIL").name


def test_statements_not_yet_sealed_are_sealed_without_their_content(saga, client, settings, anna) -> None:
    saga.ask(anna)
    saga.erase_here()
    with client.context():
        assert sealing.seal(settings, blobs.store(settings), "sealer") == 3
    assert client.VerifyConsentRecords().valid


def test_an_unsent_event_of_the_erased_is_never_told(saga, anna) -> None:
    assert saga.unsent(consent_events.ConsentGranted)
    saga.ask(anna)
    saga.erase_here()
    for kind in (consent_events.ConsentGranted, consent_events.ConsentWithdrawn, consent_events.ConsentPending):
        assert saga.unsent(kind) == []


@pytest.mark.parametrize("told", ["the living", "both"])
def test_a_late_merge_of_a_living_customer_with_an_erased_one_leads_nobody_there(saga, client, anna, told) -> None:
    living = client.customer()
    client.grant(living)
    saga.ask(anna)
    saga.erase_here()
    saga.merge(living, anna, told=(living,) if told == "the living" else (living, anna))
    saga.merge(anna, living)
    assert client.reason(living) == "+CONSENT_GRANTED"
    decision = client.decide(living)
    assert decision.canonical_customer == living
    client.withdraw(living)
    assert client.reason(living) == "WITHDRAWN"


def test_the_merge_that_identity_knew_first_is_caught_by_another_round(saga, client, anna) -> None:
    """B is asked about; before identity hears of it, it merges A into B; consent hears of the merge too late."""
    living = client.customer()
    client.grant(living)
    name = saga.ask(anna).name
    saga.merge(living, anna)
    assert client.reason(living) == "+CONSENT_GRANTED"
    saga.answer("identity", name, anna, living)
    assert client.reason(living) == "ERASED"
    assert list(saga.get(name).customers) == sorted([anna, living])


def test_an_answer_to_no_request_is_a_dead_letter(saga, client) -> None:
    answer = identity_events.SubjectErased(answer={"erasure_request": "erasureRequests/none", "customers": ["x"]})
    with pytest.raises(AssertionError, match="NOT_FOUND"):
        saga.tell(answer, "erasureTasks/none", 1)


def test_reading_requests_is_served_by_indexes(saga, client, anna) -> None:
    name = saga.ask(anna).name
    with client.context():
        assert_indexed(ErasureRequest, {"customers": {"$in": [anna]}, "open": {"$exists": True}})
        assert ErasureRequest.open_about([anna]).name == name
    assert oldest_open() is not None


@pytest.fixture
def roles(role, settings, amqp, tmp_path) -> Callable[..., object]:
    manifest = topology.manifest(["consent"])
    topology.declare(amqp, manifest)
    path = tmp_path / "topology.json"
    path.write_text(json.dumps(manifest))

    def start(name: str):
        changes = {"role": name, "topology_file": path, "probe_port": free_port()}
        return role(settings.model_copy(update=changes)).start().wait_ready()

    return start


def test_over_the_real_broker_consent_answers_itself(client, settings, anna, roles) -> None:
    alone = settings.model_copy(update={"erasure_services": ("consent",)})
    with client.context():
        made = erasures.create(anna, erasures.Asked("METHOD_AGENT"), alone)
    started = [roles("work"), roles("relay")]

    def completed() -> bool:
        erasing.step(settings, erase, consent_events.SubjectErased)
        return client.GetErasureRequest(name=made.name).state == State.STATE_COMPLETED

    eventually(completed, 40)
    assert [each.stop() for each in started] == [0, 0]
