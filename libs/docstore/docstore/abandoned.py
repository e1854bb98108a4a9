"""Transactions of dead processes.

MongoDB keeps the locks of a transaction whose process was killed until `transactionLifetimeLimitSeconds` (60) are
over; meanwhile everybody else's changes of the same documents conflict. Whoever meets such a conflict ends them.
"""

import logging

import pymongo.errors

from docstore.connection import client
from docstore.scope import platform_scope

logger = logging.getLogger(__name__)

IDLE_S = 3.0
"""A transaction that has done nothing for so long is abandoned. Should its process live, it simply tries again."""


def abort_abandoned(idle_s: float = IDLE_S) -> int:
    """Abort this service's transactions that have been idle for `idle_s` seconds; returns how many.

    Needs no privileges beyond the service's own: a user sees and ends its own sessions.
    """
    own = (client().options.pool_options.appname or "").rpartition("-")[0]
    waiting = {"type": "idleSession", "transaction.timeInactiveMicros": {"$gte": int(idle_s * 1_000_000)}}
    admin = client().admin
    try:
        with platform_scope():
            found = admin.aggregate([{"$currentOp": {"allUsers": False, "idleSessions": True}}, {"$match": waiting}])
            # The prefix rpartition leaves is `rapport-<service>`; roles of one service share it.
            left = [{"id": op["lsid"]["id"]} for op in found if str(op.get("appName", "")).rpartition("-")[0] == own]
        if left:
            admin.command("killSessions", left, codec_options=client().codec_options)
            logger.warning("aborted %d abandoned transactions", len(left))
        return len(left)
    except pymongo.errors.OperationFailure as error:
        logger.warning("abandoned transactions stay until they time out: code %s", error.code)
        return 0
