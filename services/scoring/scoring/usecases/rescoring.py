"""Scores customers anew within seconds of what they buy, by the models and scales the last job left; for role `run`.

One process at a time does so for a tenant, by a lease that every transaction proves. What it stores equals what a job
with the same models and scales would tell of these customers at the same instant: it is the same computation, on the
same sums. An older score never takes the place of a newer one: `as_of` decides.
"""

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce

import pymongo.errors
from pymongo import UpdateOne

import docstore
from chassis import clock, ids, tenancy
from chassis.errors import FailedPrecondition, RapportError, Unavailable
from docstore import Row, aliases, leases
from docstore.blobs import BlobStore
from eventing import tombstones
from scoring import decisions
from scoring.decisions import Decision
from scoring.domain.histories import DAY_MS, History
from scoring.settings import ScoringSettings
from scoring.store import PurchaseHistory, PurchaseNews, Score, ScoreKeeper, Scorer
from scoring.store import histories as store
from scoring.store.histories import CURRENT
from scoring.store.objections import objecting
from scoring.usecases import current_rates, histories, memberships, score_rows
from scoring.usecases.memberships import Cause
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
"""The same after anything else went wrong, such as a file that cannot be read."""

logger = logging.getLogger(__name__)


class LeaseLost(Exception):  # noqa: N818 - reads as what is the matter
    """Somebody else scores this tenant's customers now; nothing was changed."""


def warm_up() -> None:
    """Loads what scoring needs where some tenant has scores: the first purchase must not wait for it."""
    with docstore.platform_scope():
        wanted = docstore.platform_collection(Scorer).find_one({}, {"_id": 1})
    if wanted is not None:
        import pyarrow.parquet  # noqa: F401

        import scoring.models.artefact
        import scoring.models.scorecard  # noqa: F401


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
    except LeaseLost:
        logger.warning("another process took over a tenant's scores")
        return False
    except (FailedPrecondition, Unavailable) as error:
        logger.warning("customers who bought wait: %s", error.reason)
        pause_s = _SILENT_S if isinstance(error, Unavailable) else _PURPOSELESS_S
        return True
    except (pymongo.errors.PyMongoError, RapportError):
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
    if ScoreKeeper.rows().update_one(leases.held(leased), {"$inc": {"turns": 1}}).matched_count != 1:
        raise LeaseLost


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

    asked: the due rows. members: of each profile, by the customer that stands for it. scores: of those who get some.
    unknown: customers whose history cannot be told here. histories: the others', with what has come of age. stored:
    as they are stored.
    """

    asked: list[Row]
    members: Mapping[str, list[str]]
    decided: Mapping[str, Decision]
    origin: Origin
    scores: Mapping[str, Row]
    unknown: set[str]
    histories: Mapping[str, History]
    stored: Mapping[str, History]


def _rescore(leased: Row, settings: ScoringSettings, blobs: BlobStore) -> bool:
    now = docstore.whole_milliseconds(clock.now())
    due = {"due": {"$lte": now}}
    asked = list(
        PurchaseHistory.rows().find(due, {"customer": 1, "uid": 1, "asked": 1}, sort=[("due", 1)], limit=AT_ONCE)
    )
    if not asked:
        return False
    scorer = Scorer.current()
    if scorer is None:
        if histories.first_job_at_work():
            return False
        PurchaseHistory.rows().delete_many({"uid": {"$in": [row["uid"] for row in asked]}})
        return True
    members = dict(aliases.profiles(row["customer"] for row in asked).values())
    decided = decisions.decide(settings, sorted(members))
    refused = {name for name in members if not decided[name].allowed} | objecting(members)
    wanted = {name: group for name, group in members.items() if name not in refused}
    known, unknown = _known(leased, wanted, scorer, blobs, now)
    grown = {name: history.add((), histories.milliseconds(now)) for name, history in known.items()}
    rates = current_rates.to(scorer["currency"], settings.day_rates_url)
    whole = {
        name: reduce(History.joined, (grown[member] for member in group)).converted(rates)
        for name, group in wanted.items()
        if unknown.isdisjoint(group)
    }
    wave = _Wave(
        asked=asked,
        members=members,
        decided=decided,
        origin=score_rows.origin(scorer, now),
        scores=_computed({name: history for name, history in whole.items() if history.days}, scorer, now, decided),
        unknown=unknown,
        histories=grown,
        stored=known,
    )
    docstore.in_transaction(lambda: _store(leased, wave))
    return True


def _known(
    leased: Row, wanted: Mapping[str, list[str]], scorer: Row, blobs: BlobStore, now: datetime
) -> tuple[dict[str, History], set[str]]:
    """The histories of the members of these profiles, and those of whom none can be told."""
    names = {name for group in wanted.values() for name in group}

    def once() -> set[str]:
        _prove(leased)
        rows = PurchaseHistory.rows().find({"uid": {"$in": list(map(uid_of, names))}, "known": True}, _NAMED)
        missing = names - {row["customer"] for row in rows if histories.is_known(row, scorer["currency"])}
        if not missing:
            return set()
        # Nothing is kept anew of who objected, or was erased, since consent was asked.
        gone = tombstones.erased(missing).union(*(wanted[name] for name in objecting(wanted)))
        return missing - histories.load(missing - gone, scorer["currency"], blobs, now)

    unknown = docstore.in_transaction(once)
    rows = PurchaseHistory.rows().find({"uid": {"$in": list(map(uid_of, names))}, "known": True})
    return {row["customer"]: History.of_row(row) for row in rows if row["customer"] not in unknown}, unknown


_NAMED = dict.fromkeys(("customer", "known", "currency", "form"), 1)


def _computed(
    whole: Mapping[str, History], scorer: Row, now: datetime, decided: Mapping[str, Decision]
) -> dict[str, Row]:
    """The scores of these customers, by the very functions of the job program."""
    if not whole:
        return {}
    import numpy as np

    from scoring.models import artefact, scorecard

    basis = scorecard.restored(artefact.load(scorer["choice"]), scorer["scales"])
    columns = [history.columns for history in whole.values()]
    of = {name: np.array([each[name] for each in columns], dtype=np.int64) for name in scorecard.COLUMNS}
    rows = scorecard.rows(list(whole), of, basis, histories.milliseconds(now) // DAY_MS)
    origin = score_rows.origin(scorer, now)
    return {row["customer"]: score_rows.values(row, origin, decided[row["customer"]].name) for row in rows}


def _store(leased: Row, wave: _Wave) -> None:
    """Stores and tells the scores of those who are still as they were. Raises Unavailable, LeaseLost."""
    _prove(leased)
    if any(clock.real_now() >= decision.good_until for decision in wave.decided.values() if decision.allowed):
        raise Unavailable("DECISIONS_TOO_OLD", "Decisions of consent are too old to act on; asked again.")
    scorer = Scorer.rows().find_one({"uid": CURRENT}, {"job": 1, "model": 1})
    if scorer is None or (scorer["job"], scorer["model"]) != (wave.origin.job, wave.origin.model):
        return
    profiles = dict(aliases.profiles(row["customer"] for row in wave.asked).values())
    same = {name for name, members in wave.members.items() if sorted(profiles.get(name, ())) == sorted(members)}
    people = {member for name in same for member in wave.members[name]}
    erased = tombstones.erased(people)
    refused = {name for name in same if not wave.decided[name].allowed} | objecting(same)
    uids = [uid_of(name) for name in same & wave.scores.keys()]
    later = {"uid": {"$in": uids}, "as_of": {"$gt": wave.origin.as_of}}
    newer = {row["customer"] for row in Score.rows().find(later, {"customer": 1})}
    score_rows.put(
        [
            scores
            for name, scores in wave.scores.items()
            if name in same - refused - newer and erased.isdisjoint(wave.members[name])
        ],
        wave.origin,
    )
    memberships.remove(list(map(uid_of, refused)), Cause.CAUSE_SCORES_REMOVED)
    histories.leave_to_jobs([name for name in same - refused if not wave.unknown.isdisjoint(wave.members[name])])
    _settle(wave, people - erased)
    store.forget(erased.union(*(wave.members[name] for name in refused)))


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
        if history.later:
            changes["due"] = histories.instant(history.later[0].time)
        update: Row = {"$set": changes} if changes else {}
        if not history.later:
            update["$unset"] = {"due": ""}
        operations.append(UpdateOne(held, update))
    PurchaseHistory.rows().bulk_write(operations)
