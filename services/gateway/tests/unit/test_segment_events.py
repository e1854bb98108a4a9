import json
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from rapport.identity.v1 import tracking_event_pb2

from chassis import ids
from gateway.segment import events
from gateway.segment.events import Unreadable
from gateway.transcoder.well_known import DEPTH_MAX

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
Kind = tracking_event_pb2.TrackingEvent


def read(raw, kind=None, **more):
    return events.read(raw, kind, received_at=NOW, **more)


def refusal(raw, kind=None):
    with pytest.raises(Unreadable) as caught:
        read(raw, kind)
    return caught.value.reason, caught.value.field


def test_reads_a_track_call():
    event = read(
        {
            "type": "track",
            "messageId": "m-1",
            "userId": 17,
            "anonymousId": None,
            "event": "Order Completed",
            "properties": {"revenue": 29.9, "products": [{"sku": "a"}]},
            "context": {"ip": "10.0.0.1"},
            "timestamp": "1997-01-01T00:00:00Z",
            "integrations": {"All": True},
            "receivedAt": "whenever",
        }
    )
    assert (event.kind, event.message_id, event.user_id, event.event) == (
        Kind.KIND_TRACK,
        "m-1",
        "17",
        "Order Completed",
    )
    assert json_format.MessageToDict(event.properties) == {"revenue": 29.9, "products": [{"sku": "a"}]}
    assert json_format.MessageToDict(event.context) == {"integrations": {"All": True}, "ip": "10.0.0.1"}
    assert event.event_time.ToJsonString() == "1997-01-01T00:00:00Z"
    assert not event.HasField("traits")


@pytest.mark.parametrize(
    ("raw", "check"),
    [
        ({"type": "identify", "traits": {"email": "a@b.c"}}, lambda e: e.traits["email"] == "a@b.c"),
        (
            {"type": "page", "name": "Home", "category": "shop"},
            lambda e: e.properties["category"] == "shop",
        ),
        ({"type": "screen", "name": "Basket"}, lambda e: e.event == "Basket"),
        ({"type": "group", "groupId": 5, "traits": {"name": "Acme"}}, lambda e: e.group_id == "5"),
        ({"type": "alias", "previousId": "p", "userId": "u"}, lambda e: (e.previous_id, e.user_id) == ("p", "u")),
    ],
)
def test_reads_the_other_calls(raw, check):
    event = read(raw)
    assert event.kind == events.KINDS[raw["type"]]
    assert check(event)


def test_gives_an_event_without_message_id_a_new_one():
    first, second = read({"type": "track"}), read({"type": "track"})
    assert first.message_id != second.message_id
    assert ids.time_of(first.message_id)


@pytest.mark.parametrize(
    ("raw", "kind", "reason", "field"),
    [
        ("x", None, "INVALID_TYPE", ""),
        (None, Kind.KIND_TRACK, "INVALID_TYPE", ""),
        ({"userId": "u"}, None, "UNKNOWN_TYPE", "type"),
        ({"type": "buy"}, None, "UNKNOWN_TYPE", "type"),
        ({"type": []}, None, "UNKNOWN_TYPE", "type"),
        ({"userId": True}, Kind.KIND_TRACK, "INVALID_TYPE", "userId"),
        ({"userId": 1.5}, Kind.KIND_TRACK, "INVALID_TYPE", "userId"),
        ({"messageId": {}}, Kind.KIND_TRACK, "INVALID_TYPE", "messageId"),
        ({"userId": "\ud800"}, Kind.KIND_TRACK, "INVALID_TYPE", "userId"),
        ({"event": ["x"]}, Kind.KIND_TRACK, "INVALID_TYPE", "event"),
        ({"properties": []}, Kind.KIND_TRACK, "INVALID_TYPE", "properties"),
        ({"context": "x"}, Kind.KIND_TRACK, "INVALID_TYPE", "context"),
        ({"properties": {"a": 10**400}}, Kind.KIND_TRACK, "INVALID_VALUE", "properties"),
        ({"extra": "\ud800"}, Kind.KIND_TRACK, "INVALID_VALUE", "context"),
        ({"timestamp": "yesterday"}, Kind.KIND_TRACK, "INVALID_TIMESTAMP", "timestamp"),
        ({"timestamp": 1234567890}, Kind.KIND_TRACK, "INVALID_TIMESTAMP", "timestamp"),
        ({"originalTimestamp": "x"}, Kind.KIND_TRACK, "INVALID_TIMESTAMP", "originalTimestamp"),
        ({"properties": {"a": "x" * 33_000}}, Kind.KIND_TRACK, "EVENT_TOO_LARGE", ""),
    ],
)
def test_says_what_is_wrong_with_an_event(raw, kind, reason, field):
    assert refusal(raw, kind) == (reason, field)


def test_refuses_what_is_nested_too_deeply_for_a_service():
    value = {}
    for _ in range(DEPTH_MAX):
        value = {"a": value}
    assert refusal({"properties": value}, Kind.KIND_TRACK) == ("INVALID_VALUE", "properties")


def test_keeps_an_unreadable_event_as_it_came_within_limits():
    raw = {"messageId": "m-1", "userId": True, "note": "ü\ud800"}
    kept = events.unreadable_event(3, raw, Unreadable("INVALID_TYPE", "userId", "d"))
    assert (kept.index, kept.message_id, kept.reason, kept.field) == (3, "m-1", "INVALID_TYPE", "userId")
    assert json.loads(kept.body) == raw
    large = events.unreadable_event(0, {"a": "x" * 99_000, "messageId": "\ud800\n"}, Unreadable("X", "", ""))
    assert len(large.body) == events.EVENT_MAX_BYTES
    assert large.message_id == ""


@pytest.mark.parametrize(
    ("skew", "applied"),
    [
        (timedelta(seconds=2), False),
        (timedelta(seconds=-59), False),
        (timedelta(minutes=5), True),
        (timedelta(minutes=-5), True),
        (timedelta(hours=23), True),
        (timedelta(days=2), False),
        (timedelta(days=-9000), False),
    ],
)
def test_corrects_clocks_that_are_plausibly_off(skew, applied):
    sent = (NOW - skew).isoformat()
    event = read({"timestamp": "2026-03-01T10:00:00Z"}, Kind.KIND_TRACK, sent_at=sent)
    expected = datetime(2026, 3, 1, 10, tzinfo=UTC) + (skew if applied else timedelta())
    assert event.event_time.ToDatetime(tzinfo=UTC) == expected
    corrected_before = {"timestamp": "2026-03-01T10:00:00Z", "originalTimestamp": "2026-03-01T09:00:00Z"}
    assert read(corrected_before, Kind.KIND_TRACK, sent_at=sent).event_time.ToJsonString() == "2026-03-01T10:00:00Z"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-01T10:00:00.123456789Z", "2026-03-01T10:00:00.123456Z"),
        ("2026-03-01T10:00:00+02:00", "2026-03-01T08:00:00Z"),
        ("2026-03-01T10:00:00", "2026-03-01T10:00:00Z"),
        ("1997-01-01", "1997-01-01T00:00:00Z"),
    ],
)
def test_reads_instants_as_clients_write_them(text, instant):
    assert read({"timestamp": text}, Kind.KIND_TRACK).event_time.ToJsonString() == instant


def test_shares_the_context_of_the_batch():
    event = read({"type": "track", "context": {"a": 1}}, context={"a": 0, "b": 2})
    assert json_format.MessageToDict(event.context) == {"a": 1, "b": 2}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*events._UNDERSTOOD, "x"]), inner, max_size=6)
        ),
        max_leaves=15,
    )
)
def test_any_payload_becomes_an_event_or_a_reason(raw):
    for kind in (None, Kind.KIND_TRACK, Kind.KIND_PAGE):
        try:
            event = read(raw, kind)
        except Unreadable as error:
            kept = events.unreadable_event(0, raw, error)
            assert kept.reason
            assert type(kept).FromString(kept.SerializeToString()) == kept
        else:
            assert type(event).FromString(event.SerializeToString()).message_id
