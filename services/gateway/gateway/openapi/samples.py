"""Sample calls, made up from the schemas."""

import json
import re
from typing import Any

_DEPTH_MAX = 4
_STRINGS = {
    "date-time": "2026-03-01T12:00:00Z",
    "uuid": "6f1ff3f5-3b1c-4b6e-8d7a-1f0e6b9f2c11",
    "int64": "1",
    "uint64": "1",
}
_WELL_KNOWN_NAMES = {
    "displayName": "Ada Lovelace",
    "givenName": "Ada",
    "familyName": "Lovelace",
    "email": "ada@example.com",
    "phone": "+49 30 901820",
    "languageCode": "en",
    "regionCode": "DE",
    "currencyCode": "EUR",
    "timeZone": "Europe/Berlin",
    "customer": "customers/0195d0a4-7b1e-7c3a-9f52-1f0e6b9f2c11",
    "mergedCustomer": "customers/0195d0a4-7b1e-7c3a-9f52-2a6c0e9d4b57",
    "purpose": "purposes/newsletter",
    "source": "shop",
    "updateMask": "displayName",
}


def resolve(item: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """What a reference into the document stands for; anything else as it is."""
    while "$ref" in item:
        found: Any = document
        for part in item["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        item = found
    return item


def curl(operation: dict[str, Any], base: str, document: dict[str, Any]) -> str:
    """A curl command for an operation, ready to paste once the credential is set."""
    path = re.sub(r"\{(\w+)\}", lambda match: f"${{{match[1].upper()}}}", operation["path"])
    required = [item for item in operation["parameters"] if item["in"] == "query" and item.get("required")]
    query = "&".join(f"{item['name']}={sample(item['schema'], item['name'], document)}" for item in required)
    parts = [f'curl -X {operation["method"]} "{base}{path}{"?" + query if query else ""}"']
    if operation["tags"][0] == "collection":
        parts.append('-u "$RAPPORT_WRITE_KEY:"')
    elif operation["security"]:
        parts.append('-H "Authorization: Bearer $RAPPORT_API_KEY"')
    if operation["body"] is not None:
        body = _collected(operation) or sample(operation["body"], "", document)
        parts += ["-H 'Content-Type: application/json'", f"-d '{json.dumps(body, indent=2, ensure_ascii=False)}'"]
    return " \\\n  ".join(parts)


def sample(schema: dict[str, Any], name: str, document: dict[str, Any], depth: int = 0) -> Any:
    """A value a schema allows: required fields, and the first others where none is required."""
    schema = resolve(schema, document)
    if values := schema.get("enum"):
        return next((value for value in values if not value.endswith("_UNSPECIFIED")), values[0])
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "array":
        return [sample(schema.get("items", {}), name, document, depth + 1)] if depth < _DEPTH_MAX else []
    if kind == "object":
        return _object(schema, document, depth)
    if kind in ("integer", "number"):
        return max(1, schema.get("minimum", 1))
    if kind == "boolean":
        return True
    return _STRINGS.get(schema.get("format", "")) or _WELL_KNOWN_NAMES.get(
        name, "..." if name != "event" else "Order Completed"
    )


def _object(schema: dict[str, Any], document: dict[str, Any], depth: int) -> dict[str, Any]:
    properties = {name: item for name, item in schema.get("properties", {}).items() if not item.get("readOnly")}
    chosen = schema.get("required") or [name for name in properties if name in _WELL_KNOWN_NAMES][:3]
    chosen = chosen or [name for name in properties if name not in ("requestId", "etag")][:1]
    if depth >= _DEPTH_MAX:
        return {}
    return {name: sample(properties[name], name, document, depth + 1) for name in chosen if name in properties}


def _collected(operation: dict[str, Any]) -> dict[str, Any] | None:
    if operation["tags"][0] != "collection":
        return None
    name = operation["path"].rpartition("/")[2]
    event: dict[str, Any] = {"userId": "u-17", "messageId": "m-1"}
    more: dict[str, dict[str, Any]] = {
        "identify": {"traits": {"email": "ada@example.com"}},
        "track": {"event": "Order Completed", "properties": {"order_id": "o-1", "revenue": 29.9, "currency": "EUR"}},
        "page": {"name": "Home"},
        "screen": {"name": "Basket"},
        "group": {"groupId": "acme"},
        "alias": {"previousId": "anonymous-1"},
    }
    return {"batch": [{"type": "track", **event, **more["track"]}]} if name == "batch" else {**event, **more[name]}
