"""Purposes and their notices."""

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.field_mask_pb2 import FieldMask
from rapport.consent.v1 import purpose_pb2

import docstore
from chassis import clock
from chassis.errors import FailedPrecondition, NotFound
from chassis.inputs import display_name, refusal, uid
from consent import answers
from consent.domain.decisions import LegalBasis
from consent.inputs import channels
from consent.store import Notice, NoticeText, Purpose
from docstore import masks

VERSIONS_MAX = 1_000

Texts = Sequence[tuple[str, str]]
"""The texts of a notice: (BCP 47 code, text), one for each language."""


@dataclass(frozen=True, slots=True)
class NewPurpose:
    """What a purpose is created from."""

    uid: str
    display_name: str
    legal_basis: LegalBasis
    channels: Sequence[str]
    double_opt_in: bool
    texts: Texts


@docstore.command(None)
def create(new: NewPurpose) -> Purpose:
    """Creates a purpose with version 1 of its notice.

    Raises AlreadyExists for a taken id, InvalidArgument NOTICE_REQUIRED when consent is the basis and there is no
    notice (an agreement must be informed: GDPR article 4 (11)).
    """
    if new.legal_basis is LegalBasis.CONSENT and not new.texts:
        raise refusal("NOTICE_REQUIRED", "purpose.notice.texts", "A purpose that rests on consent needs a notice.")
    purpose = Purpose.new(
        uid=new.uid,
        display_name=new.display_name,
        legal_basis=new.legal_basis.value,
        channels=list(new.channels),
        double_opt_in=new.double_opt_in,
        notice_version=0,
        valid_from_version=0,
    )
    first = _next_version(purpose, new.texts, renewal_required=False) if new.texts else None
    purpose.insert()
    if first:
        first.insert()
    return purpose


@docstore.command(Purpose)
def update(message: purpose_pb2.Purpose, mask: FieldMask) -> Purpose:
    """Changes what the mask names of the purpose that the message names, under its etag if it has one.

    Raises NotFound, Aborted ETAG_MISMATCH, InvalidArgument (INVALID_UPDATE_MASK also for another legal basis).
    """
    purpose = Purpose.get(uid(message.name))
    wanted = answers.purpose(purpose, notice(purpose))
    masks.apply(mask, message, wanted)
    purpose.display_name = display_name(wanted.display_name, "purpose.display_name")
    purpose.channels = channels(wanted.channels)
    purpose.double_opt_in = wanted.double_opt_in
    return purpose.save(message.etag or None)


@docstore.command(None)
def add_notice(purpose_uid: str, texts: Texts, renewal_required: bool, etag: str) -> Purpose:
    """Adds the next version of a purpose's notice. Raises NotFound, Aborted ETAG_MISMATCH, InvalidArgument."""
    if not texts:
        raise refusal("NOTICE_REQUIRED", "notice.texts", "Give the text in at least one language.")
    purpose = Purpose.get(purpose_uid)
    if purpose.notice_version >= VERSIONS_MAX:
        raise FailedPrecondition(
            "TOO_MANY_NOTICES",
            f"{purpose.name} has {VERSIONS_MAX} versions of its notice, the most there can be; create another purpose.",
            metadata={"resource": purpose.name},
        )
    added = _next_version(purpose, texts, renewal_required)
    purpose.save(etag or None)
    added.insert()
    return purpose


def notice(purpose: Purpose) -> Notice | None:
    """The current version of a purpose's notice, None for a purpose without any."""
    return Notice.get(Notice.uid_of(purpose.uid, purpose.notice_version)) if purpose.notice_version else None


def shown_notice(purpose: Purpose, number: int) -> Notice:
    """A version of a purpose's notice, the current one for 0. Raises NotFound NOTICE_NOT_FOUND."""
    wanted = number or purpose.notice_version
    if not 1 <= wanted <= purpose.notice_version:
        raise NotFound(
            "NOTICE_NOT_FOUND",
            f"{purpose.name} has no version {wanted} of its notice; it has {purpose.notice_version} in all.",
            metadata={"resource": purpose.name, "versions": str(purpose.notice_version)},
        )
    return Notice.get(Notice.uid_of(purpose.uid, wanted))


def _next_version(purpose: Purpose, texts: Texts, renewal_required: bool) -> Notice:
    purpose.notice_version += 1
    if renewal_required:
        purpose.valid_from_version = purpose.notice_version
    return Notice.new(
        uid=Notice.uid_of(purpose.uid, purpose.notice_version),
        purpose=purpose.name,
        number=purpose.notice_version,
        texts=[NoticeText(language_code=code, text=text) for code, text in texts],
        renewal_required=renewal_required,
        create_time=clock.now(),
    )
