"""Messages to JSON (ProtoJSON): lowerCamelCase names; plain fields and lists are written even when empty, so that a
caller need not tell "absent" from "none"; messages and `optional` fields only when set."""

from typing import Any

from gateway.transcoder.plans import FieldPlan, MessagePlan


def write_message(plan: MessagePlan, message: Any) -> dict[str, Any]:
    """The JSON value of a message."""
    written: dict[str, Any] = {}
    for field in plan.fields:
        name = field.name
        if field.has_presence and not message.HasField(name):
            continue
        value = getattr(message, name)
        if field.repeated:
            written[field.json_name] = [_write(field, item) for item in value]
        elif field.is_map:
            written[field.json_name] = {_key(key): _write(field, value[key]) for key in value}
        else:
            written[field.json_name] = _write(field, value)
    return written


def _write(field: FieldPlan, value: Any) -> Any:
    if field.message_plan is not None:
        return write_message(field.message_plan, value)
    if field.well_known is not None:
        return field.well_known.write(value)
    return field.write(value) if field.write is not None else value


def _key(key: Any) -> str:
    return ("true" if key else "false") if isinstance(key, bool) else str(key)
