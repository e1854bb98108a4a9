import json
import time

import pytest
from google.api import http_pb2
from google.protobuf import descriptor_pb2, json_format, struct_pb2, wrappers_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from google.type import money_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from rapport.access.v1 import access_service_pb2, tenant_pb2
from rapport.consent.v1 import consent_service_pb2
from rapport.identity.v1 import customer_pb2, identity_service_pb2

from chassis.errors import InvalidArgument
from gateway.transcoder import json_text
from gateway.transcoder.plans import plan_of
from gateway.transcoder.reading import Faults, read_message, read_query
from gateway.transcoder.routes import all_routes
from gateway.transcoder.well_known import DEPTH_MAX
from gateway.transcoder.writing import write_message

ROUTES = {route.rpc.name: route for route in all_routes()}


def read(kind, value, path=""):
    message, faults = kind(), Faults()
    read_message(plan_of(kind.DESCRIPTOR), value, message, faults, path)
    faults.raise_if_any()
    return message


def refusal(kind, value):
    with pytest.raises(InvalidArgument) as caught:
        read(kind, value)
    return caught.value


def test_reads_both_spellings_and_nested_messages():
    tenant = read(
        tenant_pb2.Tenant,
        {
            "display_name": "Acme",
            "settings": {"timeZone": "UTC", "languageCodes": ["en", "de"], "sender": {"email": "a@b.c"}},
        },
    )
    assert tenant.display_name == "Acme"
    assert list(tenant.settings.language_codes) == ["en", "de"]
    assert tenant.settings.sender.email == "a@b.c"


def test_names_the_unknown_field_and_the_closest_known_one():
    error = refusal(customer_pb2.Customer, {"displayName": "A", "emial": "a@b.c"})
    assert error.reason == "UNKNOWN_FIELD"
    assert error.violations == [("emial", "no such field; did you mean email?")]


def test_tells_all_faults_with_their_paths_and_expected_types():
    error = refusal(
        identity_service_pb2.IngestEventsRequest,
        {
            "source": 7,
            "events": [{"kind": "KIND_TRACK"}, {"kind": "KIND_TRAK"}, {"eventTime": "yesterday"}, "x", {"traits": []}],
            "unreadableEvents": {},
        },
    )
    assert dict(error.violations) == {
        "source": "expected a string, got a number",
        "events[1].kind": "expected one of KIND_IDENTIFY, KIND_TRACK, KIND_PAGE, KIND_SCREEN, KIND_GROUP, KIND_ALIAS",
        "events[2].event_time": "expected an instant (RFC 3339) such as 2026-03-01T12:00:00Z",
        "events[3]": "expected an object, got a string",
        "events[4].traits": "expected an object, got an array",
        "unreadable_events": "expected an array, got an object",
    }
    assert "source" in error.message
    assert "5 more" in error.message


@pytest.mark.parametrize(
    ("kind", "value", "path", "words"),
    [
        (customer_pb2.Customer, {"email": None}, "email", "null is no value"),
        (customer_pb2.Customer, {"email": "\ud800"}, "email", "surrogate"),
        (customer_pb2.Customer, {"traits": {"a": ["\ud800"]}}, "traits", "surrogate"),
        (customer_pb2.Customer, {"traits": {"a": 10**400}}, "traits", "too large"),
        (customer_pb2.Customer, {"displayName": "a", "display_name": "b"}, "display_name", "both spellings"),
        (money_pb2.Money, {"nanos": 2**31}, "nanos", "an integer from -2147483648"),
        (money_pb2.Money, {"nanos": "1"}, "nanos", "got a string"),
        (money_pb2.Money, {"nanos": 1.5}, "nanos", "an integer from"),
        (money_pb2.Money, {"units": "1.5"}, "units", "an integer from"),
        (money_pb2.Money, {"units": True}, "units", "got a boolean"),
        (access_service_pb2.ExchangeCredentialRequest, {"apiKey": "a", "jwt": "b"}, "jwt", "give this or api_key"),
        (access_service_pb2.UpdateRoleRequest, {"updateMask": "a b"}, "update_mask", "field paths"),
        (FieldDescriptorProto, {"jsonName": []}, "json_name", "expected a string, got an array"),
        (wrappers_pb2.BytesValue, {"value": "%%"}, "value", "base64"),
    ],
)
def test_refuses_wrong_values(kind, value, path, words):
    error = refusal(kind, value)
    assert error.violations[0][0] == path
    assert words in error.violations[0][1]


def test_reads_exact_numbers():
    money = read(money_pb2.Money, {"units": "9007199254740993", "nanos": 1.0})
    assert (money.units, money.nanos) == (9007199254740993, 1)
    assert read(money_pb2.Money, {"units": -5}).units == -5


def test_reads_masks_in_both_spellings():
    request = read(access_service_pb2.UpdateTenantRequest, {"updateMask": "displayName,settings.time_zone"})
    assert list(request.update_mask.paths) == ["display_name", "settings.time_zone"]


def nested(levels):
    value = "x"
    for level in range(levels):
        value = {"a": value} if level % 2 else [value]
    return {"traits": {"a": value}}


def test_refuses_deep_values_that_a_service_could_not_read_and_takes_all_others():
    error = refusal(customer_pb2.Customer, nested(DEPTH_MAX))
    assert error.violations == [("traits", f"nested more than {DEPTH_MAX} levels deep")]
    objects = {"a": "x"}
    for _ in range(DEPTH_MAX - 5):
        objects = {"a": objects}
    # The deepest place a free-form value has in any request.
    request = read(identity_service_pb2.IngestEventsRequest, {"events": [{"properties": objects}]})
    read_back = identity_service_pb2.IngestEventsRequest.FromString(request.SerializeToString())
    assert write_message(plan_of(read_back.DESCRIPTOR), read_back)["events"][0]["properties"] == objects
    with pytest.raises(InvalidArgument, match="levels deep"):
        read(
            identity_service_pb2.IngestEventsRequest, {"events": [{"properties": {"a": objects, "b": {"a": objects}}}]}
        )


@pytest.mark.parametrize(
    ("text", "reason", "words"),
    [
        (b'{\n "a": 1,\n "b" 2}', "INVALID_JSON", "line 3, column 6"),
        (b"{", "INVALID_JSON", "line 1, column 2"),
        (b"", "INVALID_JSON", "line 1, column 1"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "DUPLICATE_KEY", '"c" is given twice'),
        (b'{"a": NaN}', "INVALID_JSON", "NaN is not JSON"),
        (b'{"a": "\xff"}', "INVALID_JSON", "byte 8"),
        (b"\xef\xbb\xbf{}", "INVALID_JSON", "BOM"),
        (b"[" * 100_000, "INVALID_JSON", "too deeply"),
        (b"1" * 5000, "INVALID_JSON", "too many digits"),
    ],
)
def test_says_where_json_is_malformed(text, reason, words):
    with pytest.raises(InvalidArgument) as caught:
        json_text.loads(text)
    assert caught.value.reason == reason
    assert words in caught.value.message


def query(rpc, *parameters):
    route = ROUTES[rpc]
    message, faults = route.request_class(), Faults()
    read_query(parameters, route.query_fields, message, faults)
    faults.raise_if_any()
    return message


def test_reads_query_parameters_of_all_kinds():
    found = query("ListCustomers", ("pageSize", "20"), ("show_deleted", "true"), ("filter", 'email = "a@b.c"'))
    assert (found.page_size, found.show_deleted, found.filter) == (20, True, 'email = "a@b.c"')
    assert query("LookupCustomer", ("kind", "KIND_EMAIL")).kind == customer_pb2.Identifier.KIND_EMAIL
    assert query("SummarizeTimeline", ("startTime", "1997-01-01T00:00:00Z")).start_time.seconds == 852076800
    assert list(query("UpdateCustomer", ("updateMask", "displayName,email")).update_mask.paths) == [
        "display_name",
        "email",
    ]


@pytest.mark.parametrize(
    ("rpc", "parameters", "path", "words"),
    [
        ("ListCustomers", [("pagesize", "2")], "pagesize", "did you mean pageSize?"),
        ("ListCustomers", [("pageSize", "ten")], "page_size", "an integer from"),
        ("ListCustomers", [("pageSize", "")], "page_size", "an integer from"),
        ("ListCustomers", [("pageSize", "1"), ("page_size", "2")], "page_size", "given twice"),
        ("ListCustomers", [("showDeleted", "1")], "show_deleted", "true or false"),
        ("LookupCustomer", [("kind", "EMAIL")], "kind", "expected one of KIND_USER_ID, KIND_EMAIL"),
        ("GetCustomer", [("view", "x")], "view", "no such field"),
    ],
)
def test_refuses_wrong_query_parameters(rpc, parameters, path, words):
    with pytest.raises(InvalidArgument) as caught:
        query(rpc, *parameters)
    assert caught.value.violations[0][0] == path
    assert words in caught.value.violations[0][1]


@pytest.mark.parametrize(
    "message",
    [
        tenant_pb2.Tenant(name="tenants/a", settings={"language_codes": ["en"]}),
        customer_pb2.Customer(traits={"a": 1.5, "b": [None, True, {"c": "d"}], "e": {}}),
        identity_service_pb2.TimelineSummary(event_count=2**60, amounts=[{"currency_code": "EUR", "units": 3}]),
        http_pb2.Http(rules=[http_pb2.HttpRule(get="/x")]),
        consent_service_pb2.ViewOptInRequest(token="t"),
        struct_pb2.ListValue(values=[struct_pb2.Value(string_value="x")]),
        descriptor_pb2.FieldOptions(packed=True, deprecated=False),
    ],
)
def test_writes_what_the_protobuf_library_writes(message):
    if isinstance(message, struct_pb2.ListValue):
        message = customer_pb2.Customer(traits={"list": ["x"]})
    written = write_message(plan_of(message.DESCRIPTOR), message)
    assert json.loads(json.dumps(written)) == json_format.MessageToDict(
        message, always_print_fields_with_no_presence=True
    )


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150)
@given(st.dictionaries(st.text(), _json, max_size=5))
def test_free_form_values_survive_the_way_in_and_out(value):
    message = read(customer_pb2.Customer, {"traits": value})
    assert message.traits == json_format.ParseDict(value, struct_pb2.Struct())
    assert write_message(plan_of(message.DESCRIPTOR), message)["traits"] == value


@settings(max_examples=200)
@given(_json)
def test_no_value_at_all_breaks_reading(value):
    for kind in (customer_pb2.Customer, identity_service_pb2.IngestEventsRequest, money_pb2.Money):
        message, faults = kind(), Faults()
        for attempt in (value, {"traits": value, "events": value, "units": value, "source": value}):
            read_message(plan_of(kind.DESCRIPTOR), attempt, message, faults)


def seconds(work):
    start = time.process_time()
    with pytest.raises(InvalidArgument):
        work()
    return time.process_time() - start


def test_a_repeated_key_among_very_many_is_found_at_once():
    keys = ",".join(f'"{number}":0' for number in range(80_000))
    assert seconds(lambda: json_text.loads(f'{{{keys},"79999":0}}'.encode())) < 2


def test_very_many_unknown_fields_are_refused_at_once():
    value = {f"displayNam{number}": 0 for number in range(60_000)}

    def read_all():
        faults = Faults()
        read_message(plan_of(customer_pb2.Customer.DESCRIPTOR), value, customer_pb2.Customer(), faults)
        faults.raise_if_any()

    assert seconds(read_all) < 2
