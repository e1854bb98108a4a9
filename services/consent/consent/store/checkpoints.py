"""Signed checkpoints of each tenant's chain, kept in the blob store: out of reach of whoever can write the database.

Every checkpoint is one JSON file: `statement` (the signed text), `key_id` and `signature` (base64, Ed25519).
`latest.json` is the last one; the others stay, named by their sequence.
"""

import base64
import json

from chassis import keys
from chassis.errors import NotFound
from chassis.keys import InvalidToken, Signer
from consent.domain.chain import Checkpoint
from docstore.blobs import BlobStore

SUBJECT = "consentCheckpoints"
LATEST = "latest.json"
_SIGNER_USE = "consent-checkpoint"


class BadCheckpoint(Exception):  # noqa: N818 - reads as what is the matter
    """The stored checkpoint is not one of ours: damaged, forged, or another tenant's."""


def signer(key_id: str | None = None) -> Signer:
    """The key that signs checkpoints, or the one an older checkpoint names."""
    return keys.keyring().signer(_SIGNER_USE, key_id)


def put(blobs: BlobStore, checkpoint: Checkpoint) -> None:
    """Signs and stores a checkpoint; it becomes the latest."""
    signing = signer()
    statement = checkpoint.statement()
    file = json.dumps(
        {
            "statement": statement.decode(),
            "key_id": signing.key_id,
            "signature": base64.b64encode(signing.sign(statement)).decode(),
        },
        indent=1,
    ).encode()
    blobs.put(SUBJECT, f"{checkpoint.sequence:015d}.json", file)
    blobs.put(SUBJECT, LATEST, file)


def latest(blobs: BlobStore, tenant: str) -> tuple[Checkpoint, Signer] | None:
    """The last checkpoint of a tenant and the key that signed it; None before the first. Raises BadCheckpoint."""
    try:
        file = blobs.get(SUBJECT, LATEST)
    except NotFound:
        return None
    try:
        outer = json.loads(file)
        statement = outer["statement"].encode()
        signing = signer(outer["key_id"])
        signing.verify(statement, base64.b64decode(outer["signature"], validate=True))
        inner = json.loads(statement)
        checkpoint = Checkpoint(inner["tenant"], inner["sequence"], bytes.fromhex(inner["hash"]), inner["time"])
    except (InvalidToken, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadCheckpoint("its signature does not hold") from error
    if checkpoint.tenant != tenant:
        raise BadCheckpoint("it belongs to another tenant")
    return checkpoint, signing
