import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from chassis import fieldcheck

NAME = "shelves/a/things/b"


def fields(message) -> dict[str, str]:
    return dict(fieldcheck.check(message))


def create(things, **thing):
    return things.pb.CreateThingRequest(
        parent="shelves/a", thing=things.pb.Thing(**{"title": "t", "color": 1, **thing})
    )


def test_good_request_passes(things):
    assert fields(create(things, parts=[{"label": "x"}], bought=Timestamp(seconds=1), twin=NAME)) == {}


@pytest.mark.parametrize(
    ("thing", "path"),
    [
        ({"title": ""}, "thing.title"),
        ({"color": 0}, "thing.color"),
        ({"color": 99}, "thing.color"),
        ({"parts": [{"label": "x"}, {}]}, "thing.parts[1].label"),
        ({"parts": [{"label": "x", "parts": [{}]}]}, "thing.parts[0].parts[0].label"),
        ({"named_parts": {"left": {}}}, "thing.named_parts.left.label"),
        ({"named_parts": {"ada@example.com": {}}}, "thing.named_parts[...].label"),
        ({"main_part": {}}, "thing.main_part.label"),
        ({"title": "x" * (fieldcheck.STRING_MAX + 1)}, "thing.title"),
        ({"note": "x" * (fieldcheck.STRING_MAX + 1)}, "thing.note"),
        ({"bought": Timestamp(seconds=253_402_300_800)}, "thing.bought"),
        ({"bought": Timestamp(nanos=-1)}, "thing.bought"),
        ({"warranty": Duration(seconds=1, nanos=-1)}, "thing.warranty"),
        ({"twin": "things/b"}, "thing.twin"),
        ({"twin": "shelves/a/things/b/c"}, "thing.twin"),
        ({"twin": "shelves/a/things/"}, "thing.twin"),
        ({"twin": "shelves/a b/things/c"}, "thing.twin"),
        ({"twin": f"{NAME}\n"}, "thing.twin"),
        ({"address": "300.1.1.1"}, "thing.address"),
    ],
)
def test_violation_names_the_field(things, thing, path):
    assert list(fields(create(things, **thing))) == [path]


def test_texts_tell_the_rule_and_never_the_value(things):
    found = fields(create(things, twin="ada@example.com", color=77, address="ada"))
    assert found["thing.twin"] == "Not a name of the form shelves/{shelf}/things/{thing}."
    assert not any("ada" in text or "77" in text for text in found.values())


def test_missing_message_is_named_once(things):
    assert fields(things.pb.CreateThingRequest(parent="shelves/a")) == {"thing": "Required: set it."}


def test_parent_has_the_form_of_the_childs_parent(things):
    request = create(things)
    request.parent = "shelves/a/things/b"
    assert list(fields(request)) == ["parent"]


@pytest.mark.parametrize(
    ("request_id", "good"),
    [
        ("6f1ff3f5-3b1c-4b6e-8d7a-1f0e6b9f2c11", True),
        ("01a20104-a60f-74d2-8898-2e06b17f5c44", True),
        ("", True),
        ("00000000-0000-0000-0000-000000000000", False),
        ("6f1ff3f53b1c4b6e8d7a1f0e6b9f2c11", False),
        ("{6f1ff3f5-3b1c-4b6e-8d7a-1f0e6b9f2c1}", False),
        ("order-1", False),
    ],
)
def test_request_id_is_a_uuid(things, request_id, good):
    request = create(things)
    request.request_id = request_id
    assert list(fields(request)) == ([] if good else ["request_id"])


def test_what_a_service_checks_itself_is_bounded_only(things):
    assert fields(create(things, drafts=[{}, {"label": "x" * 100_000}])) == {}
    assert list(fields(create(things, drafts=[{}] * (fieldcheck.ELEMENTS_MAX + 1)))) == ["thing.drafts"]


def test_output_only_fields_are_ignored(things):
    request = create(things, state="x" * 100_000)
    assert fields(request) == {}
    assert request.thing.state == ""


def test_name_is_ignored_on_create_and_checked_on_update(things):
    assert fields(create(things, name="anything at all")) == {}
    update = things.pb.UpdateThingRequest(thing={"name": "anything at all"})
    assert list(fields(update)) == ["thing.name"]
    update.thing.name = ""
    assert list(fields(update)) == ["thing.name"]


@pytest.mark.parametrize(
    ("paths", "missing"),
    [
        ([], []),
        (["note"], []),
        (["title"], ["thing.title"]),
        (["title", "color"], ["thing.title", "thing.color"]),
        (["*"], ["thing.title", "thing.color"]),
        (["main_part.parts"], []),
        (["main_part.label"], ["thing.main_part.label"]),
        (["main_part"], ["thing.main_part.label"]),
    ],
)
def test_update_demands_what_its_mask_names(things, paths, missing):
    request = things.pb.UpdateThingRequest(
        thing={"name": NAME, "main_part": {"parts": [{"label": "x"}]}}, update_mask={"paths": paths}
    )
    found = fields(request)
    expected = [*missing, *(["thing.main_part.label"] if paths == ["*"] else [])]
    assert list(found) == expected


def test_page_size_and_repeated_names(things):
    assert list(fields(things.pb.ListThingsRequest(page_size=-1))) == ["names", "page_size"]
    assert fields(things.pb.ListThingsRequest(page_size=10_000_000, names=[NAME])) == {}
    assert list(fields(things.pb.ListThingsRequest(names=[NAME, "x"]))) == ["names[1]"]
    many = things.pb.ListThingsRequest(names=[NAME] * (fieldcheck.ELEMENTS_MAX + 1))
    assert list(fields(many)) == ["names"]


def test_number_of_violations_is_bounded(things):
    assert len(fieldcheck.check(things.pb.ListThingsRequest(names=["x"] * 5_000))) == 25


@given(data=st.data())
def test_any_decodable_request_is_answered(things, data):
    text = st.text(max_size=20)
    request = things.pb.CreateThingRequest(
        parent=data.draw(text),
        request_id=data.draw(text),
        thing=things.pb.Thing(
            name=data.draw(text),
            title=data.draw(text),
            color=data.draw(st.integers(-(2**31), 2**31 - 1)),
            bought=Timestamp(
                seconds=data.draw(st.integers(-(2**63), 2**63 - 1)), nanos=data.draw(st.integers(-(2**31), 2**31 - 1))
            ),
            named_parts={key: {"label": "x"} for key in data.draw(st.lists(text, max_size=3))},
        ),
    )
    if not fieldcheck.check(request):
        request.thing.bought.ToDatetime()
        assert request.thing.title
