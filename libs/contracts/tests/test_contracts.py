"""What every contract must say, whoever wrote it."""

import json
import re

import pytest
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from rapport.options.v1 import options_pb2

from contracts import descriptors

METHODS = list(descriptors.methods())
EVENTS = descriptors.events()
READS = (
    *("Get", "Compare", "Download", "Evaluate", "Export", "List", "Lookup", "Preview", "Summarize", "View", "Verify"),
    "Exchange",
)
PERSONAL = re.compile(r"(^|_)(email|phone|ip_address|user_agent|given_name|family_name|user_id|anonymous_id|secret)$")


def messages_under(message: Descriptor, seen: set[str]) -> list[Descriptor]:
    if message.full_name in seen or not message.full_name.startswith("rapport."):
        return []
    seen.add(message.full_name)
    return [message] + [
        found for field in message.fields if field.message_type for found in messages_under(field.message_type, seen)
    ]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_every_method_says_who_may_call_it(method: MethodDescriptor) -> None:
    rule = descriptors.rule(method)
    assert sum([bool(rule.permission), rule.public, rule.internal]) == 1
    if rule.permission:
        service = method.containing_service.full_name.split(".")[1]
        assert re.fullmatch(rf"{service}\.[a-z][a-zA-Z]*\.[a-z][a-zA-Z]*", rule.permission)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_every_method_but_internal_ones_has_a_route(method: MethodDescriptor) -> None:
    has_route = method.GetOptions().HasExtension(annotations_pb2.http)
    assert has_route is not descriptors.rule(method).internal


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_every_mutation_takes_a_request_id(method: MethodDescriptor) -> None:
    if method.name.startswith(READS) or descriptors.rule(method).public:
        return
    field = method.input_type.fields_by_name.get("request_id")
    assert field is not None, "AIP-155"


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_every_list_is_paged(method: MethodDescriptor) -> None:
    if method.name.startswith("List"):
        assert {"page_size", "page_token"} <= set(method.input_type.fields_by_name)
        assert "next_page_token" in method.output_type.fields_by_name


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.full_name)
def test_every_event_says_how_repeats_and_reordering_are_met(event: Descriptor) -> None:
    rule = descriptors.event_rule(event)
    assert rule is not None
    assert event.file.name.endswith("/events.proto")
    if rule.kind == options_pb2.EventRule.KIND_STATE:
        assert rule.state_of.startswith(".".join(event.full_name.split(".")[:3]))
    else:
        assert rule.kind == options_pb2.EventRule.KIND_FACT
        assert not rule.state_of


def test_personal_data_is_marked() -> None:
    seen: set[str] = set()
    roots = [message for method in METHODS for message in (method.input_type, method.output_type)] + list(EVENTS)
    fields: list[FieldDescriptor] = [
        field for root in roots for message in messages_under(root, seen) for field in message.fields
    ]
    unmarked = [
        field.full_name
        for field in fields
        if PERSONAL.search(field.name) and not field.message_type and not descriptors.pii(field)
    ]
    assert len(fields) > 100
    assert unmarked == []


NAMES = {method.name for method in METHODS}


def test_resources_carry_their_standard_fields() -> None:
    for method in METHODS:
        resource = method.output_type
        if method.name.startswith("Create") and resource.name == method.name.removeprefix("Create"):
            wanted = {"name", "create_time"}
            # What never changes, such as a message once it is said, has nothing to tell versions apart by.
            wanted |= (
                {"uid", "etag"} if f"Update{resource.name}" in NAMES or "state" in resource.fields_by_name else set()
            )
            assert wanted <= set(resource.fields_by_name), resource.full_name
            name = resource.fields_by_name["name"]
            behaviours = name.GetOptions().Extensions[field_behavior_pb2.field_behavior]
            assert field_behavior_pb2.IDENTIFIER in behaviours


@pytest.mark.parametrize("service", [service.full_name for service in descriptors.services()])
def test_every_service_has_its_retry_policy_beside_the_proto(service: str) -> None:
    config = descriptors.service_config(service.split(".")[1])
    assert config is not None
    names = [name["service"] for item in json.loads(config)["methodConfig"] for name in item["name"]]
    assert names == [service]


def test_classes_are_found_by_name_and_unknown_names_are_not() -> None:
    found = descriptors.message_class("rapport.identity.v1.CustomerMerged")
    assert found.DESCRIPTOR.full_name == "rapport.identity.v1.CustomerMerged"
    with pytest.raises(KeyError):
        descriptors.message_class("rapport.identity.v1.NoSuchEvent")
