"""Segments without consent, for nothing here is decided by it; the clock of a module is moved."""

import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import grpc
import pytest
from pydantic import SecretStr
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.identity.v1 import events_pb2
from rapport.scoring.v1 import scoring_service_pb2_grpc

import docstore
from chassis import money, server
from localrun.ports import free_port
from scoring.servicer import ScoringServicer
from scoring.settings import ScoringSettings
from testkit.travel import Travel

from ..conftest import Client


@pytest.fixture(scope="module")
def settings(database: ScoringSettings, amqp: str, tmp_path_factory: pytest.TempPathFactory) -> ScoringSettings:
    changes = {
        "amqp_uri": SecretStr(amqp),
        "upstreams": {"consent": f"dns:///127.0.0.1:{free_port()}"},
        "work_dir": tmp_path_factory.mktemp("work"),
        "clock_file": tmp_path_factory.mktemp("clock") / "offset.json",
    }
    return database.model_copy(update=changes)


@pytest.fixture(scope="module")
def channels(settings: ScoringSettings) -> Iterator[tuple[grpc.Channel, grpc.Channel]]:
    servicers = [(scoring_service_pb2_grpc.add_ScoringServiceServicer_to_server, ScoringServicer())]
    with server.in_process(settings, servicers) as target, grpc.insecure_channel(target) as scoring:
        yield scoring, scoring


@pytest.fixture(scope="module")
def travel(settings: ScoringSettings) -> Iterator[Travel]:
    made = Travel(settings)
    yield made
    made.back()


def happened(
    name: str, event: str, when: datetime, amount: int | None = None, message_id: str = ""
) -> events_pb2.TrackedEvent:
    tracked = events_pb2.TrackedEvent(
        customer=name, event=event, source="shop", message_id=message_id or uuid.uuid4().hex, kind="KIND_TRACK"
    )
    tracked.event_time.FromDatetime(when)
    if amount is not None:
        tracked.amount.CopyFrom(money.from_minor(amount, "EUR"))
    return tracked


def state(name: str, **values: Any) -> events_pb2.CustomerState:
    return events_pb2.CustomerState(customer=name, **values)


def said(name: str, what: str, consent: str) -> consent_events_pb2.ConsentState:
    values = {"purpose": "purposes/news", "channel": "CHANNEL_EMAIL", "consent_record": f"consentRecords/{consent}"}
    return consent_events_pb2.ConsentState(consent=f"consents/{consent}", customer=name, state=what, **values)


def note(client: Client, *work: Callable[[], object]) -> None:
    """What handlers do, each in a transaction of its own, then what role `run` does."""
    with client.context():
        for each in work:
            docstore.in_transaction(each)
    client.keep()


def create(client: Client, **expressions: str) -> None:
    for uid, expression in expressions.items():
        client.CreateSegment(segment={"display_name": uid, "expression": expression}, segment_id=uid)
