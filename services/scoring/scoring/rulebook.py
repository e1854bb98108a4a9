"""All segments of a tenant as rules, in an order in which each comes after those it asks for."""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from graphlib import TopologicalSorter

from chassis import money
from scoring.domain import condition_text
from scoring.domain.condition_tokens import ExpressionError
from scoring.domain.conditions import Condition, references
from scoring.domain.membership import keys_of, rule_of
from scoring.domain.person import Person, Rule

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Rulebook:
    """Segments by uid, each after those it asks for."""

    conditions: Mapping[str, Condition]

    @cached_property
    def rules(self) -> dict[str, Rule]:
        """What each segment asks, in order."""
        graph = {uid: references(condition) & self.conditions.keys() for uid, condition in self.conditions.items()}
        order = TopologicalSorter({uid: graph[uid] for uid in sorted(graph)}).static_order()
        return {uid: rule_of(self.conditions[uid], money.check_currency) for uid in order}

    @cached_property
    def _asking(self) -> Mapping[str, frozenset[str]]:
        """What conditions rest on (`keys_of`) -> the segments that can change with it, through others too."""
        found: dict[str, set[str]] = {}
        for uid in reversed(self.rules):
            own = {uid, *found.get(f"segment:{uid}", ())}
            for key in keys_of(self.conditions[uid]):
                found.setdefault(key, set()).update(own)
        return {key: frozenset(uids) for key, uids in found.items()}

    @lru_cache(maxsize=1_000)  # noqa: B019 - rulebooks are kept by a bounded cache themselves
    def affected(self, keys: frozenset[str]) -> tuple[str, ...]:
        """The segments that can change with what these keys stand for, in order."""
        wanted: set[str] = set()
        for key in keys:
            wanted |= self._asking.get(key, frozenset())
        return self._ordered(wanted)

    def with_those_asking(self, uids: Collection[str]) -> tuple[str, ...]:
        """These segments and all that ask for them, in order."""
        return self._ordered({*uids, *self.affected(frozenset(f"segment:{uid}" for uid in uids))})

    def _ordered(self, wanted: Collection[str]) -> tuple[str, ...]:
        return tuple(uid for uid in self.rules if uid in wanted)

    def judge(self, person: Person, segments: Iterable[str]) -> None:
        """Makes the person be inside exactly those of these segments whose rule is met."""
        for uid in segments:
            if self.rules[uid](person):
                person.inside.add(uid)
            else:
                person.inside.discard(uid)


@lru_cache(maxsize=100)
def rulebook(segments: frozenset[tuple[str, str]]) -> Rulebook:
    """The rulebook of segments given by uid and expression. One that cannot be read has no members."""
    conditions = {}
    for uid, expression in segments:
        try:
            conditions[uid] = condition_text.parse(expression)
        except ExpressionError as error:
            logger.error("segment %s cannot be evaluated: its expression %s", uid, error)
    return Rulebook(conditions)
