import mongoengine
import pytest
from mongoengine import IntField, StringField
from rapport.identity.v1 import events_pb2

import docstore
from chassis import errors
from chassis.errors import AlreadyExists
from chassis.settings import Settings
from testkit.keys import TEST_KEYRING


class Row(docstore.Record):
    meta = {"collection": "rows", "indexes": [{"fields": ["tenant", "code", "rank"]}]}
    code = StringField(required=True)
    rank = IntField()


class Plain(docstore.Aggregate):
    meta = {"collection": "plain"}
    resource = "plain"
    count = IntField(max_value=5)


DOCUMENTS = [Row, Plain]


@pytest.mark.parametrize("option", ["w=1", "journal=false", "w=majority&wtimeoutMS=5"])
def test_a_write_concern_in_the_uri_is_refused(option: str) -> None:
    uri = f"mongodb://ann:secret@127.0.0.1:1/?{option}"
    with pytest.raises(ValueError, match="must not set") as caught:
        docstore.connect(Settings(service="x", keys=TEST_KEYRING, mongodb_uri=uri))
    assert "secret" not in str(caught.value)


def test_a_uri_is_needed() -> None:
    with pytest.raises(ValueError, match="RAPPORT_MONGODB_URI"):
        docstore.connect(Settings(service="x", keys=TEST_KEYRING))


def test_a_server_that_is_down_is_unavailable() -> None:
    uri = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100"
    docstore.disconnect()
    docstore.connect(Settings(service="x", keys=TEST_KEYRING, mongodb_uri=uri))
    try:
        with pytest.raises(Exception) as caught:
            docstore.ping(0.3)
    finally:
        docstore.disconnect()
    told = errors.from_exception(caught.value)
    assert (told.reason, type(told), told.retry_after_s) == ("DATABASE_UNAVAILABLE", errors.Unavailable, 1.0)


def test_ping(connected: object) -> None:
    docstore.ping()


def test_an_invalid_document_names_its_fields_and_no_values(tenant: str) -> None:
    with pytest.raises(mongoengine.ValidationError) as caught:
        Plain.new(count=777).insert()
    told = errors.from_exception(caught.value)
    assert isinstance(told, errors.InvalidArgument)
    assert told.violations[0][0] == "count"
    assert "777" not in str(told)


def test_server_faults_are_internal_unless_a_retry_can_help(tenant: str) -> None:
    with pytest.raises(Exception) as caught:
        docstore.collection(Row).find_one({"$nonsense": 1})
    assert errors.from_exception(caught.value).reason == "DATABASE_OPERATION_FAILED"


def test_records(tenant: str) -> None:
    row = Row.new("one", code="x").insert()
    assert (
        Row.get("one").to_row() == row.to_row() == {"_id": f"{tenant}/one", "tenant": tenant, "uid": "one", "code": "x"}
    )
    with pytest.raises(AlreadyExists):
        Row.new("one", code="y").insert()
    with pytest.raises(mongoengine.ValidationError):
        Row.new("two").insert()
    with pytest.raises(TypeError):
        row.save()
    assert Row.insert_many(Row.new(code=str(n), rank=n) for n in range(5)) == 5
    assert Row.insert_many([]) == 0
    assert [found.rank for found in Row.find({"rank": {"$gte": 2}}, [("rank", -1)], limit=2)] == [4, 3]


def test_a_plan_that_scans_or_sorts_is_found(tenant: str) -> None:
    docstore.collection(Row).insert_many([{"code": str(n % 10), "rank": n} for n in range(500)])
    stats = docstore.explain.assert_indexed(Row, {"code": "3"}, [("rank", 1)], limit=10)
    assert stats["nReturned"] == 10
    with pytest.raises(AssertionError, match="sorts in memory"):
        docstore.explain.assert_indexed(Row, {"code": "3"}, [("other", 1)])
    with pytest.raises(AssertionError, match="examined"):
        docstore.explain.assert_indexed(Row, {"rank": 7})
    with pytest.raises(AssertionError, match="scans the whole collection"):
        docstore.explain.assert_indexed(Plain, {"count": 7})
    with pytest.raises(AssertionError, match="does not exist"):
        docstore.explain.assert_indexed("nowhere", {"x": 1})


def test_an_event_is_not_lost_by_validation(tenant: str) -> None:
    """A document that cannot be written keeps its events for the corrected write."""
    plain = Plain.new(count=9)
    plain.emit(events_pb2.CustomerCreated())
    with pytest.raises(mongoengine.ValidationError):
        plain.insert()
    plain.count = 3
    plain.insert()
    stored = docstore.collection(Plain).find_one({"uid": plain.uid})
    assert stored is not None
    assert [entry["sequence"] for entry in stored["outbox"]] == [[1, 0]]
