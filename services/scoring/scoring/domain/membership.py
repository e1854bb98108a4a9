"""Who belongs to a segment: conditions made into functions of a person, and when the answer can next change by itself.

A condition is met (True), not met (False), or, on scores of a person without any, neither (None), which a negation
leaves as it is: only True makes a member. An event counts in a window of length w at the instant `now` when
now - w < its time <= now, to the millisecond; so windows know no time zones. Whatever time alone can change tells
`Person.again_at` no later than it happens.
"""

import operator
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from scoring.domain import conditions as tree
from scoring.domain.conditions import (
    SCORES,
    TRAIT_PREFIX,
    Condition,
    Consent,
    Events,
    InSegment,
    Not,
    Operator,
    Score,
    Trait,
)
from scoring.domain.happenings import Series

Compare = Callable[[Any, Any], bool]
COMPARE: dict[str, Compare] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_HOUR_MS = 3_600_000


@dataclass(slots=True)
class Person:
    """What is known of one customer, its merged members included, at one instant.

    now: milliseconds since 1970. scores: by the names of conditions, with amounts in minor units and their `currency`;
    None without scores. consents: (purpose, channel) -> state. inside: uids of segments, those asked for by others
    before these. due: when the answer can change by itself, None for never.
    """

    now: int
    traits: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] | None = None
    series: Mapping[str, Sequence[Series]] = field(default_factory=dict)
    consents: Mapping[tuple[str, str], str] = field(default_factory=dict)
    inside: set[str] = field(default_factory=set)
    due: int | None = None

    def again_at(self, instant: int) -> None:
        """Says that something may be different from that instant on."""
        if self.due is None or instant < self.due:
            self.due = instant


Rule = Callable[[Person], bool | None]
Decimals = Callable[[str], int]
"""The decimals of a currency."""


def rule_of(condition: Condition, decimals: Decimals) -> Rule:
    """The function that says whether a person meets a condition."""
    match condition:
        case tree.All(parts):
            return _all([rule_of(part, decimals) for part in parts])
        case tree.Any(parts):
            return _any([rule_of(part, decimals) for part in parts])
        case Not(part):
            return _not(rule_of(part, decimals))
        case Trait():
            return _trait(condition)
        case Score():
            return _score(condition, decimals)
        case Consent(purpose, channel, state):
            about = (purpose, channel)
            return lambda person: person.consents.get(about, tree.NONE) == state
        case InSegment(segment):
            return lambda person: segment in person.inside
        case _:
            return _events(condition, decimals)


def keys_of(condition: Condition) -> frozenset[str]:
    """What a condition rests on: `scores`, `trait`, `consent`, `event:<name>`, `segment:<uid>`."""
    kinds = {Score: "scores", Trait: "trait", Consent: "consent"}
    return frozenset(
        f"event:{each.event}"
        if isinstance(each, Events)
        else f"segment:{each.segment}"
        if isinstance(each, InSegment)
        else kinds[type(each)]
        for each in tree.singles(condition)
    )


def _all(rules: Collection[Rule]) -> Rule:
    def rule(person: Person) -> bool | None:
        met: bool | None = True
        for each in rules:
            found = each(person)
            if found is False:
                return False
            if found is None:
                met = None
        return met

    return rule


def _any(rules: Collection[Rule]) -> Rule:
    def rule(person: Person) -> bool | None:
        met: bool | None = False
        for each in rules:
            found = each(person)
            if found:
                return True
            if found is None:
                met = None
        return met

    return rule


def _not(negated: Rule) -> Rule:
    def rule(person: Person) -> bool | None:
        found = negated(person)
        return None if found is None else not found

    return rule


def _trait(asked: Trait) -> Rule:
    name, value = asked.name.removeprefix(TRAIT_PREFIX) if asked.name not in tree.TRAITS else asked.name, asked.value
    own = asked.name not in tree.TRAITS
    key = f"{TRAIT_PREFIX}{name}" if own else name
    kinds: tuple[type, ...] = (str,) if isinstance(value, str) else (bool,) if isinstance(value, bool) else (int, float)

    def same_kind(found: Any) -> bool:
        return isinstance(found, kinds) and isinstance(found, bool) is (kinds == (bool,))

    if asked.operator == ":*":
        return lambda person: person.traits.get(key) is not None
    if asked.operator == ":":
        return lambda person: any(same_kind(item) and item == value for item in _list(person.traits.get(key)))
    if asked.operator == "!=":
        return lambda person: not (same_kind(found := person.traits.get(key)) and found == value)
    compare = COMPARE[asked.operator]
    return lambda person: same_kind(found := person.traits.get(key)) and compare(found, value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _score(asked: Score, decimals: Decimals) -> Rule:
    name = asked.name
    if asked.operator == ":*":
        return lambda person: person.scores is not None and person.scores.get(name) is not None
    compare = COMPARE[asked.operator]
    if SCORES[name] != "money":
        value = asked.value

        def plain(person: Person) -> bool | None:
            found = None if person.scores is None else person.scores.get(name)
            return None if found is None else compare(found, value)

        return plain
    # Amounts are compared as minor units, exactly: 100.1 is 10010 of them, not 10009.999999999998.
    amount = Decimal(str(asked.value))
    bounds: dict[str, Decimal] = {}

    def money(person: Person) -> bool | None:
        found = None if person.scores is None else person.scores.get(name)
        if person.scores is None or found is None:
            return None
        currency = person.scores["currency"]
        bound = bounds.get(currency)
        if bound is None:
            bound = bounds[currency] = amount.scaleb(decimals(currency))
        return compare(found, bound)

    return money


def _events(asked: Events, decimals: Decimals) -> Rule:
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
