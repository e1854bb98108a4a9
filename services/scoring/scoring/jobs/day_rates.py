"""The table of day rates that a job is told of, by its address."""

from scoring.features.rates import DayRates, RatesUnusableError
from scoring.jobs.files import opened, sha256


def read(url: str | None, currency: str) -> tuple[DayRates, str]:
    """Rates to a currency and a hash of their table; without a table none, and an empty text.

    Raises RatesUnusableError.
    """
    if url is None:
        return DayRates(currency), ""
    try:
        with opened(url) as file:
            digest = sha256(file)
            file.seek(0)
            return DayRates.read(currency, file.read().decode().splitlines()), digest
    except (OSError, UnicodeDecodeError) as error:
        raise RatesUnusableError(f"{url} cannot be read: {type(error).__name__}") from error
