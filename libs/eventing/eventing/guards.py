"""Whether a handler still has an event to handle: asked and noted in one write, in the handler's own transaction.

FACT events leave a row per event id and handler. STATE events share one row per subject and state with the highest
sequence seen; it also names the handlers that have handled that very sequence, so that a service may have several
handlers of one type, and a retry runs only the unfinished ones.
"""

import docstore
from chassis import clock
from eventing.envelope import Envelope
from eventing.records import HandledEvent, StateGuard
from eventing.subscribe import Subscription


def take(subscription: Subscription, envelope: Envelope) -> bool:
    """Takes the guard inside the handler's transaction; False when the handler has nothing to do."""
    if subscription.state_of and not subscription.history:
        return _advance_state(subscription, envelope)
    # A version that is republished has another event id: for a history the state's version is the identity.
    event = (
        f"{subscription.state_of}/{envelope.subject}/{envelope.sequence[0]}" if subscription.history else envelope.id
    )
    noted = docstore.collection(HandledEvent).update_one(
        {"uid": f"{event}/{subscription.method}"}, {"$setOnInsert": {"handle_time": clock.real_now()}}, upsert=True
    )
    return noted.upserted_id is not None


def _advance_state(subscription: Subscription, envelope: Envelope) -> bool:
    mine, method = list(envelope.sequence), subscription.method
    newer = {"$gt": [mine, {"$ifNull": ["$sequence", []]}]}
    also = {"$cond": [{"$eq": [mine, "$sequence"]}, {"$setUnion": ["$handlers", [method]]}, "$handlers"]}
    before = docstore.collection(StateGuard).find_one_and_update(
        {"uid": f"{subscription.state_of}/{envelope.subject}"},
        [
            {
                "$set": {
                    "sequence": {"$cond": [newer, mine, "$sequence"]},
                    "handlers": {"$cond": [newer, [method], also]},
                }
            }
        ],
        upsert=True,
        after=False,
    )
    if before is None:
        return True
    highest = tuple(before["sequence"])
    return envelope.sequence > highest or (envelope.sequence == highest and method not in before["handlers"])
