"""What the traits of an identify call mean: fields of the customer, strong identifiers, and the rest."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from chassis import validation
from chassis.validation import Invalid
from identity.domain.identifiers import BlockList, Identifier, Kind
from identity.domain.profile import TRAIT_PREFIX

TEXT_MAX = 256
"""Characters of a name taken from traits."""


@dataclass
class Understood:
    """Traits as identity takes them."""

    values: dict[str, Any] = field(default_factory=dict)
    """Field or `traits.<name>` -> value; None removes a trait."""
    identifiers: list[Identifier] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    """Names of traits whose value could not be read as what the name says; they stay plain traits."""


def understand(traits: Mapping[str, Any], region: str, block_list: BlockList) -> Understood:
    """Sort out traits. Nothing here refuses an event: a bad e-mail address is no reason to lose what was said."""
    found = Understood()
    country = _country(traits)
    understood: set[str] = set()
    for name, key, read in _readers(country or region):
        raw = traits.get(name)
        if raw is None or key in found.values:
            continue
        try:
            value = read(_text(raw))
        except Invalid:
            found.unread.append(name)
            continue
        found.values[key] = value
        understood.add(name)
    if country:
        found.values["region_code"] = country
    elif _named_country(traits) is not None:
        found.unread.append("address.country")
    for name, value in traits.items():
        if name not in understood:
            found.values[f"{TRAIT_PREFIX}{name}"] = value
    email, phone = found.values.get("email"), found.values.get("phone")
    if email and not block_list.blocks(Kind.EMAIL, email):
        found.identifiers.append(email_identifier(email))
    if phone and not block_list.blocks(Kind.PHONE, phone):
        found.identifiers.append(Identifier(Kind.PHONE, "", phone))
    return found


def email_identifier(normalised: str) -> Identifier:
    """The identifier of a normalised address."""
    return Identifier(Kind.EMAIL, "", validation.email_key(normalised))


def _readers(region: str) -> Iterator[tuple[str, str, Callable[[str], str]]]:
    """(trait, field, how to read it); an earlier trait wins over a later one for the same field."""
    yield "email", "email", validation.email
    yield "phone", "phone", lambda text: validation.phone(text, region)
    yield "name", "display_name", _name
    yield "firstName", "given_name", _name
    yield "first_name", "given_name", _name
    yield "lastName", "family_name", _name
    yield "last_name", "family_name", _name
    yield "language", "language_code", validation.language
    yield "locale", "language_code", validation.language
    yield "timezone", "time_zone", validation.time_zone


def _text(raw: Any) -> str:
    if not isinstance(raw, str | int) or isinstance(raw, bool):
        raise Invalid("is no text")
    return str(raw)


def _name(text: str) -> str:
    name = " ".join(text.split())
    if not name or len(name) > TEXT_MAX:
        raise Invalid("is empty or too long")
    return name


def _named_country(traits: Mapping[str, Any]) -> str | None:
    address = traits.get("address")
    country = address.get("country") if isinstance(address, Mapping) else None
    return country if isinstance(country, str) and country.strip() else None


def _country(traits: Mapping[str, Any]) -> str | None:
    named = _named_country(traits)
    return validation.region_named(named) if named else None
