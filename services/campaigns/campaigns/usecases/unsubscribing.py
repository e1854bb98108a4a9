"""Tells consent who unsubscribed, until it has answered."""

import logging

from campaigns import consenting
from campaigns.consenting import ConsentAway, PurposeUnknown
from campaigns.settings import CampaignsSettings
from campaigns.store import Unsubscribe
from chassis import clock
from docstore import Row, due, tracing

BATCH = 25
LEASE_S = 60.0
_PAUSE_S = 2.0

logger = logging.getLogger(__name__)


def tell_consent(settings: CampaignsSettings) -> int:
    """Tells consent the requests of all tenants that are due; returns how many it looked at."""

    def tell(row: Row) -> None:
        with tracing.continued(row.get("traceparent"), "tell consent"):
            _tell(settings, row)

    return due.work(Unsubscribe, BATCH, LEASE_S, settings.instance, "unsubscribe", tell)


def _tell(settings: CampaignsSettings, row: Row) -> None:
    try:
        origin = f"List-Unsubscribe of messages/{row['uid']}"
        consenting.withdraw(settings, row["customer"], row["purpose"], origin, row["request_id"])
    except ConsentAway as error:
        logger.warning("consent does not take a withdrawal (%s): it is told again", error.code)
        due.hand_back(Unsubscribe, [row], _PAUSE_S)
        return
    except PurposeUnknown:
        logger.warning("the purpose of a withdrawal is gone: there is nothing left to take back")
    Unsubscribe.rows().bulk_write([due.plan(row, {"acknowledge_time": clock.real_now()}, None)])
