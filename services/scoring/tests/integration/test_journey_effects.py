"""What journeys brought: from who entered, as campaigns tells it, to the difference with its interval."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rapport.campaigns.v1 import events_pb2 as campaigns_events_pb2
from rapport.campaigns.v1 import journey_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.scoring.v1 import journey_effect_pb2

from docstore import explain, leases
from eventing import tombstones
from scoring.domain import happenings
from scoring.domain.happenings import Happening
from scoring.domain.purchases import ORDER_COMPLETED
from scoring.store import JourneyEffect, JourneyEntrant, Profile
from scoring.usecases import journey_effects, people

from .conftest import Client, customer, plant, score_row

SERVICE = "scoring"
ENTRY = datetime(2026, 3, 2, 9, tzinfo=UTC)
NOW = ENTRY + timedelta(days=40)
JOURNEY = "journeys/win-back"
EFFECT = f"{JOURNEY}/effect"
State = journey_effect_pb2.JourneyEffect.State
TREATED, HELD_OUT = journey_pb2.JourneyEntry.GROUP_TREATED, journey_pb2.JourneyEntry.GROUP_HELD_OUT


def entered(
    people: dict[str, bool], when: datetime = ENTRY, percent: int = 20, journey: str = JOURNEY
) -> campaigns_events_pb2.JourneyEntered:
    """What campaigns tells; people: customer -> held out."""
    event = campaigns_events_pb2.JourneyEntered(journey=journey, holdout_percent=percent)
    event.entry_time.FromDatetime(when)
    for number, (name, held_out) in enumerate(people.items()):
        event.entrants.add(
            journey_entry=f"{journey}/entries/{number}", customer=name, group=HELD_OUT if held_out else TREATED
        )
    return event


def drawn(count: int, rng: random.Random, share: float = 0.2) -> dict[str, bool]:
    return {customer(): rng.random() < share for _ in range(count)}


def bought(purchases: dict[str, list[tuple[datetime, int, str]]]) -> None:
    """What segments know of customers: when, minor units, currency of each purchase."""
    rows = []
    for name, told in purchases.items():
        news = [
            Happening(ORDER_COMPLETED, "shop", currency, int(time.timestamp() * 1000), amount, number)
            for number, (time, amount, currency) in enumerate(told)
        ]
        series = happenings.add([], news, int(NOW.timestamp() * 1000))
        rows.append({"uid": name.rpartition("/")[2], "customer": name, "spread": 1, "series": series})
    Profile.rows().insert_many(rows)


def compute(client: Client, now: datetime = NOW) -> None:
    """As role `run` does, at an instant."""
    with client.context():
        row = leases.claim(JourneyEffect.rows(), {"uid": "win-back"}, 60, "test")
        assert row is not None
        journey_effects.compute(row, now)


def counts(effect: Any) -> tuple[int, int, int, int]:
    return (
        effect.treated.customer_count,
        effect.treated.purchaser_count,
        effect.held_out.customer_count,
        effect.held_out.purchaser_count,
    )


@pytest.fixture
def rng() -> random.Random:
    return random.Random(5)


def test_the_planted_effect_is_found_and_told(client, hear, rng) -> None:
    crowd = drawn(1_500, rng)
    names = list(crowd)
    for start in range(0, len(names), 400):
        hear(entered({name: crowd[name] for name in names[start : start + 400]}))
    early = client.GetJourneyEffect(name=EFFECT)
    assert (early.state, early.window_days) == (State.STATE_PENDING, 28)
    purchases = {
        name: [(ENTRY + timedelta(days=rng.uniform(0.1, 27)), 2_000, "EUR")]
        for name, held_out in crowd.items()
        if rng.random() < (0.1 if held_out else 0.25)
    }
    others = [name for name in names if name not in purchases]
    # Before the entry, after the window, without an amount: none of these counts.
    purchases |= {
        others[0]: [(ENTRY - timedelta(hours=1), 9_900, "EUR"), (ENTRY + timedelta(days=29), 9_900, "EUR")],
        others[1]: [(ENTRY + timedelta(days=2), 0, "")],
    }
    with client.context():
        bought(purchases)
    compute(client)
    found = client.GetJourneyEffect(name=EFFECT)
    held = sum(crowd.values())
    assert found.state == State.STATE_MEASURED
    expected = [
        len([1 for name in crowd if name in purchases and name not in others[:2] and crowd[name] is group])
        for group in (False, True)
    ]
    assert counts(found) == (1_500 - held, expected[0], held, expected[1])
    share = found.purchase_share
    assert share.low_95 < share.low_90 < 0.15 < share.high_90 < share.high_95
    assert share.value == pytest.approx(expected[0] / (1_500 - held) - expected[1] / held)
    assert share.p_value < 0.001
    assert found.currency_code == "EUR"
    assert found.mean_revenue.low_90 < 3.0 < found.mean_revenue.high_90
    assert found.mean_revenue.value == pytest.approx(20 * share.value)
    money = found.treated.mean_revenue
    assert money.units + money.nanos / 1e9 == pytest.approx(20 * expected[0] / (1_500 - held))
    assert found.summary.startswith(f"{100 * share.value:.1f} points more bought within 28 days, 90 % between ")
    assert f"; {held} held out. Each spent " in found.summary
    assert (found.waiting_count, list(found.messages)) == (0, [])
    short, long = (client.GetJourneyEffect(name=EFFECT, window_days=days) for days in (7, 56))
    assert short.treated.purchaser_count < found.treated.purchaser_count
    assert (long.state, long.waiting_count) == (State.STATE_RUNNING, 1_500)
    assert long.summary == "Not over yet: the 56 days of those who entered first end on 2026-04-27."
    reason, _, named = client.refused("GetJourneyEffect", name=EFFECT, window_days=30)
    assert (reason, named) == ("INVALID_WINDOW", ["window_days"])
    assert client.refused("GetJourneyEffect", name="journeys/other/effect")[0] == "JOURNEY_NOT_MEASURED"
    # Nobody had scores when they entered: there is nothing to tell people apart by.
    assert not found.HasField("uplift")
    page = client.GetJourneyEffectCard(name=EFFECT)
    assert page.content_type == "text/html"
    assert found.summary in page.data.decode()
    text = client.GetJourneyEffectCard(name=EFFECT, format="markdown")
    assert text.content_type == "text/markdown"
    assert text.data.decode().startswith("# Effect of journeys/win-back\n")
    assert client.refused("GetJourneyEffectCard", name="journeys/other/effect")[0] == "JOURNEY_NOT_MEASURED"
    assert client.refused("GetJourneyEffectCard", name=EFFECT, format="pdf")[0] == "INVALID_FORMAT"


def test_each_counts_once_by_the_first_entry_in_whatever_order_it_is_told(client, hear) -> None:
    twice, later, none = customer(), customer(), customer()
    second = ENTRY + timedelta(days=3)
    told = hear(entered({twice: True}, second, percent=50))
    hear(entered({twice: False}, ENTRY))
    hear(told)
    hear(entered({later: True, twice: False}, second))
    hear(entered({none: False}, percent=0), subject="things/2")
    hear(entered({none: False}, percent=10, journey="journeys/other"), subject="things/3")
    with client.context():
        rows = {row["customer"]: row for row in JourneyEntrant.rows().find({"journey": "win-back"})}
    kept = {name: (row["held_out"], row["percent"], row["entry_time"]) for name, row in rows.items()}
    assert kept == {twice: (False, 20, ENTRY), later: (True, 20, second)}


def test_too_few_and_people_of_other_odds_are_told_honestly(client, hear, rng) -> None:
    few = drawn(150, rng)
    hear(entered(few))
    compute(client)
    found = client.GetJourneyEffect(name=EFFECT)
    assert found.state == State.STATE_TOO_FEW
    assert found.summary == (
        f"Too few to tell yet: {sum(few.values())} of those whose time is over were held out, "
        "and 100 of each are needed."
    )
    assert not found.HasField("purchase_share")
    more = drawn(300, rng, 0.5)
    hear(entered(more, percent=50))
    compute(client)
    assert client.GetJourneyEffect(name=EFFECT).summary == "Too few to tell yet: 0 of them bought, and 20 are needed."
    buyers = [*rng.sample(list(more), 60), *rng.sample(list(few), 5)]
    returned = [name for name in more if name not in buyers]
    with client.context():
        bought({name: [(ENTRY + timedelta(days=1), -500, "USD")] for name in returned})
        bought(
            {name: [(ENTRY + timedelta(days=1), 500, "USD" if place else "EUR")] for place, name in enumerate(buyers)}
        )
    compute(client)
    found = client.GetJourneyEffect(name=EFFECT)
    assert found.state == State.STATE_MEASURED
    assert found.treated.purchaser_count + found.held_out.purchaser_count == len(buyers), "who gives back buys nothing"
    assert [message.split(":")[0] for message in found.messages] == [
        "The share held out was changed (20 %, 50 %)",
        "1 purchases in other currencies than USD count as purchases, not as revenue.",
    ]


def test_groups_that_chance_did_not_draw_are_not_relied_on(client, hear, rng) -> None:
    crowd = drawn(600, rng, 0.35)
    hear(entered(crowd))
    with client.context():
        bought({name: [(ENTRY + timedelta(days=1), 500, "USD")] for name in list(crowd)[:50]})
    compute(client)
    (message,) = client.GetJourneyEffect(name=EFFECT).messages
    assert message.startswith("More or fewer are counted as held out than chance gives")


def test_merged_customers_are_one_person_in_the_group_they_were_in_first(client, hear) -> None:
    older, younger, other = customer(), customer(), customer()
    hear(entered({younger: True}, ENTRY + timedelta(days=1)))
    hear(entered({older: False, other: True}))
    with client.context():
        # Bought as one, counts for the other.
        bought({younger: [(ENTRY + timedelta(days=2), 500, "USD")]})
    compute(client)
    assert counts(client.GetJourneyEffect(name=EFFECT)) == (1, 0, 2, 1)
    alias = {"customer": younger, "canonical_customer": older}
    hear(identity_events_pb2.CustomerMerged(alias=alias), younger, subject=younger)
    compute(client)
    found = client.GetJourneyEffect(name=EFFECT)
    assert counts(found) == (1, 1, 1, 0)
    assert found.messages[0].startswith("1 people are in both groups")


def test_objectors_and_the_erased_are_in_no_comparison(client, hear) -> None:
    objects, merged, gone, stays = (customer() for _ in range(4))
    hear(identity_events_pb2.CustomerMerged(alias={"customer": merged, "canonical_customer": objects}), subject=merged)
    hear(entered({objects: False, merged: True, gone: False, stays: False}))

    def kept() -> set[str]:
        with client.context():
            return {row["customer"] for row in JourneyEntrant.rows().find({"journey": "win-back"})}

    assert kept() == {objects, merged, gone, stays}
    with client.context():
        people.object_to_profiling(merged, "consents/1", ENTRY)
    assert kept() == {gone, stays}
    hear(entered({objects: False}, ENTRY + timedelta(days=1)), subject="things/2")
    assert kept() == {gone, stays}, "who objects enters no comparison"
    with client.context():
        # As one would be left that was heard of in the instant of the objection, or of the erasure.
        row = JourneyEntrant.rows().find_one({"customer": stays})
        uid = JourneyEntrant.uid_of("win-back", objects)
        JourneyEntrant.rows().insert_one({**row, "_id": JourneyEntrant.key(uid), "uid": uid, "customer": objects})
        tombstones.erase([gone])
    compute(client)
    assert counts(client.GetJourneyEffect(name=EFFECT)) == (1, 0, 0, 0)
    assert kept() == {stays}


def test_scores_are_kept_as_they_stood_at_the_entry(client, hear) -> None:
    before, after, none = (customer() for _ in range(3))
    plant(
        client,
        [
            score_row(before, score_time=ENTRY - timedelta(seconds=1), p_alive=0.3),
            score_row(after, score_time=ENTRY + timedelta(seconds=1)),
        ],
    )
    hear(entered({before: False, after: False, none: False}))
    with client.context():
        rows = {row["customer"]: row["snapshot"] for row in JourneyEntrant.rows().find({"journey": "win-back"})}
    assert rows[before]["p_alive"] == 0.3
    assert rows[before]["lifetime_value"] == 3000.0
    assert (rows[after], rows[none]) == ({}, {}), "a score of after the entry may know what came of it"


def test_what_is_asked_is_served_by_indexes(client, hear, rng) -> None:
    for number in range(4):
        hear(entered(drawn(150, rng), journey=f"journeys/j{number}"), subject=f"things/{number}")
    with client.context():
        after = {"journey": "j1", "_id": {"$gt": f"{client.tenant}/j1.5"}}
        explain.assert_indexed(JourneyEntrant, after, [("_id", 1)], limit=50, max_keys=51)
        explain.assert_indexed(JourneyEntrant, {"customer": {"$in": ["customers/a", "customers/b"]}}, max_keys=4)
