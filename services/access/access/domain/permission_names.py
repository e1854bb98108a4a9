"""Which permissions exist, and which one was meant when one does not."""

import difflib
from collections.abc import Collection

ENTER_TENANTS = "access.tenants.enter"
"""Lets a principal of the tenant `platform` act in every tenant. No method asks for it; the exchange does."""


def permission_exists(permission: str, known: Collection[str]) -> bool:
    """Whether a permission or wildcard stands for at least one of the known permissions."""
    if permission == "*":
        return True
    if permission.endswith(".*"):
        return any(name.startswith(permission[:-1]) for name in known)
    return permission in known


def closest_permission(permission: str, known: Collection[str]) -> str | None:
    """The known permission or wildcard most like `permission`, None when nothing resembles it."""
    parts = [name.split(".") for name in known]
    wildcards = {f"{part[0]}.*" for part in parts} | {f"{part[0]}.{part[1]}.*" for part in parts}
    found = difflib.get_close_matches(permission, sorted({*known, *wildcards, "*"}), n=1, cutoff=0.5)
    return found[0] if found else None
