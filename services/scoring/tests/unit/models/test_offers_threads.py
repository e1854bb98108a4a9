from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from scoring.models.baskets import Baskets
from scoring.models.baskets import fit as fit_rules
from scoring.models.offers import Purchases, fit


def told() -> Iterator[object]:
    rng = np.random.default_rng(3)
    customer = np.repeat(np.arange(300), 12)
    item = (rng.geometric(0.02, len(customer)) - 1 + 40 * (customer % 5)) % 200
    day = 20_000 - rng.integers(1, 300, len(customer))
    names = [f"i{number:03}" for number in range(200)]
    model = fit(Purchases.of(customer, item, day, names, 300), 20_000)
    for who in range(0, 300, 15):
        mine = customer == who
        for offer in model.best(model.history([names[at] for at in item[mine]], day[mine].tolist()), 20_000):
            yield offer.item, round(offer.score, 5), offer.reason
    yield model.half_life_days, model.strength, str(model.prior), str(model.repeat), model.fallback
    rules, _ = fit_rules(Baskets.of(customer, item, names), Fraction("0.01"), Fraction("0.1"))
    yield len(rules), [rules.words(at) for at in range(min(len(rules), 20))], rules.p_value.tolist()


def test_offers_and_rules_do_not_depend_on_threads() -> None:
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {threads}
            found.append(list(told()))
    one, two = found
    assert "because you bought" in str(one)
    assert "who buys" in str(one)
    assert two == one
