"""The table of day rates, as role `run` has it: read when an amount in another currency first comes, and anew when it
has changed.
"""

import logging
import threading
import time
from dataclasses import dataclass

import fsspec

from chassis.errors import Unavailable
from chassis.folder import located
from scoring.domain.histories import Convert
from scoring.features.rates import DayRates, RatesUnusableError

LOOK_EVERY_S = 10.0
"""How often it is looked whether the table has changed."""
READ_EVERY_S = 600.0
"""How often it is read anew from a web server that does not tell when it changed."""

logger = logging.getLogger(__name__)


@dataclass
class _Table:
    """state: what the file system says of the file, which changes with it. looked: when that was last asked."""

    url: str
    state: str
    looked: float
    rates: DayRates


_table: _Table | None = None
_lock = threading.Lock()


def to(currency: str, url: str | None, home: str) -> Convert:
    """What converts amounts to a main currency, by the table at that address; without one there are no rates.

    home: the currency of amounts without one, as histories keep them.

    Converting raises Unavailable RATES_UNUSABLE while no usable table has been read.
    """
    found: list[DayRates] = []

    def convert(amount: int, other: str, time: int) -> int | None:
        other = other or home
        if other == currency:
            return amount
        if not found:
            found.append(_current(url).to(currency) if url else DayRates(currency))
        return found[0].convert(amount, other, time)

    return convert


def _current(url: str) -> DayRates:
    """The table, at most LOOK_EVERY_S old, or READ_EVERY_S; the one before while the new one is of no use."""
    global _table
    # Here: only whoever converts needs what jobs read files with.
    from scoring.jobs import day_rates

    with _lock:
        held = _table if _table and _table.url == url else None
        if held and time.monotonic() - held.looked < LOOK_EVERY_S:
            return held.rates
        try:
            state = _state(url)
            rates = held.rates if held and held.state == state else day_rates.read(url, "EUR")[0]
        except RatesUnusableError as error:
            if held is None:
                raise Unavailable("RATES_UNUSABLE", f"The table of day rates cannot be used: {error}.") from error
            logger.warning("the table of day rates has changed and cannot be used: %s", error)
            state, rates = held.state, held.rates
        _table = _Table(url, state, time.monotonic(), rates)
        return rates


def _state(url: str) -> str:
    """Raises RatesUnusableError."""
    try:
        files, path = located(url)
        if fsspec.utils.get_protocol(url) not in ("http", "https"):
            return str(files.ukey(path))
        # There fsspec takes files for unchanging.
        told = files.info(path)
        marks = [told.get(name) for name in ("ETag", "Last-Modified")]
        return str((*marks, told["size"], None if any(marks) else time.monotonic() // READ_EVERY_S))
    except OSError as error:
        raise RatesUnusableError(f"{url} cannot be read: {type(error).__name__}") from error
