"""Addresses nothing is sent to."""

from google.protobuf.empty_pb2 import Empty

import docstore
from campaigns.store import Suppression
from campaigns.store.suppressions import fingerprint


@docstore.command(Suppression)
def create(email: str, reason: str) -> Suppression:
    """Stops messages to an address. Raises AlreadyExists when they are."""
    return Suppression.new(uid=fingerprint(email), reason=reason).insert()


@docstore.command(None, replay=Empty.FromString)
def delete(uid: str, etag: str) -> Empty:
    """Lets messages to an address out again. Raises NotFound, Aborted ETAG_MISMATCH."""
    Suppression.get(uid).purge(etag or None)
    return Empty()
