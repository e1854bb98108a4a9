"""Money: `google.type.Money` outside, integer minor units inside; never floats.

Decimals are those of ISO 4217, kept here: stored minor units mean nothing once they change, as CLDR's do with its
releases, which tell what people write in daily life.
"""

from functools import cache

from babel.numbers import list_currencies
from google.type.money_pb2 import Money

from chassis.errors import InvalidArgument

_NANO_DIGITS = 9
_INT64_MAX = 2**63 - 1
_WITHOUT_DECIMALS = frozenset(
    (
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    )
)
_DECIMALS = {
    **dict.fromkeys(_WITHOUT_DECIMALS, 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
"""By currency where there are not two (ISO 4217, list one)."""
_NO_MONEY = {"XXX", "XTS"}  # ISO 4217: "no currency" and "for testing".


@cache
def digits(currency: str) -> int | None:
    """Decimals of a currency (EUR 2, JPY 0, KWD 3), None when ISO 4217 knows no such code."""
    if currency not in list_currencies() or currency in _NO_MONEY:
        return None
    return _DECIMALS.get(currency, 2)


def check_currency(currency: str, field: str = "currency_code") -> int:
    """Decimals of the currency. Raises InvalidArgument CURRENCY_UNKNOWN, naming `field`."""
    found = digits(currency)
    if found is None:
        raise InvalidArgument(
            "CURRENCY_UNKNOWN",
            f"{field} is not a currency; use an ISO 4217 code in capitals, such as EUR.",
            violations=[(field, "Not a currency; use an ISO 4217 code in capitals, such as EUR.")],
        )
    return found


def to_minor(money: Money, field: str = "amount") -> int:
    """The amount in minor units (cents of EUR, yen of JPY).

    Raises InvalidArgument, naming `field`: CURRENCY_UNKNOWN, MONEY_MALFORMED (nanos out of range, signs that
    disagree), MONEY_TOO_PRECISE (more decimals than the currency has), MONEY_OUT_OF_RANGE (beyond 64 bits).
    """
    decimals = check_currency(money.currency_code, f"{field}.currency_code")
    if not -999_999_999 <= money.nanos <= 999_999_999 or money.units * money.nanos < 0:
        raise _refusal("MONEY_MALFORMED", f"{field}.nanos", "Must lie within +-999999999 and have the sign of `units`.")
    step = 10 ** (_NANO_DIGITS - decimals)
    if money.nanos % step:
        raise _refusal(
            "MONEY_TOO_PRECISE", f"{field}.nanos", f"{money.currency_code} has {decimals} decimals; round the amount."
        )
    minor: int = money.units * 10**decimals + money.nanos // step
    if abs(minor) > _INT64_MAX:
        raise _refusal("MONEY_OUT_OF_RANGE", f"{field}.units", "Must fit 64 bits in minor units.")
    return minor


def from_minor(minor: int, currency: str) -> Money:
    """The message of an amount in minor units. Raises InvalidArgument CURRENCY_UNKNOWN."""
    decimals = check_currency(currency)
    units, rest = divmod(abs(minor), 10**decimals)
    sign = -1 if minor < 0 else 1
    return Money(currency_code=currency, units=sign * units, nanos=sign * rest * 10 ** (_NANO_DIGITS - decimals))


def _refusal(reason: str, field: str, description: str) -> InvalidArgument:
    return InvalidArgument(reason, f"{field}: {description}", violations=[(field, description)])
