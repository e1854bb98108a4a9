"""Scores customers anew within seconds of what they buy, or give back, by what the last jobs left; for role `run`.

One process at a time does so for a tenant, by a lease that every transaction proves. What it stores equals what a job
with the same models and scales would tell of these customers at the same instant: it is the same computation, on the
same sums. An older score never takes the place of a newer one: `as_of` decides.
"""

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce

import pymongo.errors
from pymongo import UpdateOne

import docstore
from chassis import clock, ids, tenancy
from chassis.errors import Aborted, FailedPrecondition, Unavailable
from docstore import Row, aliases, leases
from docstore.blobs import BlobStore
from eventing import tombstones
from scoring import decisions
from scoring.decisions import Decision
from scoring.domain.histories import Convert, History
from scoring.settings import ScoringSettings
from scoring.store import PurchaseHistory, PurchaseNews, RiskScorer, ScoreKeeper, Scorer
from scoring.store import histories as store
from scoring.store.histories import CURRENT
from scoring.store.models import CHURN, LIFETIME_VALUE
from scoring.store.objections import objecting
from scoring.usecases import current_rates, histories, memberships, online_scores, risk_rows, score_rows
from scoring.usecases.memberships import Cause
from scoring.usecases.risk_rows import RiskOrigin
from scoring.usecases.score_rows import Origin, uid_of

AT_ONCE = decisions.BATCH
LEASE_S = 10.0
_BEGIN = histories.instant(0)
_BUDGET_S = 2.0
_SILENT_S = 1.0
"""When a tenant's customers are looked at again while consent does not answer."""
_PURPOSELESS_S = 60.0
"""The same while there is no purpose to ask consent about."""
_FAILED_S = 10.0
"""The same after anything else went wrong, such as a file that cannot be read; and customers without their risk."""

logger = logging.getLogger(__name__)


def warm_up() -> None:
    """Loads what scoring needs where some tenant has scores: the first purchase must not wait for it."""
    with docstore.platform_scope():
        values, risks = (docstore.platform_collection(cls).find_one({}, {"_id": 1}) for cls in (Scorer, RiskScorer))
    if values or risks:
        import pyarrow.parquet  # noqa: F401

        import scoring.models.artefact
        import scoring.models.scorecard
    if risks:
        import scoring.models.churn  # noqa: F401


def rescore_due(settings: ScoringSettings, blobs: BlobStore) -> int:
    """Scores who has bought, of every tenant, each for a while; returns how many tenants had any."""
    tenants = _waiting_tenants()
    for tenant in tenants:
        with tenancy.service_context(tenant, method="rescore"):
            try:
                keep(settings, blobs)
            except pymongo.errors.PyMongoError:
                raise
            except Exception:
                # The other tenants must not wait for this one, whatever is the matter with its files.
                logger.exception("rescore failed for one tenant")
    return len(tenants)


def keep(settings: ScoringSettings, blobs: BlobStore) -> bool:
    """Scores the current tenant's customers until none waits or the budget is used; False when others do so."""
    rows = ScoreKeeper.rows()
    rows.update_one({"uid": CURRENT}, {"$setOnInsert": {"turns": 0}}, upsert=True)
    leased = leases.claim(rows, {"uid": CURRENT}, LEASE_S, settings.instance)
    if leased is None:
        return False
    end = time.monotonic() + _BUDGET_S
    pause_s = 0.0
    try:
        while True:
            worked = [_take_in(leased, settings), _rescore(leased, settings, blobs)]
            if not any(worked) or time.monotonic() >= end or not leases.renew(rows, leased, LEASE_S):
                return True
    except leases.LeaseLost:
        logger.warning("another process took over a tenant's scores")
        return False
    except (FailedPrecondition, Unavailable) as error:
        logger.warning("customers who bought wait: %s", error.reason)
        pause_s = _SILENT_S if isinstance(error, Unavailable) else _PURPOSELESS_S
        return True
    except (pymongo.errors.PyMongoError, Aborted):
        # What passes by itself is tried again at once.
        raise
    except Exception:
        pause_s = _FAILED_S
        raise
    finally:
        leases.release(rows, leased, pause_s=pause_s)


def _waiting_tenants() -> list[str]:
    any_of_tenant = {"tenant": {"$gt": ""}}
    with docstore.platform_scope():
        news = docstore.platform_collection(PurchaseNews).distinct("tenant", any_of_tenant)
        due = {**any_of_tenant, "due": {"$lte": clock.now()}}
        return sorted({*news, *docstore.platform_collection(PurchaseHistory).distinct("tenant", due)})


def longest_wait() -> float:
    """Seconds since the purchase, of any tenant, that has waited longest to change scores was staged; 0 without one."""
    longest = 0.0
    with docstore.platform_scope():
        news, due = (docstore.platform_collection(cls) for cls in (PurchaseNews, PurchaseHistory))
        for tenant in _waiting_tenants():
            of = {"tenant": tenant}
            if (oldest := news.find_one(of, {"uid": 1}, sort=[("_id", 1)])) is not None:
                longest = max(longest, (clock.real_now() - ids.time_of(oldest["uid"])).total_seconds())
            if (first := due.find_one({**of, "due": {"$gt": _BEGIN}}, {"due": 1}, sort=[("due", 1)])) is not None:
                longest = max(longest, (clock.now() - first["due"]).total_seconds())
    return longest


def _prove(leased: Row) -> None:
    """Makes the transaction fail unless this process still scores the tenant's customers. Raises LeaseLost."""
    leases.change(ScoreKeeper.rows(), leased, {"$inc": {"turns": 1}})


def _take_in(leased: Row, settings: ScoringSettings) -> bool:
    news = histories.waiting_news()

    def once() -> None:
        _prove(leased)
        histories.take_in(news, abroad=settings.day_rates_url is not None)

    if news:
        docstore.in_transaction(once)
    return bool(news)


@dataclass(frozen=True)
class _Wave:
    """Some customers to score anew, by what was true a moment ago.

    asked: the due rows. members: of each profile, by the customer that stands for it. origin, risk_origin: of what is
    told; None where no job has left anything to tell it by. scores: of those who get some. risks: None of whom they are
    to be taken from. unknown: customers whose history cannot be told here. untold: profiles with too many purchases to
    know what refunds leave of them. histories: those that can be told, with what has come of age. stored: as they are
    stored.
    """

    asked: list[Row]
    members: Mapping[str, list[str]]
    decided: Mapping[str, Decision]
    origin: Origin | None
    risk_origin: RiskOrigin | None
    scores: Mapping[str, Row]
    risks: Mapping[str, Row | None]
    again: datetime | None
    unknown: set[str]
    untold: Collection[str]
    histories: Mapping[str, History]
    stored: Mapping[str, History]


def _rescore(leased: Row, settings: ScoringSettings, blobs: BlobStore) -> bool:
    now = docstore.whole_milliseconds(clock.now())
    asked = histories.due(now, AT_ONCE)
    if not asked:
        return False
    scorer, risk_scorer = Scorer.current(), RiskScorer.current()
    home = scorer or risk_scorer
    awaited = () if scorer else (LIFETIME_VALUE,) if risk_scorer else (LIFETIME_VALUE, CHURN)
    if awaited and histories.first_job_at_work(*awaited):
        return False
    if home is None:
        PurchaseHistory.rows().delete_many({"uid": {"$in": [row["uid"] for row in asked]}})
        return True
    members = dict(aliases.profiles(row["customer"] for row in asked).values())
    decided = decisions.decide(settings, sorted(members))
    refused = {name for name in members if not decided[name].allowed} | objecting(members)
    wanted = {name: group for name, group in members.items() if name not in refused}
    currency = home["currency"]
    known, unknown = _known(leased, wanted, currency, blobs, now)
    grown = {name: history.add((), histories.milliseconds(now)) for name, history in known.items()}
    whole = {
        name: reduce(History.joined, (grown[member] for member in group))
        for name, group in wanted.items()
        if unknown.isdisjoint(group)
    }

    def rates(scorer: Row) -> Convert:
        return current_rates.to(scorer["currency"], settings.day_rates_url, currency)

    risks = online_scores.risks(whole, risk_scorer, rates(risk_scorer), now, decided, blobs) if risk_scorer else {}
    wave = _Wave(
        asked=asked,
        members=members,
        decided=decided,
        origin=score_rows.origin(scorer, now) if scorer else None,
        risk_origin=risk_rows.origin(risk_scorer, now) if risk_scorer else None,
        scores=online_scores.scores(whole, scorer, rates(scorer), now, decided) if scorer else {},
        risks=risks or {},
        again=now + timedelta(seconds=_FAILED_S) if risks is None else None,
        unknown=unknown,
        untold={name for name, history in whole.items() if not history.can_be_told} if scorer else (),
        histories=grown,
        stored=known,
    )
    docstore.in_transaction(lambda: _store(leased, wave))
    return True


def _known(
    leased: Row, wanted: Mapping[str, list[str]], currency: str, blobs: BlobStore, now: datetime
) -> tuple[dict[str, History], set[str]]:
    """The histories of the members of these profiles, and those of whom none can be told."""
    names = {name for group in wanted.values() for name in group}

    def once() -> set[str]:
        _prove(leased)
        rows = PurchaseHistory.rows().find({"uid": {"$in": list(map(uid_of, names))}, "known": True}, _NAMED)
        missing = names - {row["customer"] for row in rows if histories.is_known(row, currency)}
        if not missing:
            return set()
        # Nothing is kept anew of who objected, or was erased, since consent was asked.
        gone = tombstones.erased(missing).union(*(wanted[name] for name in objecting(wanted)))
        return missing - histories.load(missing - gone, currency, blobs, now)

    unknown = docstore.in_transaction(once)
    rows = PurchaseHistory.rows().find({"uid": {"$in": list(map(uid_of, names))}, "known": True})
    return {row["customer"]: History.of_row(row) for row in rows if row["customer"] not in unknown}, unknown


_NAMED = dict.fromkeys(("customer", "known", "currency", "form"), 1)


def _store(leased: Row, wave: _Wave) -> None:
    """Stores and tells the scores of those who are still as they were. Raises Unavailable, LeaseLost."""
    _prove(leased)
    if any(clock.real_now() >= decision.good_until for decision in wave.decided.values() if decision.allowed):
        raise Unavailable("DECISIONS_TOO_OLD", "Decisions of consent are too old to act on; asked again.")
    if not (_is_still(Scorer, wave.origin) and _is_still(RiskScorer, wave.risk_origin)):
        return
    profiles = dict(aliases.profiles(row["customer"] for row in wave.asked).values())
    same = {name for name, members in wave.members.items() if sorted(profiles.get(name, ())) == sorted(members)}
    people = {member for name in same for member in wave.members[name]}
    erased = tombstones.erased(people)
    refused = {name for name in same if not wave.decided[name].allowed} | objecting(same)
    fit = {name for name in same - refused if erased.isdisjoint(wave.members[name])}
    if wave.origin:
        score_rows.put_online({name: wave.scores[name] for name in fit & wave.scores.keys()}, wave.origin)
        histories.leave_values_to_jobs(fit.intersection(wave.untold))
    if wave.risk_origin:
        risk_rows.put_online({name: wave.risks[name] for name in fit & wave.risks.keys()}, wave.risk_origin)
        histories.leave_risks_to_jobs(fit - wave.risks.keys())
    memberships.remove(list(map(uid_of, refused)), Cause.CAUSE_SCORES_REMOVED)
    histories.leave_to_jobs([name for name in same - refused if not wave.unknown.isdisjoint(wave.members[name])])
    _settle(wave, people - erased)
    store.forget(erased.union(*(wave.members[name] for name in refused)))


def _is_still(cls: type[Scorer] | type[RiskScorer], origin: Origin | RiskOrigin | None) -> bool:
    """Whether what the last job left is what was scored with."""
    left = cls.rows().find_one({"uid": CURRENT}, {"job": 1, "model": 1})
    return (left and (left["job"], left["model"])) == (origin and (origin.job, origin.model))


def _settle(wave: _Wave, people: Collection[str]) -> None:
    """They have been looked at: until they buy again, or what they bought ahead of time comes of age."""
    calls = {row["customer"]: row["asked"] for row in wave.asked}
    operations = []
    for name in people:
        history = wave.histories.get(name, History())
        if name not in calls and not history.later:
            continue
        held = {"uid": uid_of(name), **({"asked": calls[name]} if name in calls else {})}
        changes = history.to_row() if name in wave.stored and history != wave.stored[name] else {}
        dues = [histories.instant(later.time) for later in history.later[:1]]
        if wave.again and name in calls:
            dues.append(wave.again)
        if dues:
            changes["due"] = min(dues)
        update: Row = {"$set": changes} if changes else {}
        if not dues:
            update["$unset"] = {"due": "", "bought": ""}
        operations.append(UpdateOne(held, update))
    PurchaseHistory.rows().bulk_write(operations)
