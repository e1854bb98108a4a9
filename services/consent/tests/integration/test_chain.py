import threading

import grpc
import pytest
from bson import Binary
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from chassis import tenancy
from consent.store import ChainHead, ConsentRecord, Seal, checkpoints
from consent.usecases import sealing
from docstore import blobs, leases
from docstore.explain import assert_indexed
from eventing import tombstones

SERVICE = "consent"


@pytest.fixture
def store(settings):
    return blobs.store(settings)


@pytest.fixture
def seal(client, settings, store):
    """Seals what waits; with `sign`, signs a checkpoint too."""

    def run(*, sign: bool = False, owner: str = "sealer-1") -> int:
        chosen = settings.model_copy(update={"checkpoint_seconds": 1e-9}) if sign else settings
        with client.context():
            return sealing.seal(chosen, store, owner)

    return run


@pytest.fixture
def people(client) -> list[str]:
    """Ten people, each with one record."""
    client.purpose()
    names = [client.customer() for _ in range(10)]
    for name in names:
        client.grant(name)
    return names


def record_at(client, sequence: int) -> dict:
    with client.context():
        return ConsentRecord.rows().find_one({"sequence": sequence})


def test_records_wait_then_stand_in_a_chain_that_verifies(client, people, seal) -> None:
    before = client.VerifyConsentRecords()
    assert (before.valid, before.checked_count, before.unsealed_count) == (True, 0, 10)
    assert before.HasField("oldest_unsealed_time")
    assert seal() == 10
    assert seal() == 0
    client.withdraw(people[0])
    after = client.VerifyConsentRecords()
    assert (after.valid, after.checked_count, after.unsealed_count, after.next_sequence) == (True, 10, 1, 0)
    seal()
    records = client.ListConsentRecords().consent_records
    assert [each.sequence for each in records] == list(range(1, 12))
    assert all(len(each.hash) == 64 for each in records)
    assert client.VerifyConsentRecords().checked_count == 11


def test_a_long_chain_is_checked_in_parts(client, people, seal, refused) -> None:
    seal()
    first = client.VerifyConsentRecords(max_records=4)
    assert (first.valid, first.checked_count, first.next_sequence) == (True, 4, 5)
    second = client.VerifyConsentRecords(start_sequence=5, max_records=100)
    assert (second.valid, second.checked_count, second.next_sequence) == (True, 6, 0)
    with refused("SEQUENCE_OUT_OF_RANGE", grpc.StatusCode.OUT_OF_RANGE):
        client.VerifyConsentRecords(start_sequence=12)
    with refused("INVALID_RANGE"):
        client.VerifyConsentRecords(start_sequence=-1)


def alter_record(client, place):
    ConsentRecord.rows().update_one({"sequence": place}, {"$set": {"action": "ACTION_GRANTED", "notice_version": 9}})


def alter_evidence(client, place):
    ConsentRecord.rows().update_one({"sequence": place}, {"$set": {"evidence.origin": "elsewhere"}})


def alter_seal(client, place):
    Seal.rows().update_one({"sequence": place}, {"$set": {"commitment": Binary(bytes(32))}})


def delete_record(client, place):
    ConsentRecord.rows().delete_one({"sequence": place})


def delete_content(client, place):
    ConsentRecord.rows().update_one({"sequence": place}, {"$unset": {"salt": "", "evidence": ""}})


def delete_seal(client, place):
    Seal.rows().delete_one({"sequence": place})


def put_back_to_wait(client, place):
    ConsentRecord.rows().update_one({"sequence": place}, {"$set": {"sequence": 0}})


def insert_and_shift(client, place):
    """A forged row takes the place; all later ones move up."""
    for row in Seal.rows().find({"sequence": {"$gte": place}}, sort=[("sequence", -1)]):
        Seal.rows().update_one({"uid": row["uid"]}, {"$set": {"sequence": row["sequence"] + 1}})
    forged = {"sequence": place, "record": "0" * 36, "commitment": Binary(bytes(32)), "hash": Binary(bytes(32))}
    Seal.rows().insert_one(forged)


def swap_records(client, place):
    """Two records change places (the index is unique, so by way of a third)."""
    rows = ConsentRecord.rows()
    rows.update_one({"sequence": place}, {"$set": {"sequence": 999}})
    rows.update_one({"sequence": place + 1}, {"$set": {"sequence": place}})
    rows.update_one({"sequence": 999}, {"$set": {"sequence": place + 1}})


def swap_seals(client, place):
    rows = Seal.rows()
    rows.update_one({"sequence": place}, {"$set": {"sequence": 999}})
    rows.update_one({"sequence": place + 1}, {"$set": {"sequence": place}})
    rows.update_one({"sequence": 999}, {"$set": {"sequence": place + 1}})


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    "tamper",
    [
        alter_record,
        alter_evidence,
        alter_seal,
        delete_record,
        delete_content,
        delete_seal,
        put_back_to_wait,
        insert_and_shift,
        swap_records,
        swap_seals,
    ],
)
def test_tampering_is_found_at_its_place(client, people, seal, tamper, signed) -> None:
    seal(sign=signed)
    assert client.VerifyConsentRecords().valid
    honest = record_at(client, 6)
    with client.context():
        tamper(client, 6)
    found = client.VerifyConsentRecords()
    assert (found.valid, found.first_bad_sequence, found.checked_count) == (False, 6, 5)
    assert found.problem
    if tamper in (alter_record, alter_evidence, alter_seal, delete_record, delete_content, put_back_to_wait):
        assert found.first_bad_record == f"consentRecords/{honest['uid']}"


def test_a_cut_tail_is_found_by_the_head(client, people, seal) -> None:
    seal()
    with client.context():
        Seal.rows().delete_many({"sequence": {"$gt": 7}})
        ConsentRecord.rows().delete_many({"sequence": {"$gt": 7}})
    found = client.VerifyConsentRecords()
    assert (found.valid, found.first_bad_sequence) == (False, 8)


def test_a_cut_tail_with_a_forged_head_is_found_by_the_checkpoint(client, people, seal) -> None:
    seal(sign=True)
    assert client.VerifyConsentRecords().checkpoint_sequence == 10
    with client.context():
        Seal.rows().delete_many({"sequence": {"$gt": 7}})
        ConsentRecord.rows().delete_many({"sequence": {"$gt": 7}})
        last = Seal.rows().find_one({"sequence": 7})
        ChainHead.rows().update_one({"uid": "chain"}, {"$set": {"sequence": 7, "hash": last["hash"]}})
    found = client.VerifyConsentRecords()
    assert (found.valid, found.first_bad_sequence) == (False, 8)
    assert "checkpoint" in found.problem


def test_a_rewritten_chain_is_found_by_the_checkpoint_and_never_signed(client, people, seal, store) -> None:
    """Whoever can write the whole database makes a perfect chain of other content; only the signature knows."""
    from consent.domain import chain
    from consent.store import records

    seal(sign=True)
    with client.context():
        row = ConsentRecord.rows().find_one({"sequence": 6})
        row["notice_version"] = 9
        committed = records.commitment(bytes(row["salt"]), row)
        ConsentRecord.rows().update_one(
            {"sequence": 6}, {"$set": {"notice_version": 9, "commitment": Binary(committed)}}
        )
        seals = list(Seal.rows().find({}, sort=[("sequence", 1)]))
        pairs = [(each["record"], committed if each["sequence"] == 6 else bytes(each["commitment"])) for each in seals]
        for place in chain.extend(chain.genesis(client.tenant), 0, pairs):
            Seal.rows().update_one(
                {"sequence": place.sequence},
                {"$set": {"commitment": Binary(place.commitment), "hash": Binary(place.hash)}},
            )
        ChainHead.rows().update_one({"uid": "chain"}, {"$set": {"hash": Binary(place.hash)}})
    found = client.VerifyConsentRecords()
    assert (found.valid, found.first_bad_sequence) == (False, 10)
    assert "checkpoint" in found.problem
    client.withdraw(people[0])
    assert seal(sign=True) == 1  # proof goes on, but nobody signs the forgery
    with client.context():
        checkpoint, _ = checkpoints.latest(store, client.tenant)
    assert checkpoint.sequence == 10


def test_rows_past_the_end_are_found(client, people, seal) -> None:
    seal()
    with client.context():
        forged = {"sequence": 11, "record": "0" * 36, "commitment": Binary(bytes(32)), "hash": Binary(bytes(32))}
        Seal.rows().insert_one(forged)
    found = client.VerifyConsentRecords()
    assert (found.valid, found.first_bad_sequence) == (False, 11)


def test_a_forged_checkpoint_is_not_trusted(client, people, seal, store) -> None:
    seal(sign=True)
    with client.context():
        file = store.get(checkpoints.SUBJECT, checkpoints.LATEST)
        store.put(checkpoints.SUBJECT, checkpoints.LATEST, file.replace(b'"sequence\\":10', b'"sequence\\":9'))
        assert store.get(checkpoints.SUBJECT, checkpoints.LATEST) != file
    found = client.VerifyConsentRecords()
    assert not found.valid
    assert "checkpoint" in found.problem


def test_a_checkpoint_verifies_with_the_public_key_alone(client, people, seal, store) -> None:
    import base64
    import json

    seal(sign=True)
    pem = client.VerifyConsentRecords().checkpoint_public_key
    with client.context():
        names = store.list(checkpoints.SUBJECT)
        file = json.loads(store.get(checkpoints.SUBJECT, checkpoints.LATEST))
    assert names == ["000000000000010.json", "latest.json"]
    key = load_pem_public_key(pem.encode())
    signature = base64.b64decode(file["signature"])
    key.verify(signature, file["statement"].encode())
    with pytest.raises(InvalidSignature):
        key.verify(signature, file["statement"].replace("10", "11").encode())


def test_an_erased_person_leaves_the_chain_whole(client, people, seal) -> None:
    seal(sign=True)
    with client.context():
        ConsentRecord.rows().update_many({"customer": people[3]}, {"$unset": {"salt": "", "evidence": ""}})
        assert not client.VerifyConsentRecords().valid
        tombstones.erase([people[3]])
    assert client.VerifyConsentRecords().valid
    (record,) = client.ListConsentRecords(filter=f'customer = "{people[3]}"').consent_records
    assert not record.HasField("evidence")
    assert record.hash


def test_sealers_at_the_same_time_do_not_fork_the_chain(client, settings, store) -> None:
    client.purpose()
    stop = threading.Event()
    failures: list[BaseException] = []

    def work(number: int) -> None:
        while not stop.is_set():
            try:
                for tenant in sealing.waiting_tenants(settings):
                    if tenant == client.tenant:
                        with tenancy.service_context(tenant):
                            sealing.seal(settings, store, f"sealer-{number}")
            except Exception as error:  # noqa: BLE001 - told by the assertion below
                failures.append(error)

    sealers = [threading.Thread(target=work, args=[number]) for number in range(3)]
    for each in sealers:
        each.start()
    writers = [threading.Thread(target=lambda: [client.grant(client.customer()) for _ in range(15)]) for _ in range(4)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    stop.set()
    for each in sealers:
        each.join()
    with client.context():
        sealing.seal(settings, store, "last")
    assert not failures
    found = client.VerifyConsentRecords()
    assert (found.valid, found.checked_count, found.unsealed_count) == (True, 60, 0)


def test_a_sealer_that_lost_its_lease_writes_nothing(client, people, settings) -> None:
    with client.context():
        sealing._ensure_head()
        stale = leases.claim(ChainHead.rows(), {"uid": "chain"}, 0.0, "stale")
        current = leases.claim(ChainHead.rows(), {"uid": "chain"}, 60.0, "current")
        assert stale is not None
        assert current is not None
        from docstore import in_transaction

        with pytest.raises(leases.LeaseLost):
            in_transaction(lambda: sealing._seal_batch(stale))
        assert Seal.rows().count({}) == 0
        assert in_transaction(lambda: sealing._seal_batch(current)) == 10
    assert client.VerifyConsentRecords().valid


def test_checkpoints_come_by_number_and_by_age(client, people, settings, store) -> None:
    with client.context():
        by_number = settings.model_copy(update={"checkpoint_records": 10})
        sealing.seal(by_number, store, "s")
        assert checkpoints.latest(store, client.tenant)[0].sequence == 10
        client.withdraw(people[0])
        sealing.seal(by_number, store, "s")
        assert checkpoints.latest(store, client.tenant)[0].sequence == 10
        by_age = settings.model_copy(update={"checkpoint_seconds": 1e-9})
        assert client.tenant in sealing.waiting_tenants(by_age)
        sealing.seal(by_age, store, "s")
        assert checkpoints.latest(store, client.tenant)[0].sequence == 11
        assert client.tenant not in sealing.waiting_tenants(by_age)


def test_another_tenants_checkpoint_does_not_count(client, people, seal, store) -> None:
    seal(sign=True)
    with client.context():
        file = store.get(checkpoints.SUBJECT, checkpoints.LATEST)
    with tenancy.service_context("globex"):
        store.put(checkpoints.SUBJECT, checkpoints.LATEST, file)
        with pytest.raises(checkpoints.BadCheckpoint):
            checkpoints.latest(store, "globex")


def test_chain_queries_run_on_indexes(client, people, seal) -> None:
    seal()
    with client.context():
        assert_indexed(Seal, {"sequence": {"$gte": 3}}, [("sequence", 1)], limit=5)
        assert_indexed(ConsentRecord, {"sequence": {"$gte": 3, "$lte": 6}})
