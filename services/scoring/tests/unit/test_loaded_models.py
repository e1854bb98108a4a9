"""Models in memory: each is read once, as long as all together are not too large."""

import hashlib
import json
from pathlib import Path

import pytest

from chassis import tenancy
from chassis.errors import Internal, NotFound
from docstore.blobs import BlobStore
from scoring.models import propensity
from scoring.models.classifier.classifier import BASE_RATE, BaseRate, Classifier
from scoring.models.classifier.encoding import Encoder
from scoring.models.propensity import Propensity
from scoring.store import Model
from scoring.store.models import ARTEFACT
from scoring.usecases import loaded_models

SERVICE = "scoring"


class Counted(BlobStore):
    """Notes which tenants' models are read."""

    def get(self, subject: str, name: str) -> bytes:
        self.read.append(tenancy.tenant())
        return super().get(subject, name)


@pytest.fixture
def store(tmp_path: Path) -> Counted:
    store = Counted(tmp_path.as_uri())
    store.read = []
    return store


def stored(store: BlobStore, tenant: str, events: int) -> tuple[Model, int]:
    """A tenant's model, which tells all the same share, and the size of its stored form."""
    classifier = Classifier((), "chance", BaseRate(1_000, events), Encoder(()), {}, BASE_RATE)
    body = json.dumps(propensity.dump(Propensity(classifier, (0.5,), 0, 0, None, {}))).encode()
    model = Model(uid="some", artefact_sha256=hashlib.sha256(body).hexdigest())
    with tenancy.service_context(tenant):
        store.put(model.subject, ARTEFACT, body)
    return model, len(body)


def events(store: BlobStore, tenant: str, model: Model) -> int:
    """What tells the tenants' models apart."""
    with tenancy.service_context(tenant):
        return loaded_models.load(model, store).classifier.base_rate.events


def test_many_tenants_in_turns_have_each_model_read_once(store: Counted) -> None:
    models = {f"t{number}": stored(store, f"t{number}", number)[0] for number in range(40)}
    for _ in range(3):
        assert [events(store, tenant, model) for tenant, model in models.items()] == list(range(40))
    assert store.read == list(models)


def test_those_used_longest_ago_go_when_all_are_too_large(store: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    models, sizes = zip(*(stored(store, tenant, number) for number, tenant in enumerate("abc", 100)), strict=True)
    monkeypatch.setattr(loaded_models, "BYTES_MOST", sum(sizes) - 1)
    of = dict(zip("abc", models, strict=True))
    assert [events(store, tenant, of[tenant]) for tenant in "abacacb"] == [100, 101, 100, 102, 100, 102, 101]
    assert store.read == ["a", "b", "c", "b"]


def test_a_model_that_is_gone_damaged_or_of_another_form_is_refused_each_time(store: Counted) -> None:
    model, _ = stored(store, "t", 1)
    for body, reason in ((b"{}", "MODEL_UNREADABLE"), (b"other", "MODEL_DAMAGED")):
        if reason == "MODEL_UNREADABLE":
            model.artefact_sha256 = hashlib.sha256(body).hexdigest()
        with tenancy.service_context("t"):
            store.put(model.subject, ARTEFACT, body)
        for _ in range(2):
            with pytest.raises(Internal) as refused:
                events(store, "t", model)
            assert refused.value.reason == reason
    with pytest.raises(NotFound):
        events(store, "other", model)
