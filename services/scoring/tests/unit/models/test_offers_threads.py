import os
import subprocess
import sys

PROGRAM = """
import numpy as np
from scoring.models.baskets import Baskets, fit as fit_rules
from scoring.models.offers import Purchases, fit
from fractions import Fraction
rng = np.random.default_rng(3)
customer = np.repeat(np.arange(600), 12)
item = (rng.geometric(0.02, len(customer)) - 1 + 40 * (customer % 5)) % 300
day = 20_000 - rng.integers(1, 300, len(customer))
names = [f"i{number:03}" for number in range(300)]
model = fit(Purchases.of(customer, item, day, names, 600), 20_000)
for who in range(0, 600, 30):
    mine = customer == who
    for offer in model.best(model.history([names[at] for at in item[mine]], day[mine].tolist()), 20_000):
        print(offer.item, round(offer.score, 5), offer.reason)
print(model.half_life_days, model.strength, model.prior, model.repeat, model.fallback)
rules, _ = fit_rules(Baskets.of(customer, item, names), Fraction("0.01"), Fraction("0.1"))
print(len(rules), [rules.words(at) for at in range(min(len(rules), 20))], rules.p_value.tolist())
"""


def told_with(threads: str) -> str:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **dict.fromkeys(names, threads)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_offers_and_rules_do_not_depend_on_threads() -> None:
    one = told_with("1")
    assert "because you bought" in one
    assert "who buys" in one
    assert told_with("2") == one
