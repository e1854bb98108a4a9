"""Makes a tenant's offers and rules of what goes with what: `python -m scoring.jobs.train_offers --spec spec.json`.

A model is fitted to what was bought before the last 90 days (a third of all time, where that is less) and tested on
these, beside what is popular and the champion (`jobs.offer_trial`, `domain.offer_gates`). What customers are offered
comes from a model of all purchases when the test was passed, else from the champion, of products that came after it had
learned by how many buy them, or without one from what is popular. Models that were released earlier are held against
what happened since (`jobs.offer_watch`).

The output folder then holds `model.json`, models whole, `progress.json` and last `_SUCCESS`, and where offers are made
these (`jobs.offer_listing`) and `associations.json`; run again with equal lines it ends with equal offers. Exit codes:
see `jobs.program`.
"""

import json
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from scoring.domain import offer_gates
from scoring.domain.gates import CHAMPION, REJECTED, Verdict
from scoring.domain.offer_gates import FEATURES
from scoring.jobs import (
    associations,
    description,
    memory,
    offer_listing,
    offer_models,
    offer_trial,
    offer_watch,
    order_lines,
    program,
)
from scoring.jobs.description import Watched
from scoring.jobs.executor import InProcess
from scoring.jobs.files import Folder, fingerprint, sha256
from scoring.jobs.offer_listing import Making
from scoring.jobs.offer_models import Known
from scoring.jobs.offer_spec import OfferJobSpec
from scoring.jobs.offer_trial import Tried
from scoring.jobs.order_lines import Lines
from scoring.jobs.progress import Reporter
from scoring.models import offers
from scoring.models.offers import OfferModel, Purchases, artefact
from scoring.models.offers.artefact import StoredOffers
from scoring.models.offers.newcomers import Newcomers
from scoring.models.offers.training import MOST_ITEMS
from scoring.models.rounding import shortened

VERSION = "7"
"""Part of every fingerprint: raise it when the same lines would give other offers."""
ASSOCIATIONS = "associations.json"
OFFERS = offer_listing.OFFERS
_WHOLE, _STAND_IN = "offer_model.npz", "stand_in.npz"
_STEPS = (("inspect", 5.0), ("watch", 10.0), ("fit", 60.0), ("score", 25.0))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Learned:
    """A model, and how it was judged."""

    model: OfferModel
    tried: Tried
    verdict: Verdict


def main() -> int:
    """Runs the job; returns the exit code."""
    return program.main("scoring.jobs.train_offers", __doc__, OfferJobSpec, run)


def run(spec: OfferJobSpec, output: Folder, reporter: Reporter) -> None:
    """The whole job. Raises UnusableError for files that cannot be read, or a stored model that is damaged."""
    with program.usable("the lines of orders, or a model,"):
        hashes = order_lines.digest(spec)
        version = fingerprint(VERSION, spec.model_dump(mode="json", include={"tenant", "as_of", "most_lines"}), hashes)
        key = fingerprint(version, spec.model_dump(mode="json", include={"task", "models", "consenting"}))
        if program.done(output, key, reporter):
            return
        reporter.place, reporter.steps = InProcess().place, _STEPS
        lines = order_lines.read(spec, output)
        memory.check_offers(len(lines.day), min(len(lines.products), MOST_ITEMS), spec.memory_mb)
        reporter.done("inspect", 1, 1)
        described = _made(spec, output, reporter, lines, version)
    program.finish(output, key, described, reporter)


def _made(spec: OfferJobSpec, output: Folder, reporter: Reporter, lines: Lines, version: str) -> dict[str, Any]:
    """What the task asks for, written but for `model.json`, which is returned."""
    purchases, end = lines.purchases(), _end(spec)
    known = [offer_models.known(each) for each in spec.models]
    if spec.task == "score":
        champion = next(each for each in known if each.role == "champion")
        by = offer_models.offering(champion.told, purchases, end)
        scored = _offered(spec, output, reporter, lines, purchases, by)
        told = {"message": "", "customers": len(lines.customers), **scored, "scored_with": _scored_with(champion)}
        return {**told, "newcomers": len(Newcomers.among(by))}
    watched = offer_watch.watch(purchases, end, known)
    reporter.done("watch", 1, 1)
    if spec.task == "evaluate":
        return {"message": "", "judgement": watched.told()}
    learned = _learned(spec, reporter, purchases, end, watched)
    standing = watched.standing
    described = _described(spec, lines, purchases, learned, watched, version)
    told, by = described["judgement"], learned.model
    if learned.verdict.state != REJECTED:
        _keep(output, _WHOLE, by, learned.tried.promised, purchases, end)
        told["artefact_file"] = _WHOLE
    if learned.verdict.state == CHAMPION:
        scored_with = _own(spec, output, _WHOLE)
    elif standing is not None and not standing.fallback:
        scored_with = _scored_with(standing)
        by = offer_models.offering(standing.told, purchases, end)
    else:
        by = learned.model.by_popularity()
        _keep(output, _STAND_IN, by, learned.tried.popular_promised, purchases, end)
        scored_with = _own(spec, output, _STAND_IN)
        told["stand_in"] = _stand_in(by)
    if spec.task != "train":
        scored = _offered(spec, output, reporter, lines, purchases, by)
        described["metrics"] |= scored
        described["newcomers"] = len(Newcomers.among(by))
        described["scored_with"] = scored_with
    return described


def _learned(
    spec: OfferJobSpec, reporter: Reporter, purchases: Purchases, end: int, watched: Watched[Known]
) -> Learned:
    tried = offer_trial.tried(purchases, end, watched.standing)
    verdict = offer_gates.judge(tried.trial, spec.consenting)
    reporter.done("fit", 1, 2)
    model = offers.fit(purchases, end)
    reporter.done("fit", 2, 2)
    if not offer_gates.calibrated(tried.trial):
        model = model.without_probabilities()
    # What is no more than what is popular takes the place of nobody.
    return Learned(model, tried, replace(verdict, state=REJECTED) if model.fallback else verdict)


def _offered(
    spec: OfferJobSpec, output: Folder, reporter: Reporter, lines: Lines, purchases: Purchases, by: OfferModel
) -> dict[str, Any]:
    """Writes offers and associations; returns how many of the latter there are."""
    rules = associations.found(lines.baskets(), purchases)
    output.write(ASSOCIATIONS, lambda file: file.write(json.dumps(rules, allow_nan=False).encode()))
    offer_listing.write(Making.of(spec, by, purchases, lines, _end(spec)), output, reporter)
    return {"rules": len(rules["rules"])}


def _end(spec: OfferJobSpec) -> int:
    """The day after that of the instant: what is bought on that day counts."""
    return (spec.as_of - _EPOCH) // timedelta(days=1) + 1


def _keep(
    output: Folder, name: str, model: OfferModel, promised: dict[int, float], purchases: Purchases, end: int
) -> None:
    """Writes a model whole."""
    stored = StoredOffers(model, end, promised, offer_watch.histograms(model, purchases, end))
    output.write(name, lambda file: artefact.dump(stored, file))


def _own(spec: OfferJobSpec, output: Folder, name: str) -> dict[str, str]:
    """A model that this job made, as `jobs.offer_listing.again` is told of it."""
    with output.open(name) as file:
        return {"model": "the job's own", "url": f"{spec.output.rstrip('/')}/{name}", "sha256": sha256(file)}


def _scored_with(champion: offer_models.Known) -> dict[str, str]:
    return {"model": champion.name, "url": champion.told.url, "sha256": champion.told.sha256}


def _stand_in(model: OfferModel) -> dict[str, Any]:
    parameters = {"model": "popularity", "products": len(model.names), "horizon_days": model.horizon_days}
    return description.stand_in(
        "what is popular is offered to everybody",
        model.messages,
        parameters={"offers": parameters},
        artefact_file=_STAND_IN,
    )


def _described(
    spec: OfferJobSpec, lines: Lines, purchases: Purchases, learned: Learned, watched: Watched[Known], version: str
) -> dict[str, Any]:
    """What the registry keeps (`usecases.models.register`)."""
    model, trial = learned.model, learned.tried.trial
    messages = list(model.messages)
    if lines.older:
        messages.append(f"{lines.older:,} older lines are left out: the newest {spec.most_lines:,} are learned from")
    if unsold := int((~offer_listing.sold(purchases, _end(spec))).sum()):
        messages.append(
            f"{unsold:,} products that nobody bought for {offer_listing.SOLD_WITHIN_DAYS} days are not offered"
        )
    settings = {
        "model": "popularity" if model.fallback else "EASE",
        "products": len(model.names),
        "half_life_days": model.half_life_days,
        "strength": shortened(model.strength),
        "prior": model.prior,
        "repeat": model.repeat,
        "horizon_days": model.horizon_days,
    }
    judgement = description.judgement(
        learned.verdict, FEATURES, spec.consenting, test=learned.tried.kept(), watched=watched
    )
    days = lines.day
    return description.described(
        spec.tenant,
        spec.as_of,
        version,
        judgement,
        messages,
        window=(_instant(int(days.min())), _instant(int(days.max()))) if len(days) else (None, None),
        customers=len(lines.customers),
        purchases=len(np.unique(lines.purchase)),
        parameters={"offers": settings},
        metrics={
            "hit_rate_at_10": vars(trial.hits),
            "popular_hit_rate_at_10": trial.popular.value,
            "popular_hit_rate_at_10_interval": [trial.popular.low, trial.popular.high],
            "better": vars(trial.better),
        },
    )


def _instant(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


if __name__ == "__main__":
    sys.exit(main())
