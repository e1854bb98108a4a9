"""Rules that are told, and that some are missing where there are too many to count."""

import numpy as np
import pytest

from scoring.jobs import associations
from scoring.models import baskets
from scoring.models.baskets import Baskets, TooManyItemsets
from scoring.models.offers import Purchases


def found(together: int, share: float = 0.5) -> dict:
    """300 purchases of 100 customers: in a share of them `together` products, in the others five others."""
    rng = np.random.default_rng(1)
    held = [np.arange(together) if rng.random() < share else together + np.arange(5) for _ in range(300)]
    basket, item = np.repeat(np.arange(300), list(map(len, held))), np.concatenate(held)
    names = [f"p{code:04}" for code in range(together + 5)]
    bought = Purchases.of(basket % 100, item, 20_000 + basket, names, 100)
    return associations.found(Baskets.of(basket, item, names), bought)


def test_all_that_goes_together_is_told_without_a_word() -> None:
    told = found(6)
    assert len(told["rules"]) > 30
    assert told["message"] == ""


def test_where_no_rules_can_be_counted_it_is_said() -> None:
    told = found(200, share=1.0)
    assert told["rules"] == []
    assert told["message"] == "so many products are bought together that no rules could be counted"


def test_where_rare_rules_cannot_be_counted_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = baskets.fit

    def refuses(bought, support, *limits):
        if support == associations.SUPPORT:
            raise TooManyItemsets("too many")
        return fit(bought, support, *limits)

    monkeypatch.setattr(baskets, "fit", refuses)
    told = found(6)
    assert told["rules"]
    assert told["message"].startswith("only of products together in 5 purchases and more")
