"""Segments follow events, traits, consents, other segments and time: always what a look at everything would give."""

import random
import signal as signals_of_processes
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.identity.v1 import events_pb2
from rapport.scoring.v1 import scoring_service_pb2_grpc
from rapport.scoring.v1.events_pb2 import SegmentLeft

import docstore
from chassis import clock, money, server
from docstore.aliases import AliasChange
from eventing import tombstones
from localrun.ports import free_port
from scoring import migrate
from scoring.servicer import ScoringServicer
from scoring.settings import ScoringSettings
from scoring.store import Profile, Score, Segment, SegmentKeeper, SegmentSignal
from scoring.usecases import evaluating, people, signals
from testkit import eventually
from testkit.travel import Travel

from .conftest import START, Client, customer, plant, score_row

SERVICE = "scoring"


@pytest.fixture(scope="module")
def settings(database: ScoringSettings, amqp: str, tmp_path_factory: pytest.TempPathFactory) -> ScoringSettings:
    """Without consent: nothing here is decided by it."""
    changes = {
        "amqp_uri": SecretStr(amqp),
        "upstreams": {"consent": f"dns:///127.0.0.1:{free_port()}"},
        "work_dir": tmp_path_factory.mktemp("work"),
        "clock_file": tmp_path_factory.mktemp("clock") / "offset.json",
    }
    return database.model_copy(update=changes)


@pytest.fixture(scope="module")
def channels(settings: ScoringSettings) -> Iterator[tuple[grpc.Channel, grpc.Channel]]:
    servicers = [(scoring_service_pb2_grpc.add_ScoringServiceServicer_to_server, ScoringServicer())]
    with server.in_process(settings, servicers) as target, grpc.insecure_channel(target) as scoring:
        yield scoring, scoring


@pytest.fixture(scope="module")
def travel(settings: ScoringSettings) -> Iterator[Travel]:
    made = Travel(settings)
    yield made
    made.back()


def happened(
    name: str, event: str, when: datetime, amount: int | None = None, message_id: str = ""
) -> events_pb2.TrackedEvent:
    tracked = events_pb2.TrackedEvent(
        customer=name, event=event, source="shop", message_id=message_id or uuid.uuid4().hex, kind="KIND_TRACK"
    )
    tracked.event_time.FromDatetime(when)
    if amount is not None:
        tracked.amount.CopyFrom(money.from_minor(amount, "EUR"))
    return tracked


def state(name: str, **values: Any) -> events_pb2.CustomerState:
    return events_pb2.CustomerState(customer=name, **values)


def said(name: str, what: str, consent: str) -> consent_events_pb2.ConsentState:
    values = {"purpose": "purposes/news", "channel": "CHANNEL_EMAIL", "consent_record": f"consentRecords/{consent}"}
    return consent_events_pb2.ConsentState(consent=f"consents/{consent}", customer=name, state=what, **values)


def note(client: Client, *work: Callable[[], object]) -> None:
    """What handlers do, each in a transaction of its own, then what role `run` does."""
    with client.context():
        for each in work:
            docstore.in_transaction(each)
    client.keep()


def create(client: Client, **expressions: str) -> None:
    for uid, expression in expressions.items():
        client.CreateSegment(segment={"display_name": uid, "expression": expression}, segment_id=uid)


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


def test_a_window_that_runs_out_is_told_once(client, travel) -> None:
    anna = customer()
    create(client, some="count(Page, 2d) >= 1", still="NOT in_segment(some)")
    note(client, lambda: signals.note_events([happened(anna, "Page", clock.now() - timedelta(hours=47))]))
    assert (client.members(), client.members("still")) == ({anna}, set())
    travel(minutes=59)
    client.keep()
    assert client.members() == {anna}
    travel(minutes=1, seconds=1)
    with client.context():
        assert client.tenant in evaluating.waiting_tenants()
    client.keep()
    client.keep()
    assert (client.members(), client.members("still")) == (set(), {anna})
    assert client.moves() == [("entered", anna), ("left", anna)]
    left = [event for event in client.told() if isinstance(event, SegmentLeft)]
    assert [event.cause for event in left] == [SegmentLeft.CAUSE_CUSTOMER_CHANGED, SegmentLeft.CAUSE_TIME_PASSED][
        -len(left) :
    ]
    with client.context():
        assert client.tenant not in evaluating.waiting_tenants()


def test_text_and_tree_are_two_views_of_one_segment(client) -> None:
    asked = {"event": {"measure": "MEASURE_COUNT", "event": "Page", "window_days": 7, "operator": 6, "value": 2}}
    given = {"display_name": "A", "condition": {"all": {"conditions": [asked, {"negation": asked}]}}}
    made = client.CreateSegment(segment=given, segment_id="made")
    assert made.expression == 'count("Page", 7d) >= 2 AND NOT count("Page", 7d) >= 2'
    by_text = client.CreateSegment(segment={"display_name": "B", "expression": "count(Page,7d)>=2"}, segment_id="text")
    assert (by_text.expression, by_text.condition.event.window_days) == ("count(Page,7d)>=2", 7)
    # As read and written back, with one of the two changed.
    by_text.expression = "count(Page, 8d) >= 2"
    changed = client.UpdateSegment(segment=by_text)
    assert changed.condition.event.window_days == 8
    changed.condition.event.window_days = 9
    assert client.UpdateSegment(segment=changed).expression == 'count("Page", 9d) >= 2'
    changed.expression, changed.condition.event.window_days, changed.etag = "p_alive < 0.5", 10, ""
    assert client.refused("UpdateSegment", segment=changed)[2] == ["segment.condition"]
    both = {"display_name": "C", "expression": "p_alive < 0.5", "condition": asked}
    assert client.refused("CreateSegment", segment=both, segment_id="both")[2] == ["segment.condition"]
    wrong = {"display_name": "C", "condition": {"negation": {"score": {"score": "salary", "operator": 1}}}}
    reason, _, places = client.refused("CreateSegment", segment=wrong, segment_id="wrong")
    assert (reason, places) == ("INVALID_CONDITION", ["segment.condition.negation.score.score"])


def test_segments_ask_for_one_another_but_not_in_a_circle(client) -> None:
    create(client, first="count(Page) >= 1", second="in_segment(first)", third="in_segment(second) OR p_alive > 0.5")
    reason, message, places = client.refused(
        "UpdateSegment", segment={"name": "segments/first", "expression": "in_segment(third)"}
    )
    assert (reason, places) == ("SEGMENT_CYCLE", ["segment.expression"])
    assert "segments/first > segments/third > segments/second > segments/first" in message
    assert (
        client.refused("CreateSegment", segment={"display_name": "X", "expression": "in_segment(x2)"}, segment_id="x2")[
            0
        ]
        == "SEGMENT_CYCLE"
    )
    reason, message, _ = client.refused("PreviewSegment", expression="in_segment(nowhere)")
    assert reason == "UNKNOWN_SEGMENT"
    assert "segments/first, segments/second" in message
    reason, message, _ = client.refused("DeleteSegment", name="segments/second")
    assert reason == "SEGMENT_IN_USE"
    assert "segments/third" in message
    for number in range(4, 11):
        create(client, **{f"s{number}": f"in_segment({'third' if number == 4 else f's{number - 1}'})"})
    one_more = {"display_name": "X", "expression": "in_segment(s10)"}
    assert client.refused("CreateSegment", segment=one_more, segment_id="s11")[0] == "SEGMENT_CHAIN_TOO_LONG"
    client.UpdateSegment(segment={"name": "segments/third", "expression": "p_alive > 0.5"})
    client.DeleteSegment(name="segments/second")
    client.DeleteSegment(name="segments/first")


def test_two_changes_at_once_cannot_make_a_circle(client) -> None:
    create(client, one="count(Page) >= 1", two="count(Page) >= 1", way="in_segment(two)")
    refusals: list[str] = []

    def ask(uid: str, other: str) -> None:
        try:
            client.UpdateSegment(segment={"name": f"segments/{uid}", "expression": f"in_segment({other})"})
        except grpc.RpcError as error:
            refusals.append(error.details())

    threads = [threading.Thread(target=ask, args=pair) for pair in (("one", "way"), ("two", "one"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (refusal,) = refusals
    assert "ask for itself" in refusal


def test_overlap_and_history(client) -> None:
    people_ = [customer() for _ in range(6)]
    create(client, left="count(A) >= 1", right="count(B) >= 1", none="count(C) >= 1")
    now = clock.now()
    events = [happened(name, "A", now) for name in people_[:4]] + [happened(name, "B", now) for name in people_[2:]]
    note(client, lambda: signals.note_events(events))
    found = client.CompareSegments(segments=["segments/left", "segments/right", "segments/none"])
    assert found.customer_count == 6
    assert [(size.member_count, size.only_count) for size in found.sizes] == [(4, 2), (4, 2), (0, 0)]
    overlaps = {(each.first_segment[9:], each.second_segment[9:]): each for each in found.overlaps}
    assert (overlaps["left", "right"].both_count, overlaps["left", "right"].either_count) == (2, 6)
    assert overlaps["left", "right"].similarity == pytest.approx(1 / 3)
    assert overlaps["left", "none"].both_count == 0
    for segments in ([], ["segments/left", "segments/left"], [f"segments/s{number}" for number in range(11)]):
        assert client.refused("CompareSegments", segments=segments)[2] == ["segments"]
    assert client.refused("CompareSegments", segments=["segments/left", "segments/nowhere"])[0] == "NOT_FOUND"
    anna, bert = people_[2], people_[3]
    note(client, lambda: people.follow_alias(AliasChange(anna, bert, (1, 0))))
    page = client.ListSegmentChanges(parent="segments/left", customer=bert)
    newest = page.changes[0]
    assert (newest.customer, newest.entered, newest.cause) == (anna, False, 5)
    assert {(each.customer, each.entered) for each in page.changes} == {(anna, False), (anna, True), (bert, True)}
    first = client.ListSegmentChanges(parent="segments/left", page_size=2)
    rest = client.ListSegmentChanges(parent="segments/left", page_size=9, page_token=first.next_page_token)
    assert len(first.changes) + len(rest.changes) == 5
    times = [each.change_time.ToDatetime(UTC) for each in (*first.changes, *rest.changes)]
    assert times == sorted(times, reverse=True)


def test_a_preview_that_runs_out_of_time_reckons_from_a_part(client, monkeypatch) -> None:
    people_ = [customer() for _ in range(60)]
    note(client, lambda: signals.note_events([happened(name, "A", clock.now()) for name in people_]))
    monkeypatch.setattr("scoring.usecases.exploring._CHUNK", 20)
    monkeypatch.setattr("scoring.usecases.exploring._PREVIEW_S", 0.0)
    preview = client.PreviewSegment(expression="count(A, 1d) >= 1")
    assert (preview.member_count, preview.examined_count, preview.estimated) == (60, 20, True)


def test_the_deleted_and_those_who_object_are_in_no_segment(client) -> None:
    anna, bert = customer(), customer()
    create(client, some="region_code = DE")
    told = [state(name, region_code="DE") for name in (anna, bert)]
    note(client, *(lambda one=one: signals.note_customer(one, (1, 0)) for one in told))
    assert client.members() == {anna, bert}
    with client.context():
        docstore.in_transaction(lambda: people.object_to_profiling(anna, "consents/c", START))
    # At once: nobody keeps the segments now.
    assert client.members() == {bert}
    gone = state(bert, region_code="DE")
    gone.delete_time.GetCurrentTime()
    note(client, lambda: signals.note_customer(gone, (2, 0)))
    assert client.members() == set()
    back = state(bert, region_code="DE")
    note(client, lambda: signals.note_customer(back, (3, 0)), lambda: people.allow_profiling(anna))
    assert client.members() == {anna, bert}
    causes = [event.cause for event in client.told() if isinstance(event, SegmentLeft)]
    assert causes == [SegmentLeft.CAUSE_SCORES_REMOVED, SegmentLeft.CAUSE_CUSTOMER_CHANGED]
    assert client.GetSegment(name="segments/some").member_count == 2


def test_the_erased_are_not_looked_at_again_while_their_erasure_is_on_its_way(client, travel) -> None:
    anna, bert = customer(), customer()
    create(client, some="count(A, 2d) >= 1")
    note(client, lambda: signals.note_events([happened(name, "A", clock.now()) for name in (anna, bert)]))
    with client.context():
        tombstones.erase([anna])
    travel(days=2, seconds=1)
    note(client, lambda: signals.note_events([happened(anna, "A", clock.now())]))
    assert client.members() == {anna}, "erasing takes the row as it is"
    assert client.moves()[2:] == [("left", bert)]
    with client.context():
        assert client.tenant not in evaluating.waiting_tenants()
        assert Profile.rows().find_one({"customer": anna})["series"][0]["n"] == 1


def test_only_one_keeps_the_segments_of_a_tenant_and_whoever_lost_them_changes_nothing(client, monkeypatch) -> None:
    anna = customer()
    create(client, some="count(A) >= 1")
    with client.context():
        docstore.in_transaction(lambda: signals.note_events([happened(anna, "A", clock.now())]))
        settle = evaluating.settle

        def lose(*arguments: Any) -> int:
            monkeypatch.setattr(evaluating, "settle", settle)
            assert not evaluating.keep("another"), "it is kept"
            with docstore.platform_scope():
                docstore.platform_collection(SegmentKeeper).update_one(
                    {"tenant": client.tenant, "uid": "keeper"}, {"$set": {"lease.token": "another's"}}
                )
            return settle(*arguments)

        monkeypatch.setattr(evaluating, "settle", lose)
        assert not evaluating.keep("first")
        assert SegmentSignal.rows().count({}) == 1
        assert client.members() == set()
        SegmentKeeper.rows().update_one({"uid": "keeper"}, {"$unset": {"lease": ""}})
    client.keep()
    assert client.moves() == [("entered", anna)]


def test_what_just_happened_goes_before_new_scores_and_objections_before_both(client, monkeypatch) -> None:
    anna, bert = customer(), customer()
    monkeypatch.setattr(evaluating, "_SIGNALS", 1)
    taken: list[set[str]] = []
    settle = evaluating.settle
    monkeypatch.setattr(evaluating, "settle", lambda news, asked: taken.append(set(news)) or settle(news, asked))
    with client.context():
        look = signals.look_again
        docstore.in_transaction(lambda: look([anna], SegmentLeft.CAUSE_SCORES_CHANGED))
        docstore.in_transaction(lambda: signals.note_events([happened(bert, "A", clock.now())]))
        docstore.in_transaction(lambda: look([anna, bert], SegmentLeft.CAUSE_SCORES_REMOVED, urgent=True))
    client.keep()
    assert taken == [{anna, bert}, {bert}, {anna}]


def test_members_of_before_profiles_stay_members_and_nobody_is_told(client) -> None:
    stays, leaves = customer(), customer()
    rows = [score_row(stays, segments=["some"]), score_row(leaves, segments=["some"], frequency=0)]
    create(client, some="frequency >= 2")
    with client.context():
        Score.rows().insert_many(rows)
        Segment.rows().update_one({"uid": "some"}, {"$set": {"member_count": 2}, "$unset": {"evaluation_due": ""}})
    with docstore.platform_scope():
        for _ in range(2):
            migrate.MIGRATIONS[-1].run(docstore.database())
    assert client.members() == {stays, leaves}
    client.keep()
    assert client.members() == {stays}
    assert client.moves() == [("left", leaves)]
    assert client.GetSegment(name="segments/some").member_count == 1


def test_members_follow_within_five_seconds_through_the_broker_and_a_killed_runner(
    client, made, publish, failpoint
) -> None:
    """Each event twice; a window that ends by itself; the runner killed with memberships in hand."""
    anna, bert = customer(), customer()
    create(client, some="count(Ping, 1h) >= 1", german="region_code = DE")

    work, run = made("work").start().wait_ready(), made("run").start().wait_ready()
    eventually(lambda: client.GetSegment(name="segments/some").state == 2, message="the segments are there")

    def twice(event: Message, *about: str, subject: str) -> None:
        publish(publish(event, *about, subject=subject))

    ends = clock.now() + timedelta(seconds=4)
    ping = happened(anna, "Ping", ends - timedelta(hours=1))
    twice(events_pb2.EventsTracked(events=[ping]), anna, subject="ingestionBatches/1")
    eventually(lambda: client.members() == {anna}, 5, "entered within 5 seconds")
    twice(events_pb2.CustomerCreated(customer=state(bert, region_code="DE")), bert, subject=bert)
    eventually(lambda: client.members("german") == {bert}, 5, "entered within 5 seconds")
    eventually(lambda: clock.now() >= ends, 8, "the window has run out")
    eventually(lambda: client.members() == set(), 5, "left within 5 seconds")
    assert run.stop() == 0
    killed = made("run")
    with failpoint("scoring.usecases.settling:count_members") as there:
        killed.start()
        again = events_pb2.EventsTracked(events=[happened(bert, "Ping", clock.now())])
        twice(again, bert, subject="ingestionBatches/2")
        there.wait()
    assert killed.process.wait(10) == -signals_of_processes.SIGKILL
    assert client.members() == set()
    assert made("run").start().wait_ready()
    eventually(lambda: client.members() == {bert}, 15, "another one goes on")
    assert work.stop() == 0
    assert client.moves() == [("entered", anna), ("left", anna), ("entered", bert)]
    assert client.moves("german") == [("entered", bert)]
    with client.context():
        assert SegmentSignal.rows().count({}) == 0
        assert Profile.rows().count({}) == 2
