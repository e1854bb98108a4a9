"""Rows that a model of responses learns from: who is in them, who responded, and that nothing looks ahead."""

from collections.abc import Sequence

import numpy as np
import pytest

from scoring.features.declared import CLICKED, OTHER, PURCHASE, SENT
from scoring.features.table import DAY_US, Events
from scoring.models import past_customers, response
from scoring.models.name_hashes import hashed
from scoring.models.past_customers import LooksAheadError
from scoring.models.response import Customers

BEGIN = 1_700_000_000_000_000
KINDS = {"sent": SENT, "clicked": CLICKED, "bought": PURCHASE, "seen": OTHER}
MINUTE = 1 / 1440


def at(day: float) -> int:
    return BEGIN + round(day * DAY_US)


def customers(*happened: Sequence[tuple[str, float]]) -> Customers:
    """Each with what happened on some days since BEGIN."""
    events = [(code, KINDS[what], at(day)) for code, each in enumerate(happened) for what, day in each]
    code, kind, time = np.array(events, dtype=np.int64).reshape(-1, 3).T
    names = hashed(f"customers/{place}" for place in range(len(happened)))
    return Customers(names, Events(code, kind.astype(np.int8), time, np.where(kind == PURCHASE, 1_000, 0)), digits=2)


def rows(shop: Customers, day: float) -> dict[int, float]:
    """Code -> label of those who are in the rows of a day."""
    (found,) = shop.labelled([at(day)])
    code = {name: place for place, name in enumerate(shop.names.tolist())}
    return dict(zip((code[name] for name in found.table.ids.tolist()), found.labels.tolist(), strict=True))


def test_who_follows_a_link_after_the_first_message_of_the_fourteen_days_responds() -> None:
    shop = customers(
        [("sent", 100), ("clicked", 100 + MINUTE)],  # at the first instant of all
        [("sent", 113.9), ("clicked", 114 - 1e-9)],  # at the last ones
        [("sent", 113.9), ("clicked", 114)],  # too late: that tells the next label
        [("sent", 99), ("clicked", 101)],  # nothing was sent in the days: in no row
        [("sent", 99), ("clicked", 101), ("sent", 102)],  # a click before the message of these days
        [("sent", 102), ("sent", 104), ("clicked", 105)],
        [("sent", 102)],
        [("sent", 114)],
        [("bought", 101)],
    )
    assert rows(shop, 100) == {0: 1, 1: 1, 2: 0, 4: 0, 5: 1, 6: 0}
    assert rows(shop, 114) == {7: 0}, "who was sent nothing then is in no row, though they followed a link"
    assert rows(shop, 85.9) == {3: 0, 4: 0}


@pytest.mark.parametrize(("after_s", "responded"), [(0, 0), (5, 0), (29, 0), (30, 1), (600, 1)])
def test_links_that_programs_follow_are_no_responses(after_s: float, responded: int) -> None:
    shop = customers([("sent", 102), ("clicked", 102 + after_s / 86_400)])
    assert rows(shop, 100) == {0: responded}


def test_rows_know_what_was_before_their_instant_only() -> None:
    before = [("sent", 80), ("clicked", 81), ("seen", 99), ("bought", 90)]
    whole = customers([*before, ("sent", 100), ("clicked", 101), ("seen", 100.5), ("bought", 103)])
    (found,) = whole.labelled([at(100)])
    known = customers([*before, ("sent", 100)]).table(at(100), np.arange(1))
    for name, column in known.values.items():
        np.testing.assert_array_equal(np.asarray(found.table.values[name]), np.asarray(column), err_msg=name)
    assert found.table.values["clicks_per_message_90d"].tolist() == [1]  # type: ignore[union-attr]
    whole.refuse_looking_ahead([at(100), at(86)])


def test_a_planted_leak_is_caught(monkeypatch) -> None:
    honest = past_customers.bulk.table

    def leaking(events: Events, number: int, instant: int) -> dict[str, np.ndarray]:
        """Clicks are counted a week too far."""
        clicks = honest(events, number, instant + 7 * DAY_US)["message_clicks_90d"]
        return honest(events, number, instant) | {"message_clicks_90d": clicks}

    monkeypatch.setattr(past_customers.bulk, "table", leaking)
    shop = customers([("sent", 80), ("sent", 100), ("clicked", 101)])
    with pytest.raises(LooksAheadError, match="message_clicks_90d as of an instant changes with what comes after"):
        shop.refuse_looking_ahead([at(100)])


def test_scored_is_to_whom_something_was_sent_or_who_bought_within_a_year() -> None:
    shop = customers([("sent", 35)], [("sent", 34)], [("bought", 399)], [("seen", 399)], [("sent", 400)], [])
    assert shop.reached(at(400)).tolist() == [0, 2]


def test_instants_are_fourteen_days_apart_and_have_fourteen_days_of_messages_before_them() -> None:
    moments = response.instants(at(200))
    assert (moments[0], len(moments), set(np.diff(moments))) == (at(186), 8, {-14 * DAY_US})
    assert response.learned_from(moments, at(130)) == moments[:4], "the oldest is that of day 144, to the microsecond"
    assert response.learned_from(moments, at(130) + 1) == moments[:3]
    assert response.learned_from(moments, None) == ()


def test_without_a_model_customers_are_ranked_by_their_own_share() -> None:
    shop = customers(
        [("sent", 80), ("clicked", 81), ("clicked", 82), ("sent", 100)],
        [("sent", 80), ("sent", 81), ("clicked", 82), ("sent", 100)],
        [("sent", 100)],
    )
    (found,) = shop.labelled([at(100)])
    dates = np.full(3, at(100)).astype("datetime64[us]")
    assert response.rival(found.table, dates).tolist() == [1, 0.5, 0.75], "at most 1; of who is unknown the mean"
