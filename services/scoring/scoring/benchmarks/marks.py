"""What figures must reach. Each benchmark has its `MARKS` beside it; `--check` compares its lines with them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from scoring.benchmarks.lines import Line


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What the lines of a metric must reach: every one of them that it is about, and there must be one.

    data: of the lines; `*` stands for anything, such as a size that can be set. metric, peer: of the lines; any peer
    if not given. source: where the figure comes from. times_peer: limits are multiples of the line's peer value.
    digits: significant ones to which `equal` holds; exactly if not given.
    """

    data: str
    metric: str
    source: str
    peer: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    equal: float | None = None
    digits: int | None = None
    times_peer: bool = False

    def __post_init__(self) -> None:
        if sum(limit is not None for limit in (self.at_least, self.at_most, self.equal)) != 1:
            raise ValueError(f"{self.metric}: a mark is one of at_least, at_most and equal")

    def about(self, line: Line) -> bool:
        """Whether the line is held to this mark."""
        return (
            line.metric == self.metric
            and self.peer in (None, line.peer)
            and (line.data == self.data or fnmatchcase(line.data, self.data))
        )

    def met(self, line: Line) -> bool:
        """Whether the line's value reaches it; what is no number does not."""
        scale = self._scale(line)
        if self.at_least is not None:
            return line.value >= self.at_least * scale
        if self.at_most is not None:
            return line.value <= self.at_most * scale
        assert self.equal is not None
        return abs(line.value - self.equal) <= self._tolerance()

    def told(self, line: Line | None = None) -> str:
        """The limit in words, such as "<= 1.3 x DuckDB 3.14"."""
        sign, limit = next(
            (sign, limit)
            for sign, limit in ((">=", self.at_least), ("<=", self.at_most), ("=", self.equal))
            if limit is not None
        )
        words = f"{sign} {limit:.8g}"
        if self.digits is not None:
            words += f" to {self.digits} digits"
        if self.times_peer:
            words += f" x {line.peer} {line.peer_value:.4g}" if line and line.peer_value is not None else " x peer"
        return words

    def _scale(self, line: Line) -> float:
        if not self.times_peer:
            return 1.0
        return math.nan if line.peer_value is None else float(line.peer_value)

    def _tolerance(self) -> float:
        if self.digits is None or not self.equal:
            return 0.0
        return 0.5 * 10.0 ** (math.floor(math.log10(abs(self.equal))) + 1 - self.digits)


@dataclass
class Check:
    """Holds the lines of a run against marks."""

    _verdicts: list[tuple[str, str, str, str, str, str]] = field(default_factory=list)
    missed: int = 0

    def task(self, name: str, marks: Sequence[Mark], lines: Sequence[Line], *, missing_data: bool) -> None:
        """Judges a task that ended. A mark without any line is missed, unless data were not there."""
        for mark in marks:
            about = [line for line in lines if mark.about(line)]
            # Of several lines the one that is off.
            line = next((line for line in about if not mark.met(line)), about[0] if about else None)
            if line is None:
                verdict = "not measured" if missing_data else "MISSED"
                figure, data = "no line", mark.data
            else:
                verdict = "met" if mark.met(line) else "MISSED"
                figure, data = f"{line.value:.6g}", line.data
            self.missed += verdict == "MISSED"
            self._verdicts.append((verdict, name, f"{data}: {mark.metric}", figure, mark.told(line), mark.source))

    def table(self) -> str:
        """Met and missed, one mark a row, and how many there are of each."""
        rows = [("", "task", "metric", "figure", "mark", "source"), *self._verdicts]
        widths = [max(len(row[place]) for row in rows) for place in range(5)]
        drawn = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
        ]
        return "\n".join([*drawn, self.summary()])

    def summary(self) -> str:
        """Such as "2 met, 1 MISSED"."""
        verdicts = [verdict for verdict, *_ in self._verdicts]
        return ", ".join(f"{verdicts.count(each)} {each}" for each in sorted(set(verdicts), reverse=True)) or "no marks"


def equal_to(data: str, source: str, digits: int, figures: Iterable[tuple[str, float]]) -> tuple[Mark, ...]:
    """Marks of several metrics that are to equal published figures."""
    return tuple(
        Mark(data=data, metric=metric, source=source, equal=figure, digits=digits) for metric, figure in figures
    )
