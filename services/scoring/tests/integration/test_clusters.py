"""Clusters from purchases to names with their reasons, in segments and events; kept over jobs, gone when asked for."""

import random
import re
import uuid
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from rapport.scoring.v1 import condition_pb2, model_pb2

import docstore
from docstore import explain
from docstore.aliases import AliasChange
from docstore.blobs import BlobStore
from scoring.jobs.reproduce import reproduce
from scoring.store import Model, Score
from scoring.usecases import people

from . import carrying_out
from .conftest import START, Client, customer, plant_earlier, purchase
from .seen_plots import seen_plots
from .test_scoring_erasing import erased, holding  # noqa: F401 - fixtures

SERVICE = "scoring"
AS_OF = START + timedelta(days=300)
EACH = 70
GROUPS = {"regular": (8, 20, 9000), "lost": (1, 220, 2000), "new": (1, 8, 2500)}
"""Purchases, days since the last one, and cents each, about."""


def shop(seed: int = 7) -> dict[str, tuple[str, list[tuple[float, int]]]]:
    """Customers of three kinds: each with its kind and what it bought, days before AS_OF and cents."""
    chance = random.Random(seed)

    def about(value: float) -> float:
        return value * chance.lognormvariate(0, 0.2)

    found: dict[str, tuple[str, list[tuple[float, int]]]] = {}
    for kind, (often, ago, cents) in GROUPS.items():
        for _ in range(EACH):
            last, gap = min(about(ago), 340), about(20)
            count = 1 if often == 1 else round(about(often))
            found[customer()] = (kind, [(last + gap * number, round(about(cents))) for number in range(count)])
    return found


carried_out = partial(carrying_out.carried_out, kind="KIND_CLUSTERS", as_of=AS_OF)
"""A job of the tenant, whose program runs in this process."""


@pytest.fixture(scope="module")
def bought() -> dict[str, tuple[str, list[tuple[float, int]]]]:
    return shop()


@pytest.fixture(scope="module")
def objector(bought: dict[str, Any]) -> str:
    return min(bought)


@pytest.fixture(scope="module")
def made(channels: Any, settings: Any, store: BlobStore, bought: dict[str, Any], objector: str) -> tuple[Client, Any]:
    """A tenant with clusters, and the job that made them. Two customers were in some of an earlier job."""
    client = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    client.profiling()
    client.objects(objector)
    events = [purchase(name, 300 - days, cents) for name, (_, each) in bought.items() for days, cents in each]
    client.stage(events)
    plant_earlier(client, cluster={"name": "old", "job": "old"})
    job = carried_out(client, settings, store)
    client.keep()
    return client, job


@pytest.fixture(scope="module")
def client(made: tuple[Client, Any]) -> Client:
    """What fixtures that look into a tenant are to look into."""
    return made[0]


def names_of(client: Client, bought: dict[str, Any]) -> dict[str, set[str]]:
    """What the clusters of each kind of customers are called."""
    found: dict[str, set[str]] = {}
    for name, scores in client.scored().items():
        if name in bought:
            found.setdefault(bought[name][0], set()).add(scores.cluster.display_name)
    return found


def test_planted_groups_are_clusters_with_plain_names_and_who_objects_is_in_none(made, bought, objector) -> None:
    client, job = made
    what = f"{3 * EACH - 1} customers are in 3 clusters by {job.model}."
    assert job.message.startswith(f"{what} Computed in this process, ")
    assert (job.refused_count, job.scored_count) == (1, 3 * EACH - 1)
    found = names_of(client, bought)
    assert all(len(names) == 1 for names in found.values()), found
    assert "silent" in " ".join(found["lost"])
    assert {"buy often", "spend much"} & set(min(found["regular"]).split(", "))
    assert len(set.union(*found.values())) == 3
    assert objector not in client.scored()
    (model,) = [client.GetModel(name=job.model)]
    assert (model.kind, model.state) == (model_pb2.Model.KIND_CLUSTERS, model_pb2.Model.STATE_CHAMPION)
    assert {gate.name for gate in model.gates} == {"minimum_data", "consenting_share", "stability"}
    metrics = dict(model.metrics)
    assert metrics["silhouette"] > 0.5
    assert metrics["prediction_strength"] >= 0.8
    assert metrics["inertia"] > 0
    assert sum(each["customers"] for each in metrics["clusters"]) == 3 * EACH - 1 == model.customer_count
    assert model.purchase_count == sum(len(each) for name, (_, each) in bought.items() if name != objector)


def test_a_customer_is_told_the_cluster_the_next_one_why_and_on_what_ground(made, bought, objector) -> None:
    client, job = made
    name = next(name for name, (kind, _) in bought.items() if kind == "regular" and name != objector)
    scores = client.GetCustomerScores(name=f"{name}/scores")
    cluster = scores.cluster
    assert (cluster.model, cluster.scoring_job) == (job.model, job.name)
    assert cluster.decision.startswith("decisions/")
    assert 0 <= cluster.distance < cluster.second_distance
    assert cluster.second_display_name not in ("", cluster.display_name)
    assert not cluster.fallback
    assert len(cluster.reasons) == 2
    assert all(" usual in " in reason for reason in cluster.reasons)
    assert cluster.as_of.ToDatetime().date() == AS_OF.date()
    assert cluster.next_refresh_time.ToSeconds() - cluster.as_of.ToSeconds() == 7 * 86_400
    assert not scores.HasField("p_alive")
    assert not scores.model


def test_a_cluster_is_made_again_from_what_the_job_kept(made, settings, bought, objector) -> None:
    client, job = made
    name = max(bought)
    kept = carrying_out.kept_of(client, settings, job.name)
    found = reproduce(kept, name)
    assert found is not None
    assert found.equal, (found.recorded, found.computed)
    assert found.computed["cluster"] == client.scored()[name].cluster.display_name
    assert reproduce(kept, objector) is None


def test_the_card_tells_sizes_and_differences(made, tmp_path) -> None:
    client, job = made
    card = client.GetModelCard(name=job.model, format="markdown").data.decode()
    assert "## Clusters" in card
    assert re.search(r"far above usual in number of purchases: about [78]\.\d, 1\.0 are usual", card)
    assert " USD are usual" in card
    assert card.count("33.") >= 2
    assert "Silhouette on a sample" in card
    page = client.GetModelCard(name=job.model).data.decode()
    assert "<h2>Clusters</h2>" in page
    ((title, (width, marks)),) = seen_plots(page, tmp_path).items()
    assert (title, marks) == ("Sizes of the clusters", len(GROUPS) + 1), "a bar each, and what names them"
    assert width > 450


def test_what_an_earlier_job_told_of_others_is_gone(client) -> None:
    with client.context():
        rows = list(Score.rows().find({"cluster.name": "old"}))
        assert rows == []
    removed = [event for event in client.told() if event.DESCRIPTOR.name == "ScoresUpdated"]
    assert sum(len(event.removed_cluster_customers) for event in removed) == 1, "who has other scores keeps them"
    assert sum(len(event.removed_customers) for event in removed) == 1


def test_clusters_are_told_and_make_segments_and_unknown_ones_are_refused(made, bought) -> None:
    client, job = made
    told = [event for event in client.told() if event.DESCRIPTOR.name == "ScoresUpdated" and event.clusters]
    states = {state.customer: state for event in told for state in event.clusters}
    assert {event.scoring_job for event in told} == {job.name}
    scored = {name: scores.cluster for name, scores in client.scored().items() if scores.HasField("cluster")}
    assert {name: state.display_name for name, state in states.items()} == {
        name: cluster.display_name for name, cluster in scored.items()
    }
    (lost,) = names_of(client, bought)["lost"]
    wanted = {name for name, cluster in scored.items() if cluster.display_name == lost}
    client.segment(f'cluster = "{lost}"', "lost")
    assert client.members("lost") == wanted
    condition = condition_pb2.Condition(
        score={"score": "cluster", "operator": "OPERATOR_NOT_EQUAL", "value": {"text": lost}}
    )
    client.CreateSegment(segment={"display_name": "Others", "condition": condition}, segment_id="others")
    assert client.evaluated("others").expression == f'cluster != "{lost}"'
    assert client.members("others") == scored.keys() - wanted
    for field, request in (
        ("expression", {"expression": 'cluster = "nobody"'}),
        ("segment.expression", {"segment": {"display_name": "X", "expression": 'cluster = "nobody"'}}),
    ):
        method = "PreviewSegment" if "expression" in request else "CreateSegment"
        given = request if method == "PreviewSegment" else request | {"segment_id": "unknown"}
        reason, message, named = client.refused(method, **given)
        assert (reason, named) == ("UNKNOWN_CLUSTER", [field])
        assert 'There is no cluster "nobody"; there are "' in message
        assert f'"{lost}"' in message


def test_a_later_job_keeps_the_names_and_tells_how_alike_it_divides(made, bought, settings, store) -> None:
    client, first = made
    before = names_of(client, bought)
    uid = customer()
    client.stage([purchase(uid, 299, 9000 + number) for number in range(3)])
    assert uid not in client.scored(), "somebody new is in no cluster before the next job"
    job = carried_out(client, settings, store, as_of=AS_OF + timedelta(days=2))
    assert client.GetModel(name=first.model).state == model_pb2.Model.STATE_RETIRED
    model = client.GetModel(name=job.model)
    assert model.metrics["kept_from_previous"] == 3
    assert model.metrics["agreement_with_previous"] > 0.95
    assert names_of(client, bought) == before
    assert client.scored()[uid].HasField("cluster")


def test_clusters_are_made_without_an_earlier_model_that_is_lost(made, settings, store) -> None:
    client, _ = made
    (before,) = client.ListModels(filter="state = STATE_CHAMPION").models
    with client.context():
        store.delete_subject(Model.get(before.uid).subject)
    job = carried_out(client, settings, store, as_of=AS_OF + timedelta(days=2))
    assert job.message.startswith(
        f"{3 * EACH} customers are in 3 clusters by {job.model}. "
        f"Besides: the clusters have new names, as the stored form of {before.name} is lost or damaged."
    )
    assert "kept_from_previous" not in client.GetModel(name=job.model).metrics


def test_an_objection_a_merge_and_an_erasure_take_it_away(client, bought, objector, holding, erased) -> None:  # noqa: F811
    left, member, gone, canonical = [name for name in sorted(bought) if name != objector][:4]
    with client.context():
        docstore.in_transaction(lambda: people.object_to_profiling(left, "consents/c", AS_OF))
        change = AliasChange(member, canonical, (1, 0))
        docstore.in_transaction(lambda: people.follow_alias(change))
    assert holding(gone.partition("/")[2]) >= {"scores", "scoringJobs"}
    erased(gone)
    assert holding(gone.partition("/")[2]) == set()
    assert not {left, member, gone} & client.scored().keys()
    assert canonical in client.scored()


def test_few_customers_are_told_the_groups_of_rfm_and_the_job_says_why(channels, settings, store) -> None:
    client = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    client.profiling()
    best, worst = customer(), customer()
    client.stage([purchase(best, day, 9000) for day in (200, 250, 298)] + [purchase(worst, 3, 1000)])
    client.stage([purchase(customer(), 100 + day, 2000) for day in range(8)])
    reason, message, _ = client.refused("PreviewSegment", expression='cluster = "Champions"')
    assert reason == "UNKNOWN_CLUSTER"
    assert "none yet: start a scoring job of KIND_CLUSTERS" in message
    job = carried_out(client, settings, store)
    assert "10 customers are in the groups of recency, frequency and monetary value" in job.message
    assert "at least 200 different ones form groups" in job.message
    cluster = client.GetCustomerScores(name=f"{best}/scores").cluster
    assert (cluster.display_name, cluster.fallback) == ("Champions", True)
    assert list(cluster.reasons) == [
        "bought last 2 days ago: class 5 of 5",
        "bought on 3 days of the last 365: class 5 of 5",
        "what that brought: class 5 of 5",
    ]
    assert not cluster.HasField("distance")
    assert cluster.second_display_name == ""
    assert client.GetCustomerScores(name=f"{worst}/scores").cluster.display_name == "Lost"
    model = client.GetModel(name=job.model)
    assert (model.fallback, model.state) == (True, model_pb2.Model.STATE_CHAMPION)
    assert client.PreviewSegment(expression='cluster = "Champions"').member_count == 1
    assert "| Champions | 1 | 10.0% |" in client.GetModelCard(name=job.model, format="markdown").data.decode()


def test_what_a_job_of_clusters_does_not_take_is_refused(client) -> None:
    for field, value in (("horizon_weeks", 13), ("annual_discount_basis_points", 100), ("task", "TASK_TRAIN")):
        reason, _, names = client.refused("CreateScoringJob", scoring_job={"kind": "KIND_CLUSTERS", field: value})
        assert (reason, names) == ("INVALID_SCORING_JOB", [f"scoring_job.{'kind' if field == 'task' else field}"])


def test_its_queries_have_their_index(client) -> None:
    with client.context():
        explain.assert_indexed(Score, {"cluster.job": {"$gt": "", "$ne": "new"}}, limit=500, max_keys=600)
        asked = {"state": {"$in": ["CHAMPION", "RETIRED"]}, "kind": "CLUSTERS", "fallback": False}
        explain.assert_indexed(Model, asked, sort=[("number", -1)], limit=1, max_keys=10)
