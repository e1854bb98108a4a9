"""Permissions: `<service>.<resources>.<verb>`.

Roles may also hold the wildcards `*`, `identity.*` and `identity.customers.*`.
"""

import re
from collections.abc import Collection

_PATTERN = re.compile(r"\*|[a-z][a-zA-Z0-9]*(\.[a-z][a-zA-Z0-9]*){0,1}\.\*|[a-z][a-zA-Z0-9]*(\.[a-z][a-zA-Z0-9]*){2}")


def is_permission(text: str) -> bool:
    """Whether `text` is a permission or a wildcard that a role may hold."""
    return _PATTERN.fullmatch(text) is not None


def permits(granted: Collection[str], permission: str) -> bool:
    """Whether what is granted covers `permission` (which may be a wildcard: nobody passes on more than they hold)."""
    if permission in granted or "*" in granted:
        return True
    parts = permission.removesuffix(".*").split(".")
    return any(".".join(parts[:count]) + ".*" in granted for count in range(1, len(parts) + 1))
