"""Which of the products kept of a customer are offered, in which order, and why not the others."""

import enum
import functools
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from scoring.domain.conditions import GRANTED

PREFIX_MAX = 40
"""Characters of a prefix: what is looked for grows with it."""
EVERY = "*"
_ALL, _EXACT = 0, PREFIX_MAX + 1
_DIGITS = 12
"""The last bits of a power depend on the processor."""
_GROUPS_KEPT = 1_000


class Reason(enum.StrEnum):
    """What a rule asks that is not met, in the order in which it is looked at."""

    BLOCKED = "BLOCKED"
    SEGMENT = "SEGMENT"
    CONSENT = "CONSENT"
    MARGIN = "MARGIN"
    MAX_OFFERS = "MAX_OFFERS"


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for some products: those of these ids or prefixes, or all.

    margin, minimum: in minor units or in basis points, the same for all rules of a tenant.
    """

    uid: str
    products: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    every: bool = False
    start: datetime | None = None
    end: datetime | None = None
    blocked: bool = False
    required: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    consent: tuple[str, str] | None = None
    margin: int | None = None
    minimum: int | None = None
    most: int = 0

    def holds(self, now: datetime) -> bool:
        """Whether it does at this instant."""
        return (self.start is None or self.start <= now) and (self.end is None or now < self.end)

    @property
    def asks(self) -> bool:
        """Whether it may leave out a product by itself."""
        return bool(self.blocked or self.required or self.excluded or self.consent or self.minimum is not None)


@dataclass(frozen=True, slots=True)
class Customer:
    """What rules ask of one: uids of segments, and (purpose, channel) -> where it stands."""

    segments: Collection[str] = ()
    consents: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """A product that is kept of the customer, with its probability if there is one."""

    product: str
    probability: float | None


@dataclass(frozen=True, slots=True)
class Ranked:
    """A product to offer. place: among what is kept, from 0. score: relevance times weight."""

    place: int
    relevance: float
    weight: float
    score: float


@dataclass(frozen=True, slots=True)
class Choice:
    """What is offered, the best first, and how many products each rule left out, for which reason."""

    offers: Sequence[Ranked]
    left_out: Mapping[tuple[str, Reason], int]


def keys_of(products: Collection[str], prefixes: Collection[str], *, every: bool) -> list[str]:
    """What a rule is found by: `EVERY`, `=id` and `^prefix`."""
    return sorted({*([EVERY] if every else []), *(f"={one}" for one in products), *(f"^{one}" for one in prefixes)})


def keys_about(products: Collection[str]) -> list[str]:
    """All keys that rules about any of these products can have."""
    starts = {product[:length] for product in products for length in range(1, min(len(product), PREFIX_MAX) + 1)}
    return keys_of(products, starts, every=True)


@dataclass(frozen=True, slots=True, eq=False)
class About:
    """What rules say of some products, whoever they are offered to. asking, capping: those that may leave them out."""

    asking: Sequence[Rule]
    capping: Sequence[Rule]
    margin: int | None


class Rules:
    """Rules that hold now, in the order of their creation; which are about a product is decided once for all alike."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self.order: Mapping[str, int] = {rule.uid: place for place, rule in enumerate(rules)}
        self._places: dict[str, list[int]] = defaultdict(list)
        for place, rule in enumerate(rules):
            for key in keys_of(rule.products, rule.prefixes, every=rule.every):
                self._places[key].append(place)
        self._about = functools.lru_cache(_GROUPS_KEPT)(self._decided)

    def about(self, product: str) -> About:
        """What they say of that product."""
        return self._about(tuple(key for key in keys_about([product]) if key in self._places))

    def _decided(self, keys: Sequence[str]) -> About:
        closest: dict[int, int] = {}
        for key in keys:
            for place in self._places[key]:
                closest[place] = max(closest.get(place, _ALL), _closeness(key))
        about = [(self._rules[place], closest[place]) for place in sorted(closest)]
        return About(
            [rule for rule, _ in about if rule.asks],
            [rule for rule, _ in about if rule.most],
            _margin(about),
        )


def _closeness(key: str) -> int:
    if key == EVERY:
        return _ALL
    return _EXACT if key.startswith("=") else len(key) - 1


def choose(
    rules: Rules, kept: Sequence[Kept], asked: Collection[int], customer: Customer, most: int, power: float
) -> Choice:
    """What is offered of what the request asks for.

    kept: all that is kept, the best first by the model.
    asked: places in it. most: how many are offered. power: how much margins count, 0 to 1.
    """
    about = [rules.about(one.product) for one in kept]
    margins = [found.margin for found in about]
    refusal_of = functools.cache(lambda found: _refusal(found.asking, found.margin, customer))
    left_out: Counter[tuple[str, Reason]] = Counter()
    allowed = []
    for place in sorted(asked):
        refusal = refusal_of(about[place])
        if refusal is None:
            allowed.append(place)
        else:
            left_out[refusal] += 1
    ranked = _ranked(kept, allowed, margins, power)
    offers: list[Ranked] = []
    counts: Counter[str] = Counter()
    for one in ranked:
        if len(offers) == most:
            break
        capped = about[one.place].capping
        full = next((rule for rule in capped if counts[rule.uid] >= rule.most), None)
        if full is not None:
            left_out[full.uid, Reason.MAX_OFFERS] += 1
            continue
        counts.update(rule.uid for rule in capped)
        offers.append(one)
    reasons = list(Reason)
    told = sorted(left_out, key=lambda each: (rules.order[each[0]], reasons.index(each[1])))
    return Choice(offers, {each: left_out[each] for each in told})


def _margin(about: Sequence[tuple[Rule, int]]) -> int | None:
    """That of the closest rule that tells one; of equally close ones the last."""
    told = [(close, place) for place, (rule, close) in enumerate(about) if rule.margin is not None]
    return about[max(told)[1]][0].margin if told else None


def _refusal(rules: Sequence[Rule], margin: int | None, customer: Customer) -> tuple[str, Reason] | None:
    for rule in rules:
        if rule.blocked:
            return rule.uid, Reason.BLOCKED
        outside = rule.required and rule.required.isdisjoint(customer.segments)
        if outside or not rule.excluded.isdisjoint(customer.segments):
            return rule.uid, Reason.SEGMENT
        if rule.consent is not None and customer.consents.get(rule.consent) != GRANTED:
            return rule.uid, Reason.CONSENT
        if rule.minimum is not None and (margin is None or margin < rule.minimum):
            return rule.uid, Reason.MARGIN
    return None


def _ranked(
    kept: Sequence[Kept], places: Sequence[int], margins: Sequence[int | None], power: float
) -> Sequence[Ranked]:
    """The best first: by relevance times weight, ties by place."""
    positive = [margin for margin in margins if margin is not None and margin > 0]
    reference = statistics.median(positive) if positive else 1
    likely = [one.probability for one in kept]
    known = [value for value in likely if value is not None]
    found = []
    for place in places:
        relevance = known[place] if len(known) == len(kept) else 1 / math.log2(2 + place)
        margin = margins[place]
        weight = 1.0 if margin is None else (max(margin, 0) / reference) ** power
        found.append(Ranked(place, relevance, weight, round(relevance * weight, _DIGITS)))
    return sorted(found, key=lambda one: (-one.score, one.place))
