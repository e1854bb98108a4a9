"""What is kept of the events of a customer: their times, amounts and hashes of their ids and orders; nothing else.

One series for each event name, source and currency. Whatever order events arrive in, and however often, the series
are the same: of a series the newest `EVENTS_MAX` of the last `KEPT_DAYS` are kept, and as long as one is, it counts
once by its source and message id. Counts, sums and ends of all time are kept beside. Series are plain dicts, as they
are stored.
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple, NotRequired, TypedDict

from scoring.domain.conditions import EVENTS_MAX, TEXT_MAX

MESSAGE_SENT = "Message Sent"
MESSAGE_CLICKED = "Message Clicked"
"""What a message of campaigns, and a link in one that was followed, are called among the events of a customer."""
KEPT_DAYS = 400
SERIES_MAX = 200
"""Series of one customer; past it those longest without an event are forgotten."""

_DAY_MS = 86_400_000


class Happening(NamedTuple):
    """One event. time: milliseconds since 1970, UTC. amount: minor units of currency; neither for events without.

    order: `order_of` what it belongs to.
    """

    event: str
    source: str
    currency: str
    time: int
    amount: int
    id: int
    order: int = 0


class Series(TypedDict):
    """Events of one name, source and currency. `t`, `a`, `i` and `o` belong together, oldest first (ties by id).

    t: times. a: amounts in minor units. i: ids. o: orders, where any event has one. n: how many there ever were.
    sum: their amounts. first, last: times.
    """

    e: str
    s: str
    c: str
    t: list[int]
    a: list[int]
    i: list[int]
    o: NotRequired[list[int]]
    n: int
    sum: int
    first: int
    last: int


def id_of(source: str, message_id: str) -> int:
    """A number that stands for an event: 63 bits of a hash of what makes it unique."""
    return _hashed(f"{source}\x1f{message_id}")


def order_of(order_id: str) -> int:
    """A number that stands for an order, in the same way; 0 for none. All sources of a tenant name orders alike."""
    return _hashed(order_id) if order_id else 0


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def name_of(text: str) -> str:
    """An event's name or source as it is kept: cut to what a condition can ask for."""
    return text[:TEXT_MAX]


def add(known: Iterable[Series], news: Iterable[Happening], now: int) -> list[Series]:
    """The series with further events. now: milliseconds since 1970."""
    found = {(each["e"], each["s"], each["c"]): each for each in known}
    touched: dict[tuple[str, str, str], list[Happening]] = {}
    for happening in news:
        touched.setdefault(happening[:3], []).append(happening)
    for key, happenings in touched.items():
        series = found.get(key) or _empty(*key)
        found[key] = _grown(series, happenings, now)
    if len(found) <= SERIES_MAX:
        return list(found.values())
    newest = sorted(found.values(), key=lambda each: (-each["last"], each["e"], each["s"], each["c"]))
    return newest[:SERIES_MAX]


def _empty(event: str, source: str, currency: str) -> Series:
    return Series(e=event, s=source, c=currency, t=[], a=[], i=[], n=0, sum=0, first=2**62, last=-(2**62))


def _grown(series: Series, happenings: Iterable[Happening], now: int) -> Series:
    orders = series.get("o") or [0] * len(series["t"])
    rows = list(zip(series["t"], series["i"], series["a"], orders, strict=True))
    known = set(series["i"])
    new = Series(**series)
    for happening in happenings:
        if happening.id in known:
            continue
        known.add(happening.id)
        rows.append((happening.time, happening.id, happening.amount, happening.order))
        new["n"] += 1
        new["sum"] += happening.amount
        new["first"] = min(new["first"], happening.time)
        new["last"] = max(new["last"], happening.time)
    rows.sort()
    oldest = now - KEPT_DAYS * _DAY_MS
    rows = [row for row in rows[-EVENTS_MAX:] if row[0] > oldest]
    new["t"] = [row[0] for row in rows]
    new["i"] = [row[1] for row in rows]
    new["a"] = [row[2] for row in rows]
    if any(row[3] for row in rows):
        new["o"] = [row[3] for row in rows]
    else:
        new.pop("o", None)
    return new
