"""Segments follow time, merges, objections and erasures; they are kept by one, and told of once."""

import signal as signals_of_processes
import threading
from datetime import UTC, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from rapport.identity.v1 import events_pb2
from rapport.scoring.v1.events_pb2 import SegmentLeft

import docstore
from chassis import clock
from docstore.aliases import AliasChange
from eventing import tombstones
from scoring import migrate
from scoring.store import Profile, Score, Segment, SegmentKeeper, SegmentSignal
from scoring.usecases import evaluating, people, segments, signals
from testkit import eventually

from ..conftest import START, customer, score_row
from .conftest import create, happened, note, state

SERVICE = "scoring"


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


def test_two_changes_at_once_cannot_make_a_circle(client, monkeypatch) -> None:
    create(client, one="count(Page) >= 1", two="count(Page) >= 1", way="in_segment(two)")
    refusals: list[str] = []

    def ask(uid: str, other: str) -> None:
        try:
            client.UpdateSegment(segment={"name": f"segments/{uid}", "expression": f"in_segment({other})"})
        except grpc.RpcError as error:
            refusals.append(error.details())

    second = threading.Thread(target=ask, args=("two", "one"))
    second_came_far = threading.Event()
    hold, check = segments.hold_references, segments.check_references

    def held() -> None:
        try:
            hold()
        except Exception:
            second_came_far.set()
            raise

    def checked(*asked: Any) -> None:
        check(*asked)
        if second.ident is not None:
            second_came_far.set()
        else:  # The first has seen no circle, and is not committed before the second came as far as it can.
            second.start()
            assert second_came_far.wait(30)

    monkeypatch.setattr(segments, "hold_references", held)
    monkeypatch.setattr(segments, "check_references", checked)
    ask("one", "way")
    second.join()
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
    for compared in ([], ["segments/left", "segments/left"], [f"segments/s{number}" for number in range(11)]):
        assert client.refused("CompareSegments", segments=compared)[2] == ["segments"]
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
            migrate.MIGRATIONS[1].run(docstore.database())
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
