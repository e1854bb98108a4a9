"""What an erasure request promises: the time limit, and the text of the certificate."""

import calendar
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

_ORIGIN = re.compile(r"[A-Za-z0-9._:/#-]{0,200}")


@dataclass(frozen=True, slots=True)
class Asked:
    """How it is known that the person asked. method: the contract's name."""

    method: str
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """What one service has erased: kind -> (removed, anonymized). interrupted: the counts are minima."""

    service: str
    erase_time: datetime
    items: Mapping[str, tuple[int, int]]
    interrupted: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What a certificate states. customers: pseudonymous names; residue: how long raw copies may last."""

    tenant: str
    erasure_request: str
    customers: Iterable[str]
    method: str
    origin: str
    rounds: int
    request_time: datetime
    complete_time: datetime
    residue: timedelta
    parts: Iterable[Part]


def impersonal(origin: str) -> bool:
    """Whether an origin can be kept for good: a page or a case number, neither a name nor a mail address."""
    return _ORIGIN.fullmatch(origin) is not None


def due(requested: datetime) -> datetime:
    """One month later (GDPR article 12 (3)): the same day of the next month, or its last (Regulation 1182/71)."""
    year, month = divmod(requested.year * 12 + requested.month, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return requested.replace(year=year, month=month + 1, day=min(requested.day, last))


def certificate_text(facts: Facts) -> str:
    """The certificate: JSON with sorted keys, indented for people; equal facts give equal bytes (UTF-8)."""
    gone = facts.complete_time + facts.residue
    content = {
        "certificate": "rapport.consent.v1.ErasureCertificate",
        "statement": (
            "Every service listed has erased what it held of the customers listed (GDPR article 17): `removed` items "
            "are deleted, `anonymized` items are kept without anything that leads to the person. Late data about "
            "these customers is refused. Raw bytes may last in the places listed under `residue` until the instant "
            "given there; no service reads them."
        ),
        "tenant": facts.tenant,
        "erasure_request": facts.erasure_request,
        "customers": sorted(facts.customers),
        "evidence": {"method": facts.method, "origin": facts.origin},
        "rounds": facts.rounds,
        "request_time": _instant(facts.request_time),
        "complete_time": _instant(facts.complete_time),
        "services": [
            {
                "service": part.service,
                "erase_time": _instant(part.erase_time),
                "counts": "at least" if part.interrupted else "exact",
                "items": [
                    {"kind": kind, "removed": removed, "anonymized": anonymized}
                    for kind, (removed, anonymized) in sorted(part.items.items())
                ],
            }
            for part in sorted(facts.parts, key=lambda part: part.service)
        ],
        "residue": {
            "places": ["database oplog and journal", "broker segments", "backups"],
            "gone_by": _instant(gone),
        },
    }
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)


def _instant(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
