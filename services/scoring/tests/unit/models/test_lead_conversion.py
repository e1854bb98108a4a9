"""The model of lead conversion on leads of which the true chance is known."""

import numpy as np
import pytest

from scoring.models import classifier, lead_conversion, propensity
from scoring.models.classifier import TableError, Training, measure
from scoring.models.propensity import Labelled, Propensity

DAY = np.timedelta64(86_400, "s")


def generated(number: int, seed: int) -> tuple[list[dict], Labelled]:
    """Leads that convert for a phone number and a long message; what points are given for means nothing."""
    random = np.random.default_rng(seed)
    facts, chance = [], np.empty(number)
    for place in range(number):
        phone, length = bool(random.random() < 0.4), int(random.integers(0, 800))
        facts.append(
            {
                "source": str(random.choice(["SOURCE_WEB", "SOURCE_REFERRAL", "SOURCE_EVENT"])),
                "has_company": bool(random.random() < 0.5),
                "employee_count": int(random.choice([0, 5, 40, 300])),
                "has_budget": bool(random.random() < 0.3),
                "region_code": str(random.choice(["DE", "FR", ""])),
                "has_email": bool(random.random() < 0.8),
                "has_phone": phone,
                "message_length": length,
                "is_customer": False,
            }
        )
        chance[place] = 1 / (1 + np.exp(2.6 - 2.2 * phone - 0.004 * length))
    created = np.datetime64("2026-01-01") + np.arange(number) * DAY / 4
    moments = created.astype("datetime64[us]")
    table = lead_conversion.table_of(facts, [f"lead-{seed}-{place}" for place in range(number)], moments)
    converted = (random.random(number) < chance).astype(np.float64)
    points = np.array([10.0 * one["has_company"] + 15.0 * one["has_budget"] for one in facts])
    return facts, Labelled(table, moments, converted, points / 100)


def fit(leads: Labelled) -> Training:
    days, outcome = lead_conversion.HORIZON_DAYS, lead_conversion.OUTCOME
    return classifier.train(leads.table, leads.labels, leads.dates, days, outcome)


@pytest.fixture(scope="module")
def model() -> Propensity:
    training = fit(generated(600, 1)[1])
    return Propensity(
        training.classifier, propensity.reference_of(training), newest=0, as_of=0, promised=0.8, histograms={}
    )


def test_the_planted_signal_is_found_and_named(model) -> None:
    facts, others = generated(2_000, 2)
    found = measure(others.labels, model.probability(others.table))
    assert found is not None
    assert found.auc.value > 0.78
    assert found.ece.value < 0.08
    told = lead_conversion.tell(model, facts[:300])
    assert {max(one.reasons, key=lambda reason: abs(reason[1]))[0] for one in told} == {"has_phone", "message_length"}
    best = max(told, key=lambda one: one.probability)
    words = [text for _, points, text in best.reasons if points > 0]
    assert any(text.startswith("Phone number left is yes: raises the chance of conversion by") for text in words)


def test_percentiles_rise_with_the_probability_from_lowest_to_highest(model) -> None:
    told = sorted(lead_conversion.tell(model, generated(500, 3)[0]), key=lambda one: one.probability)
    ranks = [one.percentile for one in told]
    assert ranks == sorted(ranks)
    assert ranks[0] < 5 < 95 < ranks[-1] <= 100
    assert all(one.low <= one.probability <= one.high for one in told)


def test_a_stored_model_tells_the_same(model) -> None:
    facts = generated(50, 4)[0]
    assert lead_conversion.tell(propensity.load(propensity.dump(model)), facts) == lead_conversion.tell(model, facts)


def test_a_lead_of_which_nothing_is_known_gets_an_answer(model) -> None:
    (told,) = lead_conversion.tell(model, [{}])
    assert 0 < told.probability < 1


def test_a_fact_that_was_known_only_later_is_refused() -> None:
    facts, leads = generated(300, 5)
    late = leads.dates.copy()
    late[7] += DAY
    table = lead_conversion.table_of(facts, leads.table.ids.tolist(), late)
    with pytest.raises(TableError, match="known only after the row's date in 1 of 300 rows"):
        fit(Labelled(table, leads.dates, leads.labels, leads.rival))
