"""All scores, taken out file by file; and how they, and who waits for new ones, are found."""

import json

from google.protobuf.json_format import ParseDict
from rapport.options.v1 import options_pb2
from rapport.scoring.v1 import customer_scores_pb2

import docstore
from docstore import explain
from scoring.store import PurchaseHistory, PurchaseNews, Score, histories
from scoring.usecases import exporting, people

from .conftest import START, customer, plant, score_row

SERVICE = "scoring"


def exported(client, **fields) -> list[dict]:
    body = client.ExportCustomerScores(**fields)
    file = options_pb2.File()
    assert body.extensions[0].Unpack(file)
    assert (body.content_type, file.filename) == ("application/x-ndjson", "customer-scores.ndjson")
    return [json.loads(line) for line in body.data.splitlines()]


def test_file_by_file_everybody_is_there_who_does_not_object(client, monkeypatch) -> None:
    names = sorted(customer() for _ in range(7))
    plant(client, [score_row(name) for name in names])
    client.segment("purchases >= 1")
    with client.context():
        docstore.in_transaction(lambda: people.object_to_profiling(names[3], "consents/c", START))
    client.keep()
    found: list[dict] = []
    sizes = []
    while part := exported(client, max_rows=4, after=found[-1]["customer"] if found else ""):
        found += part
        sizes.append(len(part))
    assert (sizes, [row["customer"] for row in found]) == ([4, 2], [name for name in names if name != names[3]])
    for row in found:
        told = ParseDict(row, customer_scores_pb2.CustomerScores())
        one = client.GetCustomerScores(name=told.name)
        for scores in (told, one):
            scores.ClearField("age")
        assert told == one
        assert told.segments == ["segments/some"]
    monkeypatch.setattr(exporting, "BYTES_MOST", 1)
    assert [row["customer"] for row in exported(client, after=names[0])] == [names[1]]
    reason, _, fields = client.refused("ExportCustomerScores", after="customers/x")
    assert (reason, fields) == ("INVALID_CUSTOMER", ["after"])
    assert client.refused("ExportCustomerScores", max_rows=-1)[0] == "INVALID_MAX_ROWS"


def test_a_file_is_read_by_the_index_of_ids(client) -> None:
    plant(client, [score_row(customer()) for _ in range(5)])
    with client.context():
        place = {"_id": {"$gt": Score.key(""), "$lt": f"{client.tenant}0"}}
        explain.assert_indexed(Score, place, [("_id", 1)], limit=2, max_keys=3)


def test_what_the_runner_asks_to_score_anew_is_served_by_indexes(client) -> None:
    with client.context():
        PurchaseNews.rows().insert_many({"purchases": []} for _ in range(9))
        histories.ask([customer() for _ in range(9)], START)
        explain.assert_indexed(PurchaseNews, {}, [("_id", 1)], limit=2, max_keys=3)
        due = {"due": {"$lte": START}}
        explain.assert_indexed(PurchaseHistory, due, [("due", 1)], limit=2, max_keys=3)
        explain.assert_indexed(PurchaseHistory, {"due": {"$exists": True}}, [("due", 1)], limit=2, max_keys=3)
