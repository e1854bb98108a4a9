"""Journeys as graphs of steps: what makes a definition whole, and where a way leads next."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from graphlib import CycleError, TopologicalSorter
from typing import TypeAlias

from campaigns.domain import best_time

STEPS_MAX = 100
WAIT_MIN, WAIT_MAX = timedelta(seconds=1), timedelta(days=366)
_STEP_ID = re.compile(r"[a-z][a-z0-9-]{0,59}")


@dataclass(frozen=True, slots=True)
class Wait:
    """Lets time pass."""

    duration: timedelta
    next: str = ""


@dataclass(frozen=True, slots=True)
class Branch:
    """Goes one of two ways; `condition` is an expression of the filter language."""

    condition: str
    then: str
    otherwise: str


@dataclass(frozen=True, slots=True)
class Send:
    """Sends a message: resource names of the template and of the purpose.

    max_wait: how long it waits at most for the person's best hour; None: it does not.
    """

    template: str
    purpose: str
    next: str = ""
    max_wait: timedelta | None = None


@dataclass(frozen=True, slots=True)
class End:
    """Ends the journey."""


Action: TypeAlias = Wait | Branch | Send | End


@dataclass(frozen=True, slots=True)
class Step:
    """One step: where a way that is not named leads is the next step in the list."""

    id: str
    action: Action


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a definition: the field, as callers know it, and what to do about it."""

    field: str
    description: str


class Definition:
    """The steps of one revision, in order."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(steps)
        self._at: Mapping[str, int] = {step.id: index for index, step in enumerate(self.steps)}

    @property
    def first(self) -> str:
        """Id of the first step."""
        return self.steps[0].id

    def action(self, step: str) -> Action:
        """What a step does. Raises KeyError for one that is nowhere."""
        return self.steps[self._at[step]].action

    def following(self, step: str, named: str) -> str:
        """The id of the step after `step`: the named one, else the next in the list; empty when there is none."""
        index = self._at[step] + 1
        return named or (self.steps[index].id if index < len(self.steps) else "")

    def ways(self, step: str) -> list[tuple[str, str]]:
        """The ways out of a step: the field that names each, and the id it leads to (empty: nowhere)."""
        match self.action(step):
            case Branch(_, then, otherwise):
                return [("branch.then", self.following(step, then)), ("branch.otherwise", otherwise)]
            case Wait(_, following) | Send(_, _, following, _):
                return [("next", self.following(step, following))]
            case End():
                return []

    def problems(self) -> list[Problem]:
        """All that keeps people from going through it: steps, ways, cycles, ways without an end."""
        found = list(self._step_problems()) or list(self._way_problems())
        return found or list(self._cycles()) or list(self._unreachable())

    def _step_problems(self) -> Iterator[Problem]:
        if not 1 <= len(self.steps) <= STEPS_MAX:
            yield Problem("steps", f"Give 1 to {STEPS_MAX} steps.")
            return
        seen: set[str] = set()
        for index, step in enumerate(self.steps):
            place = f"steps[{index}]"
            if not _STEP_ID.fullmatch(step.id):
                yield Problem(f"{place}.id", "1 to 60 lower-case letters, digits and hyphens, a letter first.")
            elif step.id in seen:
                yield Problem(f"{place}.id", f"Another step is called {step.id}.")
            seen.add(step.id)
            if isinstance(step.action, Wait) and not WAIT_MIN <= step.action.duration <= WAIT_MAX:
                yield Problem(f"{place}.wait.duration", f"1 second to {WAIT_MAX.days} days.")
            longest = step.action.max_wait if isinstance(step.action, Send) else None
            if longest is not None and not best_time.WAIT_MIN <= longest <= best_time.WAIT_MAX:
                hours = best_time.WAIT_MAX // best_time.WAIT_MIN
                yield Problem(f"{place}.send.at_best_time.max_wait", f"1 to {hours} hours.")

    def _way_problems(self) -> Iterator[Problem]:
        for index, step in enumerate(self.steps):
            for field, target in self.ways(step.id):
                if not target:
                    yield Problem(
                        f"steps[{index}].{field}",
                        f"The way ends at {step.id}, which is no end: add a step of the kind end, or name a next one.",
                    )
                elif target not in self._at:
                    yield Problem(f"steps[{index}].{field}", f"There is no step {target[:60]}.")

    def _cycles(self) -> Iterator[Problem]:
        ways = {step.id: {target for _, target in self.ways(step.id)} for step in self.steps}
        try:
            TopologicalSorter(ways).prepare()
        except CycleError as error:
            circle = list(reversed(error.args[1]))
            yield Problem(f"steps[{self._at[circle[0]]}]", f"The steps go round in a cycle: {' -> '.join(circle)}.")

    def _unreachable(self) -> Iterator[Problem]:
        reached: set[str] = set()
        waiting = [self.first]
        while waiting:
            step = waiting.pop()
            if step not in reached:
                reached.add(step)
                waiting += [target for _, target in self.ways(step)]
        for step, index in self._at.items():
            if step not in reached:
                yield Problem(f"steps[{index}]", f"No way leads to {step}: remove it, or name it as a next step.")
