"""Writes of one transaction sent together."""

import pytest
from pymongo import InsertOne, UpdateOne

import docstore
from chassis import tenancy

pytestmark = pytest.mark.usefixtures("tenant")


def put(rows, uid, value):
    rows.gather([UpdateOne({"uid": uid}, {"$set": {"value": value}}, upsert=True)])


def test_writes_wait_for_the_end_and_keep_their_order():
    rows = docstore.collection("gathered")
    with docstore.gathered_writes():
        put(rows, "a", 1)
        put(rows, "a", 2)
        assert rows.find_one({"uid": "a"}) is None
    assert rows.find_one({"uid": "a"})["value"] == 2


def test_outside_they_go_at_once():
    rows = docstore.collection("gathered")
    put(rows, "b", 1)
    assert rows.find_one({"uid": "b"})["value"] == 1


def test_a_failure_sends_nothing():
    rows = docstore.collection("gathered")

    def fail():
        with docstore.gathered_writes():
            put(rows, "c", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert rows.find_one({"uid": "c"}) is None


def test_those_for_another_tenant_go_at_once():
    with docstore.gathered_writes(), tenancy.service_context("other"):
        docstore.collection("gathered").gather([InsertOne({"uid": "d"})])
        assert docstore.collection("gathered").find_one({"uid": "d"})
    assert docstore.collection("gathered").find_one({"uid": "d"}) is None


def test_a_question_is_asked_once_within():
    asked = []

    def question():
        asked.append(1)
        return len(asked)

    with docstore.gathered_writes():
        assert [docstore.asked_once("key", question) for _ in range(3)] == [1, 1, 1]
        assert docstore.asked_once("other key", question) == 2
        with tenancy.service_context("other"):
            assert docstore.asked_once("key", question) == 3
    assert [docstore.asked_once("key", question) for _ in range(2)] == [4, 5]
