"""The demo's story as a test: on the first 300 customers of a generated file with the sample's shape."""

import random
import uuid
from datetime import date, timedelta
from pathlib import Path

import pytest

from e2e.demo import orders, people
from e2e.demo.__main__ import clock_standing_at
from e2e.demo.report import Report
from e2e.demo.story import Story
from e2e.platform import Platform


@pytest.fixture
def file(tmp_path: Path) -> orders.OrderFile:
    """300 customers, 900 purchases, some lines equal, one line broken."""
    chance = random.Random(7)
    lines = ["client,day,total"]
    for number in range(900):
        customer = number if number < 300 else chance.randrange(300)
        day = date(1997, 1, 1) + timedelta(days=chance.randrange(500))
        lines.append(f"c{customer:03d},{day.isoformat()},{chance.randrange(500, 9000) / 100:.2f}")
    lines += [lines[-1], "c001,1997-13-45,10.00"]
    path = tmp_path / "orders.csv"
    path.write_text("\n".join(lines))
    return orders.read(path, orders.parse_map("customer=client,date=day,amount=total"))


@pytest.mark.timeout(300)
def test_the_story_is_found_as_planted(platform: Platform, file: orders.OrderFile) -> None:
    assert len(file.orders) == 901
    assert [(bad.line, bad.reason) for bad in file.bad_rows] == [
        (903, "has the date '1997-13-45', which is not YYYY-MM-DD")
    ]
    report = Report()
    with clock_standing_at(max(order.day for order in file.orders), platform.clock_file) as instant:
        Story(
            platform=platform,
            file=file,
            people=people.plant(order.customer for order in file.orders),
            report=report,
            tenant=f"story-{uuid.uuid4().hex[:8]}",
            now=instant,
        ).play()
    assert len(report.rows) >= 12
    assert all(planted == found for _step, _what, planted, found in report.rows)
