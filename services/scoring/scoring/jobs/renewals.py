"""Tells which of a tenant's customers renew their contracts: `python -m scoring.jobs.renewals --spec spec.json`.

Contracts are made of what was told of subscriptions (`models.contracts`), those of each period (a month, a year) get a
model of their own (`models.sbg`), and each customer is told of the contract that comes to its renewal first. The models
are tested on the renewals of the last period, by others that were fitted to what was settled before, beside one rate
for all, which stands in when the test was not passed (`domain.renewal_gates`). The output folder then holds
`model.json`, `scores-<n>.parquet`, `progress.json` and last `_SUCCESS`; run again with equal events it ends with equal
scores. Exit codes: see `jobs.program`.
"""

import sys
from datetime import UTC, datetime
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scoring.domain import renewal_gates
from scoring.domain.gates import CHAMPION, Interval, Verdict
from scoring.domain.renewal_gates import Trial
from scoring.jobs import description, program, renewal_telling, subscriptions
from scoring.jobs.event_files import digest_of
from scoring.jobs.executor import InProcess
from scoring.jobs.files import Folder, fingerprint
from scoring.jobs.gains import mean_gain
from scoring.jobs.progress import Reporter
from scoring.jobs.renewal_spec import RenewalJobSpec
from scoring.jobs.renewal_telling import RENEWALS, SCHEMA, Fitted
from scoring.jobs.scores import score_file
from scoring.jobs.subscriptions import Subscriptions
from scoring.models import contracts, sbg
from scoring.models.baseline import MeanChurn
from scoring.models.contracts import NAMES, Contracts, Events, Flags, Periods
from scoring.models.fitting import Floats
from scoring.models.rounding import shortened
from scoring.models.sbg import Sbg

VERSION = "2"
"""Part of every fingerprint: raise it when the same events would tell something else."""
FEATURES = {"renewals": 1, "period": 1}
_ROWS = 20_000
_LEAST_SHOWN, _TENURES_MOST = 20, 24
"""Renewals of a tenure that are shown, below which a share says more of single people; and tenures."""


def main() -> int:
    """Runs the job; returns the exit code."""
    return program.main("scoring.jobs.renewals", __doc__, RenewalJobSpec, run)


def run(spec: RenewalJobSpec, output: Folder, reporter: Reporter) -> None:
    """The whole job. Raises UnusableError for files that cannot be read, or too many events for the memory."""
    with program.usable("the events"):
        hashes = digest_of(*(file.url for file in spec.files), spec.aliases, spec.exclude)
        key = fingerprint(VERSION, spec.model_dump(mode="json", include={"tenant", "as_of", "consenting"}), hashes)
        if program.done(output, key, reporter):
            return
        output.delete(score_file(0))
        reporter.place = InProcess().place
        found = subscriptions.read(spec, output)
    reporter.done("summarise", 1, 1)
    # Instants between two seconds count as the later one, before which everything is.
    now = -int(-spec.as_of.timestamp() // 1)
    periods = contracts.periods(found.events, now)
    made = contracts.contracts(found.events, periods, now)
    fitted, messages = fit(made, periods, now)
    trial = tested(found.events, periods, fitted, now)
    verdict = renewal_gates.judge(trial, spec.consenting)
    reporter.done("fit", 1, 1)
    used = fitted if verdict.state == CHAMPION else [each.plain() for each in fitted]
    rows = renewal_telling.rows(found, made, periods, used)
    if rows.num_rows:
        output.write(score_file(0), lambda file: _write(file, rows, reporter))
    shown = _shown(made, periods, used, now)
    told = _described(spec, found, rows.num_rows, made, periods, fitted, shown, trial, verdict, messages, key)
    program.finish(output, key, told, reporter)


def fit(made: Contracts, periods: Periods, now: int) -> tuple[list[Fitted], list[str]]:
    """A model for the contracts of each period, and what is to be said of them."""
    fitted, messages = [], []
    for group, usual in enumerate(periods.usual):
        if not usual:
            continue
        tenures = made.tenures(_settled(made, periods, group, now))
        model, said = sbg.fit_churn(tenures)
        within = sbg.intervals(model, tenures) if isinstance(model, Sbg) else {}
        fitted.append(Fitted(NAMES[group], usual, tenures, model, within))
        messages += [f"contracts of a {NAMES[group]}: {text}" for text in said]
    return fitted, messages


def tested(events: Events, periods: Periods, fitted: list[Fitted], now: int) -> Trial:
    """Models of what was settled a period before `now`, on the renewals that were settled since.

    Which period a subscription has is what was known then, too.
    """
    mine, usual, came, customers, expected, variance = [], [], [], [], [0.0], [0.0]
    for group, length in enumerate(periods.usual):
        if not length:
            continue
        cut = now - length
        known = contracts.periods(events.before(cut), cut)
        made = contracts.contracts(events, known, now)
        earlier = made.tenures(_settled(made, known, group, cut))
        later = _settled(made, known, group, now) & (made.settled >= cut)
        model, _ = sbg.fit_churn(earlier)
        plain = MeanChurn(earlier.losses, earlier.decisions)
        tenure = made.number[later] - 1
        true = made.came[later]
        told = model.retention(tenure)
        mine.append(_log_losses(told, true))
        usual.append(_log_losses(plain.retention(tenure), true))
        came.append(true)
        customers.append(events.customers[made.subscription[made.of[later]]])
        expected.append(float((1 - told).sum()))
        variance.append(float((told * (1 - told)).sum()))
    losses = max((each.tenures.losses for each in fitted), default=0)
    happened = np.concatenate([np.zeros(0, dtype=bool), *came])
    lost = int((~happened).sum())
    if not len(happened):
        return Trial(losses, 0, 0, 0.0, 0.0, 0.0, 0.0, Interval(0.0, 0.0, 0.0))
    gains = np.concatenate(usual) - np.concatenate(mine)
    better = mean_gain(gains, np.concatenate(customers))
    chance = 2 * float(np.sqrt(sum(variance))) / max(lost, 1)
    loss, usual_loss = (shortened(float(np.concatenate(each).mean())) for each in (mine, usual))
    return Trial(losses, len(happened), lost, shortened(sum(expected)), shortened(chance), loss, usual_loss, better)


def _settled(made: Contracts, periods: Periods, group: int, before: int) -> Flags:
    """The renewals of contracts of such periods, whose start is known, that were settled then."""
    of_group = (periods.group[made.subscription] == group) & made.known
    found: Flags = of_group[made.of] & (made.settled < before)
    return found


def _log_losses(told: Floats, came: Flags) -> Floats:
    losses: Floats = -np.log(np.where(came, told, 1 - told))
    return losses


def _write(file: BinaryIO, rows: pa.Table, reporter: Reporter) -> None:
    """In order of the names, some at a time."""
    with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for begin in range(0, rows.num_rows, _ROWS):
            part = rows.slice(begin, _ROWS)
            writer.write_table(part)
            reporter.done("score", begin + part.num_rows, rows.num_rows, part.num_rows)


def _shown(made: Contracts, periods: Periods, fitted: list[Fitted], now: int) -> list[dict[str, Any]]:
    """Of each period the share of contracts that renews, by how many renewals they came through: real and told."""
    found = []
    for each in fitted:
        which = _settled(made, periods, NAMES.index(each.period), now)
        tried = np.bincount(made.number[which] - 1)[:_TENURES_MOST]
        came = np.bincount(made.number[which & made.came] - 1, minlength=len(tried))[: len(tried)]
        points: list[dict[str, Any]] = []
        for tenure in np.flatnonzero(tried >= _LEAST_SHOWN).tolist():
            if tenure != len(points):
                break
            at = np.array([tenure])
            real = MeanChurn(int(tried[tenure] - came[tenure]), int(tried[tenure]))
            low, high = (float(end[0]) for end in real.survival_interval(at, 1))
            told_low, told_high = (float(end[0]) for end in each.model.survival_interval(at, 1))
            values = {
                "renewed": came[tenure] / tried[tenure],
                "low": low,
                "high": high,
                "told": float(each.model.retention(at)[0]),
                "told_low": told_low,
                "told_high": told_high,
            }
            told = {name: shortened(value) for name, value in values.items()}
            points.append({"renewals": tenure, "contracts": int(tried[tenure]), **told})
        found.append({"period": each.period, "points": points})
    return found


def _described(
    spec: RenewalJobSpec,
    found: Subscriptions,
    customers: int,
    made: Contracts,
    periods: Periods,
    fitted: list[Fitted],
    shown: list[dict[str, Any]],
    trial: Trial,
    verdict: Verdict,
    messages: list[str],
    key: str,
) -> dict[str, Any]:
    """What the registry keeps (`usecases.models.register`)."""
    messages = [*messages, *_besides(found, made, periods)]
    test = {"renewals": trial.tested, "losses": trial.tested_losses, "expected_losses": trial.expected_losses}
    judgement = description.judgement(verdict, FEATURES, spec.consenting, test=test)
    judgement["artefact"] = renewal_telling.stored(fitted)
    passed = verdict.state == CHAMPION
    if fitted and not passed:
        plain = [each.plain() for each in fitted]
        judgement["stand_in"] = description.stand_in(
            "all contracts of a period are told one rate",
            messages,
            parameters={RENEWALS: {"model": "one rate for all", "periods": [each.told() for each in plain]}},
            metrics={"retention": shown},
            artefact=renewal_telling.stored(plain),
        )
    time = found.events.time
    metrics = {"log_loss": trial.loss, "usual_log_loss": trial.usual_loss, "better": vars(trial.better)}
    return description.described(
        spec.tenant,
        spec.as_of,
        key,
        judgement,
        messages,
        window=(_instant(int(time.min())), _instant(int(time.max()))) if len(time) else (None, None),
        customers=customers,
        purchases=len(made.of),
        parameters={RENEWALS: {"model": Sbg.NAME, "periods": [each.told() for each in fitted]}},
        metrics={**(metrics if trial.enough else {}), **({"retention": shown} if passed else {})},
    )


def _besides(found: Subscriptions, made: Contracts, periods: Periods) -> list[str]:
    """What else is to be said: how many losses nobody told of, and what is left out."""
    lost = ~made.came & made.known[made.of]
    messages = []
    if lost.any():
        silent = int((lost & ~made.told).sum()) / int(lost.sum())
        messages.append(f"{silent:.0%} of {lost.sum()} contracts that ended were overdue, without any word")
    if unknown := int((made.running & ~made.known).sum()):
        messages.append(f"{unknown} contracts are left out, as nobody told when they started")
    if periods.rare:
        messages.append(f"{periods.rare} subscriptions are left out, as few have periods like theirs")
    if len(found.names) and not any(periods.usual):
        messages.append("no subscription was renewed yet, so that nobody knows how long a period is")
    return messages


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


if __name__ == "__main__":
    sys.exit(main())
