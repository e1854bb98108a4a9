"""Values people and sources give, checked and normalised; every refusal names what is wrong and how to mend it.

Refusals never quote the value: it is personal, and messages reach logs.
What knows addresses and numbers is loaded with the first of them: most processes see none.
"""

from functools import lru_cache
from zoneinfo import available_timezones

from babel import Locale, UnknownLocaleError, localedata
from babel.core import get_global


class Invalid(ValueError):  # noqa: N818 - reads as what is the matter
    """A value that cannot be taken. The text says why and how to mend it, without the value."""


@lru_cache(maxsize=1)
def _regions() -> frozenset[str]:
    # CLDR also lists groupings (EU, 001) and private codes; territories of the world with a two-letter code are ISO's.
    names = Locale("en").territories
    groupings = {"EU", "EZ", "UN", "QO", "XA", "XB", "ZZ"}
    codes = {str(code) for code in names}
    return frozenset(code for code in codes if len(code) == 2 and code.isalpha() and code not in groupings)


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())


@lru_cache(maxsize=4096)
def email(value: str) -> str:
    """The address normalised (RFC 5321, domain in lower case). Syntax only: no look-up."""
    from email_validator import EmailNotValidError, validate_email

    try:
        checked = validate_email(value.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise Invalid("is no e-mail address; give one such as ada@example.com") from None
    return checked.normalized


def deliverable_email(value: str, *, test_environment: bool) -> str:
    """The address in the spelling a mail server takes, ASCII where that can be; syntax only."""
    from email_validator import EmailNotValidError, validate_email

    try:
        checked = validate_email(value, check_deliverability=False, test_environment=test_environment)
    except EmailNotValidError:
        raise Invalid("is no e-mail address; give one such as ada@example.com") from None
    return checked.ascii_email or checked.normalized


def email_key(normalised: str) -> str:
    """The form two spellings of one mailbox share: lower case. No large provider tells mailboxes apart by case."""
    return normalised.casefold()


@lru_cache(maxsize=4096)
def phone(value: str, region: str) -> str:
    """The number as E.164; national forms are read in `region`."""
    import phonenumbers

    try:
        parsed = phonenumbers.parse(value, region or None)
    except phonenumbers.NumberParseException:
        raise Invalid(
            "is no phone number; give it with its country code, such as +49 30 901820, or set region_code"
        ) from None
    # A national form may be one of another country: it must be a number that exists. With a country code it is enough
    # that it may exist, for numbering plans change.
    international = value.strip().startswith(("+", "00"))
    possible = phonenumbers.is_possible_number_with_reason(parsed) == phonenumbers.ValidationResult.IS_POSSIBLE
    if not (possible and (international or phonenumbers.is_valid_number(parsed))):
        raise Invalid("has too few or too many digits for its country; give it with its country code") from None
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164))


def region(value: str) -> str:
    """The ISO 3166-1 alpha-2 code, in capitals."""
    code = value.strip().upper()
    if code not in _regions():
        raise Invalid("is no region; give an ISO 3166-1 alpha-2 code, such as DE")
    return code


@lru_cache(maxsize=1024)
def language(value: str) -> str:
    """The BCP 47 code in its usual spelling, such as de, pt-BR or zh-Hant-TW."""
    try:
        locale = Locale.parse(value.strip().replace("_", "-"), sep="-", resolve_likely_subtags=True)
    except (ValueError, UnknownLocaleError, TypeError):
        raise Invalid("is no language; give a BCP 47 code, such as de or pt-BR") from None
    if locale is None or not localedata.exists(locale.language):
        raise Invalid("is no language; give a BCP 47 code, such as de or pt-BR")
    parts = [locale.language, locale.script, locale.territory]
    given = {part.casefold() for part in value.replace("_", "-").split("-")}
    # Parsing adds the likely script and territory; only what was given is kept.
    return "-".join(part for index, part in enumerate(parts) if part and (index == 0 or part.casefold() in given))


def time_zone(value: str) -> str:
    """The IANA name of the zone."""
    zone = value.strip()
    if zone not in _time_zones():
        raise Invalid("is no time zone; give an IANA name, such as Europe/Berlin")
    return zone


@lru_cache(maxsize=1024)
def region_named(value: str) -> str | None:
    """The region that a code or an English name means, as traits give it ("Germany", "de"); None when none does."""
    code = value.strip().upper()
    if code in _regions():
        return code
    replacements: list[str] = get_global("territory_aliases").get(code, [])  # three-letter and old codes
    if len(replacements) == 1 and replacements[0] in _regions():
        return replacements[0]
    wanted = value.strip().casefold()
    return _region_names().get(wanted)


@lru_cache(maxsize=1)
def _region_names() -> dict[str, str]:
    named = {str(code): str(name) for code, name in Locale("en").territories.items()}
    return {name.casefold(): code for code, name in named.items() if code in _regions()}
