"""The roles as processes: one trains and is killed, another goes on; new leads are scored through the broker."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from rapport.sales.v1 import events_pb2 as sales_events_pb2
from rapport.scoring.v1 import events_pb2
from rapport.scoring.v1.model_pb2 import Model

import docstore
from chassis import clock
from scoring.store import ScoringJob
from testkit import eventually
from testkit.roles import RoleProcess
from testkit.telling import decoded

from .conftest import customer
from .test_lead_scoring import LEADS, JobState, history, lead_state

SERVICE = "scoring"


@pytest.fixture
def process(made: Callable[..., RoleProcess], tmp_path: Path) -> Callable[[str], RoleProcess]:
    """Makes a process of a role."""
    return lambda name: made(name, job_lease_s=2.0, work_dir=tmp_path / "work")


def test_a_killed_runner_s_training_is_gone_on_with_and_new_leads_are_scored_at_once(
    client, process, publish, captured, failpoint
) -> None:
    so_far = captured(events_pb2.LeadsScored.DESCRIPTOR.full_name)
    count = 0

    def told() -> events_pb2.LeadsScored | None:
        """What was told since it was last asked."""
        nonlocal count
        if len(events := so_far()) == count:
            return None
        count += 1
        return decoded(events[count - 1])

    client.profiling()
    history(client)
    created = client.CreateScoringJob(scoring_job=LEADS)
    run, others = process("run"), [process(name).start() for name in ("work", "relay")]
    with failpoint("scoring.usecases.models:register") as there:
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
        first = publish(sales_events_pb2.LeadCreated(lead=state), subject=state.lead)
        publish(first)
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
