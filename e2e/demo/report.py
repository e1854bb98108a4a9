"""What the story found: the checks it made, the times of its steps, printed at the end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table


class CheckFailedError(Exception):
    """The platform's figure is not the planted one."""


@dataclass
class Report:
    """Collects figures and times; `check` stops the story at the first wrong figure."""

    console: Console = field(default_factory=Console)
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    times: list[tuple[str, float]] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Times one step of the story and says that it began and ended."""
        self.console.print(f"[bold]{title}[/bold]")
        start = time.monotonic()
        yield
        self.times.append((title, time.monotonic() - start))

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Progress]:
        """A bar for work of `total` pieces: call `advance(task)` with the id `progress.task_ids[0]`."""
        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as progress:
            progress.add_task(title, total=total)
            yield progress

    def check(self, step: str, what: str, planted: object, found: object) -> None:
        """Notes a figure. Raises CheckFailedError when it is not the planted one."""
        self.rows.append((step, what, str(planted), str(found)))
        if planted != found:
            raise CheckFailedError(f"{step}: {what}: planted {planted}, found {found}")

    def note(self, what: str, value: object) -> None:
        """A figure with nothing to compare it to."""
        self.notes.append((what, str(value)))

    def print(self) -> None:
        """Prints the tables."""
        checks = Table("step", "what", "planted", "found", title="What was planted, what the platform found")
        for row in self.rows:
            checks.add_row(*map(escape, row))
        self.console.print(checks)
        times = Table("step", "seconds", title="Times")
        for title, seconds in self.times:
            times.add_row(title, f"{seconds:.1f}")
        self.console.print(times)
        for what, value in self.notes:
            self.console.print(escape(f"{what}: {value}"))
