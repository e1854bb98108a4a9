"""Ids that people choose: tenants, roles and sources."""

import re

PLATFORM = "platform"
"""The tenant of those who run the installation. It owns the tenant documents."""

RESERVED_TENANTS = frozenset({PLATFORM})

SLUG = r"[a-z][a-z0-9-]{1,39}"

_SLUG = re.compile(SLUG)


def slug_problem(text: str) -> str | None:
    """What is wrong with an id, None when nothing is."""
    if _SLUG.fullmatch(text):
        return None
    return "Must be 2 to 40 lower-case letters, digits and hyphens, starting with a letter, such as `acme-shop`."
