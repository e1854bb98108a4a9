"""The role `run` as a process: it trains, is killed, goes on, and scores new leads at once."""

import signal
from collections.abc import Callable
from typing import Any

import pytest

import docstore
from chassis import clock
from localrun.ports import free_port
from scoring.store import ScoringJob
from testkit import eventually

from .test_lead_scoring import LEADS, JobState, create, history, lead_state, scores

SERVICE = "scoring"


@pytest.fixture
def runner(role: Any, settings: Any, tmp_path: Any) -> Callable[[], Any]:
    def make() -> Any:
        values = {"role": "run", "probe_port": free_port(), "work_dir": tmp_path / "work", "job_lease_s": 2.0}
        return role(settings.model_copy(update=values))

    return make


def test_a_killed_runner_s_training_is_gone_on_with_and_new_leads_are_scored_at_once(
    client, hear, runner, failpoint
) -> None:
    client.profiling()
    history(client)
    created = client.CreateScoringJob(scoring_job=LEADS)
    process = runner()
    with failpoint("scoring.usecases.lead_training:store") as there:
        process.start()
    there.wait()
    assert process.process.wait(10) == -signal.SIGKILL
    with docstore.platform_scope():
        docstore.platform_collection(ScoringJob).update_many({}, {"$unset": {"lease": ""}})
    process.start().wait_ready()
    job = client.ended(created.name)
    assert "have new scores" in job.message, job.message
    assert job.state == JobState.STATE_SUCCEEDED
    uid = created.name.partition("/")[2]
    assert len([each for each in client.ListModels().models if each.uid == uid]) == 1
    # The first one waits for the model to be loaded, too.
    for _ in range(3):
        lead = create(hear, lead_state(clock.now(), has_phone=True))
        eventually(lambda lead=lead: lead in scores(client), 5, "the new lead is scored within 5 s")
    assert process.stop() == 0
