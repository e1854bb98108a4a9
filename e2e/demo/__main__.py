"""Plays the story on the running platform: `make demo`.

Where things are comes from the environment that `python -m localrun run` sets.
"""

import argparse
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import requests
from rich.markup import escape

from e2e import business_clock
from e2e.demo import orders, people
from e2e.demo.api import ApiError
from e2e.demo.collecting import ZONE
from e2e.demo.report import CheckFailedError, Report
from e2e.demo.story import Story
from e2e.platform import Platform


@contextmanager
def clock_standing_at(day: date, clock_file: Path) -> Iterator[datetime]:
    """Moves the business clock to 10:00 of the first working day from `day` on, and back when the block ends."""
    while day.weekday() >= 5:
        day += timedelta(days=1)
    instant = datetime.combine(day, time(10), ZONE).astimezone(UTC)
    with business_clock.standing_at(instant, clock_file):
        yield instant


def main() -> int:
    """Returns 0 when everything was found as planted."""
    parser = argparse.ArgumentParser(prog="python -m e2e.demo", description="Plays the story on the running platform.")
    parser.add_argument("--data", type=Path, help="a CSV of purchases, instead of the CDNOW sample")
    parser.add_argument(
        "--map", help="its columns: customer=..,date=..,amount=..[,quantity=..,currency=..,date_format=..]"
    )
    arguments = parser.parse_args()
    platform = Platform.from_environment()
    report = Report()
    try:
        if arguments.data and not arguments.map:
            raise orders.UnusableFileError("DATA needs MAP, such as MAP=customer=client,date=day,amount=total")
        columns = orders.parse_map(arguments.map) if arguments.map else None
        path = arguments.data or orders.cdnow_file(platform.state / "downloads")
        file = orders.read(path, columns)
        for bad in file.bad_rows[:20]:
            report.console.print(f"{file.name} line {bad.line} {bad.reason}; left out")
        if len(file.bad_rows) > 20:
            report.console.print(f"... and {len(file.bad_rows) - 20} more rows left out")
        with clock_standing_at(max(order.day for order in file.orders), platform.clock_file) as instant:
            report.console.print(
                f"{len(file.orders)} orders of {file.name}; the business clock stands at {instant:%c} UTC"
            )
            Story(
                platform=platform,
                file=file,
                people=people.plant(order.customer for order in file.orders),
                report=report,
                tenant=f"demo-{uuid.uuid4().hex[:8]}",
                now=instant,
            ).play()
    except (CheckFailedError, ApiError, TimeoutError, requests.RequestException, orders.UnusableFileError) as error:
        report.print()
        report.console.print(f"[red]The story stopped:[/red] {escape(str(error))}")
        return 1
    report.print()
    report.console.print("Everything is as planted.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
