"""Memberships in segments of random conditions, kept by news alone, against a plain reading of the rules.

The plain reading looks at everything at each instant. What keeps memberships is that of the product: the news that
signals tell, the index of what segments ask for, and the instant at which time alone can change something. A recompute
by its program finds the same in all of them.
"""

import io
import random
from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from rapport.scoring.v1.events_pb2 import SegmentLeft

from docstore import Row
from scoring import people_files
from scoring.domain import conditions as tree
from scoring.domain.condition_problems import problem_of
from scoring.domain.condition_text import parse
from scoring.domain.condition_writing import write
from scoring.domain.conditions import Condition
from scoring.domain.person_forms import Needs
from scoring.jobs.segment_tasks import Judge
from scoring.usecases import recompute_inputs
from scoring.usecases.evaluating import news_of
from scoring.usecases.persons import Persons
from scoring.usecases.settling import Asked, bring_in_line, milliseconds
from scoring.usecases.signals import CONSENT, CUSTOMER

from .condition_trees import CHANGES, CONDITIONS, PURPOSES, RFM, SEGMENTS
from .plain_reading import DAY, HOUR, NAMES, World

KINDS = ("events", "events", "events", "traits", "said", "score", "merge", "object", "change", "time", "time", "due")
FIRST = ("events", "traits", "score", "said") * 3
STEPS = st.tuples(st.integers(0, 2**32), st.lists(st.sampled_from(KINDS), min_size=3, max_size=12))
"""A seed of what happens, and of what kind it is, after FIRST."""


class Kept:
    """Profiles with their memberships, as they are kept by news."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rows: dict[str, Row] = {}
        self.read()

    def read(self) -> None:
        """The segments as they are asked for now, from their texts."""
        texts = {uid: write(condition) for uid, condition in self.world.asked.items()}
        self.asked = Asked(texts, dict.fromkeys(SEGMENTS, 1), frozenset(), frozenset())
        assert self.asked.book.conditions == self.world.asked, "the text of a tree gives the same tree"

    def take_in(self, signals: Iterable[Row], keys: set[str] | None = None) -> None:
        """Takes signals in, in one go. keys: what else is new."""
        world, news = self.world, news_of(signals)
        for each in news.values() if keys else ():
            each.keys = keys
        changes, _ = bring_in_line(self.persons(news), news, self.asked, world.now)
        for name, changed in changes.items():
            row = self.rows.get(name, {"customer": name}) | changed
            self.rows[name] = {key: value for key, value in row.items() if value is not None}

    def persons(self, customers: Iterable[str]) -> Persons:
        """What is known of some customers."""
        world = self.world
        canonicals = {name: world.canonical[name] for name in customers}
        members = {name: world.members(name) for name in set(canonicals.values())}
        there = {*canonicals, *(each for names in members.values() for each in names)}
        return Persons(
            canonicals,
            members,
            {name: dict(self.rows[name]) for name in there if name in self.rows},
            {name: _stored(world.scores[name]) for name in members if name in world.scores},
            {name for name, names in members.items() if world.objecting.intersection(names)},
        )

    def recompute(self, step: str) -> None:
        """Holds what the program of a recompute finds against what is kept; a wrong membership is found."""
        persons, needs = self.persons(NAMES), Needs.of(self.asked.book.conditions.values())
        file = people_files.Writer()
        file.add([recompute_inputs._row(persons, name, self.world.now, needs) for name in NAMES])
        judging = Judge(self.asked.book, frozenset())
        (rows,) = people_files.chunks(io.BytesIO(file.content()))
        for name, row in zip(NAMES, rows, strict=True):
            kept = sorted(self.rows[name].get("segments", ()))
            assert judging.judge(row) == (kept, False), (step, name)
            wrong = sorted({*kept} ^ {SEGMENTS[self.world.now % 4]})
            assert judging.judge(row | {"segments": wrong}) == (kept, True), (step, name)

    def due(self, name: str) -> int | None:
        found = self.rows[name].get("due")
        return None if found is None else milliseconds(found)

    def check(self, step: str) -> None:
        """Holds everybody's memberships against the plain reading, now and until time alone may change them."""
        now = self.world.now
        for name in NAMES:
            inside, due = set(self.rows[name].get("segments", ())), self.due(name)
            assert due is None or due > now, step
            later = (now + 3 * DAY, now + 500 * DAY) if due is None else (now + (due - now) // 2, due - 1)
            for instant in (now, *later):
                assert inside == self.world.inside(name, instant), (step, name, instant - now)


def _stored(scores: dict[str, Any]) -> Row:
    row = {name: value for name, value in scores.items() if name not in ("rfm_segment", "cluster", "churn_risk")}
    row |= {f"{name}_minor": row.pop(name) for name in ("lifetime_value", "revenue")}
    row |= {"churn": {"probability": scores["churn_risk"]}} if scores["churn_risk"] is not None else {}
    row |= {"cluster": {"name": scores["cluster"]}} if scores["cluster"] else {}
    return row | {"rfm": {"segment": scores["rfm_segment"]}}


@given(st.tuples(*CONDITIONS), st.lists(CHANGES, min_size=1, max_size=2), STEPS)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_members_are_always_those_of_a_plain_reading(
    conditions: tuple[Condition, ...], changes: list[tuple[str, Condition]], steps: tuple[int, list[str]]
) -> None:
    seed, kinds = steps
    world = World(dict(zip(SEGMENTS, conditions, strict=True)))
    kept = Kept(world)
    kept.take_in([_look(NAMES, SegmentLeft.CAUSE_CUSTOMER_CHANGED)])
    kept.check("start")
    for number, step in enumerate((*FIRST, *kinds)):
        chance = random.Random(f"{seed}/{number}")
        if step == "change":
            uid, condition = changes[number % len(changes)]
            world.asked[uid] = condition
            kept.read()
            kept.take_in([_look(NAMES, SegmentLeft.CAUSE_SEGMENT_CHANGED)], {f"changed:{uid}"})
        elif step in ("time", "due"):
            dues = [due for name in NAMES if (due := kept.due(name)) is not None]
            soon = world.now + chance.choice([1, 5, 25, 50]) * HOUR
            world.now = min(dues, default=soon) if step == "due" else soon
            due = [name for name in NAMES if (instant := kept.due(name)) is not None and instant <= world.now]
            kept.take_in([_look(due, SegmentLeft.CAUSE_TIME_PASSED)])
        else:
            for signals in _happen(world, step, chance, number + 1):
                kept.take_in(signals)
        kept.check(step)
        if number % 8 == 7:
            kept.recompute(step)


def _happen(world: World, step: str, chance: random.Random, number: int) -> list[list[Row]]:
    """Lets something happen; returns the signals that tell it, in the groups that are taken in together."""
    name, other = chance.sample(NAMES, 2)
    changed = SegmentLeft.CAUSE_CUSTOMER_CHANGED
    if step == "events":
        new = [_event(world, chance) for _ in range(chance.randrange(1, 7))]
        world.events |= {each["i"]: each for each in new}
        # Some come again, also long after; not those too old for their ids to be known still.
        again = [each for each in world.events.values() if each["t"] > world.now - 395 * DAY]
        told = new + chance.sample(again, min(len(again), 2))
        chance.shuffle(told)
        parts = [told[:2], told[2:]]
        return [[{"events": part, "cause": changed}] for part in parts if part]
    if step == "traits":
        deleted = chance.random() < 0.15
        traits = {} if deleted else _traits(chance)
        world.traits[name] = traits
        (world.deleted.add if deleted else world.deleted.discard)(name)
        state = {"kind": CUSTOMER, "customer": name, "sequence": [number, 1], "deleted": deleted}
        late = state | {"sequence": [number, 0], "deleted": not deleted, "traits": [["traits.plan", "older"]]}
        return _shuffled(chance, [state | {"traits": [list(item) for item in sorted(traits.items())]}, late])
    if step == "said":
        consent = f"{name}-{chance.randrange(2)}"
        records = [each["record"] for each in world.statements.values()]
        said = {
            "kind": CONSENT,
            "customer": name,
            "consent": consent,
            "sequence": [number, 1],
            "purpose": chance.choice(PURPOSES),
            "channel": chance.choice(["EMAIL", "NONE"]),
            "state": chance.choice(tree.CONSENT_STATES),
            "record": f"records/{number}",
            "answered": chance.sample(records, min(len(records), chance.randrange(2))),
        }
        world.statements[consent] = said
        return _shuffled(chance, [said, said | {"sequence": [number, 0], "state": "REFUSED", "record": "records/0"}])
    if step == "score":
        standing = world.canonical[name]
        if chance.random() < 0.2 or world.objecting.intersection(world.members(standing)):
            world.scores.pop(standing, None)
            return [[_look([standing], SegmentLeft.CAUSE_SCORES_REMOVED)]]
        world.scores[standing] = _scores(chance)
        return [[_look([standing], SegmentLeft.CAUSE_SCORES_CHANGED)]]
    if step == "merge":
        # Into another profile, or out of the one it is in.
        target = world.canonical[other] if world.canonical[name] == name else name
        moving = world.members(name) if world.canonical[name] == name else [name]
        for each in moving:
            world.canonical[each] = target
            if each != target:
                world.scores.pop(each, None)
    else:
        (world.objecting.discard if name in world.objecting else world.objecting.add)(name)
    for each in NAMES:
        if world.objecting.intersection(world.members(world.canonical[each])):
            world.scores.pop(each, None)
    return [[_look(NAMES, changed)]]


def _look(names: Iterable[str], cause: int) -> Row:
    return {"customers": list(names), "cause": cause}


def _shuffled(chance: random.Random, states: list[Row]) -> list[list[Row]]:
    chance.shuffle(states)
    return [[{"states": [state], "cause": SegmentLeft.CAUSE_CUSTOMER_CHANGED}] for state in states]


def _event(world: World, chance: random.Random) -> Row:
    currency = chance.choice(["EUR", "EUR", "JPY", ""])
    hours = chance.choice([-30, -1, 0, 1, 2, 23, 24, 30, 47, 48, 100, 120, 366, 720, 8783, 9400])
    return {
        "c": chance.choice(NAMES),
        "e": chance.choice(["Order", "Page"]),
        "s": chance.choice(["shop", "till"]),
        "y": currency,
        "t": world.now - hours * HOUR + chance.choice([-1, 0, 0, 1]),
        "a": chance.choice([-500, 0, 5, 100, 500, 999, 1000, 2001]) if currency else 0,
        "i": chance.getrandbits(60),
    }


def _traits(chance: random.Random) -> dict[str, Any]:
    told = {
        "region_code": ["DE", "FR"],
        "has_email": [True, False],
        "traits.plan": ["pro", "5", 5.0, True, ["pro", 5.0]],
        "traits.my plan": ["pro", 5.0],
        "traits.age": [5.0, 17.0, 18.5, 40.0, "17"],
        "traits.tags": [["pro"], ["5", 5.0], [True], []],
    }
    return {name: chance.choice(values) for name, values in told.items() if chance.random() < 0.6}


def _scores(chance: random.Random) -> dict[str, Any]:
    weeks, counts = [0.25, 0.5, 10.0], [0, 1, 2, 5]
    return {
        "currency": chance.choice(["EUR", "JPY"]),
        **{name: chance.choice([-500, 5, 500, 1000, 2001]) for name in ("lifetime_value", "revenue")},
        **{name: chance.choice([0.1, 0.25, 0.5, 1.0]) for name in ("p_alive", "expected_purchases")},
        **{name: chance.choice(weeks) for name in ("recency_weeks", "age_weeks")},
        **{name: chance.choice(counts) for name in ("frequency", "purchases")},
        "churn_risk": chance.choice([None, 0.25, 0.6]),
        "rfm_segment": chance.choice(RFM),
        "cluster": chance.choice([None, *RFM]),
    }


@given(CONDITIONS[-1])
@settings(max_examples=100, deadline=None, derandomize=True)
def test_the_text_of_any_tree_gives_the_same_tree(condition: Condition) -> None:
    assert not [single for single in tree.singles(condition) if problem_of(single)]
    text = write(condition)
    assert parse(text) == condition
    assert write(parse(text)) == text
