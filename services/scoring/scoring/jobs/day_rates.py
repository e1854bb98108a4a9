"""The table of day rates that a job is told of, by its address."""

import hashlib

from scoring.features.rates import DayRates, RatesUnusableError
from scoring.jobs.files import Folder, opened


def read(url: str | None, currency: str) -> tuple[DayRates, str]:
    """Rates to a currency and a hash of their table; without a table none, and an empty text.

    Raises RatesUnusableError.
    """
    if url is None:
        return DayRates(currency), ""
    rates, table = _read(url, currency)
    return rates, hashlib.sha256(table).hexdigest()


def kept(url: str | None, currency: str, output: Folder, work: str) -> tuple[str | None, str]:
    """Copies the table into a job's output: a new one may be published before its last task reads it.

    work: the folder there. Returns the name of the copy, None without a table, and the hash as `read` does.

    Raises RatesUnusableError.
    """
    if url is None:
        return None, ""
    _, table = _read(url, currency)
    digest = hashlib.sha256(table).hexdigest()
    name = f"{work}/rates-{digest[:16]}.csv"
    output.write(name, lambda file: file.write(table), durable=False)
    return name, digest


def _read(url: str, currency: str) -> tuple[DayRates, bytes]:
    try:
        with opened(url) as file:
            # Once: what web servers send of no told length cannot be read again.
            table = file.read()
        return DayRates.read(currency, table.decode().splitlines()), table
    except (OSError, UnicodeDecodeError) as error:
        raise RatesUnusableError(f"{url} cannot be read: {type(error).__name__}") from error


def notes(converted: int, without: int, currency: str) -> list[str]:
    """What a job's message says of purchases in other currencies than the main one: how many count, how many cannot."""
    found = []
    if converted:
        found.append(f"{converted} purchases in other currencies count in {currency} by the rate of their day")
    if without:
        found.append(f"{without} purchases without a rate to {currency} are left out")
    return found
