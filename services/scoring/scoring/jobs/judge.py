"""Between fitting and scoring: is the new model good enough, does the champion keep its promise, what has moved?

The candidate is tested on the last purchases, refitted to those before; the champion, with the parameters it has, on
the same customers. Models that were released earlier are held against what happened since. Whoever is champion at the
end of that scores.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from scoring.domain import gates
from scoring.domain.gates import Interval
from scoring.jobs import fit as fitting
from scoring.jobs import revenue, windows
from scoring.jobs.executor import Executor
from scoring.jobs.files import Folder, fingerprint
from scoring.jobs.fit import Fitted
from scoring.jobs.known_models import Known, load
from scoring.jobs.population import FEATURES, Population, drifts, ones, population, stored_form, survival
from scoring.jobs.spec import JobSpec
from scoring.jobs.tasks import Part
from scoring.jobs.windows import Seen, Window, expected
from scoring.models import artefact, comparison, lifetime_value
from scoring.models.baseline import MeanRate, MeanSpend
from scoring.models.comparison import Rows
from scoring.models.fitting import Floats
from scoring.models.lifetime_value import Choice
from scoring.models.rounding import rounded
from scoring.models.summary import DAYS_PER_WEEK

HORIZONS = (91, 56, 28)
"""Days after which a model is held against what happened; what it promised is kept for each. It is tested on the
longest one that leaves purchases of twice as many days before it.
"""


@dataclass(frozen=True)
class Judgement:
    """Who scores, and all that was found; `told` is part of model.json."""

    fitted: Fitted
    """The fitted one, with the models that score."""
    scorer: str
    """Hash of the models that score."""
    told: dict[str, Any] = field(default_factory=dict)


def judge(output: Folder, executor: Executor, parts: Sequence[Part], fitted: Fitted, spec: JobSpec) -> Judgement:
    """Tests the fitted models and decides. Raises UnusableInputError when a stored model is not what it was."""
    known = [load(model) for model in spec.models]
    of_role = {model.role: model for model in reversed(known)}
    champion, previous = of_role.get("champion"), of_role.get("previous")
    looked = _test_windows(fitted)
    since = [(model, Window(model.day, model.day + days)) for model in known if (days := _passed(model, fitted))]
    seen = windows.seen(executor, parts, [*looked, *(window for _, window in since)], fitted.customers)
    held_out = dict(zip((window.end - window.day for window in looked), seen, strict=False))
    lived = dict(zip((model.name for model, _ in since), seen[len(looked) :], strict=True))

    outcomes = [_outcome(model, lived[model.name]) for model, _ in since]
    fell = _fall(champion, previous, lived)
    standing = previous if fell["falls"] else champion
    verdict, test = _verdict(fitted, held_out, spec, standing)

    people = population(output, parts, fitted)
    test["survival"] = survival(fitted.choice.purchases, people)
    candidate = stored_form(fitted.choice, fitted, spec, people, test)
    told: dict[str, Any] = {
        "candidate": verdict.to_dict(),
        "test": test,
        "champion": champion.name if champion else "",
        "standing": standing.name if standing else "",
        "rollback": fell,
        "outcomes": outcomes,
        "drifts": drifts(standing, people) if standing else [],
        "features": FEATURES,
        "consenting": spec.consenting,
        "artefact": candidate,
    }
    choice = fitted.choice
    if verdict.state != gates.CHAMPION:
        if standing is None:
            choice = _stand_in(fitted, people, verdict)
            promises = test if choice.purchases is fitted.choice.purchases else {"promised": {}}
            told["stand_in"] = {
                "artefact": stored_form(choice, fitted, spec, people, {"promised": promises["promised"]}),
                "parameters": replace(fitted, choice=choice).parameters,
                "message": "; ".join(choice.messages),
            }
        else:
            choice = standing.choice
        fitted = fitting.scored_by(output, [part.file for part in parts], fitted, choice)
    told |= {"scored_with": artefact.dump(choice), "scales": fitted.scales}
    return Judgement(fitted, fingerprint(told["scored_with"]), told)


def released(output: Folder, executor: Executor, parts: Sequence[Part], spec: JobSpec, as_of_day: int) -> Judgement:
    """The champion as it is stored; with the task `evaluate` also what became of it, and of the other models.

    Raises UnusableInputError when a stored model is not what it was.
    """
    known = [load(model) for model in spec.models]
    of_role = {model.role: model for model in reversed(known)}
    champion, previous = of_role["champion"], of_role.get("previous")
    summaries = [part.file for part in parts]
    fitted = fitting.as_stored(output, summaries, champion.choice, as_of_day, spec.horizon_weeks, spec.discount)
    told: dict[str, Any] = {"scored_with": artefact.dump(champion.choice), "scales": fitted.scales}
    if spec.task == "evaluate":
        since = [(model, Window(model.day, model.day + days)) for model in known if (days := _passed(model, fitted))]
        looked = [window for _, window in since]
        seen = windows.seen(executor, parts, looked, fitted.customers) if since else []
        lived = {model.name: rows for (model, _), rows in zip(since, seen, strict=True)}
        fell = _fall(champion, previous, lived)
        standing = previous if previous and fell["falls"] else champion
        told |= {
            "champion": champion.name,
            "standing": standing.name,
            "rollback": fell,
            "outcomes": [_outcome(model, lived[model.name]) for model, _ in since],
            "drifts": drifts(standing, population(output, parts, fitted)),
        }
    return Judgement(fitted, fingerprint(told["scored_with"]), told)


def _test_windows(fitted: Fitted) -> list[Window]:
    """The purchases to test on, in full and in part, the longest first; none when there are too few before them."""
    if isinstance(fitted.choice.purchases, MeanRate) or fitted.first_day is None:
        return []
    known = fitted.as_of_day - fitted.first_day + 1
    fitting_ones = [days for days in HORIZONS if known >= 3 * days]
    cut = fitted.as_of_day - max(fitting_ones, default=0)
    return [Window(cut, cut + days) for days in fitting_ones]


def _passed(model: Known, fitted: Fitted) -> int:
    """The longest horizon that has passed since the model was made; 0 for none."""
    return next((days for days in HORIZONS if model.day + days <= fitted.as_of_day), 0)


def _verdict(
    fitted: Fitted, held_out: dict[int, Seen], spec: JobSpec, standing: Known | None
) -> tuple[gates.Verdict, dict[str, Any]]:
    if isinstance(fitted.choice.purchases, MeanRate):
        return _of_mean_rates(fitted, standing), {"promised": {}}
    champion = standing.name if standing else ""
    if not held_out:
        why_not = f"that takes purchases of {3 * HORIZONS[-1] // DAYS_PER_WEEK} weeks"
        return gates.judge(None, why_not, spec.consenting, champion), {"promised": {}}
    rows, money = held_out[max(held_out)].purchases, held_out[max(held_out)].revenue
    known = (rows.x, rows.recency, rows.age, rows.counts)
    kind = fitting.name_of(fitted.choice.purchases)
    early, messages = lifetime_value.fit_purchases(*known, round(rows.weeks), kind)
    if isinstance(early, MeanRate):
        why_not = f"{rows.weeks:g} weeks ago {'; '.join(messages)}"
        return gates.judge(None, why_not, spec.consenting, champion), {"promised": {}}
    told = expected(early, rows)
    models = revenue.early(early, money)
    about_money = revenue.trial(models, money, standing)
    away, chance = comparison.miscalibration(rows, told)
    beside = expected(standing.choice.purchases, rows) if standing else None
    test = gates.Trial(
        customers=rows.customers,
        purchases=rows.purchases,
        against_baseline=comparison.relative_loss(rows, told, expected(MeanRate.of(*known, round(rows.weeks)), rows)),
        against_champion=None if beside is None else comparison.relative_loss(rows, told, beside),
        miscalibration=away,
        chance=chance,
        champions=None if beside is None else comparison.miscalibration(rows, beside)[0],
        revenue=about_money,
    )
    found = {
        **asdict(test),
        "revenue": revenue.figures(about_money, models, money),
        "weeks": rows.weeks,
        "promised": {
            str(days): comparison.error_share(seen.purchases, expected(early, seen.purchases)).value
            for days, seen in held_out.items()
        },
        "promised_revenue": revenue.promised(models, held_out),
        "deciles": _deciles(rows, told),
    }
    if beside is not None:
        found["champion_deciles"] = _deciles(rows, beside)
    return gates.judge(test, "", spec.consenting, champion), found


def _of_mean_rates(fitted: Fitted, standing: Known | None) -> gates.Verdict:
    """Mean rates are what others must beat: they take the place of nobody, or of older mean rates."""
    if standing is None or isinstance(standing.choice.purchases, MeanRate):
        return gates.Verdict(gates.CHAMPION, ())
    message = f"{'; '.join(fitted.choice.messages)}; the champion {standing.name} knows more"
    return gates.Verdict(gates.REJECTED, (gates.Gate("minimum_data", False, fitted.customers, 0, message),))


def _fall(champion: Known | None, previous: Known | None, lived: dict[str, Seen]) -> dict[str, Any]:
    """Whether the champion goes back to the model before it, and why.

    Purchases that one of the two was fitted to would flatter it: those count that followed the later one's day.
    """
    later = max((each for each in (champion, previous) if each), key=lambda each: each.day, default=None)
    seen = lived.get(later.name) if later else None
    rows = seen.purchases if seen else None
    promised = champion.promised(round(rows.weeks * DAYS_PER_WEEK)) if champion and rows else None
    if champion is None or seen is None or rows is None or promised is None or not _enough(rows, champion):
        return {"falls": False, "message": ""}
    error = comparison.error_share(rows, expected(champion.choice.purchases, rows))
    before = None
    if previous is not None:
        before = comparison.error_share(rows, expected(previous.choice.purchases, rows)).value
    falls, message = gates.roll_back(error, promised, before)
    told = [message] if gates.degraded(error, promised) else []
    broken, falls_for_money, about_money = revenue.fall(champion, previous, seen.revenue)
    told += [about_money] if broken else []
    # Not to one that tells revenue better and purchases worse.
    falls |= falls_for_money and before is not None and before <= error.value * (1 + gates.MOST_WORSE)
    return {"falls": falls, "message": "; ".join(told)}


def _enough(rows: Rows, model: Known) -> bool:
    """Counting what was expected, too: nobody buying any more is what must be noticed."""
    told = float(np.add.reduce(rows.counts * expected(model.choice.purchases, rows)))
    return rows.customers >= gates.LEAST_CUSTOMERS and max(told, rows.purchases) >= gates.LEAST_PURCHASES


def _outcome(model: Known, seen: Seen) -> dict[str, Any]:
    rows = seen.purchases
    told = expected(model.choice.purchases, rows)
    error = comparison.error_share(rows, told) if rows.customers else Interval(0.0, 0.0, 0.0)
    promised = model.promised(round(rows.weeks * DAYS_PER_WEEK))
    return {
        "model": model.name,
        "weeks": rows.weeks,
        "customers": rows.customers,
        "expected": rounded(np.add.reduce(rows.counts * told)),
        "actual": rows.purchases,
        "error": asdict(error),
        "promised": promised,
        "degraded": promised is not None and _enough(rows, model) and gates.degraded(error, promised),
        "deciles": _deciles(rows, told),
        "revenue": revenue.outcome(model, seen.revenue),
    }


def _deciles(rows: Rows, told: Floats) -> list[dict[str, Any]]:
    return [asdict(tenth) for tenth in comparison.tenths(rows, told)]


def _stand_in(fitted: Fitted, people: Population, verdict: gates.Verdict) -> Choice:
    """Mean rates, because the fitted model did not pass and nobody scored before; the mean spend, where its part did
    not, and that alone where the other part passed.
    """
    why, failed = "; ".join(verdict.failed), {gate.name for gate in verdict.gates if not gate.passed}
    spend = fitted.choice.spend
    if failed & revenue.GATES:
        spend = MeanSpend.of(people.x + 1, people.revenue, ones(people.x))
    if failed <= revenue.GATES:
        message = f"the spend model did not pass its gates ({why}): the mean value of a purchase stands in"
        return Choice(fitted.choice.purchases, spend, (message, *fitted.choice.messages))
    rate = MeanRate.of(people.x, people.recency, people.age, ones(people.x), fitted.horizon_weeks)
    message = f"the purchase model did not pass its gates ({why}): mean rates stand in"
    return Choice(rate, spend, (message, *fitted.choice.messages))
