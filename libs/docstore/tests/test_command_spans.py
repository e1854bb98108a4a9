"""Which database commands become spans, and what those tell."""

import uuid

import pymongo
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from docstore.command_spans import CommandSpans


@pytest.fixture
def recorded(mongodb, monkeypatch):
    """Makes (collection, tracer, finished spans) for a share of the traces."""
    exporter, provider, name = InMemorySpanExporter(), TracerProvider(), f"spans_{uuid.uuid4().hex}"
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("chassis.telemetry.tracer", lambda: provider.get_tracer("test"))
    clients = []

    def make(share):
        clients.append(pymongo.MongoClient(mongodb, event_listeners=[CommandSpans(share)]))
        return clients[-1][name]["people"], provider.get_tracer("test"), exporter

    yield make
    clients[0].drop_database(name)
    for client in clients:
        client.close()


def test_a_command_is_a_child_of_the_span_it_ran_in(recorded):
    collection, tracer, exporter = recorded(1.0)
    with tracer.start_as_current_span("request") as request:
        collection.find_one({"_id": "ada@example.com"})
    command, _ = exporter.get_finished_spans()
    assert (command.name, command.kind) == ("find people", trace.SpanKind.CLIENT)
    assert command.parent.span_id == request.get_span_context().span_id
    assert command.attributes["db.collection.name"] == "people"
    assert request.start_time <= command.start_time < command.end_time <= request.end_time
    assert "ada@" not in command.to_json()


def test_a_command_outside_of_any_span_makes_none(recorded):
    collection, _, exporter = recorded(1.0)
    collection.find_one({})
    assert exporter.get_finished_spans() == ()


def test_a_share_of_the_traces_holds_all_commands(recorded, monkeypatch):
    # A command that is slow because the machine is busy would be told of the other traces too.
    monkeypatch.setattr("docstore.command_spans.SLOW_S", 60.0)
    collection, tracer, exporter = recorded(0.5)
    for _ in range(60):
        with tracer.start_as_current_span("request"):
            collection.find_one({})
            collection.find_one({})
    traces = {}
    for span in exporter.get_finished_spans():
        traces.setdefault(span.context.trace_id, []).append(span.name)
    assert {len(spans) for spans in traces.values()} == {1, 3}, "all commands of a trace or none"


def test_slow_commands_are_told_of_every_trace(recorded):
    collection, tracer, exporter = recorded(0.0)
    collection.insert_one({"_id": 1})
    with tracer.start_as_current_span("request"):
        collection.find_one({})
        collection.find_one({"$where": "sleep(150) || true"})
    assert [span.name for span in exporter.get_finished_spans()] == ["find people", "request"]


def test_failed_commands_are_told_without_values(recorded):
    collection, tracer, exporter = recorded(0.0)
    collection.create_index("email", unique=True)
    collection.insert_many([{"_id": 1, "email": "ada@example.com"}, {"_id": 2, "email": "bob@example.com"}])
    with tracer.start_as_current_span("request"), pytest.raises(pymongo.errors.DuplicateKeyError, match="ada@"):
        collection.find_one_and_update({"_id": 2}, {"$set": {"email": "ada@example.com"}}, upsert=True)
    failed = exporter.get_finished_spans()[0]
    assert (failed.name, failed.status.description) == ("findAndModify people", "DuplicateKey")
    assert "ada@" not in failed.to_json()
