import uuid

import pymongo
import pytest
from opentelemetry.instrumentation.pymongo import PymongoInstrumentor

from chassis import telemetry


@pytest.fixture
def collection(mongodb, telemetry_captured):
    telemetry._instrument_pymongo()
    with pymongo.MongoClient(mongodb) as client:
        name = f"spans_{uuid.uuid4().hex}"
        yield client[name]["people"]
        client.drop_database(name)
    PymongoInstrumentor().uninstrument()


def test_spans_of_failed_commands_hold_no_values(collection, telemetry_captured):
    collection.create_index("email", unique=True)
    collection.insert_many([{"_id": 1, "email": "ada@example.com"}, {"_id": 2, "email": "bob@example.com"}])
    telemetry_captured.spans.clear()
    with pytest.raises(pymongo.errors.DuplicateKeyError, match="ada@"):
        collection.find_one_and_update({"_id": 2}, {"$set": {"email": "ada@example.com"}})
    (span,) = telemetry_captured.spans.get_finished_spans()
    assert span.status.description == "DuplicateKey"
    assert span.attributes["db.mongodb.collection"] == "people"
    assert "ada@" not in span.to_json()
