"""The scoring service in this process on a real MongoDB; consent, which it asks, as a process of its own."""

import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from pydantic import SecretStr
from rapport.consent.v1 import consent_pb2, consent_service_pb2, consent_service_pb2_grpc, purpose_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.scoring.v1 import scoring_service_pb2 as pb
from rapport.scoring.v1 import scoring_service_pb2_grpc

import docstore
from chassis import clock, money, server, tenancy
from chassis.keys import keyring
from contracts import descriptors
from docstore import batches, blobs
from docstore.blobs import BlobStore
from scoring.decisions import PURPOSE
from scoring.jobs import launch
from scoring.servicer import ScoringServicer
from scoring.settings import ScoringSettings
from scoring.store import Model, PurchaseNews, Score, ScoreChange, ScoringJob
from scoring.usecases import evaluating, memberships, rescoring, running, staging
from testkit import eventually, warm
from testkit.neighbours import serving
from testkit.refusals import refusal_of
from testkit.roles import RoleProcess

from . import left_models

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
FORM = consent_pb2.Evidence(method="METHOD_FORM", origin="https://shop.example/profile")
NONE = purpose_pb2.CHANNEL_NONE


class Client:
    """Calls scoring and consent as one principal of one tenant: `client.GetSegment(name=...)`."""

    def __init__(self, scoring: grpc.Channel, consent: grpc.Channel, tenant: str) -> None:
        self._stub = scoring_service_pb2_grpc.ScoringServiceStub(scoring)
        self._consent = consent_service_pb2_grpc.ConsentServiceStub(consent)
        self.tenant = tenant

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(**fields: Any) -> Message:
            return self._call("scoring", self._stub, getattr(pb, f"{method}Request")(**fields), method)

        return call

    def consent(self, method: str, **fields: Any) -> Any:
        """A call of the consent service."""
        return self._call("consent", self._consent, getattr(consent_service_pb2, f"{method}Request")(**fields), method)

    def _call(self, audience: str, stub: Any, request: Message, method: str) -> Any:
        token = keyring().mint_token(
            tenant=self.tenant, principal="principals/tester", permissions={f"{audience}.*"}, audience=audience
        )
        return getattr(stub, method)(request, metadata=[("authorization", f"Bearer {token}")], timeout=20)

    def refused(self, method: str, **fields: Any) -> tuple[str, str, list[str]]:
        """Reason, message and fields of a refusal."""
        with pytest.raises(grpc.RpcError) as caught:
            getattr(self, method)(**fields)
        refusal = refusal_of(caught.value)
        assert refusal.domain == "scoring.rapport"
        return refusal.reason, refusal.message, list(refusal.violations)

    def context(self) -> AbstractContextManager[object]:
        """The tenant's context, for looking into the database."""
        return tenancy.service_context(self.tenant)

    def profiling(self, **fields: Any) -> None:
        """Makes the purpose under which customers are scored."""
        values = {
            "display_name": "Profiling",
            "legal_basis": "LEGAL_BASIS_LEGITIMATE_INTERESTS",
            "channels": ["CHANNEL_NONE"],
        }
        self.consent("CreatePurpose", purpose=purpose_pb2.Purpose(**(values | fields)), purpose_id="profiling")

    def objects(self, customer: str) -> Any:
        """Has consent record an objection; nothing is told to scoring."""
        return self.consent("WithdrawConsent", customer=customer, purpose=PURPOSE, channel=NONE, evidence=FORM)

    def buys(self, customer: str, *days: int, amount: int = 1999, currency: str = "USD") -> None:
        """Stages purchases on some days since START."""
        self.stage([purchase(customer, day, amount, currency) for day in days])

    def stage(self, events: Iterable[identity_events_pb2.TrackedEvent]) -> int:
        """What the worker does with events."""
        with self.context():
            return docstore.in_transaction(lambda: staging.stage(list(events)))

    def score(self, ends: str = "SUCCEEDED", **fields: Any) -> Any:
        """Runs a job to its end, which is as expected, by whoever runs jobs; returns it."""
        job = self.ended(self.CreateScoringJob(scoring_job=fields).name)
        assert type(job).State.Name(job.state) == f"STATE_{ends}", job.message
        return job

    def ended(self, name: str, timeout: float = 60) -> Any:
        """Waits until a job has ended."""
        return eventually(
            lambda: (job := self.GetScoringJob(name=name)).HasField("end_time") and job, timeout, f"{name} has ended"
        )

    def segment(self, expression: str, uid: str = "some") -> Any:
        """A segment with its members found."""
        self.CreateSegment(segment={"display_name": "Some", "expression": expression}, segment_id=uid)
        return self.evaluated(uid)

    def evaluated(self, uid: str = "some") -> Any:
        """Finds members as role `run` does; returns the segment."""
        self.keep()
        return self.GetSegment(name=f"segments/{uid}")

    def keep(self) -> None:
        """Takes in all that the tenant's segments wait for, as role `run` does."""
        with self.context():
            evaluating.evaluate_all()

    def members(self, uid: str = "some") -> set[str]:
        """Names of a segment's members, page by page."""
        found: set[str] = set()
        token = ""
        while True:
            page = self.ListSegmentMembers(parent=f"segments/{uid}", page_size=100, page_token=token)
            found |= {member.customer for member in page.members}
            if not (token := page.next_page_token):
                return found

    def scored(self) -> dict[str, Any]:
        """All scores by customer, page by page."""
        found: dict[str, Any] = {}
        token = ""
        while True:
            page = self.ListCustomerScores(page_size=100, page_token=token)
            found |= {scores.customer: scores for scores in page.customer_scores}
            if not (token := page.next_page_token):
                return found

    def told(self) -> list[Any]:
        """Every event the tenant has to publish, in order, as messages."""
        with self.context():
            rows = [row for cls in (ScoreChange, ScoringJob, Model) for row in cls.rows().find({})]
        entries = sorted((entry for row in rows for entry in row.get("outbox", ())), key=lambda entry: entry["id"])
        return [descriptors.message_class(entry["type"]).FromString(entry["body"]) for entry in entries]

    def moves(self, segment: str = "some") -> list[tuple[str, str]]:
        """What was told of a segment: ("entered" or "left", customer), in order."""
        return [
            ("entered" if event.DESCRIPTOR.name == "SegmentEntered" else "left", each.customer)
            for event in self.told()
            if event.DESCRIPTOR.name in ("SegmentEntered", "SegmentLeft") and event.segment == f"segments/{segment}"
            for each in event.customers
        ]


def customer() -> str:
    """The name of a customer nobody has heard of."""
    return f"customers/{uuid.uuid4()}"


def purchase(
    name: str, day: int, amount: int = 1999, currency: str = "USD", **fields: Any
) -> identity_events_pb2.TrackedEvent:
    """An event as identity tells it, of its own message id and order; `products` are those of its lines."""
    unique = uuid.uuid4().hex
    values = {"customer": name, "event": "Order Completed", "source": "shop", "kind": "KIND_TRACK"}
    event = identity_events_pb2.TrackedEvent(
        **(values | {"message_id": unique, "order_id": f"shop-{unique}"} | fields),
        amount=money.from_minor(amount, currency),
    )
    event.event_time.FromDatetime(START + timedelta(days=day))
    return event


def score_row(name: str, **values: Any) -> dict[str, Any]:
    """Scores as stored, of a job of no importance."""
    row = {
        "uid": name.rpartition("/")[2],
        "customer": name,
        "currency": "USD",
        "recency_weeks": 3.0,
        "frequency": 2,
        "age_weeks": 10.0,
        "monetary_minor": 1999,
        "purchases": 3,
        "revenue_minor": 5997,
        "rfm": {"recency": 3, "frequency": 3, "monetary": 3, "segment": "Loyal"},
        "p_alive": 0.5,
        "expected_purchases": 1.5,
        "lifetime_value_minor": 3000,
        "reasons": ["Buys often."],
        "job": "019a0000-0000-7000-8000-000000000000",
        "as_of": START,
        "horizon_weeks": 52,
        "decision": "decisions/d",
        "score_time": START,
    } | values
    ranked = ("p_alive", "expected_purchases", "lifetime_value_minor")
    return row | {
        "intervals": {name: [row[name], row[name]] for name in ranked},
        "percentiles": dict.fromkeys(ranked, 50.0),
    }


@pytest.fixture(scope="session")
def consent(mongodb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoleProcess]:
    """The consent service as a process; each test has a tenant of its own there."""
    folder = tmp_path_factory.mktemp("consent")
    with serving("consent", mongodb, folder, mail_from="Shop <no-reply@shop.example>") as process:
        yield process


@pytest.fixture(scope="session")
def warm_starter() -> warm.Starter:
    """Starts job programs that need not load libraries first: that takes longer than the jobs of tests do."""
    return warm.Starter(warm.template("scoring"))


@pytest.fixture(scope="module")
def settings(
    database: ScoringSettings,
    amqp: str,
    consent: RoleProcess,
    warm_starter: warm.Starter,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ScoringSettings]:
    """The service's settings, with the addresses of consent and the broker.

    This process, and the role `run` as a process, start warm job programs.
    """
    work_dir = tmp_path_factory.mktemp("work")
    upstreams = {"consent": f"dns:///127.0.0.1:{consent.settings.grpc_port}"}
    changes = {"upstreams": upstreams, "job_lease_s": 3.0, "work_dir": work_dir, "amqp_uri": SecretStr(amqp)}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(launch, "_start", warm_starter)
        patched.setenv(warm.STARTER, f"scoring.jobs.launch:_start#{warm_starter.address}")
        # Parts cost more than the few customers in them.
        yield database.model_copy(update={**changes, "job_partitions": 3})


@pytest.fixture(scope="module")
def store(settings: ScoringSettings) -> BlobStore:
    """Where files are kept."""
    return blobs.store(settings)


@pytest.fixture(scope="module")
def channels(settings: ScoringSettings, consent: RoleProcess) -> Iterator[tuple[grpc.Channel, grpc.Channel]]:
    servicers = [(scoring_service_pb2_grpc.add_ScoringServiceServicer_to_server, ScoringServicer())]
    with (
        server.in_process(settings, servicers) as target,
        grpc.insecure_channel(target) as scoring,
        grpc.insecure_channel(f"127.0.0.1:{consent.settings.grpc_port}") as other,
    ):
        yield scoring, other


@pytest.fixture
def client(channels: tuple[grpc.Channel, grpc.Channel]) -> Client:
    """Everything in a tenant of its own for each test."""
    return Client(*channels, f"t{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="module")
def jobs(settings: ScoringSettings, store: BlobStore) -> Iterator[None]:
    """Carries jobs through in this process, as role `run` does."""
    stopping = threading.Event()

    def work() -> None:
        docstore.batches.process(
            ScoringJob,
            lambda job: running.run_job(job, settings, store, stopping),
            stopping,
            parallel=1,
            lease_s=settings.job_lease_s,
        )

    thread = threading.Thread(target=work, name="jobs")
    thread.start()
    yield
    stopping.set()
    thread.join()


def plant(client: Client, rows: Iterable[dict[str, Any]]) -> None:
    """Puts scores there, of no job."""
    planted = list(rows)

    def once() -> None:
        Score.rows().insert_many(planted)
        memberships.settle([row["uid"] for row in planted])

    with client.context():
        docstore.in_transaction(once)


def plant_earlier(client: Client, **part: Any) -> None:
    """Puts there what an earlier job told of two customers, of whom one has other scores, too."""
    uid = uuid.uuid4().hex
    with client.context():
        only = [{"uid": uid, "customer": f"customers/{uid}", **part}]
        docstore.in_transaction(lambda: Score.rows().insert_many(only))
    plant(client, [score_row(customer(), **part)])


def claimed(client: Client) -> ScoringJob:
    """The tenant's job, leased as a runner would."""
    (job,) = [job for job in batches.claim(ScoringJob, 100, lease_s=60) if job.tenant == client.tenant]
    return job


@pytest.fixture
def at(monkeypatch) -> Callable[..., None]:
    """Sets the clock."""
    return lambda instant: monkeypatch.setattr(clock, "now", lambda: instant)


@pytest.fixture
def scorer(client) -> None:
    """What a job leaves to score with."""
    left_models.leave(client)


@pytest.fixture
def rescore(client, settings, store) -> Callable[[], None]:
    """Scores who bought, as role `run` does."""

    def keep() -> None:
        with client.context():
            assert rescoring.keep(settings, store)
            assert PurchaseNews.rows().count({}) == 0

    return keep
