"""Which traits of a profile other services hear of."""

from datetime import UTC, datetime
from types import SimpleNamespace

from google.protobuf.json_format import MessageToDict

from identity.domain.profile import OwnData
from identity.events import customer_state

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def told(**traits: object) -> dict[str, object]:
    values = {f"traits.{name}": value for name, value in traits.items()} | {"region_code": "DE"}
    own = OwnData("1", values, dict.fromkeys(values, NOW))
    customer = SimpleNamespace(uid="1", name="customers/1", delete_time=None, own_data=lambda: own)
    state = customer_state(customer, [customer])
    assert state.region_code == "DE"
    return MessageToDict(state.traits) if state.HasField("traits") else {}


def test_short_plain_values_are_told_and_others_are_not() -> None:
    plain = {"plan": "pro", "age": 40.5, "vip": True, "tags": ["a", 5.0, False]}
    assert told(**plain) == plain
    long = {"note": "x" * 201, "list": ["a"] * 51, "deep": [["a"]], "object": {"a": 1}, "in_list": ["x" * 201]}
    assert told(plan="pro", **long) == {"plan": "pro"}
    assert told() == {}
