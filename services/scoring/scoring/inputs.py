"""Reads what requests carry; refuses, by field, what cannot be used."""

import re

from chassis.errors import InvalidArgument

DISPLAY_NAME_MAX = 200

_SEGMENT_ID = re.compile(r"[a-z][a-z0-9-]{0,38}[a-z0-9]")


def refusal(reason: str, field: str, problem: str) -> InvalidArgument:
    """A refusal of one field of the request."""
    return InvalidArgument(reason, f"{field}: {problem}", violations=[(field, problem)])


def uid(name: str) -> str:
    """The id part of a resource name whose form has been checked."""
    return name.rpartition("/")[2]


def customer_of(scores: str) -> str:
    """The customer in a name `customers/{customer}/scores`."""
    return scores.rpartition("/")[0]


def segment_id(text: str) -> str:
    """The id of a segment to create."""
    if not _SEGMENT_ID.fullmatch(text):
        raise refusal(
            "INVALID_SEGMENT_ID",
            "segment_id",
            "2 to 40 lower-case letters, digits and hyphens, starting with a letter and not ending with a hyphen.",
        )
    return text


def display_name(text: str) -> str:
    """The name of a segment."""
    if not text.strip() or len(text) > DISPLAY_NAME_MAX:
        raise refusal("INVALID_DISPLAY_NAME", "segment.display_name", f"1 to {DISPLAY_NAME_MAX} characters.")
    return text
