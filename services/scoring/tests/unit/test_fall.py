"""A champion goes back only by purchases that neither it nor the model before it was fitted to."""

from typing import Any

import numpy as np

from scoring.jobs.judge import _fall
from scoring.jobs.known_models import Known
from scoring.jobs.windows import Seen
from scoring.models.bg_nbd import BgNbd
from scoring.models.comparison import Rows, Spenders
from scoring.models.gamma_gamma import GammaGamma
from scoring.models.lifetime_value import Choice

CUSTOMERS = 400


def model(role: str, purchases: Any, day: int) -> Known:
    stored = {"as_of_day": day, "promised": {"91": 0.8}}
    spend = GammaGamma(6.2, 3.7, 1500.0, np.eye(3) * 0.01, -9.0, 100, 0.0)
    return Known(f"models/{role}", role, Choice(purchases, spend, ()), stored)


def since(seed: int) -> Seen:
    """Who bought often buys again, always for 10.00."""
    chance = np.random.default_rng(seed)
    x = chance.integers(0, 6, CUSTOMERS)
    age = np.full(CUSTOMERS, 350)
    ones = np.ones(CUSTOMERS, dtype=np.int64)
    later = chance.poisson(x * 91 / 350)
    until = (x, np.where(x > 0, 300, 0), age)
    return Seen(Rows(*until, later, ones, 13.0), Spenders(*until, 1000 * later, ones, 13.0, 1000 * x, 1000 * (x + 1)))


def test_a_younger_model_before_the_champion_is_compared_on_what_followed_its_own_day() -> None:
    # One takes everybody for a daily customer.
    wild = BgNbd(40.0, 4.4, 0.79, 2.43, np.eye(4) * 0.01, -9.0, 100)
    champion = model("champion", wild, 100)
    good = BgNbd(2.0, 40.0, 0.79, 8.0, np.eye(4) * 0.01, -9.0, 100)
    older, younger = model("previous", good, 50), model("previous", good, 150)
    assert _fall(champion, older, {"models/champion": since(1), "models/previous": since(2)})["falls"]
    assert not _fall(champion, younger, {"models/champion": since(1)})["falls"], "all it knows is flattered"
    assert _fall(champion, younger, {"models/champion": since(1), "models/previous": since(2)})["falls"]
    # What it did before the younger one's day does not count.
    calm = {"models/champion": since(1), "models/previous": since(2)}
    steady = model("champion", good, 100)
    assert not _fall(steady, model("previous", wild, 150), calm)["falls"]
