import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from rapport.options.v1 import options_pb2

from contracts import descriptors
from gateway.segment.endpoint import PATHS
from gateway.transcoder.routes import RouteError, RouteTable, all_routes, routes_of


def _service(*rules, body="", messages=None):
    """A service whose methods have the given rules, in a pool of its own."""
    file = descriptor_pb2.FileDescriptorProto(name="trial.proto", package="rapport.trial.v1", syntax="proto3")
    inner = file.message_type.add(name="Inner")
    inner.field.add(name="name", number=1, type=9, label=1)
    outer = file.message_type.add(name="Outer")
    outer.field.add(name="name", number=1, type=9, label=1)
    outer.field.add(name="inner", number=2, type=11, type_name=".rapport.trial.v1.Inner", label=1)
    outer.field.add(name="tags", number=3, type=9, label=3)
    service = file.service.add(name="TrialService")
    for index, rule in enumerate(rules):
        method = service.method.add(
            name=f"Do{index}", input_type=".rapport.trial.v1.Outer", output_type=".rapport.trial.v1.Outer"
        )
        method.options.Extensions[options_pb2.method_rule].permission = "trial.things.do"
        if rule is not None:
            http = method.options.Extensions[annotations_pb2.http]
            verb, path = rule
            setattr(http, verb, path)
            http.body = body
    pool = descriptor_pool.DescriptorPool()
    found = pool.AddSerializedFile(file.SerializeToString())
    return found.services_by_name["TrialService"].methods


def test_every_rpc_with_a_rule_has_a_route_and_internal_ones_have_none():
    routed = {route.rpc.full_name for route in all_routes()}
    for method in descriptors.methods():
        assert (method.full_name in routed) is not descriptors.rule(method).internal, method.full_name


def test_every_route_is_found_by_its_own_path():
    table = RouteTable(all_routes(), reserved=PATHS)
    for route in table.routes:
        path = "/" + "/".join("x" if part == "*" else part for part in route.template.segments)
        methods, _ = table.find(path + (f":{route.template.verb}" if route.template.verb else ""))
        assert methods[route.http_method] is route


def test_refuses_two_routes_for_one_path():
    methods = _service(("get", "/v1/{name=things/*}"), ("get", "/v1/things/{name}"))
    with pytest.raises(RouteError, match=r"GET /v1/things/\{name\} of .*Do1 collides with .*Do0"):
        RouteTable(routes_of(methods))


def test_refuses_a_route_over_a_reserved_path():
    with pytest.raises(RouteError, match="collides with /v1/identify"):
        RouteTable(routes_of(_service(("post", "/v1/{name}"))), reserved=PATHS)


@pytest.mark.parametrize(
    ("rule", "body", "problem"),
    [
        (None, "", "neither google.api.http"),
        (("get", "/v1/{nosuch}"), "", "no such field: nosuch"),
        (("get", "/v1/{inner.nosuch}"), "", "no such field: inner.nosuch"),
        (("get", "/v1/{tags}"), "", "single plain value"),
        (("get", "/v1/{inner}"), "", "single plain value"),
        (("post", "/v1/things"), "name", "holds a message"),
        (("post", "/v1/things"), "nosuch", "holds a message"),
        (("get", "/v1/things"), "*", "takes no body"),
        (("get", "/v1/things/"), "", "does not end with"),
    ],
)
def test_refuses_rules_that_cannot_be_served(rule, body, problem):
    with pytest.raises(RouteError, match=problem):
        tuple(routes_of(_service(rule, body=body)))


def test_takes_additional_bindings_and_custom_methods():
    methods = _service(("post", "/v1/things"), body="*")
    http = methods[0].GetOptions().Extensions[annotations_pb2.http]
    assert not http.additional_bindings
    file = descriptor_pb2.FileDescriptorProto()
    methods[0].containing_service.file.CopyToProto(file)
    rule = file.service[0].method[0].options.Extensions[annotations_pb2.http]
    rule.additional_bindings.add(put="/v1/{inner.name=things/*}", body="inner")
    custom = rule.additional_bindings.add()
    custom.custom.kind, custom.custom.path = "SEARCH", "/v1/things"
    again = descriptor_pool.DescriptorPool().AddSerializedFile(file.SerializeToString())
    routes = tuple(routes_of(again.services_by_name["TrialService"].methods))
    assert [(route.http_method, route.template.text) for route in routes] == [
        ("POST", "/v1/things"),
        ("PUT", "/v1/{inner.name=things/*}"),
        ("SEARCH", "/v1/things"),
    ]
    assert set(routes[2].query_fields) == {"name", "inner.name", "tags"}


def test_takes_from_the_query_what_neither_path_nor_body_gives():
    by_rpc = {route.rpc.name: route for route in all_routes()}
    assert set(by_rpc["UpdateCustomer"].query_fields) == {"updateMask", "update_mask", "requestId", "request_id"}
    assert by_rpc["MergeCustomer"].query_fields == {}
    assert "startTime" in by_rpc["SummarizeTimeline"].query_fields
    assert by_rpc["UpdateCustomer"].etag_path == ("customer", "etag")
    assert by_rpc["DeleteCustomer"].etag_path == ("etag",)
    assert by_rpc["CreateCustomer"].etag_path == ()
