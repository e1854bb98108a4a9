"""Which of the large models that have ended are kept whole."""

from datetime import timedelta
from typing import Any

import pytest
from rapport.scoring.v1.model_pb2 import Model as ModelMessage

from chassis import ids
from docstore import explain
from docstore.blobs import BlobStore
from scoring.domain import gates, offer_gates
from scoring.store import Model, ScoringJob
from scoring.store.models import NEXT_OFFER, artefact_of
from scoring.usecases import kept_models
from scoring.usecases.champions import settle

from .conftest import START

SERVICE = "scoring"


def offering(number: int, state: str, ended: int, store: BlobStore, **fields: Any) -> Model:
    """A model of offers, kept whole, that became what it is so many days after START."""
    values = {"fallback": False, "customers": 1, "purchases": 1, "fingerprint": "f" * 64, "as_of": START}
    values |= {"features": offer_gates.FEATURES, "artefact_sha256": "a" * 64, "kind": NEXT_OFFER} | fields
    made: Model = Model.new(number=number, state=state, state_time=START + timedelta(days=ended), **values).insert()
    store.put(made.subject, made.artefact, b"weights")
    return made


def kept(models: dict[str, Model], store: BlobStore) -> set[str]:
    """Of which a file is there; each is named by its document, too."""
    found = Model.get_many([model.uid for model in models.values()])
    there = {name for name, model in models.items() if store.list(model.subject)}
    assert there == {name for name, model in models.items() if found[model.uid].artefact_sha256}
    return there


def test_former_champions_are_kept_before_challengers_and_by_when_they_ended(client, store, monkeypatch) -> None:
    monkeypatch.setattr(kept_models, "WHOLE_MOST", 4)
    with client.context():
        models = {
            "previous": offering(1, gates.RETIRED, 1, store, was_champion=True),
            "scored a kept result": offering(2, gates.RETIRED, 2, store),
            "ended last": offering(3, gates.RETIRED, 9, store, was_champion=True),
            "ended before": offering(5, gates.ROLLED_BACK, 8, store, was_champion=True),
            "ended first": offering(6, gates.ROLLED_BACK, 3, store, was_champion=True),
            "never offered": offering(7, gates.RETIRED, 12, store),
        }
        champion = offering(4, gates.CHAMPION, 9, store, previous=models["previous"].uid)
        job = {
            "uid": ids.uuid7(),
            "kind": NEXT_OFFER,
            "result_until": START,
            "scorer": models["scored a kept result"].uid,
        }
        ScoringJob.rows().insert_many([job])
        kept_models.drop_oldest(NEXT_OFFER, store)
        assert kept(models, store) == models.keys() - {"ended first", "never offered"}
        assert kept({"champion": champion}, store)
        settle(champion, gates.RETIRED, "Another came.")
        assert champion.save().was_champion, "whatever it ends by"


def test_files_that_a_killed_runner_left_go_with_the_next_job(client, store, monkeypatch) -> None:
    monkeypatch.setattr(kept_models, "WHOLE_MOST", 0)

    def killed(_: str) -> int:
        raise KeyboardInterrupt

    with client.context():
        model = offering(1, gates.RETIRED, 1, store)
        with monkeypatch.context() as patched:
            patched.setattr(store, "delete_subject", killed)
            with pytest.raises(KeyboardInterrupt):
                kept_models.drop_oldest(NEXT_OFFER, store)
        assert store.list(model.subject) == [artefact_of(NEXT_OFFER)]
        for _ in range(2):
            kept_models.drop_oldest(NEXT_OFFER, store)
            assert kept({"it": model}, store) == set()
        assert Model.rows().count({"files_left": True}) == 0
        explain.assert_indexed(Model, {"kind": NEXT_OFFER, "files_left": True}, limit=0, max_keys=10)


@pytest.mark.parametrize(
    "fields", [{"features": {"products_bought": 1, "days_since_bought": 1}}, {"artefact_sha256": ""}]
)
def test_no_model_comes_back_that_is_not_kept_whole(client, store, fields) -> None:
    """As those of before models of offers were: of them settings were stored, and a hash of these."""
    with client.context():
        before = offering(1, gates.RETIRED, 1, store, **fields)
        champion = offering(2, gates.CHAMPION, 2, store, previous=before.uid)
    for method, name in (("RollBackModel", champion.name), ("PromoteModel", before.name)):
        reason, message, _ = client.refused(method, name=name)
        assert (reason, message.partition(" ")[0]) == ("MODEL_NOT_KEPT", before.name)
    assert client.GetModel(name=champion.name).state == ModelMessage.STATE_CHAMPION
    with client.context():
        whole = offering(3, gates.RETIRED, 3, store)
        Model.rows().update_one({"uid": champion.uid}, {"$set": {"previous": whole.uid}})
    assert client.RollBackModel(name=champion.name).name == whole.name
