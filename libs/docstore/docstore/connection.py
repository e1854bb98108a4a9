"""The one connection of a process to its service's database, and what the driver's errors mean to callers."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

import mongoengine
import pymongo
import pymongo.errors
from mongoengine.connection import get_connection, get_db
from pymongo.database import Database
from pymongo.monitoring import CommandListener
from pymongo.uri_parser import parse_uri

from chassis import errors
from chassis.settings import Settings
from docstore.command_spans import CommandSpans

Row = dict[str, Any]
"""A stored document as pymongo returns it."""

_WRITE_CONCERN_OPTIONS = {"w", "journal", "fsync", "wtimeoutms"}


def connect(settings: Settings, *, event_listeners: Sequence[CommandListener] = ()) -> None:
    """Connect this process to `settings.mongodb_uri`, database `settings.database` (else the service's name).

    Lazy: a server that is down shows at the first operation or in `ping()`. Raises ValueError when the URI is missing
    or carries a write concern, which MongoDB refuses inside transactions (the default, majority, is what we want).
    """
    if settings.mongodb_uri is None:
        raise ValueError("RAPPORT_MONGODB_URI is not set")
    uri = settings.mongodb_uri.get_secret_value()
    refused = {option.lower() for option in parse_uri(uri)["options"]} & _WRITE_CONCERN_OPTIONS
    if refused:
        raise ValueError(f"the MongoDB URI must not set {', '.join(sorted(refused))}: writes are majority by default")
    mongoengine.connect(
        db=settings.database or settings.service,
        host=uri,
        appname=f"rapport-{settings.service}-{settings.role}",
        tz_aware=True,
        tzinfo=UTC,
        uuidRepresentation="standard",
        maxPoolSize=64,
        connectTimeoutMS=5_000,
        serverSelectionTimeoutMS=5_000,
        waitQueueTimeoutMS=5_000,
        event_listeners=[CommandSpans(settings.trace_store_ratio), *event_listeners],
    )


def disconnect() -> None:
    """Close the connection; a no-op when there is none."""
    mongoengine.disconnect()


def is_connected() -> bool:
    """True between `connect` and `disconnect`."""
    try:
        get_connection()
    except mongoengine.ConnectionFailure:
        return False
    return True


def client() -> pymongo.MongoClient[Row]:
    """The connected client. Raises mongoengine.ConnectionFailure before `connect`."""
    connected: pymongo.MongoClient[Row] = get_connection()
    return connected


def database() -> Database[Row]:
    """The service's database. For data use `collection(...)`, which knows the tenant."""
    connected: Database[Row] = get_db()
    return connected


def ping(timeout_s: float = 1.0) -> None:
    """Ask the primary for a sign of life, within `timeout_s` seconds. Raises the driver's error when it gives none."""
    with pymongo.timeout(timeout_s):
        database().command("ping")


def _unavailable(error: BaseException) -> errors.RapportError:
    return errors.Unavailable(
        "DATABASE_UNAVAILABLE",
        "The database cannot be reached at the moment; try again.",
        retry_after_s=1.0,
        cause=error,
    )


def _operation_failure(error: BaseException) -> errors.RapportError:
    """A server-side failure that a later attempt can cure is UNAVAILABLE, any other is a fault of ours."""
    labels = ("TransientTransactionError", "RetryableWriteError")
    if isinstance(error, pymongo.errors.PyMongoError) and (
        error.timeout or any(error.has_error_label(label) for label in labels)
    ):
        return _unavailable(error)
    return errors.Internal("DATABASE_OPERATION_FAILED", "The database refused an operation.", cause=error)


def _invalid_document(error: BaseException) -> errors.RapportError:
    """Names the fields, never their values: texts of mongoengine quote what was entered."""
    fields = sorted(getattr(error, "errors", None) or {"document": None})
    return errors.InvalidArgument(
        "INVALID_FIELD",
        f"Missing or wrongly formed: {', '.join(fields)}.",
        violations=[(field, "is missing or has a wrong form") for field in fields],
        cause=error,
    )


errors.register_translation(pymongo.errors.ConnectionFailure, _unavailable)
errors.register_translation(pymongo.errors.ExecutionTimeout, _unavailable)
errors.register_translation(pymongo.errors.OperationFailure, _operation_failure)
errors.register_translation(mongoengine.ValidationError, _invalid_document)
