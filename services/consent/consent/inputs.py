"""Reads what requests carry into the values of the use cases; refuses, by field, what cannot be used."""

import re
from collections.abc import Iterable, Sequence

from babel import Locale, UnknownLocaleError
from email_validator import EmailNotValidError, validate_email
from rapport.consent.v1 import consent_pb2, purpose_pb2

from chassis.errors import InvalidArgument
from consent.domain import evidence as rules
from consent.domain.evidence import Evidence

NOTICE_TEXT_MAX = 10_000
NOTICE_LANGUAGES_MAX = 50
DISPLAY_NAME_MAX = 200
CUSTOMERS_MAX = 500

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_CUSTOMER = re.compile(f"customers/{_UUID}")
_PURPOSE_ID = re.compile(r"[a-z][a-z0-9-]{0,38}[a-z0-9]")


def refusal(reason: str, field: str, problem: str) -> InvalidArgument:
    """A refusal of one field of the request."""
    return InvalidArgument(reason, f"{field}: {problem}", violations=[(field, problem)])


def customer(name: str, field: str = "customer") -> str:
    """A customer's name. The customer need not be known here: a consent may come before the profile."""
    if not _CUSTOMER.fullmatch(name):
        raise refusal("INVALID_CUSTOMER", field, "Not a name of the form customers/{uuid}, in lower case.")
    return name


def customers(names: Sequence[str]) -> list[str]:
    """The customers of a batch, 1 to 500, in order."""
    if not 1 <= len(names) <= CUSTOMERS_MAX:
        raise refusal("INVALID_BATCH_SIZE", "customers", f"Give 1 to {CUSTOMERS_MAX} names; split larger batches.")
    return [customer(name, f"customers[{index}]") for index, name in enumerate(names)]


def purpose_id(text: str) -> str:
    """The id of a purpose to create."""
    if not _PURPOSE_ID.fullmatch(text):
        raise refusal(
            "INVALID_PURPOSE_ID",
            "purpose_id",
            "2 to 40 lower-case letters, digits and hyphens, starting with a letter and not ending with a hyphen.",
        )
    return text


def uid(name: str) -> str:
    """The id part of a resource name whose form has been checked."""
    return name.rpartition("/")[2]


def display_name(text: str) -> str:
    """The name of a purpose."""
    if not text.strip() or len(text) > DISPLAY_NAME_MAX:
        raise refusal("INVALID_DISPLAY_NAME", "purpose.display_name", f"1 to {DISPLAY_NAME_MAX} characters.")
    return text


def channels(numbers: Iterable[int]) -> list[str]:
    """The names of a purpose's channels, each once."""
    names = [purpose_pb2.Channel.Name(purpose_pb2.Channel.ValueType(number)) for number in numbers]
    if len(set(names)) < len(names) or "CHANNEL_UNSPECIFIED" in names:
        raise refusal("INVALID_CHANNELS", "purpose.channels", "Name each channel once, and none unspecified.")
    return names


def notice_texts(texts: Sequence[purpose_pb2.NoticeText], field: str) -> list[tuple[str, str]]:
    """The texts of a notice as (language, text), one for each language."""
    if len(texts) > NOTICE_LANGUAGES_MAX:
        raise refusal("INVALID_NOTICE", field, f"At most {NOTICE_LANGUAGES_MAX} languages.")
    found: dict[str, str] = {}
    for index, item in enumerate(texts):
        place = f"{field}[{index}]"
        code = language(item.language_code, f"{place}.language_code")
        if not item.text.strip() or len(item.text) > NOTICE_TEXT_MAX:
            raise refusal("INVALID_NOTICE", f"{place}.text", f"1 to {NOTICE_TEXT_MAX} characters.")
        if code in found:
            raise refusal("INVALID_NOTICE", f"{place}.language_code", "Another text has the same language.")
        found[code] = item.text
    return list(found.items())


def language(code: str, field: str) -> str:
    """A BCP 47 code in its usual spelling, such as `pt-BR`."""
    try:
        return str(Locale.parse(code, sep="-")).replace("_", "-")
    except (ValueError, UnknownLocaleError):
        raise refusal("INVALID_LANGUAGE", field, "Not a known BCP 47 language code, such as en or pt-BR.") from None


def evidence(given: consent_pb2.Evidence) -> Evidence:
    """How a choice came in, with the network address masked."""
    try:
        return rules.checked(
            Evidence(
                method=consent_pb2.Evidence.Method.Name(given.method),
                origin=given.origin,
                ip_address=given.ip_address,
                user_agent=given.user_agent,
                language_code=language(given.language_code, "evidence.language_code") if given.language_code else "",
            )
        )
    except rules.BadEvidence as error:
        raise refusal("INVALID_EVIDENCE", f"evidence.{error.field}", error.problem) from None


def confirmation(ip_address: str, user_agent: str) -> Evidence:
    """The evidence of a confirmed link; what cannot be kept is left out, for the person is not at fault."""
    try:
        masked = rules.mask_address(ip_address)
    except rules.BadEvidence:
        masked = ""
    return Evidence(rules.METHOD_CONFIRMED_LINK, ip_address=masked, user_agent=user_agent[: rules.USER_AGENT_MAX])


def email(address: str, *, test_environment: bool) -> str:
    """A mail address (RFC 5321) in its usual spelling; its domain is not looked up.

    `test_environment` allows the domain `test` (RFC 6761).
    """
    try:
        checked = validate_email(address, check_deliverability=False, test_environment=test_environment)
    except EmailNotValidError:
        raise refusal("INVALID_EMAIL", "email", "Not a mail address such as name@example.com.") from None
    return checked.ascii_email or checked.normalized
