"""The planted truth: who the customers of the file are, how each source knows them, and what each says on consent.

Contact details are made up from a fixed seed; the same file gives the same people every time.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from faker import Faker

T = TypeVar("T")

SHOP, APP = "shop", "app"
SOURCES = (SHOP, APP)


class Known(Enum):
    """How the sources know a person, and what lets the platform see that two ids are one person."""

    SHOP_ONLY = "only the shop"
    APP_ONLY = "only the app"
    SAME_EMAIL = "both, with one e-mail address"
    SAME_PHONE = "both, with one phone number"


class Choice(Enum):
    """What a person says on marketing by e-mail."""

    CONFIRMS = "asked by e-mail and confirmed"
    IGNORES = "asked by e-mail, never confirmed"
    REFUSES = "refused"
    WITHDRAWS = "confirmed and withdrew later"
    NEVER_ASKED = "never asked"


# Shares of the people, in percent.
KNOWN_SHARES = {Known.SHOP_ONLY: 40, Known.APP_ONLY: 20, Known.SAME_EMAIL: 30, Known.SAME_PHONE: 10}
CHOICE_SHARES = {
    Choice.CONFIRMS: 12,
    Choice.IGNORES: 4,
    Choice.REFUSES: 10,
    Choice.WITHDRAWS: 4,
    Choice.NEVER_ASKED: 70,
}


@dataclass(frozen=True)
class Person:
    """One customer of the file."""

    number: str
    given_name: str
    family_name: str
    emails: dict[str, str]
    phone: str
    known: Known
    choice: Choice
    device: str = ""
    user_ids: dict[str, str] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that know the person."""
        return tuple(self.user_ids)

    def traits(self, source: str) -> dict[str, object]:
        """What the source sends about the person with an identify call."""
        traits: dict[str, object] = {
            "firstName": self.given_name,
            "lastName": self.family_name,
            "email": self.emails[source],
            "address": {"country": "US"},
            "timezone": "America/New_York",
        }
        if self.known is Known.SAME_PHONE:
            traits["phone"] = self.phone
        return traits


def plant(customers: Iterable[str], seed: int = 1998) -> list[Person]:
    """Makes one person for each customer number, in order of the numbers."""
    numbers = sorted(set(customers))
    chance = random.Random(seed)
    names = Faker("en_US")
    names.seed_instance(seed)
    knowns = _shared_out(KNOWN_SHARES, len(numbers), chance)
    choices = _shared_out(CHOICE_SHARES, len(numbers), chance)
    people = []
    for index, (number, known, choice) in enumerate(zip(numbers, knowns, choices, strict=True)):
        given, family = names.first_name(), names.last_name()
        address = f"{given}.{family}.{number}".lower()
        sources = {Known.SHOP_ONLY: (SHOP,), Known.APP_ONLY: (APP,)}.get(known, SOURCES)
        # One address written in two ways, or two addresses: what the sources really send.
        emails = (
            {SHOP: f"{address}@Example.org", APP: f"{address}@example.org"}
            if known is not Known.SAME_PHONE
            else {SHOP: f"{address}@example.org", APP: f"{address}@example.net"}
        )
        people.append(
            Person(
                number=number,
                given_name=given,
                family_name=family,
                emails=emails,
                phone=f"+1212{2000000 + index * 37:07d}",
                known=known,
                choice=choice,
                # Every fifth pair of neighbours shares a device, and must stay two people.
                device=f"device-{index // 2}" if index % 10 < 2 else "",
                user_ids={source: f"{source}-{number}" for source in sources},
            )
        )
    return people


def _shared_out(shares: dict[T, int], count: int, chance: random.Random) -> list[T]:
    drawn = [item for item, percent in shares.items() for _ in range(round(count * percent / 100))]
    drawn = (drawn + [max(shares, key=lambda item: shares[item])] * count)[:count]
    chance.shuffle(drawn)
    return drawn
