"""The roles every tenant has, derived from the permissions that exist."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

_READ = ("get", "list", "summarize", "verify")


@dataclass(frozen=True, slots=True)
class BuiltInRole:
    """A role of every tenant."""

    id: str
    display_name: str
    permissions: tuple[str, ...]


def _reads(service: str) -> tuple[str, ...]:
    return tuple(f"{service}.*.{verb}" for verb in _READ)


# Shell patterns over existing permissions; `*` alone is kept as the wildcard it is, because an administrator's role
# covers what later releases add. With a `!` before it a pattern takes away what others give.
_ROLES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("admin", "Administrator", ("*",)),
    (
        "agent",
        "Agent",
        (
            *_reads("identity"),
            *_reads("consent"),
            *_reads("sales"),
            *_reads("ticketing"),
            "identity.customers.create",
            "identity.customers.update",
            "identity.customers.view",
            "consent.consents.*",
            "scoring.customerScores.get",
            "scoring.customerOffers.get",
            "scoring.customerSendTimes.get",
            "scoring.leadScores.get",
            "scoring.fraudAlerts.*",
            "sales.promises.*",
            "ticketing.tickets.*",
            "ticketing.ticketMessages.*",
        ),
    ),
    (
        "sales-rep",
        "Sales representative",
        (
            *_reads("identity"),
            *_reads("consent"),
            *_reads("sales"),
            "identity.customers.create",
            "identity.customers.update",
            "identity.customers.view",
            "scoring.customerScores.get",
            "scoring.customerOffers.get",
            "scoring.customerSendTimes.get",
            "scoring.leadScores.*",
            "sales.accounts.*",
            "sales.contacts.*",
            "sales.leads.*",
            "sales.opportunities.*",
            "sales.orders.*",
            "sales.promises.*",
        ),
    ),
    (
        "marketer",
        "Marketer",
        (
            *_reads("identity"),
            *_reads("consent"),
            *_reads("scoring"),
            # Suspicions of crime are for who looks into them.
            "!scoring.fraud*",
            *_reads("sales"),
            "campaigns.*",
            "sales.leads.create",
            "consent.consents.requestOptIn",
            "consent.decisions.create",
        ),
    ),
    (
        "privacy-officer",
        "Privacy officer",
        (
            *_reads("*"),
            "consent.*",
            "identity.customers.delete",
            "identity.customers.undelete",
            "identity.customers.update",
            "identity.merges.undo",
        ),
    ),
    ("auditor", "Auditor", _reads("*")),
    (
        "collector",
        "Collector",
        ("identity.events.ingest", "identity.ingestionBatches.get", "identity.quarantinedEvents.list"),
    ),
)


def built_in_roles(known: Collection[str]) -> Iterator[BuiltInRole]:
    """The built-in roles, given all permissions that methods ask for."""
    for role, display_name, patterns in _ROLES:
        if "*" in patterns:
            yield BuiltInRole(role, display_name, ("*",))
            continue
        withheld = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
        granted = {name for name in known if _matches(name, patterns) and not _matches(name, withheld)}
        yield BuiltInRole(role, display_name, tuple(sorted(granted)))


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
