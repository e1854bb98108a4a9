"""Scores leads with the champion: new ones at once, all open ones after another model became champion.

For role `run`. Whose customer is known is scored only under a decision of consent that is still good when the score is
stored. Others are scored as a step at their own request (GDPR article 6(1)(b)), from the facts of the request alone.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pymongo.errors
from pymongo import UpdateOne
from rapport.scoring.v1 import events_pb2

import docstore
from chassis import clock, metric_names, telemetry, tenancy
from chassis.errors import FailedPrecondition, Unavailable
from docstore import Row, aliases, due, leases
from docstore.blobs import BlobStore
from eventing import tombstones
from scoring import decisions, messages
from scoring.decisions import Decision
from scoring.domain import gates
from scoring.settings import ScoringSettings
from scoring.store import Lead, LeadScan, Model
from scoring.store.leads import SCAN
from scoring.store.models import LEAD_CONVERSION
from scoring.store.objections import objecting
from scoring.store.scores import tell
from scoring.usecases import loaded_models
from scoring.usecases.leads import tell_removed

if TYPE_CHECKING:
    from scoring.models.lead_conversion import Told
    from scoring.models.propensity import Propensity

AT_ONCE = 200
LEASE_S = 60.0
_SCANS = 4
_AGAIN_S = 1.0
_FAILED_S = 60.0
"""When leads are looked at again whose scoring failed, as by a model that cannot be read."""
_SILENT = timedelta(seconds=2)
"""When leads of known customers are looked at again while consent does not answer."""
_PURPOSELESS = timedelta(minutes=10)
"""The same while there is no purpose to ask consent about."""
_COUNTED_MOST = 10_000
_BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
_READ = ("uid", "customer", "facts", "changes", "open", "score.probability", "score.model")

logger = logging.getLogger(__name__)


def warm_up() -> None:
    """Loads what scoring needs where some tenant has a champion: the first lead must not wait for it."""
    with docstore.platform_scope():
        champion = {"state": gates.CHAMPION, "kind": LEAD_CONVERSION}
        wanted = docstore.platform_collection(Model).find_one(champion, {"_id": 1}, hint="champions")
    if wanted is not None:
        from scoring.models import lead_conversion  # noqa: F401


def score_waiting(settings: ScoringSettings, blobs: BlobStore) -> int:
    """Scores leads that are due, of all tenants; then some of those that another champion is to score.

    Returns how many it looked at. New ones do not wait behind a whole tenant's.
    """
    return score_due(settings, blobs) or scan(settings, blobs)


def score_due(settings: ScoringSettings, blobs: BlobStore) -> int:
    """Scores up to 200 leads that are due."""

    def score(rows: list[Row]) -> None:
        try:
            _score(settings, blobs, rows)
        except Unavailable as error:
            logger.warning("%d leads wait: %s", len(rows), error.reason)
            due.hand_back(Lead, rows, _AGAIN_S)
        except pymongo.errors.PyMongoError:
            raise
        except Exception:
            # The leads of other tenants must not wait for these, whatever is the matter with their model.
            logger.exception("%d leads of one tenant could not be scored", len(rows))
            due.hand_back(Lead, rows, _FAILED_S)

    return due.work_by_tenant(Lead, AT_ONCE, LEASE_S, settings.instance, "scoreLeads", score)


def scan(settings: ScoringSettings, blobs: BlobStore) -> int:
    """Takes scans of tenants one step on, of 200 leads each; returns how many leads it looked at."""
    count = 0
    for tenant, scans in due.claim(LeadScan, _SCANS, LEASE_S, settings.instance):
        with tenancy.service_context(tenant, method="scanLeads"):
            for leased in scans:
                count += _step(settings, blobs, leased)
    return count


def scanned() -> tuple[bool, int, str]:
    """Whether the current tenant's leads are all scored by its champion, how many, and which was looked at last."""
    row = LeadScan.rows().find_one({"uid": SCAN}, {"due": 1, "scored": 1, "after": 1})
    return (True, 0, "") if row is None else (row.get("due") is None, row.get("scored", 0), row["after"])


def waiting() -> int:
    """How many leads of all tenants wait for a score, 10,000 at most; for metrics."""
    with docstore.platform_scope():
        return docstore.platform_collection(Lead).count_documents({"due": {"$gt": _BEGIN}}, limit=_COUNTED_MOST)


def _step(settings: ScoringSettings, blobs: BlobStore, leased: Row) -> int:
    after = {"_id": {"$gt": Lead.key(leased["after"])}} if leased["after"] else {}
    rows = list(Lead.rows().find({"open": True, **after}, dict.fromkeys(_READ, 1), sort=[("_id", 1)], limit=AT_ONCE))
    try:
        scored = _score(settings, blobs, rows)
    except Unavailable as error:
        logger.warning("leads of a tenant wait: %s", error.reason)
        due.hand_back(LeadScan, [leased], _AGAIN_S)
        return 0
    except pymongo.errors.PyMongoError:
        raise
    except Exception:
        logger.exception("all leads of one tenant could not be scored")
        due.hand_back(LeadScan, [leased], _FAILED_S)
        return 0
    more = len(rows) == AT_ONCE
    changes = {"after": rows[-1]["uid"] if rows else leased["after"], "scored": leased["scored"] + scored}
    # A call that came meanwhile has begun anew.
    held = {**leases.held(leased), "calls": leased["calls"]}
    update: Row = {"$set": changes, "$unset": {"lease": ""}}
    if not more:
        update["$unset"]["due"] = ""
    if LeadScan.rows().update_one(held, update).matched_count == 0:
        leases.release(LeadScan.rows(), leased)
    return len(rows) or 1


@dataclass(frozen=True)
class _Judged:
    """What becomes of some leads: canonical customers and consent's decisions by these.

    later: uids of leads nothing was decided about yet, to be looked at again after `pause`.
    """

    canonicals: Mapping[str, str]
    decided: Mapping[str, Decision]
    later: frozenset[str] = frozenset()
    pause: timedelta = _SILENT

    def decision(self, row: Row) -> Decision | None:
        """The decision about the lead's customer; None where none is known."""
        return self.decided[self.canonicals[row["customer"]]] if row.get("customer") else None


def _score(settings: ScoringSettings, blobs: BlobStore, rows: Sequence[Row]) -> int:
    """Scores leads of the current tenant; returns how many. Raises Unavailable when decisions are too old by then."""
    champion = Model.in_state(gates.CHAMPION, LEAD_CONVERSION)
    if champion is None:
        _settle(rows)
        return 0
    judged = _judged(settings, rows)
    asked = [row for row in rows if row["uid"] not in judged.later]
    found = told(loaded_models.load(champion, blobs), asked) if asked else []
    now = docstore.whole_milliseconds(clock.now())
    scores = {
        row["uid"]: _values(champion, each, judged.decision(row), now) for row, each in zip(asked, found, strict=True)
    }
    late = [row for row in rows if row["uid"] in judged.later]
    scored, refused = docstore.in_transaction(lambda: _store(asked, late, scores, judged, now))
    for outcome, number in (("scored", scored), ("refused", refused), ("later", len(late))):
        if number:
            telemetry.counter(metric_names.SCORING_LEADS).add(number, {"rapport.scoring.outcome": outcome})
    return scored


def told(model: "Propensity", rows: Sequence[Row]) -> "list[Told]":
    """What the model tells of rows with `facts`."""
    from scoring.models import lead_conversion

    return lead_conversion.tell(model, [row["facts"] for row in rows])


def _judged(settings: ScoringSettings, rows: Sequence[Row]) -> _Judged:
    canonicals = aliases.resolve({row["customer"] for row in rows if row.get("customer")})
    if not canonicals:
        return _Judged({}, {})
    try:
        return _Judged(canonicals, decisions.decide(settings, sorted(set(canonicals.values()))))
    except (FailedPrecondition, Unavailable) as error:
        # Whoever names no customer does not wait for consent.
        logger.warning("leads of known customers wait: %s", error.reason)
        later = frozenset(row["uid"] for row in rows if row.get("customer"))
        return _Judged(canonicals, {}, later, _SILENT if isinstance(error, Unavailable) else _PURPOSELESS)


def _settle(rows: Sequence[Row]) -> None:
    """Nothing scores: the points stand."""
    Lead.rows().bulk_write(
        UpdateOne({"uid": row["uid"], "changes": row["changes"]}, {"$unset": {"due": "", "lease": ""}}) for row in rows
    )


def _store(
    asked: Sequence[Row], late: Sequence[Row], scores: Mapping[str, Row], judged: _Judged, now: datetime
) -> tuple[int, int]:
    """Stores and tells the scores of those leads that are still what was scored.

    Returns how many have a score, and how many may have none.
    """
    if any(clock.real_now() >= decision.good_until for decision in judged.decided.values() if decision.allowed):
        raise Unavailable("DECISIONS_TOO_OLD", "Decisions of consent are too old to act on; asked again.")
    open_ones = {"uid": {"$in": [row["uid"] for row in asked]}, "open": True}
    changes = {row["uid"]: row["changes"] for row in Lead.rows().find(open_ones, {"uid": 1, "changes": 1})}
    there = {row["uid"] for row in asked if changes.get(row["uid"]) == row["changes"]}
    # Somebody scored them meanwhile, perhaps with the champion of before.
    again = changes.keys() - there
    names = {judged.canonicals[row["customer"]] for row in asked if row.get("customer")}
    refused = {name for name in names if not judged.decided[name].allowed} | objecting(names)
    refused |= tombstones.erased(names)
    allowed, denied, writes = [], [], []
    for row in asked:
        if row["uid"] not in there:
            continue
        if row.get("customer") and judged.canonicals[row["customer"]] in refused:
            denied.append(row)
            writes.append(_write(row, {"score": ""}, {}))
        else:
            allowed.append(row)
            writes.append(_write(row, {}, {"score": scores[row["uid"]]}))
    writes += [_write(row, {}, {"due": now + judged.pause}) for row in late]
    writes += [UpdateOne({"uid": uid}, {"$set": {"due": now}, "$unset": {"lease": ""}}) for uid in again]
    Lead.rows().bulk_write(writes)
    lost = [row for row in denied if row.get("score")]
    if lost:
        tell_removed(lost)
    if allowed:
        told = (messages.lead_score({**row, "score": scores[row["uid"]]}, {}) for row in allowed)
        event = events_pb2.LeadsScored(scores=map(messages.lead_score_state, told))
        event.change_time.FromDatetime(now)
        tell([(event, {row["customer"] for row in allowed if row.get("customer")})])
    return len(allowed), len(denied)


def _write(row: Row, unset: Row, changes: Row) -> UpdateOne:
    gone = {"lease": "", **({} if "due" in changes else {"due": ""}), **unset}
    update: Row = {"$unset": gone, "$inc": {"changes": 1}}
    if changes:
        update["$set"] = changes
    return UpdateOne({"uid": row["uid"], "changes": row["changes"]}, update)


def values(told: "Told") -> Row:
    """What is stored of what a model tells."""
    return {
        "probability": told.probability,
        "low": told.low,
        "high": told.high,
        "percentile": told.percentile,
        "reasons": [{"fact": fact, "points": points, "text": text} for fact, points, text in told.reasons],
    }


def _values(champion: Model, told: "Told", decision: Decision | None, now: datetime) -> Row:
    return {
        **values(told),
        "model": champion.uid,
        "model_time": champion.as_of,
        **({"decision": decision.name} if decision else {}),
        "score_time": now,
    }
