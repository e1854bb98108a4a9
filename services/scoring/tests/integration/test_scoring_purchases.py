"""From events to files: each purchase once, whatever comes again, whenever a process dies."""

from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import docstore
from chassis import clock, money
from docstore import leases
from docstore.aliases import AliasChange
from scoring import feature_specs, parquet
from scoring.domain.buckets import BUCKETS, bucket_of
from scoring.jobs import features
from scoring.jobs.files import Folder
from scoring.jobs.progress import Reporter
from scoring.jobs.spec import BackfillSpec
from scoring.store import FeatureManifest, StagedPurchase
from scoring.store.features import ORDER_LINES, PURCHASES, manifest_files, subject_of
from scoring.usecases import flushing, people, staging

from .conftest import START, Client, customer, purchase

SERVICE = "scoring"


def in_files(store) -> list[dict]:
    """Every row of every file the manifest names."""
    rows = []
    for file in manifest_files():
        with store.open(subject_of(file["bucket"]), file["name"]) as opened:
            found = parquet.values(opened, parquet.PURCHASE_COLUMNS)
        assert {bucket_of(name) for name in found["customer"]} == {file["bucket"]}
        assert len(found["customer"]) == file["rows"]
        rows += [dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)]
    return rows


def on_disk(store) -> int:
    return sum(len(store.list(subject_of(bucket))) for bucket in range(BUCKETS))


def lines_in_files(store) -> list[tuple]:
    """(customer, purchase, time, product, quantity, price, currency) of every line of every file."""
    rows: list[tuple] = []
    for file in manifest_files(ORDER_LINES):
        with store.open(subject_of(file["bucket"], ORDER_LINES), file["name"]) as opened:
            found = parquet.values(opened, parquet.LINE_COLUMNS)
        assert {bucket_of(name) for name in found["customer"]} == {file["bucket"]}
        assert len(found["customer"]) == file["rows"]
        rows += zip(*found.values(), strict=True)
    return rows


def known(client: Client) -> tuple[int, list[tuple[str, int, int]]]:
    found = client.SummarizePurchases()
    return found.purchase_count, [(money.currency_code, money.units, money.nanos) for money in found.revenues]


def test_only_purchases_are_staged_and_each_event_once(client) -> None:
    anna, bert = customer(), customer()
    bought = purchase(anna, 1, message_id="m1")
    others = [
        purchase(anna, 1, event="Product Viewed"),
        purchase(anna, 1, kind="KIND_PAGE"),
    ]
    other_source = purchase(anna, 1, message_id="m1", source="app")
    equal_line = purchase(anna, 1, message_id="m2", order_id=bought.order_id)
    assert client.stage([bought, *others, bought, other_source, equal_line]) == 3
    assert client.stage([equal_line, bought]) == 0
    no_money = purchase(bert, 2)
    no_money.ClearField("amount")
    assert client.stage([no_money]) == 0
    assert known(client) == (3, [("USD", 59, 970_000_000)])


def test_flushing_moves_all_rows_into_files_of_their_customers_bucket(client, settings, store) -> None:
    people = [customer() for _ in range(20)]
    for number, name in enumerate(people):
        client.buys(name, number, amount=1000 + number)
    client.buys(people[0], 3, amount=5, currency="JPY")
    before = known(client)
    assert before == (21, [("JPY", 5, 0), ("USD", 201, 900_000_000)])
    with client.context():
        assert flushing.flush(settings, store) == 21
        rows = in_files(store)
        assert sorted(row["amount_minor"] for row in rows) == [5, *(1000 + number for number in range(20))]
        dates = {row["customer"]: row["event_time"] for row in rows if row["currency"] == "USD"}
        assert dates == {name: START + timedelta(days=number) for number, name in enumerate(people)}
        left = list(StagedPurchase.rows().find({}))
    assert known(client) == before
    # What stays of a row is that its event was there.
    assert {frozenset(row) for row in left} == {frozenset({"_id", "uid", "tenant", "flush_time"})}


def test_lines_move_into_files_of_their_own_with_their_purchase(client, settings, store) -> None:
    price = money.from_minor(250, "EUR")
    anna, bert = customer(), customer()
    both = purchase(anna, 1, products=[{"product_id": "p1", "quantity": 2, "price": price}, {"product_id": "p2"}])
    returned = purchase(anna, 3, -2_000, products=[{"product_id": "p1", "quantity": 2}])
    for number in range(20):  # past the number from which on small files become one
        one = purchase(bert, number, products=[{"product_id": "p2", "quantity": 1.5}])
        assert client.stage([both, one, purchase(anna, 2), returned]) == (4 if number == 0 else 2)
        with client.context():
            flushing.flush(settings, store)
    with client.context():
        rows = lines_in_files(store)
        files = manifest_files(ORDER_LINES)
        assert all("currencies" not in file for file in files)
        assert len([file for file in files if file["bucket"] == bucket_of(bert)]) <= 17
        assert len(in_files(store)) == 42, "purchases without lines are there, too, and what came back"
        stay = {frozenset(row) for row in StagedPurchase.rows().find({})}
    assert stay == {frozenset({"_id", "uid", "tenant", "flush_time"})}
    of_anna = {row[3:] for row in rows if row[0] == anna}
    assert of_anna == {("p1", 2.0, 250, "EUR"), ("p2", 0.0, None, None)}
    assert len({row[1] for row in rows if row[0] == anna}) == 1, "lines of one purchase name it alike"
    assert sorted(row[2:] for row in rows if row[0] == bert) == [
        (START + timedelta(days=number), "p2", 1.5, None, None) for number in range(20)
    ]


def test_an_event_that_comes_again_after_its_row_was_flushed_is_known(client, settings, store) -> None:
    event = purchase(customer(), 1)
    client.stage([event])
    with client.context():
        flushing.flush(settings, store)
    assert client.stage([event]) == 0
    with client.context():
        assert flushing.flush(settings, store) == 0
    assert known(client)[0] == 1


def test_a_crash_between_file_and_manifest_leaves_an_orphan_and_loses_nothing(
    client, settings, store, monkeypatch
) -> None:
    anna = customer()
    client.buys(anna, 1, 2)

    def die(*_: object) -> None:
        raise SystemExit("killed here")

    with client.context():
        with monkeypatch.context() as patch:
            patch.setattr(flushing, "_commit", die)
            with pytest.raises(SystemExit):
                flushing.flush(settings, store)
        assert (on_disk(store), in_files(store)) == (1, [])
        assert flushing.flush(settings, store) == 2
        assert len(in_files(store)) == 2
        assert on_disk(store) == 2
        # Young files may be about to be committed by somebody else.
        assert flushing.remove_orphans(store) == 0
        assert flushing.remove_orphans(store, older_than=timedelta()) == 1
        assert len(in_files(store)) == 2


def test_a_writer_that_lost_its_lease_cannot_commit(client, settings, store, monkeypatch) -> None:
    client.buys(customer(), 1)
    write = parquet.purchases

    def slowly(*arguments: object) -> bytes:
        rows = FeatureManifest.rows()
        rows.update_one({"uid": PURCHASES}, {"$set": {"lease.until": clock.real_now() - timedelta(seconds=1)}})
        assert leases.claim(rows, {"uid": PURCHASES}, 30, "somebody else")
        return write(*arguments)

    with client.context():
        with monkeypatch.context() as patch:
            patch.setattr(parquet, "purchases", slowly)
            assert flushing.flush(settings, store) is None
        assert in_files(store) == []
        assert flushing.flush(settings, store) is None, "somebody else holds it"
        FeatureManifest.rows().update_one({"uid": PURCHASES}, {"$set": {"lease.until": clock.real_now()}})
        assert flushing.flush(settings, store) == 1


def test_many_small_files_become_one(client, settings, store) -> None:
    anna = customer()
    with client.context():
        for day in range(40):
            client.buys(anna, day)
            flushing.flush(settings, store)
        files = manifest_files()
        assert len(files) <= 17
        assert sorted(row["event_time"] for row in in_files(store)) == [
            START + timedelta(days=day) for day in range(40)
        ]
    assert known(client)[0] == 40


def test_rows_are_due_by_number_and_by_age(client, settings) -> None:
    def due(**limits: float) -> bool:
        return client.tenant in flushing.waiting_tenants(settings.model_copy(update=limits))

    client.buys(customer(), 1, 2, 3)
    assert due(flush_rows=3, flush_seconds=3600)
    assert not due(flush_rows=4, flush_seconds=3600)
    assert due(flush_rows=4, flush_seconds=0)
    assert flushing.oldest_staged_age() > 0


def test_features_are_made_of_a_tenants_files_without_those_who_object(client, settings, store, tmp_path: Path) -> None:
    """As told on the command line: the spec, then the program."""
    anna, bert, old_bert, objector = (customer() for _ in range(4))
    client.profiling()
    client.objects(objector)
    client.buys(anna, 1, 5, amount=1_000)
    for name in (bert, old_bert, objector):
        client.buys(name, 2, amount=700)
    client.buys(anna, 3, amount=160, currency="JPY")
    refund = purchase(bert, 6, amount=100, event="Order Refunded", order_id="none")
    rates = tmp_path / "rates.csv"
    rates.write_text(f"Date,USD,JPY\n{START:%Y-%m-%d},1.25,160\n")
    with client.context():
        docstore.in_transaction(lambda: staging.stage([refund]))
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(old_bert, bert, (1, 0))))
        told = settings.model_copy(update={"day_rates_url": str(rates)})
        at = START + timedelta(days=8)
        feature_specs.write(told, store, f"file://{tmp_path}/out", [at])
    output = Folder(f"file://{tmp_path}/out")
    spec = BackfillSpec.model_validate(output.read_json("spec.json"))
    features.run(spec, spec.instants, output, Reporter(output))
    tables = [pq.read_table(path).to_pylist() for path in (tmp_path / "out").glob("features-*.parquet")]
    rows = {row["customer"]: row for table in tables for row in table}
    assert rows.keys() == {anna, bert}
    assert (rows[anna]["purchases_30d"], rows[anna]["revenue_30d"]) == (3, 2_000 + 125)
    assert (rows[bert]["purchases_30d"], rows[bert]["refunds_365d"], rows[bert]["events_30d"]) == (2, 1, 3)
