"""Whether models tell revenue: before their release on weeks they were not fitted to, and afterwards.

What is expected of a customer is the purchases expected of them times what a purchase of theirs is worth (Gamma-Gamma);
beside it stands the mean spend of everybody for the same purchases, so that what both share cancels out (Fader, Hardie
and Lee 2005, "RFM and CLV: Using iso-value curves for customer base analysis", Journal of Marketing Research 42, hold
the two parts of a value against later weeks by groups of customers).
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from scoring.domain import gates
from scoring.domain.gates import Interval, RevenueTrial
from scoring.jobs.known_models import Known
from scoring.jobs.windows import Seen, expected_revenue
from scoring.models import comparison, lifetime_value
from scoring.models.baseline import MeanRate, MeanSpend
from scoring.models.bg_nbd import BgNbd
from scoring.models.comparison import Spenders
from scoring.models.fitting import total
from scoring.models.lifetime_value import Choice
from scoring.models.mbg_nbd import MbgNbd
from scoring.models.pareto_nbd import ParetoNbd
from scoring.models.rounding import rounded
from scoring.models.summary import DAYS_PER_WEEK

GATES = {"spend", "revenue"}
"""Those that the spend model alone fails: mean spend does better then."""


def early(purchases: BgNbd | MbgNbd | ParetoNbd | MeanRate, rows: Spenders) -> Choice:
    """The models of what came before, with the spend that is fitted to it."""
    spend, _ = lifetime_value.fit_spend(rows.x, rows.spent, rows.x + 1, rows.before, rows.counts)
    return Choice(purchases, spend, ())


def trial(models: Choice, rows: Spenders, standing: Known | None) -> RevenueTrial:
    """How models fitted to what came before tell the revenue that followed."""
    told = expected_revenue(models, rows)
    flat = expected_revenue(Choice(models.purchases, mean_spend(rows), ()), rows)
    away, chance = comparison.miscalibration(rows, told)
    beside = None if standing is None else expected_revenue(standing.choice, rows)
    return RevenueTrial(
        customers=rows.customers,
        expected=_sum(rows, told),
        actual=rows.purchases,
        error=comparison.error_share(rows, told),
        against_mean_spend=comparison.relative_loss(rows, told, flat),
        miscalibration=away,
        chance=chance,
        mean_spends=comparison.miscalibration(rows, flat)[0],
        champions=None if beside is None else comparison.miscalibration(rows, beside)[0],
        fallback=isinstance(models.spend, MeanSpend),
    )


def figures(found: RevenueTrial, models: Choice, rows: Spenders) -> dict[str, Any]:
    """As the model keeps it: in all, how far off, and by tenths."""
    away = {"total_error": rounded(found.expected / found.actual - 1)} if found.actual else {}
    return {**asdict(found), **away, "deciles": deciles(models, rows)}


def promised(models: Choice, held_out: Mapping[int, Seen]) -> dict[str, float]:
    """Days -> the most that the error may be, beyond chance: the upper end of what was measured so far ahead.

    The end, as one large order more or less moves errors of money far more than those of purchases.
    """
    rows = {days: seen.revenue for days, seen in held_out.items()}
    return {str(days): comparison.error_share(each, expected_revenue(models, each)).high for days, each in rows.items()}


def outcome(model: Known, rows: Spenders) -> dict[str, Any]:
    """What a model expected and what came. degraded: its error is larger than it promised, beyond chance."""
    told = expected_revenue(model.choice, rows)
    error = comparison.error_share(rows, told) if rows.customers else Interval(0.0, 0.0, 0.0)
    most = _promise(model, rows)
    return {
        "customers": rows.customers,
        "expected": _sum(rows, told),
        "actual": rows.purchases,
        "error": asdict(error),
        "promised": most,
        "degraded": most is not None and gates.degraded(error, most, slack=0.0),
        "deciles": deciles(model.choice, rows),
    }


def fall(champion: Known, previous: Known | None, rows: Spenders) -> tuple[bool, bool, str]:
    """Whether the champion breaks its promise of revenue, whether it goes for that, and why or why not."""
    most = _promise(champion, rows)
    if most is None:
        return False, False, ""
    error = comparison.error_share(rows, expected_revenue(champion.choice, rows))
    before = None
    if previous is not None:
        before = comparison.error_share(rows, expected_revenue(previous.choice, rows)).value
    falls, message = gates.roll_back(error, most, before, slack=0.0, of="of revenue ")
    return gates.degraded(error, most, slack=0.0), falls, message


def mean_spend(rows: Spenders) -> MeanSpend:
    """What a purchase day was worth on average."""
    return MeanSpend.of(rows.x + 1, rows.before, rows.counts)


def deciles(models: Choice, rows: Spenders) -> list[dict[str, Any]]:
    """Expected and real revenue by tenths of the customers."""
    return [asdict(tenth) for tenth in comparison.tenths(rows, expected_revenue(models, rows))]


def _promise(model: Known, rows: Spenders) -> float | None:
    # Models of before revenue was tested promised none.
    most = model.stored.get("promised_revenue", {}).get(str(round(rows.weeks * DAYS_PER_WEEK)))
    return None if most is None else float(most)


def _sum(rows: Spenders, told: Any) -> float:
    return rounded(total(rows.counts, np.asarray(told)))
