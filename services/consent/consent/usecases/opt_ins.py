"""Confirmed opt-in by e-mail: ask, show, confirm, let expire."""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parseaddr

import docstore
from chassis import clock, ids, keys, tenancy
from chassis.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from chassis.inputs import uid
from consent import mail
from consent.domain import opt_ins as rules
from consent.domain.decisions import LegalBasis
from consent.domain.evidence import Evidence
from consent.domain.languages import best
from consent.domain.states import Action, State
from consent.settings import ConsentSettings
from consent.store import Consent, Notice, OptIn, OptInMail, Purpose, mails
from consent.usecases.purposes import notice
from consent.usecases.statements import CHANNEL_EMAIL, Subject, purpose_for, say
from docstore.documents import whole_milliseconds
from eventing import timers, tombstones
from eventing.erasing import require_not_erased

LINK_PURPOSE = "opt-in"
MAIL_TIMER = "consent.opt_in_mail"
EXPIRY_TIMER = "consent.opt_in_expiry"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a confirmation link is about."""

    purpose_display_name: str
    notice_text: str
    language_code: str
    masked_email: str
    state: State


@dataclass(frozen=True, slots=True)
class _Token:
    consent: str
    nonce: str
    language_code: str
    masked_email: str


@docstore.command(None)
def request(customer: str, purpose_name: str, email: str, evidence: Evidence, settings: ConsentSettings) -> Consent:
    """Asks by e-mail; the consent is PENDING until the link in the message is confirmed.

    The message is rendered and stored with the state change and sent by the role `run`. Raises NotFound,
    FailedPrecondition (CUSTOMER_ERASED, CHANNEL_NOT_IN_PURPOSE, CONSENT_NOT_THE_BASIS, ALREADY_GRANTED),
    ResourceExhausted (OPT_IN_TOO_SOON, OPT_IN_DAILY_LIMIT).
    """
    require_not_erased(customer)
    about = Subject(customer, purpose_name, CHANNEL_EMAIL)
    purpose = purpose_for(about)
    if purpose.legal_basis != LegalBasis.CONSENT:
        raise FailedPrecondition(
            "CONSENT_NOT_THE_BASIS",
            f"{purpose.name} does not rest on consent, so there is nothing to confirm.",
            metadata={"resource": purpose.name, "legal_basis": purpose.legal_basis},
        )
    now = whole_milliseconds(clock.now())
    stands = Consent.about(customer, purpose_name, CHANNEL_EMAIL)
    granted = stands is not None and stands.state == State.GRANTED
    void = granted and stands is not None and stands.notice_version < purpose.valid_from_version
    if granted and not void:
        raise FailedPrecondition(
            "ALREADY_GRANTED",
            "The person has agreed already; asking again would undo that.",
            metadata={"consent": stands.name if stands else ""},
        )
    fingerprint = keys.keyring().fingerprint("opt-in-address", email.lower())
    open_nonce = _open_question(stands, fingerprint, purpose, now)
    sent = list(stands.opt_in.sent) if stands and stands.opt_in else []
    _check_rate(sent, now, repeats=bool(open_nonce))
    opt_in = OptIn(
        nonce=open_nonce or secrets.token_urlsafe(16),
        address_fingerprint=fingerprint,
        expire_time=now + rules.LINK_LIFETIME,
        sent=[*(time for time in sent if time > now - rules.DAY), now],
    )
    consent = say(
        about,
        Action.REQUESTED,
        evidence,
        purpose.notice_version,
        consent=stands,
        opt_in=opt_in,
        address_fingerprint=fingerprint,
        void=void,
    )
    if not open_nonce:
        mails.cancel_waiting(consent.uid, now)
    _store_mail(consent, purpose, email, evidence.language_code, settings)
    return consent


def view(token: str) -> Shown:
    """What a link is about; enters its tenant. Raises what `confirm` raises."""
    opened = _opened(token)
    consent = _consent_of(opened)
    _checked_link(consent, opened)
    return _shown(consent, opened)


def confirm(token: str, evidence: Evidence) -> Shown:
    """Grants what the link asks for; enters its tenant. Confirming twice is confirming once.

    Raises InvalidArgument LINK_INVALID, FailedPrecondition LINK_EXPIRED, CUSTOMER_ERASED, and LINK_SUPERSEDED when
    something was said or asked since: an old link never undoes a withdrawal.
    """
    opened = _opened(token)
    return _shown(_confirm(opened, evidence), opened)


@docstore.command(None)
def expire(consent_uid: str) -> None:
    """The time to confirm is over, unless the question was answered or asked again meanwhile."""
    consent = Consent.get(consent_uid)
    if tombstones.erased([consent.customer]):
        return
    question = consent.question()
    if consent.state == State.PENDING and question and question.expire_time <= clock.now():
        about = Subject(consent.customer, consent.purpose, consent.channel)
        say(about, Action.EXPIRED, None, consent.notice_version, consent=consent, opt_in=consent.opt_in)


@docstore.command(None)
def _confirm(opened: _Token, evidence: Evidence) -> Consent:
    consent = _consent_of(opened)
    if _checked_link(consent, opened) is rules.Link.CONFIRMED:
        return consent
    about = Subject(consent.customer, consent.purpose, consent.channel)
    return say(
        about,
        Action.GRANTED,
        replace(evidence, language_code=opened.language_code),
        consent.notice_version,
        consent=consent,
        opt_in=consent.opt_in,
        address_fingerprint=consent.opt_in.address_fingerprint,
    )


def _open_question(stands: Consent | None, fingerprint: str, purpose: Purpose, now: datetime) -> str:
    """The nonce of the open question if the new one is the same: same address, same text; else empty."""
    if stands is None or stands.state != State.PENDING or (question := stands.question()) is None:
        return ""
    same = stands.opt_in.address_fingerprint == fingerprint and stands.notice_version == purpose.notice_version
    return question.nonce if same and now < question.expire_time else ""


def _check_rate(sent: list[datetime], now: datetime, *, repeats: bool) -> None:
    wait = rules.wait_before_sending(sent, now, repeats=repeats)
    if not wait:
        return
    daily = len([time for time in sent if time > now - rules.DAY]) >= rules.DAILY_MAX
    limit = (
        f"at most {rules.DAILY_MAX} messages about one consent are sent within 24 hours"
        if daily
        else f"the same question is sent again after {int(rules.RESEND_AFTER.total_seconds() // 60)} minutes"
    )
    raise ResourceExhausted(
        "OPT_IN_DAILY_LIMIT" if daily else "OPT_IN_TOO_SOON",
        f"The person has just been asked: {limit}.",
        retry_after_s=wait.total_seconds(),
    )


def _store_mail(consent: Consent, purpose: Purpose, email: str, language_code: str, settings: ConsentSettings) -> None:
    version = notice(purpose)
    assert version is not None, "a purpose that rests on consent has a notice"
    text = version.texts[best(language_code, [each.language_code for each in version.texts])]
    # The page behind the link speaks the language of the message, and the token alone tells the address, masked.
    token = keys.keyring().mint_link(
        LINK_PURPOSE,
        tenancy.tenant(),
        {
            "c": consent.uid,
            "n": consent.opt_in.nonce,
            "l": text.language_code,
            "m": rules.mask_email(email),
        },
        rules.LINK_LIFETIME,
    )
    mail_uid = ids.uuid7()
    domain = parseaddr(settings.mail_from)[1].rpartition("@")[2]
    rendered = mail.render_opt_in(
        message_id=f"<{mail_uid}@{domain}>",
        mail_from=settings.mail_from,
        rcpt_to=email,
        language_code=language_code or text.language_code,
        purpose_display_name=purpose.display_name,
        notice_text=text.text,
        link=f"{settings.public_url.rstrip('/')}/c/{token}",
        lifetime=rules.LINK_LIFETIME,
    )
    OptInMail.new(
        uid=mail_uid,
        consent=consent.uid,
        message_id=rendered.message_id,
        state=mails.WAITING,
        sealed=rendered.sealed(mail_uid),
        create_time=clock.real_now(),
    ).insert()
    timers.schedule(f"opt-in-mail/{mail_uid}", clock.now(), MAIL_TIMER, {"mail": mail_uid})
    timers.schedule(f"opt-in-expiry/{mail_uid}", consent.opt_in.expire_time, EXPIRY_TIMER, {"consent": consent.uid})


def _opened(token: str) -> _Token:
    try:
        link = keys.keyring().open_link(token, LINK_PURPOSE)
    except keys.ExpiredToken:
        raise _expired() from None
    except keys.InvalidToken:
        raise _invalid() from None
    tenancy.enter(link.tenant)
    data = link.data
    return _Token(data["c"], data["n"], data["l"], data["m"])


def _consent_of(opened: _Token) -> Consent:
    try:
        return Consent.get(opened.consent)
    except NotFound:
        raise _invalid() from None


def _checked_link(consent: Consent, opened: _Token) -> rules.Link:
    require_not_erased(consent.customer)
    link = rules.link_of(opened.nonce, consent.question(), State(consent.state), clock.now())
    if link is rules.Link.EXPIRED:
        raise _expired()
    if link is rules.Link.SUPERSEDED:
        raise FailedPrecondition(
            "LINK_SUPERSEDED",
            "Something else was said or asked after this link was sent; ask for a new link if you want to agree.",
        )
    return link


def _expired() -> FailedPrecondition:
    return FailedPrecondition("LINK_EXPIRED", "The time to confirm is over; ask for a new link.")


def _invalid() -> InvalidArgument:
    return InvalidArgument(
        "LINK_INVALID",
        "This is no confirmation link of ours; open the link in the message, whole.",
        violations=[("token", "Not a confirmation link.")],
    )


def _shown(consent: Consent, opened: _Token) -> Shown:
    purpose = Purpose.get(uid(consent.purpose))
    texts = Notice.get(Notice.uid_of(purpose.uid, consent.notice_version)).texts
    text = texts[best(opened.language_code, [each.language_code for each in texts])]
    return Shown(purpose.display_name, text.text, text.language_code, opened.masked_email, State(consent.state))
