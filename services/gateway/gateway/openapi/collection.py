"""The description of the Segment-shaped endpoints.

Their schemas are loose on purpose: an event that is wrong is answered with 200 and listed as rejected.
"""

from typing import Any

from gateway import idempotency
from gateway.segment.endpoint import BATCH_MAX, PATHS
from gateway.segment.events import EVENT_MAX_BYTES

TAG = {
    "name": "collection",
    "description": "Event collection as Segment's HTTP tracking API has it: its client libraries work unchanged, "
    "with `host` set to this address and a write key of the tenant. Invalid events never fail a batch: they are "
    "listed in `rejected` and kept in quarantine.",
}

_SUMMARIES = {
    "identify": "Says who a person is",
    "track": "Says what a person did",
    "page": "Says which page a person saw",
    "screen": "Says which screen of an app a person saw",
    "group": "Says which group a person belongs to",
    "alias": "Says that two ids are one person",
    "batch": "Sends many events at once",
}

_FIELDS = {
    "messageId": "Unique for the source: a repeat is dropped. Without one the event gets a new id, and a repeat of the "
    "request counts twice.",
    "userId": "The id of the person in the source; a string or a whole number.",
    "anonymousId": "The id of the browser or device.",
    "type": "In a batch: `identify`, `track`, `page`, `screen`, `group` or `alias`.",
    "event": "For track: the event's name, such as `Order Completed`.",
    "name": "For page and screen: its name.",
    "category": "For page and screen: its category; kept in the properties.",
    "previousId": "For alias: the id the person had before.",
    "groupId": "For group: the id of the group.",
    "traits": "For identify and group: what is known.",
    "properties": "For track, page and screen: the details.",
    "context": "Where and how it happened.",
    "timestamp": "When it happened, ISO 8601; now if not given.",
    "sentAt": "When the client sent it by its own clock. A clock that is off by one minute to one day is corrected.",
}

SCHEMAS: dict[str, Any] = {
    "CollectedEvent": {
        "type": "object",
        "description": f"One event, at most {EVENT_MAX_BYTES} bytes. Fields not listed are kept in `context`.",
        "properties": {name: {"description": text} for name, text in _FIELDS.items()},
    },
    "CollectedBatch": {
        "type": "object",
        "description": f"Up to {BATCH_MAX} events.",
        "required": ["batch"],
        "properties": {
            "batch": {
                "type": "array",
                "maxItems": BATCH_MAX,
                "description": "The events; each with its `type`.",
                "items": {},
            },
            "context": {"description": "Context of all events; an event's own goes before it."},
            "sentAt": {"description": _FIELDS["sentAt"]},
            "writeKey": {"description": "The write key, for clients that cannot send an Authorization header."},
        },
    },
    "CollectionAnswer": {
        "type": "object",
        "description": "Tells that the events are stored, save those rejected.",
        "required": ["success"],
        "additionalProperties": False,
        "properties": {
            "success": {"const": True},
            "rejected": {
                "type": "array",
                "description": "The events that were not stored but quarantined.",
                "items": {
                    "type": "object",
                    "required": ["index", "messageId", "reason", "field", "description"],
                    "additionalProperties": False,
                    "properties": {
                        "index": {"type": "integer", "description": "Its place in the batch, from 0."},
                        "messageId": {"type": "string", "description": "Its message id, if it had one."},
                        "reason": {"type": "string", "description": "Why, for programs: such as `EVENT_TOO_LARGE`."},
                        "field": {"type": "string", "description": "The field at fault."},
                        "description": {"type": "string", "description": "Why, and how to mend it."},
                    },
                },
            },
        },
    },
}


def paths() -> dict[str, Any]:
    """The paths of event collection."""
    return {path: {"post": _operation(path.rpartition("/")[2])} for path in PATHS}


def _operation(name: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{'CollectedBatch' if name == 'batch' else 'CollectedEvent'}"}
    statuses = (400, 401, 403, 404, 409, 413, 414, 415, 429, 431, 499, 500, 501, 503, 504)
    return {
        "operationId": f"collect{name.capitalize()}",
        "summary": _SUMMARIES[name],
        "description": "Takes a write key, and bodies packed with gzip.",
        "tags": [TAG["name"]],
        "parameters": [{"$ref": f"#/components/parameters/{idempotency.HEADER}"}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {
                "description": "Stored.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/CollectionAnswer"}}},
            },
            **{str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses},
        },
        "security": [{"writeKey": []}, {}],
    }
