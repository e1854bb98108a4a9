"""The registry: what jobs found out about models, and what people may do with them."""

import json
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from rapport.scoring.v1 import model_pb2

import docstore
from chassis import clock
from docstore import batches
from docstore.blobs import BlobStore
from scoring import migrate
from scoring.store import Model, ScoringJob
from scoring.store.jobs import SUCCEEDED
from scoring.store.models import ARTEFACT, CHURN
from scoring.usecases import models
from scoring.usecases.leased_jobs import JobFailed

from .conftest import START, Client, claimed

SERVICE = "scoring"
State = model_pb2.Model

FAILED_GATE = {
    "name": "baseline",
    "passed": False,
    "value": 0.01,
    "bound": 0.0,
    "message": "its squared error is +1.0% against that of expecting the same of everybody",
}
TENTHS = [{"expected": place / 10, "actual": place / 9, "customers": 100} for place in range(1, 11)]
DRIFT = {"feature": "frequency", "score": False, "psi": 0.4, "low": 0.3, "high": 0.5, "bound": 0.2, "drifted": True}


def judgement(state: str, champion: str, **told: Any) -> dict[str, Any]:
    return {
        "candidate": {"state": state, "gates": [] if state == "CHAMPION" else [FAILED_GATE]},
        "test": {"promised": {"91": 0.8}, "deciles": TENTHS, "miscalibration": 0.1, "weeks": 13.0, "customers": 1000},
        "champion": champion,
        "standing": champion,
        "rollback": {"falls": False, "message": ""},
        "outcomes": [],
        "drifts": [],
        "features": {"frequency": 1},
        "consenting": 0.9,
        "artefact": {"choice": {"r": 0.1 + 0.2}, "promised": {}},
        **told,
    }


def outcome(model: str, weeks: float = 4.0) -> dict[str, Any]:
    error = {"value": 0.9, "low": 0.8, "high": 1.0}
    figures = {"customers": 90, "expected": 31.5, "actual": 33, "promised": 0.8, "degraded": False, "deciles": TENTHS}
    return {"model": model, "weeks": weeks, "error": error, **figures}


@pytest.fixture
def judged(client: Client, store: BlobStore) -> Callable[..., Model]:
    """Has a job end with a model of that state; returns the model that scores."""

    def job(state: str = "CHAMPION", as_of: datetime | None = None, **told: Any) -> Model:
        running = begin(client)
        running.as_of = as_of or running.as_of
        with client.context():
            return end(client, store, running, state, **told)

    return job


def begin(client: Client) -> ScoringJob:
    client.CreateScoringJob()
    job = claimed(client)
    with client.context():
        told = [{"name": model.name, "role": role} for role, model in models.known("USD", job.as_of)]
        job.spec = {"models": told}
    return job


def end(client: Client, store: BlobStore, job: ScoringJob, state: str, **told: Any) -> Model:
    champion = next((model["name"] for model in job.spec["models"] if model["role"] == "champion"), "")
    description = {
        "window_start": START.isoformat(),
        "window_end": None,
        "customers": 100,
        "purchases": 300,
        "version": "f" * 64,
        "currency": "USD",
        "parameters": {"purchases": {"model": "bg_nbd", "r": 0.25}, "spend": {"model": "gamma_gamma", "p": 6.2}},
        "metrics": {"purchases_intervals": {"r": [0.2, 0.3]}},
        "fallback": False,
        "message": "",
        "judgement": judgement(state, champion, **told),
    }
    scorer = models.register(job, description, store)
    assert models.register(job, description, store).name == scorer.name  # as after a crash
    done = {"state": batches.DONE, "outcome": SUCCEEDED, "end_time": clock.now()}
    ScoringJob.rows().update_one({"uid": job.uid}, {"$set": done})
    return scorer


def states(client: Client) -> dict[int, str]:
    return {model.version: State.State.Name(model.state)[6:] for model in client.ListModels().models}


def events(client: Client, kind: str) -> list[Any]:
    return [event for event in client.told() if event.DESCRIPTOR.name == kind]


def test_a_better_model_becomes_champion_and_the_one_before_retires(client, judged, store) -> None:
    first, second = judged(), judged()
    assert states(client) == {1: "RETIRED", 2: "CHAMPION"}
    found = client.GetModel(name=second.name)
    assert (found.previous_model, found.kind, found.consenting_share) == (first.name, State.KIND_LIFETIME_VALUE, 0.9)
    assert [(each.name, each.version) for each in found.features] == [("frequency", 1)]
    assert len(found.calibration) == 10
    assert found.state_message == "Passed all its gates."
    with client.context():
        assert json.loads(store.get(second.name, ARTEFACT)) == {"choice": {"r": 0.1 + 0.2}, "promised": {}}
    promoted = events(client, "ModelPromoted")
    assert [(event.model, event.previous_model, event.version) for event in promoted] == [
        (first.name, "", 1),
        (second.name, first.name, 2),
    ]
    champions = client.ListModels(filter="state = STATE_CHAMPION AND kind = KIND_LIFETIME_VALUE").models
    assert [model.name for model in champions] == [second.name]
    assert client.refused("ListModels", filter="state = CHAMPION")[0] == "INVALID_FILTER"


def test_a_rejected_model_is_kept_with_its_reasons_and_the_champion_goes_on(client, judged) -> None:
    champion = judged()
    assert judged("REJECTED").name == champion.name
    assert states(client) == {1: "CHAMPION", 2: "REJECTED"}
    (rejected,) = client.ListModels(filter="state = STATE_REJECTED").models
    assert rejected.state_message.startswith("Its squared error is +1.0%")
    (gate,) = rejected.gates
    assert (gate.name, gate.passed, gate.bound) == ("baseline", False, 0.0)
    reason, message, _ = client.refused("PromoteModel", name=rejected.name)
    assert (reason, "did not pass baseline" in message) == ("GATES_NOT_PASSED", True)
    assert len(events(client, "ModelPromoted")) == 1


def test_the_metrics_tell_the_age_of_models_and_the_greatest_drift(client, judged) -> None:
    judged()
    judged("REJECTED", drifts=[DRIFT | {"psi": 7.5, "low": 6.5}])
    assert models.oldest_age() >= 0
    # Another kind of model looks at a column of that name, too.
    values = {"kind": CHURN, "number": 99, "state": "CHAMPION", "as_of": START, "fallback": False, "fingerprint": "f"}
    with client.context():
        churn = Model.new(**values, customers=1, purchases=1, drifts=[DRIFT | {"psi": 3.5, "low": 0.5}]).insert()
    labels = [
        {"rapport.scoring.kind": kind, "rapport.scoring.column": "frequency"} for kind in ("lifetime_value", "churn")
    ]
    for figure, greatest in (("psi", [7.5, 3.5]), ("low", [6.5, 0.5])):
        found = models.drift_by_column(figure)
        assert [(greatest, each) in found for greatest, each in zip(greatest, labels, strict=True)] == [True, True]
    with client.context():
        churn.purge()


def test_one_challenger_stands_beside_the_champion_until_a_later_model_takes_either_place(client, judged) -> None:
    for state in ("CHAMPION", "CHALLENGER", "CHALLENGER", "REJECTED"):
        judged(state)
    assert states(client) == {1: "CHAMPION", 2: "RETIRED", 3: "CHALLENGER", 4: "REJECTED"}
    with client.context():
        assert [(role, model.number) for role, model in models.known("USD", clock.now())] == [
            ("champion", 1),
            ("challenger", 3),
            ("earlier", 2),
        ]
        assert models.known("EUR", clock.now()) == []
    judged()
    assert states(client) == {1: "RETIRED", 2: "RETIRED", 3: "RETIRED", 4: "REJECTED", 5: "CHAMPION"}


def test_when_nobody_may_score_mean_rates_stand_in(client, judged) -> None:
    stand_in = {"artefact": {"choice": {}}, "parameters": {"purchases": {"model": "baseline"}}, "message": "mean rates"}
    scorer = judged("REJECTED", stand_in=stand_in)
    assert states(client) == {1: "REJECTED", 2: "CHAMPION"}
    found = client.GetModel(name=scorer.name)
    assert (found.fallback, found.message, found.version) == (True, "mean rates", 2)
    assert found.scoring_job == client.ListScoringJobs().scoring_jobs[0].name
    assert events(client, "ModelPromoted")[0].fallback


def test_a_champion_that_breaks_its_promise_goes_and_the_one_before_comes_back(client, judged) -> None:
    first, second = judged(), judged()
    fall = {"falls": True, "message": "its error on purchases since is 1.300"}
    seen = [outcome(second.name), outcome(first.name, 8.0)]
    scorer = judged("REJECTED", rollback=fall, standing=first.name, outcomes=seen, drifts=[DRIFT])
    assert scorer.name == first.name
    assert states(client) == {1: "CHAMPION", 2: "ROLLED_BACK", 3: "REJECTED"}
    (event,) = events(client, "ModelRolledBack")
    assert (event.model, event.restored_model, event.principal) == (second.name, first.name, "")
    assert list(event.reasons) == ["Its error on purchases since is 1.300."]
    assert event.scoring_job.startswith("scoringJobs/")
    (drifted,) = events(client, "FeatureDriftDetected")
    assert (drifted.model, drifted.drifts[0].feature) == (first.name, "frequency")
    fallen = client.GetModel(name=second.name)
    assert fallen.outcomes[0].error == 0.9
    assert fallen.outcomes[0].scoring_job == event.scoring_job
    assert client.GetModel(name=first.name).drifts[0].psi == 0.4
    # It may come again, by hand: it had passed its gates.
    assert client.PromoteModel(name=second.name).state == State.STATE_CHAMPION
    assert states(client) == {1: "RETIRED", 2: "CHAMPION", 3: "REJECTED"}


def test_a_champion_that_falls_may_be_followed_by_the_new_model_at_once(client, judged) -> None:
    first, second = judged(), judged()
    fall = {"falls": True, "message": "worse than promised"}
    third = judged("CHAMPION", rollback=fall, standing=first.name, outcomes=[outcome(second.name)])
    assert states(client) == {1: "RETIRED", 2: "ROLLED_BACK", 3: "CHAMPION"}
    assert client.GetModel(name=third.name).previous_model == first.name


def test_an_evaluation_alone_takes_back_what_broke_its_promise_and_makes_no_model(client, judged) -> None:
    first, second = judged(), judged()
    client.CreateScoringJob(scoring_job={"task": "TASK_EVALUATE"})
    job = claimed(client)
    fell = {"falls": True, "message": "worse than promised"}
    told = {"champion": second.name, "standing": first.name, "rollback": fell, "drifts": [DRIFT]}
    told["outcomes"] = [outcome(second.name)]
    with client.context():
        for _ in range(2):  # as after a crash
            assert models.note_evaluation(job, told).name == first.name
        ended = {"state": batches.DONE, "outcome": SUCCEEDED, "end_time": clock.now()}
        ScoringJob.rows().update_one({"uid": job.uid}, {"$set": ended})
    assert states(client) == {1: "CHAMPION", 2: "ROLLED_BACK"}
    (event,) = events(client, "ModelRolledBack")
    assert (event.model, event.restored_model, event.scoring_job) == (second.name, first.name, job.name)
    (kept,) = client.GetModel(name=second.name).outcomes
    assert kept.scoring_job == job.name
    assert len(events(client, "FeatureDriftDetected")) == 1


def test_what_a_later_look_at_earlier_days_finds_replaces_nothing_and_takes_nobody_back(client, judged) -> None:
    judged()
    champion = judged()
    seen = {"outcomes": [outcome(champion.name, 9.0)], "drifts": [DRIFT]}
    judged("REJECTED", **seen)
    past = clock.now() - timedelta(days=60)
    with client.context():
        assert "previous" not in dict(models.known("USD", past))
        assert "previous" in dict(models.known("USD", clock.now()))
    calm = [DRIFT | {"drifted": False, "psi": 0.1}]
    judged("REJECTED", as_of=past, outcomes=[outcome(champion.name, 1.0)], drifts=calm)
    judged("REJECTED", drifts=[])  # too few rows tell nothing
    found = client.GetModel(name=champion.name)
    assert ([each.weeks for each in found.outcomes], [each.psi for each in found.drifts]) == ([9, 1], [0.4])
    assert len(events(client, "FeatureDriftDetected")) == 1
    judged("REJECTED", drifts=calm)
    assert client.GetModel(name=champion.name).drifts[0].psi == 0.1


def test_outcomes_are_kept_newest_first_and_not_for_ever(client, judged) -> None:
    champion = judged()
    for weeks in range(1, 15):
        judged("REJECTED", outcomes=[outcome(champion.name, float(weeks))])
    assert [seen.weeks for seen in client.GetModel(name=champion.name).outcomes] == [*range(14, 2, -1)]


def test_people_promote_and_take_back_once_and_with_a_reason(client, judged) -> None:
    first, second = judged(), judged()
    request_id = str(uuid.uuid4())
    etag = client.GetModel(name=first.name).etag
    reason, *_ = client.refused("PromoteModel", name=first.name, etag='"99"')
    assert reason == "ETAG_MISMATCH"
    for _ in range(2):
        found = client.PromoteModel(name=first.name, etag=etag, request_id=request_id, reason="The old one was fine")
        assert found.state == State.STATE_CHAMPION
    assert found.state_message == "Promoted by hand: The old one was fine."
    (*_, event) = events(client, "ModelPromoted")
    assert (event.model, event.previous_model, event.principal) == (first.name, second.name, "principals/tester")
    back = client.RollBackModel(name=first.name, reason="Or not")
    assert (back.name, back.state) == (second.name, State.STATE_CHAMPION)
    assert client.GetModel(name=first.name).state_message == "Taken back by hand: Or not."
    (event,) = events(client, "ModelRolledBack")
    assert (event.principal, event.scoring_job) == ("principals/tester", "")
    assert client.PromoteModel(name=second.name).etag == back.etag  # is champion already
    reason, _, fields = client.refused("PromoteModel", name=first.name, reason="x" * 501)
    assert (reason, fields) == ("INVALID_REASON", ["reason"])


def test_what_cannot_be_taken_back_is_refused_precisely(client, judged) -> None:
    first = judged()
    assert client.refused("RollBackModel", name=first.name)[0] == "NO_PREVIOUS_MODEL"
    judged()
    assert client.refused("RollBackModel", name=first.name)[0] == "MODEL_NOT_CHAMPION"
    client.CreateScoringJob()
    reason, message, _ = client.refused("PromoteModel", name=first.name)
    assert (reason, "is at work with the present champion" in message) == ("SCORING_JOB_RUNNING", True)
    assert client.refused("PromoteModel", name=f"models/{uuid.uuid4()}")[0] == "NOT_FOUND"


def test_a_champion_changed_under_a_job_fails_the_job_and_nothing_else(client, judged, store) -> None:
    first, second = judged(), judged()
    job = begin(client)
    with client.context():
        docstore.in_transaction(lambda: _swap(second, first))
        with pytest.raises(JobFailed, match="champion was changed"):
            end(client, store, job, "CHAMPION")
    assert states(client) == {1: "CHAMPION", 2: "RETIRED"}


def _swap(champion: Model, other: Model) -> None:
    for uid, state in ((champion.uid, "RETIRED"), (other.uid, "CHAMPION")):
        model = Model.get(uid)
        model.state = state
        model.save()


def test_models_of_before_the_registry_stay_and_the_newest_is_champion(client, judged, settings) -> None:
    with client.context():
        for number in (1, 2):
            Model.rows().insert_one(_old_row(str(uuid.uuid4()), number))
    assert states(client) == {1: "RETIRED", 2: "RETIRED"}
    with docstore.platform_scope():
        for _ in range(2):
            migrate.MIGRATIONS[0].run(docstore.client()[settings.database])
    assert states(client) == {1: "RETIRED", 2: "CHAMPION"}
    old = client.ListModels().models[0]
    assert (old.scoring_job, old.parameters["purchases"]["r"]) == (f"scoringJobs/{old.uid}", 0.24)
    assert "r" in client.GetModelCard(name=old.name).data.decode()
    judged()  # It cannot be compared with: it was not kept whole.
    assert states(client) == {1: "RETIRED", 2: "RETIRED", 3: "CHAMPION"}
    assert client.refused("PromoteModel", name=old.name)[0] == "MODEL_NOT_KEPT"


def _old_row(uid: str, number: int) -> dict[str, Any]:
    return {
        "uid": uid,
        "version": 1,
        "schema_version": 1,
        "create_time": START,
        "update_time": START,
        "number": number,
        "as_of": START + timedelta(days=number),
        "parameters": {"purchases": {"model": "bg_nbd", "r": 0.24}},
        "metrics": {},
        "fallback": False,
        "customers": 10,
        "purchases": 20,
        "fingerprint": "abc",
    }


def test_cards_are_drawn_as_the_models_are_now_and_mean_nothing_but_text(client, judged) -> None:
    first, second = judged(), judged()
    judged("REJECTED", outcomes=[outcome(second.name)], drifts=[DRIFT])
    client.RollBackModel(name=second.name, reason="<script>alert(1)</script> | *bold*")
    card = client.GetModelCard(name=second.name)
    assert card.content_type == "text/html"
    page = card.data.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "ROLLED_BACK" in page
    assert "Side by side" in page
    assert page.count("<svg") == 4  # calibration, gain, what happened since, drift
    text = client.GetModelCard(name=second.name, format="markdown")
    assert text.content_type == "text/markdown"
    assert r"\<script\>alert(1)\</script\> \| \*bold\*" in text.data.decode()
    assert f"{first.name}" in text.data.decode()
    reason, _, fields = client.refused("GetModelCard", name=second.name, format="pdf")
    assert (reason, fields) == ("INVALID_FORMAT", ["format"])
