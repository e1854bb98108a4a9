"""Who is held out of a journey: drawn by chance, and the same each time it is asked."""

import hashlib

PERCENT_MAX = 50
"""More than half held out measures no better and reaches fewer."""
_BITS = 64


def is_held_out(tenant: str, journey: str, customer: str, salt: str, percent: int) -> bool:
    """Whether a journey that holds out `percent` of a hundred customers holds out this one.

    A hash stands for the draw: each customer has one number in each journey, independent of those in other journeys,
    and is held out while it is below the percentage. So more percent hold out those that were, and some more.
    """
    drawn = hashlib.blake2b("\n".join((tenant, journey, customer, salt)).encode(), digest_size=_BITS // 8).digest()
    return int.from_bytes(drawn, "big") * 100 < percent << _BITS
