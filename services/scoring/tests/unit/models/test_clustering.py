"""Clusters on planted groups: found, named, kept over retrains, explained; and on too few customers."""

import json

import numpy as np
import pytest

from scoring.domain import cluster_gates
from scoring.domain.cluster_gates import Trial
from scoring.models import clustering
from scoring.models.clustering import CUSTOMER_FEATURES, Feature, fit, training
from scoring.models.clustering.model import Scaling
from scoring.models.clustering.naming import named

CENTRES = np.array([[4.0, 1.0, 8.0, 7.0, 5.0], [1.0, 3.0, 11.0, 8.0, 6.0], [5.5, 0.7, 6.0, 5.0, 6.2]])


def planted(size: int = 1_200, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, len(CENTRES), size)
    return CENTRES[kind] + rng.normal(0, 0.2, (size, 5)), kind


@pytest.fixture(scope="module")
def model() -> clustering.Clusters:
    return fit(planted()[0], CUSTOMER_FEATURES)


def test_planted_groups_are_found_with_their_number(model: clustering.Clusters):
    values, kind = planted(seed=1)
    assert len(model.centroids) == 3
    found = model.assign(values)
    pairs = {(int(cluster), int(planted_kind)) for cluster, planted_kind in zip(found.cluster, kind, strict=True)}
    assert len(pairs) == 3
    assert (found.certainty > 0.3).all()
    assert clustering.evaluate(model, values).silhouette > 0.6


def test_names_and_reasons_are_words_of_the_right_direction(model: clustering.Clusters):
    values, kind = planted(seed=1)
    found = model.assign(values)
    best = int(found.cluster[kind == 1][0])
    assert set(model.names[best].split(", ")) <= {
        "buy often",
        "spend much",
        "bought lately",
        "large baskets",
        "long known",
    }
    assert len(set(model.names)) == 3
    texts = model.reasons(values[kind == 1], model.assign(values[kind == 1]))
    assert all("below usual" not in reason or "days since" in reason for reasons in texts for reason in reasons)
    assert any("far above usual in " in reason for reasons in texts for reason in reasons)


def test_a_retrain_keeps_ids_and_names(model: clustering.Clusters):
    for seed in range(2, 5):
        later = fit(planted(seed=seed)[0] + 0.05, CUSTOMER_FEATURES, k=3, previous=model, seed=seed)
        assert later.ids == model.ids
        assert later.names == model.names
        values, _ = planted(seed=9)
        assert (later.assign(values).cluster == model.assign(values).cluster).all()


def test_a_new_group_gets_a_new_id_and_the_others_keep_theirs(model: clustering.Clusters):
    values, _ = planted(seed=2)
    rng = np.random.default_rng(3)
    new = np.array([0.5, 0.7, 5.0, 5.0, 1.0]) + rng.normal(0, 0.2, (300, 5))
    later = fit(np.vstack([values, new]), CUSTOMER_FEATURES, k=4, previous=model)
    assert set(model.ids) < set(later.ids)
    assert max(later.ids) == model.next_id
    again = fit(values, CUSTOMER_FEATURES, k=3, previous=later)
    assert again.ids == model.ids
    assert again.next_id == later.next_id


def test_a_cluster_that_hardly_moved_keeps_its_name_when_another_one_went_and_one_came_on_its_other_side():
    features = (Feature("spend", "spend little", "spend much"), Feature("visits", "seldom", "often"))

    def clusters(*centroids: tuple[float, float]) -> clustering.Clusters:
        scaling = Scaling(np.zeros(2), np.ones(2))
        return clustering.Clusters(features, scaling, np.array(centroids), (), (), 1)

    before = named(clusters((0.0, 0.0), (4.0, 0.0)), None)
    now = named(clusters((0.5, 0.0), (-3.0, 0.0)), before)
    kept = before.names[before.centroids[:, 0].tolist().index(0.0)]
    assert now.names[now.centroids[:, 0].tolist().index(0.5)] == kept


def test_one_blob_is_not_cut_into_many():
    blob = np.random.default_rng(0).normal(size=(2_000, 4))
    features = [Feature(f"f{place}", f"low {place}", f"high {place}") for place in range(4)]
    assert len(fit(blob, features).centroids) <= 2


@pytest.mark.parametrize("size", [0, 1, 100])
def test_too_few_customers_are_one_group_with_a_message(size: int):
    model = fit(planted()[0][:size], CUSTOMER_FEATURES)
    assert model.names == ("everybody",)
    assert "200 are needed" in model.message
    found = model.assign(planted()[0][:50])
    assert (found.cluster == 0).all()
    assert np.isfinite(found.distance).all()
    assert len(model.reasons(planted()[0][:50], found)) == 50


def test_equal_customers_are_one_group():
    model = fit(np.ones((500, 5)), CUSTOMER_FEATURES)
    assert len(model.centroids) == 1
    assert (model.assign(np.ones((5, 5))).distance == 0).all()


def test_many_customers_by_mini_batches_are_as_close_as_by_lloyd(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    centres = rng.uniform(-3, 3, (5, 4))
    values = centres[rng.integers(0, 5, 9_000)] + rng.normal(0, 0.5, (9_000, 4))
    features = [Feature(f"f{place}", "low", "high") for place in range(4)]
    by_lloyd = clustering.evaluate(fit(values, features, k=5), values).inertia
    monkeypatch.setattr(training, "LARGE", 6_000)
    assert clustering.evaluate(fit(values, features, k=5), values).inertia == pytest.approx(by_lloyd, rel=1e-3)


def test_a_stored_model_assigns_alike(model: clustering.Clusters):
    again = clustering.from_json(json.loads(json.dumps(clustering.as_json(model))))
    values, _ = planted(seed=5)
    assert (again.assign(values).distance == model.assign(values).distance).all()
    assert (again.ids, again.names, again.features) == (model.ids, model.names, model.features)


def test_values_that_are_not_numbers_are_refused():
    values, _ = planted()
    values[3, 2] = np.nan
    with pytest.raises(ValueError, match="finite"):
        fit(values, CUSTOMER_FEATURES)
    with pytest.raises(ValueError, match="5 features"):
        fit(values[:, :4], CUSTOMER_FEATURES)


def test_features_of_customers_are_logarithms():
    row = clustering.customer_features(*(np.array([value]) for value in (9, 3, 6_000, 99)))
    assert row.round(3).tolist() == [[2.303, 1.386, 8.7, 7.601, 4.605]]


def test_the_next_cluster_and_what_makes_each_differ_are_told(model: clustering.Clusters):
    values, _ = planted(seed=2)
    found = model.assign(values)
    rows = np.arange(len(values))
    distances = np.sqrt(((model.scaling.scaled(values)[:, None] - model.centroids) ** 2).sum(axis=2))
    assert np.allclose(np.sort(distances, axis=1)[:, 1], found.second_distance)
    assert np.allclose(distances[rows, found.second], found.second_distance)
    for name, differs in zip(model.names, model.differences(), strict=True):
        place, words = differs[0]
        high = "above usual" in words
        feature = CUSTOMER_FEATURES[place]
        assert words.endswith(f" in {feature.name}")
        assert (feature.high if high else feature.low) in name


def test_quality_tells_good_clusters_from_chance_and_alike_from_other(model: clustering.Clusters):
    values, _ = planted(seed=3)
    assert clustering.silhouette(model, values) > 0.7
    assert clustering.silhouette(fit(np.ones((500, 5)), CUSTOMER_FEATURES), values) == 0
    again = fit(planted(seed=4)[0], CUSTOMER_FEATURES, k=3, previous=model, seed=2)
    assert clustering.agreement(model, again, values) > 0.99
    shuffled = fit(planted(seed=4)[0][:, ::-1].copy(), CUSTOMER_FEATURES, k=3)
    assert clustering.agreement(model, shuffled, values) < 0.8
    assert model.strength is not None
    assert model.strength >= 0.8


def test_groups_of_rfm_stand_in_with_their_reasons():
    values = np.array([[3.7 + 49.2 * step, 9 - 2 * step, 90_000 - 9_000 * step, np.nan, 300] for step in range(5)])
    groups = clustering.RfmGroups.from_json(clustering.RfmGroups.of(values).as_json())
    scored = groups.assign(values)
    assert [groups.names[place] for place in scored.segment[[0, -1]]] == ["Champions", "Lost"]
    assert groups.reasons(values, scored)[-1] == (
        "bought last 200 days ago: class 1 of 5",
        "bought on 1 day of the last 365: class 1 of 5",
        "what that brought: class 1 of 5",
    )


@pytest.mark.parametrize(
    ("trial", "consenting", "failed"),
    [
        (Trial(500, 3, 0.9), 1.0, []),
        (Trial(199, 1, None), 1.0, ["minimum_data"]),
        (Trial(500, 1, None), 1.0, ["minimum_data"]),
        (Trial(500, 1, 0.9), 1.0, ["stability"]),
        (Trial(500, 3, 0.79), 1.0, ["stability"]),
        (Trial(500, 3, 0.9), 0.1, ["consenting_share"]),
    ],
)
def test_clusters_count_only_past_their_gates(trial: Trial, consenting: float, failed: list[str]):
    verdict = cluster_gates.judge(trial, consenting)
    assert [gate.name for gate in verdict.gates if not gate.passed] == failed
    assert verdict.state == ("REJECTED" if failed else "CHAMPION")
