"""Alerts about payments: listed, and resolved by people."""

from rapport.scoring.v1 import fraud_alert_pb2
from rapport.scoring.v1 import scoring_service_pb2 as pb

import docstore
from chassis import clock, context
from chassis import inputs as fields
from docstore import aliases, filters, paging
from docstore.filters import FilterField
from scoring.store import FraudAlert, PaymentFeatures
from scoring.store.fraud import CONFIRMED, DISMISSED

_State = fraud_alert_pb2.FraudAlert.State
_OUTCOMES = {_State.STATE_CONFIRMED: CONFIRMED, _State.STATE_DISMISSED: DISMISSED}
_FIELDS = {
    "state": FilterField("enum", values=_State.keys()[1:], convert=lambda state: state.removeprefix("STATE_")),
    "customer": FilterField("string"),
}


def listed(request: pb.ListFraudAlertsRequest) -> tuple[list[FraudAlert], str]:
    """A page of alerts, the newest first, and the next token. Raises InvalidArgument."""
    wanted = aliases.of_whole_profile(filters.parse(request.filter, _FIELDS))
    bind = {"filter": request.filter}
    return paging.page(FraudAlert, filter=wanted, order=[("create_time", -1)], request=request, bind=bind)


@docstore.command(None)
def resolve(uid: str, etag: str, outcome: fraud_alert_pb2.FraudAlert.State) -> FraudAlert:
    """Says whether it was fraud, or corrects that. Raises NotFound, Aborted ETAG_MISMATCH, InvalidArgument."""
    if outcome not in _OUTCOMES:
        raise fields.refusal("INVALID_OUTCOME", "outcome", "Say STATE_CONFIRMED or STATE_DISMISSED.")
    alert: FraudAlert = FraudAlert.get(uid)
    alert.check_etag(etag or None)
    if alert.state == _OUTCOMES[outcome]:
        return alert
    alert.state = _OUTCOMES[outcome]
    alert.resolve_time, alert.resolver = clock.now(), context.current().principal
    # What was fraud is nothing to learn honest payments from.
    learned = {"$set": {"fraud": True}} if alert.state == CONFIRMED else {"$unset": {"fraud": ""}}
    PaymentFeatures.rows().update_one({"uid": uid}, learned)
    return alert.save(etag or None)
