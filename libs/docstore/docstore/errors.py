"""The errors of stored documents that callers see."""

import pymongo.errors

from chassis.errors import Aborted, AlreadyExists


class Conflict(Aborted):
    """The document changed between reading and writing. `@command` reads afresh and tries again."""

    def __init__(self, resource: str) -> None:
        super().__init__(
            "CONCURRENT_CHANGE",
            f"{resource} was changed by somebody else at the same time; read it again and retry.",
            metadata={"resource": resource},
            retry_after_s=0.1,
        )


def already_exists(resource: str, error: pymongo.errors.DuplicateKeyError) -> AlreadyExists:
    """Says which fields clash, never their values."""
    fields = [field for field in duplicate_fields(error) if field not in {"tenant", "_id"}]
    clash = f"another document has the same {', '.join(fields)}" if fields else "it exists already"
    return AlreadyExists(
        "ALREADY_EXISTS",
        f"{resource} cannot be created: {clash}.",
        metadata={"resource": resource, "fields": ",".join(fields)},
    )


def duplicate_fields(error: pymongo.errors.DuplicateKeyError) -> list[str]:
    """The fields of the unique index that refused a write."""
    return list((error.details or {}).get("keyPattern", {}))
