"""Offers and associations from events to answers: one job of a generated shop, asked for, kept up, taken away."""

import hashlib
import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.scoring.v1.model_pb2 import Model as ModelMessage

import docstore
from chassis import clock
from docstore.aliases import AliasChange
from docstore.blobs import BlobStore
from scoring.decisions import PURPOSE
from scoring.jobs import program, reproduce
from scoring.jobs.files import Folder
from scoring.store import CustomerOffers, ItemAssociation, Model, ScoringJob
from scoring.usecases import kept_models, kept_results, offering, people, preparing

from . import carrying_out
from .conftest import NONE, START, Client, claimed, customer, purchase
from .jobs.test_train_offers import NOON, shop
from .test_scoring_erasing import erased, holding  # noqa: F401 - fixtures

SERVICE = "scoring"
CUSTOMERS, PAIRS = 150, 16
SOON = START + timedelta(days=9)


class Shop:
    """A tenant whose customers bought what `shop` says; `names` are theirs by number."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.names = sorted(customer() for _ in range(CUSTOMERS))
        self.products: dict[str, list[str]] = {}
        """By purchase."""
        self.bought: dict[str, set[str]] = {name: set() for name in self.names}
        times: dict[str, Any] = {}
        for row in shop(CUSTOMERS, PAIRS):
            name = self.name_of(row)
            self.products.setdefault(row["purchase"], []).append(row["product"])
            self.bought[name].add(row["product"])
            times[row["purchase"]] = (name, row["event_time"])
        events = []
        for uid, (name, time) in times.items():
            lines = [{"product_id": product, "quantity": 1} for product in self.products[uid]]
            event = purchase(name, 0, message_id=uid, products=lines)
            event.event_time.FromDatetime(time)
            events.append(event)
        self.events = events

    def name_of(self, row: dict[str, Any]) -> str:
        return self.names[int(row["customer"].rpartition("/")[2])]

    def offers(self, name: str, **fields: Any) -> list[str]:
        """Ids of what is offered."""
        found = self.client.GetCustomerOffers(name=f"{name}/offers", **fields)
        return [offer.product_id for offer in found.offers]


class Making:
    """Carries a tenant's job through."""

    def __init__(self, settings: Any, store: BlobStore) -> None:
        self._settings, self._store = settings, store

    def __call__(self, client: Client, *, own_process: bool = False, **fields: Any) -> Any:
        """Returns the ended job. Unless it is to run in its own process, which takes longer than the work, the program
        runs in this one."""
        name = client.CreateScoringJob(scoring_job={"kind": "KIND_NEXT_OFFER", **fields}).name
        self.begin(client, own_process=own_process)
        return client.GetScoringJob(name=name)

    def begin(self, client: Client, *, own_process: bool = False) -> None:
        """Carries the tenant's job to its end."""
        job = claimed(client)
        with client.context():
            if not own_process:
                carrying_out.compute(job, self._settings, self._store)
            self.go_on(job)

    def go_on(self, job: ScoringJob) -> None:
        """The same, of a job in hand."""
        carrying_out.finish(job, self._settings, self._store)


@pytest.fixture(scope="module")
def make(settings, store) -> Making:
    return Making(settings, store)


@pytest.fixture(scope="module")
def store_of(channels, make) -> Shop:
    """After the first job, which everybody but the last customer is in: consent refuses that one."""
    found = Shop(Client(*channels, f"t{uuid.uuid4().hex[:12]}"))
    found.client.profiling()
    found.client.objects(found.names[-1])
    assert found.client.stage(found.events) == len(found.products)
    job = make(found.client, own_process=True, as_of=NOON)
    assert job.message.startswith(f"{CUSTOMERS - 1} customers have new offers, "), job.message
    assert job.refused_count == 1
    return found


@pytest.fixture(scope="module")
def client(store_of) -> Client:
    """What fixtures that look into a tenant are to look into."""
    return store_of.client


@pytest.fixture
def fresh(channels) -> Client:
    """A tenant of its own."""
    return Client(*channels, f"t{uuid.uuid4().hex[:12]}")


def test_a_customer_is_offered_what_goes_with_what_they_have_and_told_why(client, store_of) -> None:
    wanted = right = 0
    for name in store_of.names[:-1]:
        bought = store_of.bought[name]
        missing = {f"b{one[1:]}" for one in bought if one[0] == "a"} - bought
        found = client.GetCustomerOffers(name=f"{name}/offers")
        assert len(found.offers) == 10
        assert not {offer.product_id for offer in found.offers} & bought
        assert list(found.offers) == sorted(found.offers, key=lambda offer: -offer.score)
        if missing:
            wanted += 1
            (offered, *_) = [offer for offer in found.offers if offer.product_id in missing]
            why = offered.reason.partition(":")[0].removeprefix("because you bought ").split(" and ")
            right += f"a{offered.product_id[1:]}" in why and offered.score > found.offers[5].score
            assert 0 <= offered.probability.low <= offered.probability.value <= offered.probability.high <= 1
    assert wanted >= 3
    assert right / wanted > 0.7
    (model,) = client.ListModels(filter="state = STATE_CHAMPION").models
    assert (found.model, found.scoring_job, found.fallback) == (model.name, model.scoring_job, False)
    assert model.kind == ModelMessage.KIND_NEXT_OFFER
    assert [gate.name for gate in model.gates] == ["minimum_data", "consenting_share", "baseline", "calibration"]
    assert found.decision.startswith("decisions/")
    assert found.as_of.ToDatetime(NOON.tzinfo) == NOON
    told = [event for event in client.told() if event.DESCRIPTOR.name == "OffersUpdated"]
    assert sum(len(event.offers) for event in told) == CUSTOMERS - 1
    assert {len(each.product_ids) for event in told for each in event.offers} == {10}
    for format in ("html", "markdown"):
        card = client.GetModelCard(name=model.name, format=format).data.decode()
        assert "customers bought one of the ten products it ranked first, within " in card
        assert "Products that came after it had learned are offered by how many buy them" in card
        assert "half_life_days" in card.replace("\\", "")
        assert ("Calibration by tenths of the offers" in card) == (format == "html")
        assert "so it tells no probabilities" in card, "the shop is bought from less and less"
        assert card.count("Later jobs measure it") == 2, "what happened since, and drift"


def test_who_refuses_profiling_is_offered_nothing(store_of) -> None:
    reason, message, _ = store_of.client.refused("GetCustomerOffers", name=f"{store_of.names[-1]}/offers")
    assert reason == "OFFERS_NOT_MADE"
    assert "consent refused" in message


def test_a_shop_leaves_out_what_it_will(store_of) -> None:
    name = store_of.names[0]
    every = store_of.offers(name, max_offers=30, exclude_bought_days=0)
    new = store_of.offers(name, max_offers=30)
    assert set(every) - set(new) == store_of.bought[name]
    assert store_of.offers(name) == new[:10]
    assert store_of.offers(name, excluded_product_ids=new[:3], max_offers=2) == new[3:5]
    assert store_of.offers(name, product_ids=[new[4], new[1], "unknown"]) == [new[1], new[4]]
    days = {
        offer.product_id: (clock.now() - offer.last_bought_time.ToDatetime(NOON.tzinfo)).days
        for offer in store_of.client.GetCustomerOffers(
            name=f"{name}/offers", max_offers=30, exclude_bought_days=0
        ).offers
        if offer.HasField("last_bought_time")
    }
    assert days.keys() == store_of.bought[name]
    middle = sorted(days.values())[len(days) // 2]
    left = store_of.offers(name, max_offers=30, exclude_bought_days=middle)
    assert set(left) - set(new) == {product for product, ago in days.items() if ago >= middle}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"max_offers": 31}, "max_offers"),
        ({"max_offers": -1}, "max_offers"),
        ({"exclude_bought_days": -1}, "exclude_bought_days"),
        ({"excluded_product_ids": ["p"] * 201}, "excluded_product_ids"),
        ({"product_ids": ["p"] * 201}, "product_ids"),
    ],
)
def test_an_unusable_request_is_refused_by_field(store_of, fields, named) -> None:
    reason, _, names = store_of.client.refused("GetCustomerOffers", name=f"{store_of.names[0]}/offers", **fields)
    assert (reason, names) == ("INVALID_OFFERS_REQUEST", [named])


def test_associations_are_listed_with_exact_counts(client, store_of) -> None:
    found, token = [], ""
    while True:
        page = client.ListItemAssociations(page_size=7, page_token=token)
        found += page.item_associations
        if not (token := page.next_page_token):
            break
    assert len({one.name for one in found}) == len(found) > PAIRS
    baskets = [
        set(lines) for purchase, lines in store_of.products.items() if not purchase.startswith(f"{CUSTOMERS - 1}-")
    ]
    for one in found:
        left, right = set(one.antecedent_product_ids), {one.consequent_product_id}
        counts = [sum(some <= basket for basket in baskets) for some in (left | right, left, right, set())]
        assert counts == [one.both_count, one.antecedent_count, one.consequent_count, one.purchase_count]
        assert one.support == counts[0] / counts[3]
        assert one.confidence == counts[0] / counts[1]
        assert one.lift == pytest.approx(counts[0] * counts[3] / (counts[1] * counts[2]))
        assert one.customer_count >= 5
    with_a = client.ListItemAssociations(antecedent_product_id="a03").item_associations
    assert [one.name for one in with_a] == [one.name for one in found if "a03" in one.antecedent_product_ids]
    assert "b03" in {one.consequent_product_id for one in with_a}


def test_what_is_bought_later_is_not_offered_before_long(client, store_of, hear) -> None:
    name = store_of.names[1]
    first, second, *_ = store_of.offers(name)
    event = purchase(name, 0, products=[{"product_id": first, "quantity": 1}])
    event.event_time.FromDatetime(clock.now() - timedelta(days=3))
    told = identity_events_pb2.EventsTracked(events=[event])
    hear(hear(told, name))  # it comes again
    assert store_of.offers(name)[0] == second
    assert first not in store_of.offers(name, max_offers=30, exclude_bought_days=4)
    assert first in store_of.offers(name, max_offers=30, exclude_bought_days=3)
    with client.context():
        assert len(CustomerOffers.rows().find_one({"customer": name})["recent"]) == 1


def test_an_objection_takes_offers_away_at_once_and_a_merge_those_of_the_member(
    client,
    store_of,
    hear,
    holding,  # noqa: F811
    settings,
    store,
) -> None:
    objects, member, stands = store_of.names[2:5]
    said = {"customer": objects, "purpose": PURPOSE, "channel": NONE, "consent": "consents/c"}
    hear(consent_events_pb2.ConsentWithdrawn(consent=said))
    assert client.refused("GetCustomerOffers", name=f"{objects}/offers")[0] == "PROFILING_OBJECTED"
    assert "scoringJobs" in holding(objects)
    with client.context():
        assert kept_results.take_out_objecting(settings, store) == 1
    assert "scoringJobs" not in holding(objects), "nor is anything in what the job keeps"
    alias = {"customer": member, "canonical_customer": stands}
    hear(identity_events_pb2.CustomerMerged(alias=alias), sequence=2)
    assert client.GetCustomerOffers(name=f"{member}/offers").customer == stands
    told = [event for event in client.told() if event.DESCRIPTOR.name == "OffersUpdated"]
    assert [name for event in told for name in event.removed_customers] == [objects, member]
    with client.context():
        assert CustomerOffers.rows().count({"customer": {"$in": [objects, member]}}) == 0
        docstore.in_transaction(lambda: people.follow_alias(AliasChange(store_of.names[5], objects, (1, 0))))
    assert client.refused("GetCustomerOffers", name=f"{store_of.names[5]}/offers")[0] == "PROFILING_OBJECTED"


def test_the_next_job_takes_away_who_is_no_longer_in_it_and_changes_little_else(client, store_of, make) -> None:
    """Consent refuses one; of another scoring has heard an objection that consent does not tell yet."""
    gone, late = store_of.names[6:8]
    with client.context():
        before = {row["customer"]: row["offers"] for row in CustomerOffers.rows().find({})}
        docstore.in_transaction(lambda: people.allow_profiling(store_of.names[2]))
    client.objects(gone)
    with client.context():
        docstore.in_transaction(lambda: people.object_to_profiling(late, "consents/late", NOON))
    job = make(client, as_of=NOON)
    with client.context():
        rows = list(CustomerOffers.rows().find({}))
        after = {row["customer"]: row["offers"] for row in rows}
        assert {row["job"] for row in rows} == {job.uid}
        assert {row["job"] for row in ItemAssociation.rows().find({})} == {job.uid}
    assert not {gone, late} & after.keys()
    same = [name for name in after.keys() & before.keys() if name not in store_of.names[1:8]]
    assert len(same) > CUSTOMERS - 10
    kept = [{one["product"] for one in after[name]} & {one["product"] for one in before[name]} for name in same]
    assert sum(map(len, kept)) > 0.8 * sum(len(after[name]) for name in same), "a few customers less change little"
    champions = client.ListModels(filter="state = STATE_CHAMPION").models
    assert [model.uid for model in champions] == [job.uid]
    (old,) = client.ListModels(filter="state = STATE_RETIRED").models
    champion = client.GetModel(name=job.model)
    assert "nothing new was bought since the champion" in champion.gates[-1].message
    assert (champion.previous_model, champion.gates[-1].name) == (old.name, "champion")


def test_models_are_promoted_and_taken_back_by_hand_and_tasks_go_by_the_released_one(
    client, store_of, make, settings, store, monkeypatch
) -> None:
    (newer,) = client.ListModels(filter="state = STATE_CHAMPION").models
    (older,) = client.ListModels(filter="state = STATE_RETIRED").models
    assert client.PromoteModel(name=older.name).state == ModelMessage.STATE_CHAMPION
    job = make(client, task="TASK_SCORE", as_of=NOON)
    assert f"Offered by {older.name}. Computed in this process" in job.message, job.message
    with client.context():
        assert {row["model"] for row in CustomerOffers.rows().find({})} == {older.uid}
        address = preparing.url(settings, ScoringJob.get(job.uid).result_subject)
    name = store_of.names[20]
    found = reproduce.reproduce(Folder(address), name)
    assert found.equal
    assert set(store_of.offers(name)) <= set(found.computed["products"])
    came = [purchase(customer(), (NOON - START).days + 2, products=[{"product_id": "n01"}]) for _ in range(6)]
    assert client.stage(came) == 6
    job = make(client, task="TASK_SCORE", as_of=NOON + timedelta(days=4))
    assert f", products that came after {older.name} had learned (1) are offered by how many buy" in job.message
    (new,) = client.GetCustomerOffers(name=f"{name}/offers", product_ids=["n01"]).offers
    assert new.reason.startswith("because it is new and many buy it: "), new.reason
    assert client.RollBackModel(name=older.name).name == newer.name
    evaluated = make(client, task="TASK_EVALUATE", as_of=NOON)
    assert evaluated.message.startswith(f"Too little has happened since {newer.name} was made to hold it against.")
    monkeypatch.setattr(kept_models, "WHOLE_MOST", 0)
    trained = make(client, task="TASK_TRAIN", as_of=NOON)
    assert "passed its gates: offers are made by it from the next job on." in trained.message
    with client.context():
        assert {row["job"] for row in CustomerOffers.rows().find({})} == {job.uid}, "nobody was offered anything new"
        file = Model.get(trained.model.removeprefix("models/"))
        body = store.get(file.subject, file.artefact)
    assert hashlib.sha256(body).hexdigest() == client.GetModel(name=trained.model).artefact_sha256
    with client.context():
        assert {name: store.list(name) for name in (older.name, newer.name)} == {
            older.name: [file.artefact],
            newer.name: [file.artefact],
        }, "what may come back, and what a kept result was made with"
    states = {model.name: model.state for model in client.ListModels().models}
    assert states[older.name] == ModelMessage.STATE_ROLLED_BACK
    assert states[newer.name] == ModelMessage.STATE_RETIRED
    assert states[trained.model] == ModelMessage.STATE_CHAMPION
    told = [event.DESCRIPTOR.name for event in client.told()]
    assert (told.count("ModelRolledBack"), told.count("ModelPromoted")) == (1, 4)


def test_without_a_released_model_tasks_that_go_by_one_are_refused(fresh) -> None:
    for task in ("TASK_SCORE", "TASK_EVALUATE"):
        wanted = {"kind": "KIND_NEXT_OFFER", "task": task}
        reason, message, _ = fresh.refused("CreateScoringJob", scoring_job=wanted)
        assert (reason, "KIND_NEXT_OFFER" in message) == ("NO_RELEASED_MODEL", True)


def test_nothing_of_an_erased_person_is_left(store_of, holding, erased) -> None:  # noqa: F811
    gone, stays = store_of.names[10], store_of.names[11]
    places = holding(stays)
    assert holding(gone) == places >= {"customer_offers", "features", "scoringJobs"}
    done = erased(gone)
    assert done["customerOffers"] == (1, 0)
    assert done["orderLines"][0] == sum(len(lines) for uid, lines in store_of.products.items() if uid.startswith("10-"))
    assert holding(gone) == set()
    assert holding(stays) == places
    assert store_of.client.refused("GetCustomerOffers", name=f"{gone}/offers")[0] == "OFFERS_NOT_MADE"


@pytest.mark.parametrize("place", ["register", "_put", "remove_earlier", "_replace_associations"])
def test_a_job_whose_runner_is_killed_while_it_stores_is_gone_on_with(fresh, make, place) -> None:
    client = fresh
    client.profiling()
    client.stage([purchase(customer(), 1, products=[{"product_id": "p1"}]) for _ in range(2)])

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        owner = {"register": offering.models, "remove_earlier": offering.results}.get(place, offering)
        patched.setattr(owner, place, dies)
        with pytest.raises(KeyboardInterrupt):
            make(client, as_of=SOON)
    with client.context():
        ScoringJob.rows().update_many({}, {"$unset": {"lease": ""}})
        make.go_on(claimed(client))
    (job,) = client.ListScoringJobs().scoring_jobs
    assert job.scored_count == 2
    assert len(client.ListModels().models) == 2, "the one that did not pass, and what is popular"
    told = [event for event in client.told() if event.DESCRIPTOR.name == "OffersUpdated"]
    assert sum(len(event.offers) for event in told) == 2, "each once"


def test_without_enough_everybody_is_offered_what_is_popular_and_it_says_so(fresh, make) -> None:
    client = fresh
    client.profiling()
    names = [customer() for _ in range(6)]
    products = [[{"product_id": "p1"}, {"product_id": f"q{number}"}] for number in range(6)]
    client.stage([purchase(name, 1, products=lines) for name, lines in zip(names, products, strict=True)])
    rule = {"display_name": "Not sold", "product_id_prefixes": ["q5"], "blocked": True}
    client.CreateOfferRule(offer_rule=rule, offer_rule_id="not-sold")
    job = make(client, as_of=SOON)
    assert (
        "6 customers have new offers, 0 associations of products were found. All are offered what is popular: "
        in job.message
    )
    assert "at least 50 and 30 are needed" in job.message
    found = client.GetCustomerOffers(name=f"{names[0]}/offers")
    assert found.fallback
    assert {offer.product_id for offer in found.offers} == {f"q{number}" for number in range(1, 5)}
    client.DeleteOfferRule(name="offerRules/not-sold")
    assert "q5" in {offer.product_id for offer in client.GetCustomerOffers(name=f"{names[0]}/offers").offers}
    assert not any(offer.HasField("probability") for offer in found.offers)
    (champion,) = client.ListModels(filter="state = STATE_CHAMPION").models
    assert (champion.name, champion.fallback) == (found.model, True)
    assert "what is popular is offered to everybody" in champion.message
    card = client.GetModelCard(name=champion.name).data.decode()
    assert "Not tested: what is popular needs no proof." in card


def test_what_is_popular_as_the_program_of_an_earlier_version_told_it_is_offered(fresh, make, store) -> None:
    """A job that computed before a release and is stored after it."""
    fresh.profiling()
    name = customer()
    fresh.stage([purchase(each, 1, products=[{"product_id": "p1"}]) for each in (name, customer())])

    def as_before(job: ScoringJob) -> None:
        told = json.loads(store.get(job.result_subject, program.MODEL))
        del told["judgement"]["stand_in"]["parameters"]["offers"]["horizon_days"]
        store.put(job.result_subject, program.MODEL, json.dumps(told).encode())
        go_on(job)

    go_on = make.go_on
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(make, "go_on", as_before)
        job = make(fresh, as_of=SOON)
    assert (job.scored_count, job.state) == (2, type(job).STATE_SUCCEEDED)
    fitted = fresh.GetModel(name=f"models/{job.uid}").parameters["offers"]
    assert fresh.GetCustomerOffers(name=f"{name}/offers").horizon_days == fitted["horizon_days"] > 0


def test_without_products_a_job_says_what_to_send(fresh, make) -> None:
    client = fresh
    client.profiling()
    client.buys(customer(), 1)
    job = make(client, own_process=True)
    assert job.state == type(job).STATE_FAILED
    assert job.message == "No products of orders are known: send `products` with `Order Completed` events first."
    for field in ("horizon_weeks", "annual_discount_basis_points"):
        reason, _, names = client.refused("CreateScoringJob", scoring_job={"kind": "KIND_NEXT_OFFER", field: 10})
        assert (reason, names) == ("INVALID_SCORING_JOB", [f"scoring_job.{field}"])
