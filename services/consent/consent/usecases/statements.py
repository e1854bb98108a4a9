"""What people say: each statement changes the consent and inserts its proof in one transaction."""

import secrets
from dataclasses import dataclass
from datetime import datetime

from bson import Binary

import docstore
from chassis import clock, context
from chassis.errors import FailedPrecondition
from chassis.inputs import refusal, uid
from consent.domain import chain
from consent.domain.evidence import METHOD_IMPORT, Evidence
from consent.domain.states import Action, IllegalTransition, State, next_state
from consent.store import Consent, ConsentRecord, OptIn, Purpose, mails, records
from consent.store import Evidence as KeptEvidence
from consent.store.consents import statements
from docstore.aliases import profiles
from docstore.documents import whole_milliseconds
from eventing.erasing import require_not_erased

CHANNEL_EMAIL = "CHANNEL_EMAIL"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a statement is about: resource names of customer and purpose, the contract's name of the channel."""

    customer: str
    purpose: str
    channel: str


@docstore.command(None)
def grant(about: Subject, notice_version: int, evidence: Evidence) -> Consent:
    """Records that a person agreed to a version of the notice, the current one for 0.

    Raises NotFound, InvalidArgument NOTICE_VERSION_UNKNOWN, FailedPrecondition CHANNEL_NOT_IN_PURPOSE, and
    DOUBLE_OPT_IN_REQUIRED for a grant by e-mail to a purpose that wants it confirmed. A METHOD_IMPORT is taken all the
    same: it stands for a confirmation that another system holds the proof of.
    """
    purpose = purpose_for(about)
    if purpose.double_opt_in and about.channel == CHANNEL_EMAIL and evidence.method != METHOD_IMPORT:
        raise FailedPrecondition(
            "DOUBLE_OPT_IN_REQUIRED",
            f"{purpose.name} counts a grant by e-mail only once it is confirmed; use RequestOptIn.",
            metadata={"resource": purpose.name},
            preconditions=[("DOUBLE_OPT_IN", purpose.name, "The person confirms the link in a message.")],
        )
    if not 0 <= notice_version <= purpose.notice_version:
        raise refusal(
            "NOTICE_VERSION_UNKNOWN",
            "notice_version",
            f"The current version is {purpose.notice_version}; give one up to it, or 0 for the current one.",
        )
    return say(about, Action.GRANTED, evidence, notice_version or purpose.notice_version)


@docstore.command(None)
def refuse(about: Subject, evidence: Evidence) -> Consent:
    """Records that a person said no; after a yes that is a withdrawal. Raises NotFound for an unknown purpose."""
    return say(about, Action.REFUSED, evidence, existing_purpose(about).notice_version)


@docstore.command(None)
def withdraw(about: Subject, evidence: Evidence) -> Consent:
    """Records that a person took a consent back or objects: always possible, also on channels the purpose lacks.

    Raises NotFound for an unknown purpose.
    """
    return say(about, Action.WITHDRAWN, evidence, existing_purpose(about).notice_version)


def existing_purpose(about: Subject) -> Purpose:
    """The purpose a statement is about. Raises NotFound."""
    return Purpose.get(uid(about.purpose))


def purpose_for(about: Subject) -> Purpose:
    """The purpose somebody wants to say yes to. Raises NotFound, FailedPrecondition CHANNEL_NOT_IN_PURPOSE."""
    purpose = existing_purpose(about)
    if about.channel not in purpose.channels:
        raise FailedPrecondition(
            "CHANNEL_NOT_IN_PURPOSE",
            f"{purpose.name} does not use {about.channel}; it uses {', '.join(purpose.channels)}.",
            metadata={"resource": purpose.name, "channel": about.channel},
            preconditions=[("CHANNEL", purpose.name, "The purpose uses the channel.")],
        )
    return purpose


def say(
    about: Subject,
    action: Action,
    evidence: Evidence | None,
    notice_version: int,
    *,
    consent: Consent | None = None,
    opt_in: OptIn | None = None,
    address_fingerprint: str = "",
    void: bool = False,
) -> Consent:
    """Moves a consent, inserts the record that proves it, and tells the others; call it in a transaction.

    evidence: None when nobody said anything but time passed. consent: the present one, read in this transaction, if
    the caller has it. opt_in: the question by e-mail that this
    belongs to; None says something else was said, so that links of an earlier question no longer count.
    Raises FailedPrecondition STATEMENT_NOT_POSSIBLE, CUSTOMER_ERASED.
    """
    require_not_erased(about.customer)
    consent = consent or Consent.about(about.customer, about.purpose, about.channel)
    now = whole_milliseconds(clock.now())
    try:
        state = next_state(State(consent.state) if consent else State.NONE, action, void=void)
    except IllegalTransition as error:
        raise FailedPrecondition(
            "STATEMENT_NOT_POSSIBLE",
            f"The consent stands at {error.state}; {error.action} changes nothing about it.",
            metadata={"state": error.state.value, "action": error.action.value},
        ) from None
    made = consent or Consent.new(customer=about.customer, purpose=about.purpose, channel=about.channel)
    made.state = state.value
    made.notice_version = notice_version
    made.overrides = _answered(about) if state is State.GRANTED else []
    made.decide_time = None if state in (State.PENDING, State.EXPIRED) else now
    made.record = _insert_record(made, action, evidence, address_fingerprint, now)
    if opt_in is not None:
        made.opt_in = opt_in
    elif made.opt_in is not None:
        made.opt_in = OptIn(sent=made.opt_in.sent)
    if state is not State.PENDING and consent is not None:
        mails.cancel_waiting(made.uid, now)
    for event in made.state_events():
        made.emit(event, [made.customer])
    # A first statement overtaken by another is a write conflict here, and the transaction starts again.
    return made.insert() if consent is None else made.save()


def _answered(about: Subject) -> list[str]:
    """The records of the other members of a merged person that a grant answers."""
    _, members = profiles([about.customer])[about.customer]
    others = [member for member in members if member != about.customer]
    if not others:
        return []
    said = statements(others, about.purpose, about.channel)
    return sorted(statement.record for each in said.values() for statement in each)


def _insert_record(consent: Consent, action: Action, evidence: Evidence | None, fingerprint: str, now: datetime) -> str:
    salt = secrets.token_bytes(chain.SALT_BYTES)
    record = ConsentRecord.new(
        consent=consent.uid,
        customer=consent.customer,
        purpose=consent.purpose,
        channel=consent.channel,
        action=action.value,
        notice_version=consent.notice_version,
        overrides=list(consent.overrides),
        evidence=_kept(evidence, fingerprint) if evidence else None,
        actor=context.current().principal,
        create_time=now,
        salt=Binary(salt),
        commitment=Binary(bytes(32)),
        sequence=0,
    )
    record.commitment = Binary(records.commitment(salt, record.to_row()))
    record.insert()
    return str(record.uid)


def _kept(evidence: Evidence, fingerprint: str) -> KeptEvidence:
    return KeptEvidence(
        method=evidence.method,
        origin=evidence.origin or None,
        ip_address=evidence.ip_address or None,
        user_agent=evidence.user_agent or None,
        language_code=evidence.language_code or None,
        address_fingerprint=fingerprint or None,
    )
