"""Reads what requests carry into checked values; refuses, by field, what cannot be used.

Every refusal is an `InvalidArgument` that names the field, the reason and how to mend it, and never quotes the value:
it may be personal.
"""

import re

from chassis import validation
from chassis.errors import InvalidArgument

DISPLAY_NAME_MAX = 200

_SLUG = re.compile(r"[a-z][a-z0-9-]*[a-z0-9]")
_CUSTOMER = re.compile(r"customers/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def refusal(reason: str, field: str, problem: str) -> InvalidArgument:
    """A refusal of one field of the request."""
    return InvalidArgument(reason, f"{field}: {problem}", violations=[(field, problem)])


def uid(name: str) -> str:
    """The id part of a resource name whose form has been checked."""
    return name.rpartition("/")[2]


def slug(text: str, field: str, longest: int = 60) -> str:
    """The chosen id of something to create. Raises InvalidArgument INVALID_<FIELD>."""
    if not 2 <= len(text) <= longest or not _SLUG.fullmatch(text):
        problem = f"2 to {longest} lower-case letters, digits and hyphens, first a letter and last no hyphen."
        raise refusal(f"INVALID_{field.upper()}", field, problem)
    return text


def customer(name: str, field: str = "customer") -> str:
    """A customer's name. Raises InvalidArgument INVALID_CUSTOMER; whether there is such a customer is not asked."""
    if not _CUSTOMER.fullmatch(name):
        raise refusal("INVALID_CUSTOMER", field, "Not a name of the form customers/{uuid}, in lower case.")
    return name


def display_name(text: str, field: str) -> str:
    """The name people see, 1 to 200 characters. Raises InvalidArgument INVALID_DISPLAY_NAME."""
    if not text.strip() or len(text) > DISPLAY_NAME_MAX:
        raise refusal("INVALID_DISPLAY_NAME", field, f"1 to {DISPLAY_NAME_MAX} characters.")
    return text


def email(address: str, field: str, *, test_environment: bool) -> str:
    """A mail address (RFC 5321) in its usual spelling; its domain is not looked up.

    `test_environment` allows the domain `test` (RFC 6761). Raises InvalidArgument INVALID_EMAIL.
    """
    try:
        return validation.deliverable_email(address, test_environment=test_environment)
    except validation.Invalid:
        raise refusal("INVALID_EMAIL", field, "Not a mail address such as name@example.com.") from None


def phone(number: str, field: str, region: str = "") -> str:
    """A phone number as E.164; national forms are read in `region`. Raises InvalidArgument INVALID_PHONE."""
    try:
        return validation.phone(number, region)
    except validation.Invalid as error:
        raise refusal("INVALID_PHONE", field, f"It {error}.") from None


def region(code: str, field: str) -> str:
    """An ISO 3166-1 alpha-2 code, in capitals. Raises InvalidArgument INVALID_REGION."""
    try:
        return validation.region(code)
    except validation.Invalid as error:
        raise refusal("INVALID_REGION", field, f"It {error}.") from None


def language(code: str, field: str) -> str:
    """A BCP 47 code in its usual spelling, such as `pt-BR`. Raises InvalidArgument INVALID_LANGUAGE."""
    try:
        return validation.language(code)
    except validation.Invalid:
        raise refusal("INVALID_LANGUAGE", field, "Not a known BCP 47 language code, such as en or pt-BR.") from None


def time_zone(name: str, field: str) -> str:
    """An IANA time zone, or nothing. Raises InvalidArgument INVALID_TIME_ZONE."""
    if not name:
        return name
    try:
        return validation.time_zone(name)
    except validation.Invalid:
        raise refusal("INVALID_TIME_ZONE", field, "Not a known IANA time zone, such as Europe/Berlin.") from None
