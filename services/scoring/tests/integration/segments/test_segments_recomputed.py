"""Whatever happens in whatever order, members are those that a look at everything would find."""

import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rapport.identity.v1 import events_pb2

from chassis import clock, money
from docstore.aliases import AliasChange
from scoring.usecases import people, signals

from ..conftest import START, Client, customer, plant, score_row
from .conftest import create, happened, note, said, state

SERVICE = "scoring"

SEGMENTS = {
    "active": "count(Page, 3d) >= 2",
    "quiet": "count(Page) >= 1 AND count(Page, 2d) = 0",
    "payers": 'sum(Order, 5d, currency = "EUR") > 20',
    "lapsed": "days_since_last(Order) >= 4",
    "german": "region_code = DE AND traits.age >= 18",
    "readers": "consent(news, EMAIL) = GRANTED",
    "worthy": "NOT lifetime_value <= 10",
    "best": 'in_segment("payers") AND NOT in_segment("german") OR in_segment("worthy")',
}
STEP = st.tuples(
    st.sampled_from(
        ["events", "events", "events", "traits", "said", "score", "merge", "object", "agree", "time", "change"]
    ),
    st.integers(0, 2**32),
)


class World:
    """What happened, in plain lists, and who should be in which segment by that."""

    def __init__(self) -> None:
        self.names = [customer() for _ in range(5)]
        self.events: dict[str, events_pb2.TrackedEvent] = {}
        self.traits: dict[str, tuple[int, dict[str, Any]]] = {}
        self.consents: dict[str, tuple[int, str, str]] = {}
        self.worth: dict[str, int] = {}
        self.canonical = {name: name for name in self.names}
        self.objecting: set[str] = set()
        self.asked = dict(SEGMENTS)

    def members(self, name: str) -> list[str]:
        return [each for each in self.names if self.canonical[each] == name]

    def inside(self, uid: str) -> set[str]:
        now = clock.now()
        return {
            name
            for name in self.names
            if self.canonical[name] == name
            and not self.objecting.intersection(self.members(name))
            and self._meets(uid, name, now)
        }

    def _times(self, name: str, event: str, now: datetime) -> list[tuple[datetime, int]]:
        members = self.members(name)
        return [
            (when, money.to_minor(each.amount) if each.HasField("amount") else 0)
            for each in self.events.values()
            if each.customer in members and each.event == event and (when := each.event_time.ToDatetime(UTC)) <= now
        ]

    def _meets(self, uid: str, name: str, now: datetime) -> bool:
        pages, orders = self._times(name, "Page", now), self._times(name, "Order", now)
        age = self.traits.get(name, (0, {}))[1]
        states = {state for who, (_, _, state) in self.consents.items() if who in self.members(name)}
        worth = self.worth.get(name)

        def since(days: int, found: list[tuple[datetime, int]]) -> list[int]:
            return [amount for when, amount in found if when > now - timedelta(days=days)]

        match self.asked[uid]:
            case "count(Page, 3d) >= 2":
                return len(since(3, pages)) >= 2
            case "count(Page, 1d) >= 1":
                return len(since(1, pages)) >= 1
            case "count(Page) >= 1 AND count(Page, 2d) = 0":
                return bool(pages) and not since(2, pages)
            case 'sum(Order, 5d, currency = "EUR") > 20':
                return sum(since(5, orders)) > 2000
            case "days_since_last(Order) >= 4":
                return bool(orders) and max(orders)[0] <= now - timedelta(days=4)
            case "region_code = DE AND traits.age >= 18":
                return age.get("region_code") == "DE" and age.get("traits", {}).get("age", 0) >= 18
            case "consent(news, EMAIL) = GRANTED":
                return states == {"STATE_GRANTED"}
            case "NOT lifetime_value <= 10":
                return worth is not None and worth > 1000
        both = self._meets("payers", name, now), self._meets("german", name, now), self._meets("worthy", name, now)
        return both[0] and (not both[1] or both[2])


@given(st.lists(STEP, min_size=6, max_size=14))
@hypothesis_settings(
    max_examples=4,
    deadline=None,
    database=None,
    # Each example works on real servers: making a failing one smaller would take many minutes.
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_members_are_always_those_of_a_full_recompute(channels, travel, steps: list[tuple[str, int]]) -> None:
    client = Client(*channels, f"t{uuid.uuid4().hex[:12]}")
    world = World()
    create(client, **SEGMENTS)
    client.keep()
    for number, (step, seed) in enumerate(steps):
        if step == "time":
            travel(hours=random.Random(seed).choice([5, 25, 50]))
            client.keep()
        else:
            _carry_out(client, world, step, random.Random(seed), number + 1)
        sizes = {segment.uid: segment.member_count for segment in client.ListSegments().segments}
        for uid in SEGMENTS:
            wanted = world.inside(uid)
            assert client.members(uid) == wanted, (step, number, uid)
            assert sizes[uid] == len(wanted)
    for uid in SEGMENTS:
        _told_like(client, uid, world.inside(uid))


def _carry_out(client: Client, world: World, step: str, chance: random.Random, number: int) -> None:
    name, other = chance.sample(world.names, 2)
    match step:
        case "events":
            new = [
                happened(
                    chance.choice(world.names),
                    chance.choice(["Page", "Order", "Other"]),
                    clock.now() - timedelta(hours=chance.choice([-30, -1, 0, 1, 20, 40, 60, 100, 200])),
                    chance.choice([None, 500, 1500, 2001]),
                )
                for _ in range(chance.randrange(1, 8))
            ]
            world.events |= {each.message_id: each for each in new}
            # Some come again, in another message, shuffled, and long after.
            again = chance.sample(sorted(world.events.values(), key=lambda each: each.message_id), 1)
            parts = [new[::2] + again, new[1::2] + again]
            chance.shuffle(parts)
            note(client, *(lambda part=part: signals.note_events(part) for part in parts))
        case "traits":
            values = {"region_code": chance.choice(["DE", "FR"]), "traits": {"age": chance.choice([17, 18, 40])}}
            older = {"region_code": "DE", "traits": {"age": 99}}
            world.traits[name] = (number, values)
            told = [(state(name, **values), (number, 1)), (state(name, **older), (number, 0))]
            chance.shuffle(told)
            note(client, *(lambda one=one: signals.note_customer(*one) for one in told))
        case "said":
            what = chance.choice(["STATE_GRANTED", "STATE_WITHDRAWN", "STATE_PENDING"])
            world.consents[name] = (number, name, what)
            told = [(said(name, what, name[-8:]), (number, 1)), (said(name, "STATE_REFUSED", name[-8:]), (number, 0))]
            chance.shuffle(told)
            note(client, *(lambda one=one: signals.note_consent(*one) for one in told))
        case "score":
            if world.canonical[name] == name and not world.objecting.intersection(world.members(name)):
                if name not in world.worth:
                    world.worth[name] = chance.choice([500, 1000, 1001, 5000])
                    plant(client, [score_row(name, currency="EUR", lifetime_value_minor=world.worth[name])])
                client.keep()
        case "merge":
            target = name if world.canonical[name] != name else world.canonical[other]
            changes = [AliasChange(each, target, (number, 0)) for each in world.members(name) or [name]]
            for change in changes:
                world.canonical[change.customer] = target
                if change.customer != target:
                    world.worth.pop(change.customer, None)
            if world.objecting.intersection(world.members(target)):
                world.worth.pop(target, None)
            note(client, *(lambda change=change: people.follow_alias(change) for change in changes))
        case "object":
            world.objecting.add(name)
            for each in world.members(world.canonical[name]):
                world.worth.pop(each, None)
            note(client, lambda: people.object_to_profiling(name, "consents/c", START))
        case "agree":
            world.objecting.discard(name)
            note(client, lambda: people.allow_profiling(name))
        case "change":
            world.asked["active"] = chance.choice(["count(Page, 3d) >= 2", "count(Page, 1d) >= 1"])
            client.UpdateSegment(segment={"name": "segments/active", "expression": world.asked["active"]})
            client.keep()


def _told_like(client: Client, uid: str, members: set[str]) -> None:
    """Who plays back what was told, or the history, ends with the members; nobody entered or left twice."""
    history = [
        ("entered" if change.entered else "left", change.customer)
        for change in client.ListSegmentChanges(parent=f"segments/{uid}", page_size=1000).changes
    ]
    for moves in (client.moves(uid), history[::-1]):
        inside: set[str] = set()
        for kind, name in moves:
            assert (name in inside) is (kind == "left"), (kind, name)
            (inside.add if kind == "entered" else inside.remove)(name)
        assert inside == members
