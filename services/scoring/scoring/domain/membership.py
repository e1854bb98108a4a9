"""Who belongs to a segment: conditions made into functions of a person, and when the answer can next change by itself.

A condition is met (True), not met (False), or, on scores of a person without any, neither (None), which a negation
leaves as it is: only True makes a member. Whatever time alone can change tells `Person.again_at` no later than it
happens.
"""

from collections.abc import Collection
from decimal import Decimal
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
    Score,
    Trait,
)
from scoring.domain.event_rules import rule_of_events
from scoring.domain.person import COMPARE, Decimals, Person, Rule


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
            return rule_of_events(condition, decimals)


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
