"""The roles as processes: one trains and is killed, another goes on; new leads are scored through the broker."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from rapport.sales.v1 import events_pb2 as sales_events_pb2
from rapport.scoring.v1 import events_pb2
from rapport.scoring.v1.model_pb2 import Model

import docstore
from chassis import clock, ids
from eventing import names, topology
from eventing.envelope import Envelope
from localrun.ports import free_port
from scoring.store import ScoringJob
from testkit import eventually

from .conftest import customer
from .test_lead_scoring import LEADS, JobState, history, lead_state

SERVICE = "scoring"


@pytest.fixture(scope="module")
def topology_file(amqp: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    manifest = topology.manifest([SERVICE])
    topology.declare(amqp, manifest)
    path = tmp_path_factory.mktemp("topology") / "topology.json"
    path.write_text(json.dumps(manifest))
    return path


@pytest.fixture
def process(role: Any, settings: Any, topology_file: Path, tmp_path: Path) -> Callable[[str], Any]:
    """Makes a process of a role."""

    def make(name: str) -> Any:
        changes = {"role": name, "probe_port": free_port(), "topology_file": topology_file, "job_lease_s": 2.0}
        return role(settings.model_copy(update=changes | {"work_dir": tmp_path / "work"}))

    return make


@pytest.fixture
def broker(amqp: str, topology_file: Path) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(amqp))
    yield connection.channel()
    connection.close()


def test_a_killed_runner_s_training_is_gone_on_with_and_new_leads_are_scored_at_once(
    client, process, broker, failpoint
) -> None:
    queue = broker.queue_declare("", exclusive=True).method.queue
    broker.queue_bind(queue, names.EVENTS_EXCHANGE, events_pb2.LeadsScored.DESCRIPTOR.full_name)

    def publish(state: sales_events_pb2.LeadState) -> None:
        """As sales tells it, and once more."""
        event = Envelope(
            id=ids.uuid7(),
            type=sales_events_pb2.LeadCreated.DESCRIPTOR.full_name,
            source="//rapport/sales",
            subject=state.lead,
            tenant=client.tenant,
            time=clock.now(),
            datasubjects=(),
            sequence=(1, 0),
            body=sales_events_pb2.LeadCreated(lead=state).SerializeToString(),
        )
        for _ in range(2):
            properties = pika.BasicProperties(**event.to_properties())
            broker.basic_publish(names.EVENTS_EXCHANGE, event.type, event.body, properties, mandatory=True)

    def told() -> events_pb2.LeadsScored | None:
        method, _, body = broker.basic_get(queue, auto_ack=True)
        return events_pb2.LeadsScored.FromString(body) if method else None

    client.profiling()
    history(client)
    created = client.CreateScoringJob(scoring_job=LEADS)
    run, others = process("run"), [process(name).start() for name in ("work", "relay")]
    with failpoint("scoring.usecases.lead_training:store") as there:
        run.start()
    there.wait()
    assert run.process.wait(10) == -signal.SIGKILL
    with docstore.platform_scope():
        docstore.platform_collection(ScoringJob).update_many({}, {"$unset": {"lease": ""}})
    run.start().wait_ready()
    job = client.ended(created.name)
    assert "have new scores" in job.message, job.message
    assert job.state == JobState.STATE_SUCCEEDED
    assert [model.uid for model in client.ListModels().models] == [job.uid]
    for each in others:
        each.wait_ready()
    for _ in range(3):
        state = lead_state(clock.now(), has_phone=True)
        publish(state)
        event = eventually(told, 5, "the score of the new lead is told within 5 s")
        (scored,) = event.scores
        assert (scored.lead, scored.model) == (state.lead, job.model)
        assert scored.probability == client.GetLeadScore(name=f"{state.lead}/score").probability.value
    # Models of purchases have a champion of their own.
    client.buys(customer(), 0, 7, 14)
    client.score()
    kinds = {model.kind for model in client.ListModels(filter="state = STATE_CHAMPION").models}
    assert kinds == {Model.KIND_LIFETIME_VALUE, Model.KIND_LEAD_CONVERSION}
    assert [each.stop() for each in (run, *others)] == [0, 0, 0]
