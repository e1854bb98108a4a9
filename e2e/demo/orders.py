"""Purchases from a file: the CDNOW sample, or any CSV with a header and a map of its columns."""

import csv
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

from chassis import money

CDNOW = "lifetimes/datasets/CDNOW_sample.txt"
COLUMNS = ("customer", "date", "amount", "quantity", "currency", "date_format")


class UnusableFileError(Exception):
    """The file or the map of its columns cannot be used at all; the message says why and how to mend it."""


@dataclass(frozen=True)
class Order:
    """One purchase. `row_id` is unique and stable: file hash and line number, since equal lines are real purchases."""

    row_id: str
    customer: str
    day: date
    quantity: int
    amount_minor: int
    currency: str

    @property
    def amount(self) -> str:
        """The amount in the currency's major unit, such as `29.33`."""
        digits = money.check_currency(self.currency)
        return f"{Decimal(self.amount_minor).scaleb(-digits):.{digits}f}"


@dataclass(frozen=True)
class BadRow:
    """A row that could not be read: its line, from 1, and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class OrderFile:
    """What a file held."""

    name: str
    orders: tuple[Order, ...]
    bad_rows: tuple[BadRow, ...]

    @property
    def revenue_minor(self) -> dict[str, int]:
        """Sum of the amounts in minor units, one for each currency."""
        sums: dict[str, int] = {}
        for order in self.orders:
            sums[order.currency] = sums.get(order.currency, 0) + order.amount_minor
        return sums


def cdnow_file(folder: Path) -> Path:
    """The CDNOW purchase log sample (Fader and Hardie: 2,357 customers, 6,919 purchases).

    Taken once out of the PyPI wheel `lifetimes` 0.11.3, which is not installed, and kept in `folder`.
    """
    target = folder / "CDNOW_sample.txt"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run([*command, "--dest", str(folder), "lifetimes==0.11.3"], capture_output=True, text=True)
    if done.returncode != 0:
        raise UnusableFileError(
            "the sample data could not be downloaded (the package lifetimes 0.11.3); give a file of your own: "
            f"make demo DATA=orders.csv MAP=customer=...,date=...,amount=...\n{done.stderr.strip()}"
        )
    wheel = next(folder.glob("[Ll]ifetimes-0.11.3*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        partial = target.with_suffix(".partial")
        partial.write_bytes(archive.read(CDNOW))
    partial.rename(target)
    wheel.unlink()
    return target


def parse_map(text: str) -> dict[str, str]:
    """Reads `customer=client,date=day,amount=total` into a dict. Raises UnusableFileError."""
    found: dict[str, str] = {}
    for pair in text.split(","):
        ours, separator, theirs = pair.partition("=")
        if not separator or ours.strip() not in COLUMNS or not theirs.strip():
            raise UnusableFileError(
                f"MAP has {pair!r}; each entry is NAME=COLUMN with NAME one of {', '.join(COLUMNS)}"
            )
        found[ours.strip()] = theirs.strip()
    if missing := [name for name in COLUMNS[:3] if name not in found]:
        raise UnusableFileError(f"MAP must name the columns for {', '.join(missing)}")
    return found


def read(path: Path, columns: dict[str, str] | None = None) -> OrderFile:
    """Reads a file. Without `columns` it is in CDNOW's form: ids, day and amount, separated by blanks.

    Rows that cannot be read are reported and left out. Raises UnusableFileError when nothing can be read at all.
    """
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableFileError(f"{path} cannot be read: {error}") from error
    digest = hashlib.sha256(raw).hexdigest()[:16]
    rows = _csv_rows(path, text, columns) if columns else _cdnow_rows(text)
    orders: list[Order] = []
    bad_rows: list[BadRow] = []
    for line, fields in rows:
        try:
            orders.append(_order(f"{digest}-{line}", fields))
        except ValueError as error:
            bad_rows.append(BadRow(line, str(error)))
    if not orders:
        raise UnusableFileError(f"{path} holds no readable row; the first problem: {bad_rows[:1]}")
    return OrderFile(path.name, tuple(orders), tuple(bad_rows))


def _cdnow_rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    for line, row in enumerate(text.splitlines(), 1):
        fields = row.split()
        if not fields:
            continue
        if len(fields) != 5:
            yield line, {"problem": f"has {len(fields)} fields, not 5"}
            continue
        yield (
            line,
            {
                "customer": fields[1],
                "date": fields[2],
                "quantity": fields[3],
                "amount": fields[4],
                "date_format": "%Y%m%d",
            },
        )


def _csv_rows(path: Path, text: str, columns: dict[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(text.splitlines())
    present = reader.fieldnames or []
    wanted = {ours: theirs for ours, theirs in columns.items() if ours != "date_format"}
    if missing := [theirs for theirs in wanted.values() if theirs not in present]:
        raise UnusableFileError(f"{path} has no column {', '.join(missing)}; it has {', '.join(present)}")
    for row in reader:
        fields = {ours: (row[theirs] or "").strip() for ours, theirs in wanted.items()}
        yield reader.line_num, fields | {"date_format": columns.get("date_format", "")}


def _order(row_id: str, fields: dict[str, str]) -> Order:
    if "problem" in fields:
        raise ValueError(fields["problem"])
    if not fields["customer"]:
        raise ValueError("has no customer")
    currency = fields.get("currency") or "USD"
    if money.digits(currency) is None:
        raise ValueError(f"has the unknown currency {currency!r}; use ISO 4217 codes such as USD")
    return Order(
        row_id,
        fields["customer"],
        _day(fields["date"], fields.get("date_format", "")),
        _quantity(fields.get("quantity", "1")),
        _minor(fields["amount"], currency),
        currency,
    )


def _day(text: str, form: str) -> date:
    try:
        # A day has no zone.
        return datetime.strptime(text, form).date() if form else date.fromisoformat(text[:10])  # noqa: DTZ007
    except ValueError:
        raise ValueError(f"has the date {text!r}, which is not {form or 'YYYY-MM-DD'}") from None


def _quantity(text: str) -> int:
    if not text.isdigit():
        raise ValueError(f"has the quantity {text!r}, which is no whole number")
    return int(text)


def _minor(text: str, currency: str) -> int:
    try:
        amount = Decimal(text).scaleb(money.check_currency(currency))
    except InvalidOperation:
        raise ValueError(f"has the amount {text!r}, which is no number") from None
    if not amount.is_finite() or amount != amount.to_integral_value():
        raise ValueError(f"has the amount {text!r}, which has too many decimals for {currency}")
    return int(amount)
