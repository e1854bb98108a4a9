"""Erasing people: every cell of every file and every document is looked through, before and after."""

import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.scoring.v1 import events_pb2

import docstore
from chassis.errors import Unavailable
from docstore import batches
from docstore.aliases import AliasChange
from eventing import erasing, sweeping
from eventing.records import ErasureTask
from scoring.domain.buckets import bucket_of
from scoring.store import (
    CustomerOffers,
    CustomerSendTime,
    FraudAlert,
    JourneyEntrant,
    Lead,
    PaymentFeatures,
    PaymentWindow,
    ScoringJob,
    StagedPurchase,
    histories,
)
from scoring.store.features import FILE_KINDS, ORDER_LINES, manifest_files, subject_of
from scoring.store.jobs import COMPUTING, STORING
from scoring.usecases import activity, flushing, people, preparing, results, running, signals, storing
from scoring.usecases.erasing import erase
from testkit import eventually

from .conftest import START, claimed, customer, plant, purchase, score_row

SERVICE = "scoring"
ABOUT_ERASURES = {"eventing_tombstones", "erasure_tasks", "eventing_handled", "eventing_states"}
"""Collections that keep the names of erased people, so that late events can be dropped."""


@pytest.fixture
def holding(client, settings):
    """Where a text stands: names of collections, and of files with every cell decoded."""

    def places(text: str) -> set[str]:
        found = set()
        with client.context(), docstore.platform_scope():
            for name in docstore.database().list_collection_names():
                rows = docstore.database()[name].find({"tenant": client.tenant})
                if name not in ABOUT_ERASURES and any(text in repr(row) for row in rows):
                    found.add(name)
        folder = Path(urlsplit(settings.blob_url).path) / client.tenant
        for path in (each for each in folder.rglob("*") if each.is_file()):
            if path.suffix == ".parquet":
                cells = [cell for column in pq.read_table(path).columns for cell in column.to_pylist()]
                hit = any(text in str(cell) for cell in cells)
            else:
                hit = text.encode() in path.read_bytes()
            if hit:
                found.add(str(path.relative_to(folder)).partition("/")[0])
        return found

    return places


@pytest.fixture
def erased(client, settings, store):
    """One sweep as role `run` does it; returns what scoring itself erased."""

    def sweep(*names: str) -> dict[str, tuple[int, int]]:
        with client.context():
            found = dict(erase(list(names), settings, store))
            sweeping.sweep(settings, frozenset(names))
        return found

    return sweep


def rows_by_customer(store) -> dict[str, list[tuple]]:
    """All purchases in files: customer -> what was bought, sorted; checks what the manifest says of each file."""
    found: dict[str, list[tuple]] = {}
    for file in manifest_files():
        with store.open(subject_of(file["bucket"]), file["name"]) as opened:
            rows = pq.read_table(opened).to_pylist()
        assert len(rows) == file["rows"]
        assert sum(row["amount_minor"] for row in rows) == sum(
            total["amount_minor"] for total in file["currencies"].values()
        )
        for row in rows:
            found.setdefault(row.pop("customer"), []).append(tuple(row.values()))
    return {name: sorted(bought) for name, bought in found.items()}


def lines_by_customer(store) -> dict[str, list[tuple]]:
    """All lines in files: customer -> the cells of each, sorted."""
    found: dict[str, list[tuple]] = {}
    for file in manifest_files(ORDER_LINES):
        with store.open(subject_of(file["bucket"], ORDER_LINES), file["name"]) as opened:
            rows = pq.read_table(opened).to_pylist()
        assert len(rows) == file["rows"]
        for row in rows:
            found.setdefault(row.pop("customer"), []).append(tuple(row.values()))
    return {name: sorted(bought, key=repr) for name, bought in found.items()}


def marked(name: str, day: int) -> identity_events_pb2.TrackedEvent:
    """A purchase of two products that are the person's own, one of them by its name."""
    ids = (f"planted-{name[-6:]}", "p1")
    return purchase(name, day, order_id=ids[0], products=[{"product_id": uid, "quantity": 1} for uid in ids])


def neighbours(count: int) -> list[str]:
    """Customers of one bucket."""
    first = customer()
    found = [first]
    while len(found) < count:
        if bucket_of(name := customer()) == bucket_of(first):
            found.append(name)
    return found


def test_nothing_of_a_person_is_left_and_everything_of_the_others_is(client, settings, store, holding, erased) -> None:
    gone, alone, *stay = neighbours(5)
    also = customer()
    everybody = [gone, alone, also, *stay]
    for round_number in range(3):  # several files of one bucket
        client.stage([marked(name, day) for name in everybody for day in range(4)])
        client.buys(gone, round_number, amount=5, currency="JPY")
        with client.context():
            flushing.flush(settings, store)
    client.stage([marked(name, 9) for name in (gone, *stay)])
    plant(client, [score_row(name, reasons=[f"planted-{name[-6:]}"]) for name in (gone, *stay)])
    client.segment("purchases >= 1")
    happened = [purchase(name, 1, event=f"planted-{name[-6:]}") for name in (gone, *stay)]
    happened.append(purchase(gone, 2, event="Subscription Started", subscription_id="plan"))
    traits = {"customer": gone, "region_code": "DE", "traits": {"plan": f"planted-{gone[-6:]}"}}
    with client.context():
        docstore.in_transaction(lambda: activity.stage(happened, signals.note_events(happened)))
        client.keep()
        assert activity.flush(settings, store) == 5
        docstore.in_transaction(lambda: activity.stage(happened, signals.note_events(happened)))
        docstore.in_transaction(lambda: signals.note_customer(identity_events_pb2.CustomerState(**traits), (1, 0)))
        docstore.in_transaction(lambda: people.object_to_profiling(also, "consents/planted", START))
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(alone, gone, (1, 0))))
        histories.ask([gone, *stay], START)
        lead = {"facts": {"source": "SOURCE_WEB"}, "changes": 1}
        Lead.rows().insert_many({"customer": name, **lead} for name in (gone, *stay))
        CustomerOffers.rows().insert_many(
            {"customer": name, "uid": name.rpartition("/")[2], "offers": [{"product": f"planted-{name[-6:]}"}]}
            for name in (gone, *stay)
        )
        CustomerSendTime.rows().insert_many(
            {"customer": name, "uid": name.rpartition("/")[2], "reasons": [f"planted-{name[-6:]}"]}
            for name in (gone, *stay)
        )
        JourneyEntrant.rows().insert_many({"customer": name, "journey": "planted"} for name in (gone, *stay))
        for cls in (PaymentWindow, PaymentFeatures, FraudAlert):
            cls.rows().insert_many(
                {"customer": name, "uid": name.rpartition("/")[2], "planted": f"planted-{name[-6:]}"}
                for name in (gone, *stay)
            )
        before, lines = rows_by_customer(store), lines_by_customer(store)
        ended = {"outcome": "SUCCEEDED", "state": batches.DONE, "end_time": START}
        for job, state in (("ended", ended), ("parked", {"state": "FAILED"})):
            values = {"as_of": START, "horizon_weeks": 1, "discount_basis_points": 0, "files": True} | state
            store.put(ScoringJob.new(job, **values).insert().subject, "aliases.txt", gone.encode())
    wanted = {"features", "scoringJobs", "staged_purchases", "scores", "profiling_objections", "customer_aliases"}
    wanted |= {"profiles", "segment_signals", "segment_changes", "leads", "journey_entrants", "staged_activity"}
    wanted |= {"customer_offers", "customer_send_times", "payment_windows", "payment_features", "fraud_alerts"}
    texts = [text for name in (gone, also, alone) for text in (name, f"planted-{name[-6:]}")]
    assert all(holding(text) for text in texts)
    assert set.union(*(holding(text) for text in texts)) >= wanted
    others = {text: holding(text) for name in stay for text in (name, f"planted-{name[-6:]}")}
    known = client.SummarizePurchases()

    done = erased(gone, alone, also)

    assert [text for text in texts if holding(text)] == []
    assert {text: holding(text) for text in others} == others
    told = {"scores": 1, "profiles": 1, "segmentChanges": 1, "objections": 1, "customerAliases": 1, "purchases": 40}
    told |= {"leads": 1, "journeyEntrants": 1, "orderLines": 74, "purchaseHistories": 1, "events": 4}
    told |= {"subscriptionEvents": 1}
    told |= {"customerOffers": 1, "customerSendTimes": 1, "paymentWindows": 1, "payments": 1, "fraudAlerts": 1}
    assert done == {kind: (number, 0) for kind, number in told.items()}
    with client.context():
        assert rows_by_customer(store) == {name: before[name] for name in stay}
        assert lines_by_customer(store) == {name: lines[name] for name in stay}
        for kind in FILE_KINDS:
            on_disk = set(store.list(subject_of(bucket_of(gone), kind)))
            assert on_disk == {file["name"] for file in manifest_files(kind) if file["bucket"] == bucket_of(gone)}
        assert ScoringJob.rows().find_one({"uid": "parked"})["phase"] == "PREPARING"
    left = client.SummarizePurchases()
    assert (known.purchase_count, left.purchase_count) == (79, 39)
    assert {money.currency_code for money in left.revenues} == {"USD"}
    assert client.members() == set(stay)
    assert client.evaluated().member_count == 3
    assert erased(gone, alone, also) == dict.fromkeys(done, (0, 0)), "again: nothing is left to do"


def test_what_a_flush_has_in_hand_and_what_killed_writers_left_goes_too(
    client, settings, store, holding, erased
) -> None:
    gone, stays = neighbours(2)
    client.stage([purchase(name, day) for name in (gone, stays) for day in range(5)])
    with client.context():
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(flushing, "_commit", _dies)
            with pytest.raises(KeyboardInterrupt):
                flushing.flush(settings, store)
        (orphan,) = store.list(subject_of(bucket_of(gone)))
        folder = Path(urlsplit(settings.blob_url).path) / client.tenant / subject_of(bucket_of(gone))
        (folder / f"{orphan}.0~").write_bytes((folder / orphan).read_bytes())
        with flushing.writing(settings), pytest.raises(Unavailable, match="Another process writes"):
            erase([gone], settings, store)
    assert holding(gone) == {"features", "staged_purchases"}
    assert erased(gone)["purchases"] == (5, 0)
    assert holding(gone) == set()
    assert list(folder.iterdir()) == []
    with client.context():
        assert flushing.flush(settings, store) == 5
        assert set(rows_by_customer(store)) == {stays}


def test_an_erasure_that_is_killed_anywhere_is_done_again(client, settings, store, erased, holding) -> None:
    """Each step fails once, after what came before it."""
    gone, stays = neighbours(2)
    client.stage([purchase(name, day) for name in (gone, stays) for day in range(3)])
    with client.context():
        flushing.flush(settings, store)
        before = rows_by_customer(store)
    for place in ("scoring.usecases.flushing.switch", "scoring.usecases.erasing._settle_jobs",
                  "scoring.usecases.erasing._delete_unnamed"):  # fmt: skip
        with pytest.MonkeyPatch.context() as patched, client.context():
            patched.setattr(place, _dies)
            with pytest.raises(KeyboardInterrupt):
                erase([gone], settings, store)
    erased(gone)
    assert holding(gone) == set()
    with client.context():
        assert rows_by_customer(store) == {stays: before[stays]}


def _dies(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_a_job_that_reads_is_waited_for_and_what_it_stores_is_without_the_person(
    client, settings, store, holding, erased
) -> None:
    settings, never = settings.model_copy(update={"job_partitions": 2}), threading.Event()
    client.profiling()
    names = sorted(customer() for _ in range(600))
    before, first, second = names[2:5]
    client.stage([purchase(name, day) for name in names for day in (0, 9)])
    client.CreateScoringJob()
    job = claimed(client)
    with client.context():
        preparing.prepare(job, settings, store)
        assert job.phase == COMPUTING
        with pytest.raises(Unavailable, match="still reads"):
            erase([first], settings, store)
        assert first not in rows_by_customer(store), "no later job reads the person"
        running._compute(job, settings, store, never)
        assert job.phase == STORING
        assert "scoringJobs" in holding(first)
        erased(before)  # nothing is stored yet: the rows are read with nulls
        decide = results.decisions.decide

        def decide_then_erase(*arguments: Any) -> Any:
            """One person goes while the chunk that holds it is in hand."""
            decided = decide(*arguments)
            if second in decided:
                erasing.tombstones.erase([second])
                erased(second)
            return decided

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(results.decisions, "decide", decide_then_erase)
            storing.store(job, settings, store, never)
        assert "scores" in holding(first)
        assert holding(second) == set()
    erased(first)
    assert holding(first) == set()
    with client.context():
        storing.store(job, settings, store, never)
        batches.finish(job)
    assert client.scored().keys() == set(names) - {before, first, second}
    assert holding(first) == set()


def test_the_role_run_erases(client, settings, store, hear, holding, role) -> None:
    gone = customer()
    plant(client, [score_row(gone)])
    client.buys(gone, 1)
    with client.context():
        flushing.flush(settings, store)
    hear(consent_events_pb2.ErasureRequested(erasure_request="erasureRequests/2", customers=[gone]), gone)
    process = role(settings.model_copy(update={"role": "run"})).start().wait_ready()
    eventually(lambda: holding(gone) == set(), 20, "the first sweep")
    assert process.stop() == 0


def test_consent_asks_the_role_run_erases_and_answers_and_nobody_comes_back(
    client, settings, store, hear, holding, monkeypatch
) -> None:
    monkeypatch.setattr(erasing, "QUIET_S", 0.0)
    gone, stays = customer(), customer()
    plant(client, [score_row(gone), score_row(stays)])
    client.buys(gone, 1)
    hear(consent_events_pb2.ErasureRequested(erasure_request="erasureRequests/1", customers=[gone]), gone)
    assert erasing.step(settings, lambda names: erase(names, settings, store), events_pb2.SubjectErased)
    hear(identity_events_pb2.EventsTracked(events=[purchase(gone, 2), purchase(stays, 2)]), gone, stays)
    hear(identity_events_pb2.EventsTracked(events=[purchase(gone, 3)]), gone)
    assert holding(gone) == set()
    with client.context():
        assert StagedPurchase.rows().count({"staged": True}) == 1
        (task,) = ErasureTask.rows().find({})
        (told,) = [entry for entry in task["outbox"] if entry["type"] == "rapport.scoring.v1.SubjectErased"]
    answer = events_pb2.SubjectErased.FromString(told["body"]).answer
    assert {item.kind: (item.removed, item.anonymized) for item in answer.items} == {
        "scores": (1, 0),
        "purchases": (1, 0),
    }
