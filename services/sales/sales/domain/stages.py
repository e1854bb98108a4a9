"""The stages of a pipeline."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

STAGES_MAX = 30
_ID = re.compile(r"[a-z][a-z0-9-]{0,58}[a-z0-9]")
_NAME_MAX = 200


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage; probability: how many of a hundred opportunities in it are won."""

    id: str
    display_name: str
    probability: int


DEFAULT = (
    Stage("qualification", "Qualification", 10),
    Stage("needs-analysis", "Needs analysis", 25),
    Stage("proposal", "Proposal", 50),
    Stage("negotiation", "Negotiation", 75),
)
"""The stages of the pipeline every tenant begins with."""


def problems(stages: Sequence[Stage]) -> Iterator[tuple[str, str]]:
    """What is wrong with the stages: field, and how to mend it."""
    if not 1 <= len(stages) <= STAGES_MAX:
        yield "stages", f"1 to {STAGES_MAX} stages."
    seen: set[str] = set()
    for index, stage in enumerate(stages[:STAGES_MAX]):
        place = f"stages[{index}]"
        if not _ID.fullmatch(stage.id):
            yield f"{place}.id", "2 to 60 lower-case letters, digits and hyphens, first a letter and last no hyphen."
        elif stage.id in seen:
            yield f"{place}.id", "Another stage has the same id."
        if not stage.display_name.strip() or len(stage.display_name) > _NAME_MAX:
            yield f"{place}.display_name", f"1 to {_NAME_MAX} characters."
        if not 0 <= stage.probability <= 100:
            yield f"{place}.probability_percent", "0 to 100."
        seen.add(stage.id)
