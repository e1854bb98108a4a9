"""Exactly once, under every order and any number of deliveries: real MongoDB, no broker."""

import logging
import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, get_current_span
from rapport.access.v1 import events_pb2 as access_events
from rapport.consent.v1 import events_pb2 as consent_events
from rapport.identity.v1 import events_pb2
from sample.publishing import TENANT, customer, event, fact

import docstore
from chassis import errors, ids, tenancy
from docstore.tracing import current_traceparent
from eventing import tombstones
from eventing.delivery import Delivery, Message
from eventing.envelope import Envelope
from eventing.verdicts import Settle, is_infrastructure

SERVICE = "sample"
pytestmark = pytest.mark.usefixtures("database", "tenant")


@pytest.fixture(scope="module")
def delivery():
    from sample.handlers import Handlers

    return Delivery("sample", Handlers)


def message(envelope):
    properties = envelope.to_properties()
    return Message(properties["headers"], properties, envelope.body)


def deliver(delivery, envelope):
    return delivery.process([message(envelope)])[0]


def seen(handler, what):
    return docstore.collection("seen").find_one({"uid": f"{handler}/{what}"})


def test_headers_come_back_as_they_were():
    envelope = fact(datasubjects=("customers/1", "customers/2"), traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    properties = envelope.to_properties()
    assert Envelope.from_amqp(properties["headers"], properties, envelope.body) == envelope


@given(orders=st.lists(st.randoms(use_true_random=False), min_size=2, max_size=2))
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_order_and_repeats_end_in_the_same_state(delivery, orders):
    finals = []
    for order in orders:
        subject = f"customers/{ids.uuid7()}"
        kinds = [events_pb2.CustomerCreated, *[events_pb2.CustomerUpdated] * 3, events_pb2.CustomerDeleted]
        states = [customer(f"v{n}", subject, n, kind=kind) for n, kind in enumerate(kinds, 1)]
        facts = [fact() for _ in range(3)]
        arrivals = [*states, *facts] * 2
        order.shuffle(arrivals)
        together = [message(envelope) for envelope in arrivals]
        while together:
            size = order.randint(1, 6)
            chunk, together = together[:size], together[size:]
            assert [outcome.settle for outcome in delivery.process(chunk)] == [Settle.DONE] * len(chunk)
        final = seen("project", subject)
        finals.append((final["label"], final["sequence"]))
        assert [seen("collect", item.id)["times"] for item in facts] == [1, 1, 1]
        first_seen = max(arrivals.index(states[-1]), 0)
        assert final["times"] <= first_seen + 1
    assert finals == [("v5", [5, 0])] * 2


def test_events_handled_together_cost_one_transaction(delivery):
    def transactions():
        return docstore.client().admin.command("serverStatus")["transactions"]["totalCommitted"]

    facts = [fact() for _ in range(20)]
    before = transactions()
    delivery.process([message(envelope) for envelope in facts])
    # Others may use the server meanwhile, but not thirty times.
    assert 1 <= transactions() - before < 20
    assert [seen("collect", each.id)["times"] for each in facts] == [1] * 20


def test_one_that_fails_leaves_those_it_came_with_unharmed(delivery):
    good = [fact() for _ in range(3)]
    failing, refused = fact("fail"), fact("refuse")
    undecodable = Message({}, {"content_type": "application/x-protobuf"}, b"")
    outcomes = delivery.process([message(good[0]), message(failing), undecodable, *map(message, [refused, *good[1:]])])
    assert [outcome.settle for outcome in outcomes] == [
        *(Settle.DONE, Settle.RETRY, Settle.DEAD, Settle.DEAD, Settle.DONE, Settle.DONE)
    ]
    assert outcomes[3].reason == "SAMPLE_REFUSED"
    assert [seen("collect", each.id)["times"] for each in good] == [1, 1, 1]
    assert seen("collect", failing.id) is None


def test_what_is_too_much_for_one_transaction_is_handled_one_by_one(delivery, monkeypatch):
    monkeypatch.setattr("eventing.delivery.HANDLER_LIMIT_S", 1.0)
    slow = [fact("slow:0.2") for _ in range(8)]
    outcomes = delivery.process([message(envelope) for envelope in slow])
    assert [outcome.settle for outcome in outcomes] == [Settle.DONE] * 8
    assert [seen("collect", each.id)["times"] for each in slow] == [1] * 8


def test_the_erased_are_left_out_of_what_is_handled_together(delivery):
    anna = f"customers/{ids.uuid7()}"
    tombstones.erase([anna])
    about, others = fact(datasubjects=(anna,)), [fact() for _ in range(2)]
    outcomes = delivery.process([message(envelope) for envelope in (others[0], about, others[1])])
    assert [outcome.settle for outcome in outcomes] == [Settle.DONE] * 3
    assert [seen("collect", each.id)["times"] for each in others] == [1, 1]
    assert seen("collect", about.id) is None


def test_a_fact_is_not_lost_to_a_newer_state_of_the_same_subject(delivery):
    subject = f"customers/{ids.uuid7()}"
    deliver(delivery, customer("new", subject, 9))
    late = event(events_pb2.EventsTracked(), subject, 2)
    deliver(delivery, late)
    assert seen("collect", late.id)["times"] == 1


def test_a_history_keeps_every_version_once_also_when_republished(delivery):
    subject = f"tenants/{ids.uuid7()}"
    for version in (3, 1, 2, 3, 1):
        deliver(delivery, event(access_events.TenantUpdated(), subject, version))
    assert [seen("remember", f"{subject}/{version}")["times"] for version in (1, 2, 3)] == [1, 1, 1]


def test_a_retry_runs_only_the_unfinished_handler(delivery):
    subject = f"customers/{ids.uuid7()}"
    envelope = customer("fine", subject, 1, given_name="flaky:1")
    first = deliver(delivery, envelope)
    assert (first.settle, first.handler) == (Settle.RETRY, "also_updated")
    assert seen("also_updated", subject) is None
    properties = envelope.to_properties()
    again = delivery.process([Message({**properties["headers"], "rapport-attempt": 1}, properties, envelope.body)])[0]
    assert again.settle is Settle.DONE
    assert seen("also_updated", subject)["times"] == 1
    assert seen("project", subject)["times"] == 1


def test_a_failed_handler_leaves_nothing_behind_and_may_run_again(delivery):
    subject = f"customers/{ids.uuid7()}"
    outcome = deliver(delivery, customer("fail", subject, 1, kind=events_pb2.CustomerCreated))
    assert outcome.settle is Settle.RETRY
    assert "anna" not in outcome.error
    assert seen("project", subject) is None
    assert deliver(delivery, customer("good", subject, 1, kind=events_pb2.CustomerCreated)).settle is Settle.DONE
    assert seen("project", subject)["label"] == "good"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"content_type": "application/json"}, "UNDECODABLE_CONTENT_TYPE"),
        ({"ce-id": None}, "UNDECODABLE_ENVELOPE"),
        ({"ce-time": "yesterday"}, "UNDECODABLE_ENVELOPE"),
        ({"ce-time": "0001-01-01T00:00:00+12:00"}, "UNDECODABLE_ENVELOPE"),
        ({"ce-sequence": "1"}, "UNDECODABLE_ENVELOPE"),
        ({"ce-sequence": "9" * 5000 + ".1"}, "UNDECODABLE_ENVELOPE"),
        ({"ce-tenant": 7}, "UNDECODABLE_ENVELOPE"),
        ({"ce-tenant": "a/b"}, "UNDECODABLE_ENVELOPE"),
        ({"rapport-attempt": "x"}, "UNDECODABLE_ENVELOPE"),
        ({"ce-type": "rapport.identity.v1.Nothing"}, "UNKNOWN_TYPE"),
        ({"body": b"\xff\xff"}, "UNDECODABLE_BODY"),
    ],
)
def test_a_message_that_is_no_event_is_dead(delivery, change, reason):
    envelope = fact()
    properties = envelope.to_properties()
    headers = {**properties["headers"], **{k: v for k, v in change.items() if k.startswith(("ce-", "rapport-"))}}
    content_type = change.get("content_type", properties["content_type"])
    outcome = delivery.process([Message(headers, {"content_type": content_type}, change.get("body", envelope.body))])[0]
    assert (outcome.settle, outcome.reason) == (Settle.DEAD, reason)


@pytest.mark.parametrize(("order", "reason"), [("refuse", "SAMPLE_REFUSED"), ("notfound", "NOT_FOUND")])
def test_a_refusal_is_dead_at_once(delivery, order, reason):
    outcome = deliver(delivery, fact(order))
    assert (outcome.settle, outcome.reason, outcome.handler) == (Settle.DEAD, reason, "collect")


def test_events_about_the_erased_are_dropped(delivery):
    anna, bert = f"customers/{ids.uuid7()}", f"customers/{ids.uuid7()}"
    tombstones.erase([anna])
    assert tombstones.erased([anna, bert]) == {anna}
    with tenancy.service_context("other"):
        assert not tombstones.erased([anna])
    dropped = fact(datasubjects=(anna, bert))
    assert deliver(delivery, dropped).settle is Settle.DONE
    assert seen("collect", dropped.id) is None
    subject = f"consents/{ids.uuid7()}"
    deliver(delivery, event(consent_events.ConsentGranted(), subject, datasubjects=(anna, bert)))
    assert seen("grant", subject)["label"] == anna
    alone = f"consents/{ids.uuid7()}"
    deliver(delivery, event(consent_events.ConsentGranted(), alone, datasubjects=(anna,)))
    assert seen("grant", alone) is None


def test_equal_ids_of_two_tenants_do_not_meet(delivery):
    envelope = fact()
    deliver(delivery, envelope)
    deliver(delivery, replace(envelope, tenant="other"))
    with docstore.platform_scope():
        rows = list(docstore.platform_collection("seen").find({"uid": f"collect/{envelope.id}"}))
    assert sorted(row["tenant"] for row in rows) == [TENANT, "other"]


def test_simultaneous_deliveries_of_one_event_handle_it_once(delivery):
    from concurrent.futures import ThreadPoolExecutor

    subject = f"customers/{ids.uuid7()}"
    envelopes = [customer("x", subject, 4), fact()]
    arrivals = envelopes * 8
    random.shuffle(arrivals)
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda envelope: deliver(delivery, envelope), arrivals))
    assert {outcome.settle for outcome in outcomes} == {Settle.DONE}
    assert seen("project", subject)["times"] == 1
    assert seen("collect", envelopes[1].id)["times"] == 1


def test_infrastructure_errors_are_told_from_others():
    import pymongo.errors as pm

    transient = pm.OperationFailure("x", 112)
    transient._add_error_label("TransientTransactionError")
    wrapped = RuntimeError("x")
    wrapped.__cause__ = pm.AutoReconnect("gone")
    trouble = [
        pm.ServerSelectionTimeoutError("x"), pm.NetworkTimeout("x"), pm.NotPrimaryError("x"), pm.WTimeoutError("x"),
        transient, wrapped, errors.Unavailable("OUTBOX_FULL", "later"), pm.OperationFailure("x", 11600),
    ]  # fmt: skip
    assert all(map(is_infrastructure, trouble))
    assert not any(map(is_infrastructure, [ValueError(), pm.DuplicateKeyError("x"), errors.NotFound("X", "x")]))


def test_unavailability_of_a_needed_part_holds_the_message(delivery, monkeypatch):
    def away(*_):
        raise errors.Unavailable("OUTBOX_FULL", "later")

    monkeypatch.setattr(delivery._handlers, "collect", away, raising=False)
    outcome = deliver(delivery, fact())
    assert (outcome.settle, outcome.error) == (Settle.HELD, "Unavailable")


def test_the_span_continues_the_trace_and_tells_no_personal_data(delivery, monkeypatch):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(delivery, "_tracer", provider.get_tracer("test"))
    deliver(delivery, fact("fail", traceparent=f"00-{'a' * 32}-{'b' * 16}-01"))
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind) == ("process sample", SpanKind.CONSUMER)
    assert (span.context.trace_id, span.parent.span_id) == (int("a" * 32, 16), int("b" * 16, 16))
    assert span.status.description == "ATTEMPTS_EXHAUSTED"
    assert "anna" not in span.to_json()


def test_what_is_written_for_an_event_names_its_own_trace(delivery, monkeypatch):
    monkeypatch.setattr(delivery, "_tracer", TracerProvider().get_tracer("test"))
    written = []

    def write(_event, envelope):
        written.append((envelope.traceparent[:35], current_traceparent()[:35]))

    monkeypatch.setattr(delivery._handlers, "collect", write, raising=False)
    facts = [fact(traceparent=f"00-{digit * 32}-{'b' * 16}-01") for digit in "acd"]
    delivery.process([message(envelope) for envelope in facts])
    assert written == [(each.traceparent[:35], each.traceparent[:35]) for each in facts]


def test_what_is_logged_of_an_event_names_its_own_trace(delivery, monkeypatch, caplog):
    monkeypatch.setattr(delivery, "_tracer", TracerProvider().get_tracer("test"))
    logged = []
    record = logging.LogRecord.__init__

    def traced(self, *values, **options):
        record(self, *values, **options)
        logged.append((self.getMessage(), get_current_span().get_span_context().trace_id))

    monkeypatch.setattr(logging.LogRecord, "__init__", traced)
    failing = fact("fail", traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
    delivery.process([message(fact(traceparent=f"00-{'c' * 32}-{'d' * 16}-01")), message(failing)])
    assert [trace for text, trace in logged if failing.id in text] == [int("a" * 32, 16)]
