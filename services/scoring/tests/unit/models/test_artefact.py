"""A stored model is the model that was fitted, to the last bit."""

import json

import numpy as np
import pytest

from scoring.models import artefact, lifetime_value, selection
from scoring.models.lifetime_value import Choice
from scoring.models.summary import grouped


def fitted(cdnow, kind: str) -> Choice:
    (x, recency, age), counts = grouped(cdnow.x, cdnow.recency_days, cdnow.age_days)
    purchases, messages = lifetime_value.fit_purchases(x, recency, age, counts, 39, kind)
    ones = np.ones(len(cdnow.x), dtype=np.int64)
    spend, _ = lifetime_value.fit_spend(cdnow.x, cdnow.repeat_revenue, cdnow.days, cdnow.revenue, ones)
    return Choice(purchases, spend, messages)


@pytest.mark.parametrize("kind", sorted(selection.CANDIDATES))
def test_every_kind_tells_the_same_after_it_was_stored(cdnow, kind: str) -> None:
    choice = fitted(cdnow, kind)
    restored = artefact.load(json.loads(json.dumps(artefact.dump(choice))))
    assert artefact.dump(restored) == artefact.dump(choice)
    assert type(restored.purchases) is type(choice.purchases)
    people = (cdnow.x, cdnow.recency_days, cdnow.age_days)
    told = [lifetime_value.outlook(each.purchases, *people, 39, 0.1) for each in (choice, restored)]
    for field in ("alive", "alive_low", "purchases", "purchases_deviation", "discounted"):
        assert (getattr(told[0], field) == getattr(told[1], field)).all()
    values = [each.spend.expected_spend(cdnow.x, cdnow.repeat_revenue) for each in (choice, restored)]
    assert (values[0] == values[1]).all()


def test_mean_rates_too() -> None:
    few = np.array([0, 1, 2])
    purchases, messages = lifetime_value.fit_purchases(few, few * 7, few * 30, np.ones(3, dtype=np.int64), 26)
    spend, _ = lifetime_value.fit_spend(few, few * 100, few + 1, few * 100 + 50, np.ones(3, dtype=np.int64))
    choice = Choice(purchases, spend, messages)
    assert artefact.load(json.loads(json.dumps(artefact.dump(choice)))) == choice


@pytest.mark.parametrize("broken", [{"format": 2}, {"purchases": {"class": "Oracle"}}])
def test_what_this_code_does_not_know_is_refused(broken: dict[str, object]) -> None:
    few = np.array([0, 1])
    ones = np.ones(2, dtype=np.int64)
    purchases, _ = lifetime_value.fit_purchases(few, few, few, ones, 26)
    spend, _ = lifetime_value.fit_spend(few, few, few + 1, few + 1, ones)
    with pytest.raises(ValueError, match="cannot be read"):
        artefact.load({**artefact.dump(Choice(purchases, spend, ())), **broken})
