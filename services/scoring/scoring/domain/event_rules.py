"""Conditions on events, made into functions of a person: counts, sums, time since the last.

An event counts in a window of length w at the instant `now` when now - w < its time <= now, to the millisecond; so
windows know no time zones.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from scoring.domain.conditions import Events, Operator
from scoring.domain.happenings import Series
from scoring.domain.person import COMPARE, Decimals, Person, Rule

_HOUR_MS = 3_600_000


def rule_of_events(asked: Events, decimals: Decimals) -> Rule:
    """The function that says whether a person meets a condition on events."""
    if asked.measure.endswith("_since_last"):
        return _since_last(asked)
    if asked.window is None:
        return _of_all_time(asked, decimals)
    if asked.measure == "count" and asked.amount is None:
        return _count(asked, asked.window.milliseconds)
    return _measured(asked, asked.window.milliseconds, decimals)


def _chosen(asked: Events) -> Callable[[Person], list[Series]]:
    event, source, currency = asked.event, asked.source, asked.currency
    if not source and not currency:
        return lambda person: list(person.series.get(event, ()))
    return lambda person: [
        each
        for each in person.series.get(event, ())
        if (not source or each["s"] == source) and (not currency or each["c"] == currency)
    ]


def _count(asked: Events, length: int) -> Rule:
    chosen, holds, sign, wanted = _chosen(asked), COMPARE[asked.operator], asked.operator, int(asked.value)

    def rule(person: Person) -> bool:
        now = person.now
        count = 0
        times: list[Sequence[int]] = []
        for series in chosen(person):
            kept = series["t"]
            end = len(kept)
            if end and kept[-1] > now:
                end = bisect_right(kept, now)
                person.again_at(kept[end])
            begin = bisect_right(kept, now - length, 0, end)
            if begin < end:
                count += end - begin
                times.append(kept[begin:end])
        met = holds(count, wanted)
        rest = _next_count(sign, wanted, count, met)
        if rest is not None:
            leaving = count - rest
            first = times[0] if len(times) == 1 else sorted(time for each in times for time in each)
            person.again_at(first[leaving - 1] + length)
        return met

    return rule


def _next_count(sign: Operator, wanted: int, count: int, met: bool) -> int | None:
    """The highest count below this one at which the answer is another one; events only ever leave a window."""
    if sign in ("=", "!="):
        other = count - 1 if count == wanted else wanted
    elif sign in (">=", "<"):
        other = wanted - 1 if met is (sign == ">=") else -1
    else:
        other = wanted if met is (sign == ">") else -1
    return other if 0 <= other < count else None


def _measured(asked: Events, length: int, decimals: Decimals) -> Rule:
    """Sums, and counts of events with a certain amount."""
    chosen, holds = _chosen(asked), COMPARE[asked.operator]
    counts = asked.measure == "count"
    digits = decimals(asked.currency)
    wanted: Any = asked.value if counts else _minor(asked.value, digits)
    amount = asked.amount
    fits, bound = (COMPARE[amount.operator], _minor(amount.value, digits)) if amount else (None, None)

    def rule(person: Person) -> bool:
        now = person.now
        inside: list[tuple[int, int]] = []
        for series in chosen(person):
            times = series["t"]
            end = bisect_right(times, now)
            if end < len(times):
                person.again_at(times[end])
            begin = bisect_right(times, now - length, 0, end)
            inside += zip(times[begin:end], series["a"][begin:end], strict=True)
        if fits is not None:
            inside = [(time, value) for time, value in inside if fits(value, bound)]
        measure = len(inside) if counts else sum(value for _, value in inside)
        met = holds(measure, wanted)
        inside.sort()
        for time, value in inside:
            measure -= 1 if counts else value
            if holds(measure, wanted) is not met:
                person.again_at(time + length)
                break
        return met

    return rule


def _of_all_time(asked: Events, decimals: Decimals) -> Rule:
    chosen, holds = _chosen(asked), COMPARE[asked.operator]
    counts = asked.measure == "count"
    wanted: Any = asked.value if counts else _minor(asked.value, decimals(asked.currency))

    def rule(person: Person) -> bool:
        measure = 0
        for series in chosen(person):
            measure += series["n"] if counts else series["sum"]
            if series["last"] > person.now:
                # What has not happened yet by its own time does not count; it is among the newest, and so kept.
                begin = bisect_right(series["t"], person.now)
                person.again_at(series["t"][begin])
                measure -= len(series["t"]) - begin if counts else sum(series["a"][begin:])
        return holds(measure, wanted)

    return rule


def _since_last(asked: Events) -> Rule:
    chosen, holds = _chosen(asked), COMPARE[asked.operator]
    unit = _HOUR_MS * (24 if asked.measure.startswith("days") else 1)
    exact = Decimal(str(asked.value)) * unit
    # Times are whole milliseconds: a bound between two of them is the lower one for > and <=, the upper one else.
    wanted = int(exact.to_integral_value(ROUND_FLOOR if asked.operator in (">", "<=") else ROUND_CEILING))
    turns_after = wanted + (1 if asked.operator in (">", "<=") else 0)

    def rule(person: Person) -> bool:
        last: int | None = None
        for series in chosen(person):
            newest: int | None = series["last"]
            if series["last"] > person.now:
                begin = bisect_right(series["t"], person.now)
                person.again_at(series["t"][begin])
                newest = series["t"][begin - 1] if begin else None
            if newest is not None and (last is None or newest > last):
                last = newest
        if last is None:
            return False
        if last + turns_after > person.now:
            person.again_at(last + turns_after)
        return holds(person.now - last, wanted)

    return rule


def _minor(value: float, digits: int) -> Decimal | int:
    exact = Decimal(str(value)).scaleb(digits)
    return int(exact) if exact == exact.to_integral_value() else exact
