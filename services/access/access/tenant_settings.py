"""Checks the settings of a tenant against the standards they are written in."""

from functools import cache
from zoneinfo import available_timezones

from babel.core import Locale, UnknownLocaleError, get_global
from email_validator import EmailNotValidError, validate_email
from rapport.access.v1 import tenant_pb2

from chassis import money
from chassis.errors import Violation

_MAX_LANGUAGES = 50
_UNINHABITED = frozenset({"BV", "HM"})
"""ISO 3166-1 codes without a time zone, hence missing from the CLDR table below."""


def violations(settings: tenant_pb2.TenantSettings, path: str = "tenant.settings") -> list[Violation]:
    """Everything that is wrong with the settings, each with the path of its field.

    Zones are IANA's, currencies ISO 4217, languages BCP 47 in their usual spelling, regions ISO 3166-1 alpha-2 (all
    but zones as CLDR knows them).
    """
    found: list[Violation] = []
    if settings.time_zone not in _zones():
        found.append((f"{path}.time_zone", "Not an IANA time zone; write one such as `Europe/Berlin`."))
    if money.digits(settings.currency_code) is None:
        found.append((f"{path}.currency_code", "Not an ISO 4217 currency; write its code in capitals, such as `EUR`."))
    if len(settings.language_codes) > _MAX_LANGUAGES:
        found.append((f"{path}.language_codes", f"At most {_MAX_LANGUAGES} languages."))
    for index, code in enumerate(settings.language_codes[:_MAX_LANGUAGES]):
        problem = _language_problem(code)
        if problem is None and code in settings.language_codes[:index]:
            problem = "Given twice."
        if problem:
            found.append((f"{path}.language_codes[{index}]", problem))
    if settings.region_code and settings.region_code not in _regions():
        found.append(
            (f"{path}.region_code", "Not an ISO 3166-1 alpha-2 country; write its code in capitals, such as `DE`.")
        )
    if settings.HasField("sender"):
        found += _sender_violations(settings.sender, f"{path}.sender")
    return found


def _sender_violations(sender: tenant_pb2.Sender, path: str) -> list[Violation]:
    found: list[Violation] = []
    # A line break in a header value would let its author add headers (RFC 5322, section 2.2).
    if not sender.display_name.isprintable() or len(sender.display_name) > 200:
        found.append((f"{path}.display_name", "Must be printable text of 200 characters at most."))
    try:
        validate_email(sender.email, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        found.append((f"{path}.email", "Not an e-mail address (RFC 5322); write one such as `hello@example.com`."))
    return found


def _language_problem(code: str) -> str | None:
    try:
        usual = str(Locale.parse(code, sep="-", resolve_likely_subtags=False)).replace("_", "-")
    except (UnknownLocaleError, ValueError, TypeError):
        return "Not a BCP 47 language; write one such as `de` or `pt-BR`."
    return None if usual == code else f"Write `{usual}`."


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


@cache
def _regions() -> frozenset[str]:
    return frozenset(code for code in get_global("territory_zones") if len(code) == 2 and code.isalpha()) | _UNINHABITED
