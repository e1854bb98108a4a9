"""How a customer is known: kinds of identifier, which of them prove something, and values that prove nothing."""

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """Kinds of identifier; the values are the names of `Identifier.Kind` in the contract."""

    USER_ID = "KIND_USER_ID"
    EMAIL = "KIND_EMAIL"
    PHONE = "KIND_PHONE"
    ANONYMOUS_ID = "KIND_ANONYMOUS_ID"

    @property
    def strong(self) -> bool:
        """Whether it names one person: strong ones may merge two customers, weak ones (a device) never do."""
        return self is not Kind.ANONYMOUS_ID

    @property
    def of_source(self) -> bool:
        """Whether its values mean something only within one source; e-mail and phone are the same everywhere."""
        return self in (Kind.USER_ID, Kind.ANONYMOUS_ID)


class Identifier(NamedTuple):
    """One way a customer is known. `source` is empty for kinds that are the same everywhere."""

    kind: Kind
    source: str
    value: str


BLOCKED_VALUES = frozenset(
    {
        "null", "(null)", "nil", "none", "undefined", "unknown", "unidentified", "anonymous", "anon", "guest", "user",
        "test", "testing", "example", "empty", "blank", "default", "dummy", "na", "n/a", "n.a.", "nan", "tbd", "xxx",
        "true", "false", "yes", "no", "0", "-1", "-", "--", "?", ".", "[object object]", "{}", "[]",
        "admin@example.com", "test@example.com", "user@example.com", "test@test.com", "test@test.test", "a@a.com",
        "a@b.com", "a@b.c", "asdf@asdf.com", "none@none.com", "null@null.com", "no@email.com", "noemail@noemail.com",
        "email@email.com", "email@example.com", "abc@abc.com", "123@123.com", "foo@bar.com",
    }
)  # fmt: skip
"""Values that stand for "no id" or that many people type: joining on them would merge strangers. Lower case."""

BLOCKED_MAILBOXES = frozenset(
    {"noreply", "no-reply", "no_reply", "donotreply", "do-not-reply", "do_not_reply", "mailer-daemon", "postmaster"}
)
"""Local parts of addresses that belong to programs, whatever their domain."""


class BlockList:
    """Decides which values prove nothing; built-in values plus those of the installation, whatever their case."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = BLOCKED_VALUES | {value.strip().casefold() for value in values}

    def blocks(self, kind: Kind, value: str) -> bool:
        """Whether `value` must not be taken for an identifier."""
        folded = value.strip().casefold()
        if not folded or folded in self._values:
            return True
        # All-zero ids in any notation: 0000, 00000000-0000-0000-0000-000000000000, +0000000.
        if not folded.strip("0-+ {}"):
            return True
        return kind is Kind.EMAIL and folded.partition("@")[0] in BLOCKED_MAILBOXES
