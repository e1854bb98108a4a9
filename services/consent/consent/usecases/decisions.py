"""May we? Each answer is stored before it is given, and is good for five seconds."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from rapport.consent.v1 import consent_service_pb2

import docstore
from chassis import clock, context, ids, metric_names, telemetry
from chassis.inputs import uid
from consent.domain.decisions import ERASED, decide
from consent.store import Decision, Purpose
from consent.store.consents import statements
from docstore import Row
from docstore.aliases import profiles
from docstore.documents import whole_milliseconds
from eventing import tombstones

GOOD_FOR = timedelta(seconds=5)
"""How long an ALLOWED may be acted on."""

DecisionIds = consent_service_pb2.BatchDecideConsentResponse
"""Decisions by name only: what a repeated request is answered from."""


def decide_for(customers: Sequence[str], purpose: str, channel: str) -> list[Row]:
    """Decides for each customer (resource names), in order, and stores the decisions; six queries in all.

    Raises NotFound for an unknown purpose. A repeat of the request returns the decisions given then.
    """
    if not context.current().request_id:
        # Nothing can be repeated, and one insert of independent rows needs no transaction.
        return _decide(customers, purpose, channel)
    names = [item.name for item in _decide_once(customers, purpose, channel).decisions]
    found = {row["uid"]: row for row in Decision.rows().find({"uid": {"$in": [uid(name) for name in names]}})}
    return [found[uid(name)] for name in names]


@docstore.command(None, replay=DecisionIds.FromString)
def _decide_once(customers: Sequence[str], purpose: str, channel: str) -> DecisionIds:
    answer = DecisionIds()
    for row in _decide(customers, purpose, channel):
        answer.decisions.add(name=f"decisions/{row['uid']}")
    return answer


def _decide(customers: Sequence[str], purpose: str, channel: str) -> list[Row]:
    terms = Purpose.get(uid(purpose)).terms()
    of = profiles(customers)
    said = statements({member for _, members in of.values() for member in members}, purpose, channel)
    gone = tombstones.erased({*customers, *(canonical for canonical, _ in of.values())})
    actor = context.current().principal
    # Good for acting by the real clock, as all deadlines are.
    now = whole_milliseconds(clock.real_now())
    rows: list[Row] = []
    for customer in customers:
        canonical, members = of[customer]
        verdict = (
            ERASED
            if gone and not gone.isdisjoint((customer, canonical))
            else decide(terms, channel, [each for member in members for each in said.get(member, ())])
        )
        rows.append(
            {
                "uid": ids.uuid7(),
                "customer": customer,
                "canonical": canonical,
                "purpose": purpose,
                "channel": channel,
                "allowed": verdict.allowed,
                "reasons": [verdict.reason.value],
                "records": list(verdict.records),
                "actor": actor,
                "create_time": now,
                "expire_time": now + GOOD_FOR,
            }
        )
    Decision.rows().insert_many(rows, ordered=False)
    _count(rows)
    return rows


def _count(rows: Sequence[Row]) -> None:
    counter = telemetry.counter(metric_names.CONSENT_DECISIONS)
    for (allowed, reason), number in Counter((row["allowed"], row["reasons"][0]) for row in rows).items():
        outcome = "allowed" if allowed else "refused"
        counter.add(number, {"rapport.consent.outcome": outcome, "rapport.consent.reason": reason})
