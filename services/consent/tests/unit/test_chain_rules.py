import hashlib
import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from consent.domain.chain import (
    Checkpoint,
    Seal,
    StoredRecord,
    canonical,
    commitment,
    earlier,
    extend,
    first_bad_record,
    first_broken_link,
    genesis,
)

SALT = bytes(range(32))


def chained(count: int, tenant: str = "acme") -> tuple[list[Seal], dict[int, StoredRecord]]:
    records = [StoredRecord(f"record-{n}", SALT, {"said": n}, erased=False) for n in range(1, count + 1)]
    pairs = [(each.record, commitment(SALT, each.content)) for each in records]
    return list(extend(genesis(tenant), 0, pairs)), dict(enumerate(records, start=1))


def test_the_documented_bytes_by_hand() -> None:
    seals, _ = chained(1)
    committed = hashlib.sha256(SALT + b'{"said":1}').digest()
    before = hashlib.sha256(b"rapport.consent.v1/acme").digest()
    assert seals[0].commitment == committed
    assert seals[0].hash == hashlib.sha256(before + b"\0\0\0\0\0\0\0\1" + b"record-1" + committed).digest()


@given(st.integers(1, 30), st.integers(0, 29))
def test_batches_chain_like_one(count: int, cut: int) -> None:
    whole, _ = chained(count)
    cut = min(cut, count)
    first = whole[:cut]
    previous, last = (first[-1].hash, first[-1].sequence) if first else (genesis("acme"), 0)
    rest = extend(previous, last, [(seal.record, seal.commitment) for seal in whole[cut:]])
    assert [*first, *rest] == whole
    assert first_broken_link(genesis("acme"), 1, whole) is None


@given(st.integers(1, 30), st.data())
def test_any_change_is_found_at_its_place(count: int, data: st.DataObject) -> None:
    seals, records = chained(count)
    place = data.draw(st.integers(1, count))
    how = data.draw(st.sampled_from(["commitment", "hash", "record", "delete", "content", "erase", "swap"]))
    index = place - 1
    expected = place
    match how:
        case "commitment":
            seals[index] = replace(seals[index], commitment=bytes(32))
        case "hash":
            seals[index] = replace(seals[index], hash=bytes(32))
        case "record":
            seals[index] = replace(seals[index], record="record-x")
        case "delete":
            del seals[index]
        case "content":
            records[place] = replace(records[place], content={"said": "other"})
        case "erase":
            records[place] = replace(records[place], salt=None)
        case "swap":
            other = data.draw(st.integers(1, count))
            one, two = seals[index], seals[other - 1]
            seals[index] = replace(two, sequence=one.sequence)
            seals[other - 1] = replace(one, sequence=two.sequence)
            expected = min(place, other)
            if place == other:
                return
    flaw = earlier(first_broken_link(genesis("acme"), 1, seals), first_bad_record(seals, records))
    if how == "delete" and place == count:
        assert flaw is None  # only the head or a checkpoint knows of a tail
    else:
        assert flaw is not None
        assert flaw.sequence == expected
        assert flaw.problem


def test_an_erased_persons_record_leaves_the_chain_whole() -> None:
    seals, records = chained(3)
    records[2] = replace(records[2], salt=None, erased=True)
    assert first_bad_record(seals, records) is None
    assert first_broken_link(genesis("acme"), 1, seals) is None


def test_a_chain_does_not_fit_another_tenant() -> None:
    seals, _ = chained(2)
    flaw = first_broken_link(genesis("globex"), 1, seals)
    assert flaw is not None
    assert flaw.sequence == 1


@given(st.dictionaries(st.text(), st.text() | st.integers(), max_size=5))
def test_canonical_content_reads_back_and_ignores_order(content: dict[str, object]) -> None:
    assert json.loads(canonical(content)) == content
    assert canonical(dict(reversed(content.items()))) == canonical(content)


def test_a_checkpoint_states_tenant_place_hash_and_time() -> None:
    statement = Checkpoint("acme", 7, b"\x01" * 32, "2026-01-31T12:00:00.000Z").statement()
    assert json.loads(statement) == {
        "tenant": "acme",
        "sequence": 7,
        "hash": "01" * 32,
        "time": "2026-01-31T12:00:00.000Z",
    }
