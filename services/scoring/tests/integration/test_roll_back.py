"""A champion of leads or churn that no longer holds goes, by the job that sees it, and who is scored follows."""

import hashlib
import json
import random
from dataclasses import replace
from datetime import datetime, timedelta

from rapport.scoring.v1 import events_pb2

import docstore
from chassis import clock
from docstore.blobs import BlobStore
from scoring.models import propensity
from scoring.models.classifier import boosting
from scoring.models.classifier.calibration import Calibration
from scoring.store import Lead, Model
from scoring.store.models import ARTEFACT
from scoring.usecases import lead_scoring

from .conftest import Client, purchase
from .test_churn import AS_OF, WEEKS, carried_out, shop, with_risk
from .test_lead_scoring import comes, scores, train

SERVICE = "scoring"


def states(client: Client) -> dict[str, str]:
    return {
        model.name: type(model).State.Name(model.state).removeprefix("STATE_") for model in client.ListModels().models
    }


def rolled_back(client: Client) -> events_pb2.ModelRolledBack:
    (event,) = [event for event in client.told() if event.DESCRIPTOR.name == "ModelRolledBack"]
    return event


def leads_come(client: Client, begin: datetime, *, calling: bool, number: int = 400) -> None:
    """Leads of 90 days from then on: those who left a phone number convert, or those who did not."""
    chance = random.Random(begin.toordinal() * 2 + calling)
    rows = []
    for place in range(number):
        phone = chance.random() < 0.5
        created = begin + timedelta(days=90 * place / number)
        row = {"facts": {"source": "SOURCE_WEB", "has_phone": phone}, "points": 10, "sequence": [2, 0], "changes": 2}
        row |= {"create_time": created, "know_time": created, "expire_time": clock.real_now() + timedelta(days=1)}
        likely = phone == calling
        ended = "convert_time" if chance.random() < (0.75 if likely else 0.1) else "disqualify_time"
        rows.append(row | {ended: created + timedelta(days=9)})
    with client.context():
        Lead.rows().insert_many(rows)


def test_leads_are_scored_by_the_model_before_when_the_champion_no_longer_tells_them_apart(
    client, settings, store
) -> None:
    client.profiling()
    start = docstore.whole_milliseconds(clock.now() - timedelta(days=301))
    leads_come(client, start, calling=True)
    first = train(client, settings, store).model
    # For a season it is the other way round: the next model learns that.
    with client.context():
        Lead.rows().delete_many({})
    leads_come(client, start + timedelta(days=90), calling=False)
    second = train(client, settings, store).model
    assert states(client) == {first: "RETIRED", second: "CHAMPION"}
    comes(client, has_phone=True)
    assert lead_scoring.score_waiting(settings, store) == 1
    (before,) = scores(client).values()
    assert (before.model, before.probability.value < 0.3) == (second, True)
    # And back again.
    leads_come(client, start + timedelta(days=180), calling=True)
    job = train(client, settings, store)
    assert f"{first} comes back: its error since is" in job.message
    assert job.model == first
    found = states(client)
    assert (found.pop(first), found.pop(second)) == ("CHAMPION", "ROLLED_BACK")
    assert list(found.values()) == ["REJECTED"]
    event = rolled_back(client)
    assert (event.model, event.restored_model, event.scoring_job) == (second, first, job.name)
    fallen = client.GetModel(name=second).outcomes[0]
    assert (fallen.degraded, fallen.customer_count) == (True, 400)
    assert fallen.error_low > 1 > fallen.promised_error
    while lead_scoring.score_waiting(settings, store):
        continue
    (after,) = scores(client).values()
    assert (after.lead, after.model, after.probability.value > 0.6) == (before.lead, first, True)


def turned(client: Client, store: BlobStore, first: str) -> str:
    """A champion of the same kind in the place of the first one: it takes what is likely for unlikely."""
    with client.context():
        made = Model.get(first.rpartition("/")[2])
        good = propensity.load(json.loads(store.get(first, ARTEFACT)))
        wrong = Calibration("platt", slope=-1.0)
        candidates = {name: replace(one, calibration=wrong) for name, one in good.classifier.candidates.items()}
        bad = replace(good, classifier=replace(good.classifier, candidates=candidates))
        body = json.dumps(propensity.dump(bad)).encode()
        same = {name: getattr(made, name) for name in ("kind", "as_of", "features", "parameters")}
        values = {"number": Model.next_number(), "state": "RETIRED", "fallback": False, "customers": 1, "purchases": 1}
        values |= {"fingerprint": "f" * 64, "artefact_sha256": hashlib.sha256(body).hexdigest()}
        model = Model.new(**same, **values).insert()
        store.put(model.subject, ARTEFACT, body)
    client.PromoteModel(name=model.name)
    return str(model.name)


def test_customers_are_scored_by_the_model_before_when_the_champion_takes_leavers_for_loyal(
    client, settings, store, monkeypatch
) -> None:
    # What is shown here needs no model of 400 trees.
    monkeypatch.setattr(boosting, "SETTINGS", (25, 50))
    client.profiling()
    bought = shop(220, seed=8)
    client.stage(purchase(name, 120 - days, amount) for name, purchases in bought.items() for days, amount in purchases)
    then = AS_OF - timedelta(weeks=WEEKS, days=5)
    first = carried_out(client, settings, store, as_of=then).model
    assert states(client) == {first: "CHAMPION"}
    champion = turned(client, store, first)
    assert states(client) == {first: "RETIRED", champion: "CHAMPION"}
    job = carried_out(client, settings, store)
    event = rolled_back(client)
    assert (event.model, event.restored_model, event.scoring_job) == (champion, first, job.name)
    fallen = client.GetModel(name=champion).outcomes[0]
    assert fallen.degraded
    assert fallen.error > 1 > client.GetModel(name=first).outcomes[0].error
    found = states(client)
    assert (found[first], found[champion], job.model) == ("CHAMPION", "ROLLED_BACK", first)
    risks = {name: scores.churn_risk for name, scores in with_risk(client).items()}
    assert len(risks) == job.scored_count > 100
    assert {risk.model for risk in risks.values()} == {first}
