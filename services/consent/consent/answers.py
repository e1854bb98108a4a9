"""Turns documents and values of the use cases into the contract's messages."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rapport.consent.v1 import (
    consent_pb2,
    consent_service_pb2,
    erasure_answer_pb2,
    erasure_request_pb2,
    purpose_pb2,
)

from consent.store import Consent, ConsentRecord, ErasureRequest, Notice, Purpose
from consent.store.chain import seal_hashes
from consent.store.erasures import ErasureStep
from docstore import Row

if TYPE_CHECKING:
    from consent.usecases.opt_ins import Shown
    from consent.usecases.verification import Found


def purpose(document: Purpose, current: Notice | None) -> purpose_pb2.Purpose:
    """A purpose with its current notice."""
    return purpose_pb2.Purpose(
        name=document.name,
        uid=document.uid,
        display_name=document.display_name,
        legal_basis=document.legal_basis,
        channels=list(document.channels),
        double_opt_in=document.double_opt_in,
        notice=notice(current) if current else None,
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
    )


def notice(document: Notice) -> purpose_pb2.Notice:
    """One version of a notice."""
    return purpose_pb2.Notice(
        version=document.number,
        texts=[purpose_pb2.NoticeText(language_code=each.language_code, text=each.text) for each in document.texts],
        renewal_required=document.renewal_required,
        create_time=document.create_time,
    )


def consent(document: Consent) -> consent_pb2.Consent:
    """Where a person stands."""
    return consent_pb2.Consent(
        name=document.name,
        uid=document.uid,
        customer=document.customer,
        purpose=document.purpose,
        channel=document.channel,
        state=document.state,
        notice_version=document.notice_version,
        consent_record=f"consentRecords/{document.record}",
        decide_time=document.decide_time,
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
    )


def opt_in(shown: "Shown") -> consent_service_pb2.OptIn:
    """What a confirmation link is about."""
    return consent_service_pb2.OptIn(
        purpose_display_name=shown.purpose_display_name,
        notice_text=shown.notice_text,
        language_code=shown.language_code,
        masked_email=shown.masked_email,
        state=shown.state.value,
    )


def decision(row: Row) -> consent_pb2.Decision:
    """A stored decision."""
    outcome = consent_pb2.Decision.OUTCOME_ALLOWED if row["allowed"] else consent_pb2.Decision.OUTCOME_REFUSED
    return consent_pb2.Decision(
        name=f"decisions/{row['uid']}",
        customer=row["customer"],
        canonical_customer=row["canonical"],
        purpose=row["purpose"],
        channel=row["channel"],
        outcome=outcome,
        reasons=row["reasons"],
        consent_records=[f"consentRecords/{record}" for record in row["records"]],
        actor=row["actor"],
        create_time=row["create_time"],
        expire_time=row["expire_time"],
    )


def consent_records(documents: list[ConsentRecord]) -> list[consent_pb2.ConsentRecord]:
    """Records with their places in the chain; one query for all hashes."""
    hashes = seal_hashes([document.sequence for document in documents if document.sequence])
    return [_consent_record(document, hashes) for document in documents]


def _consent_record(document: ConsentRecord, hashes: Mapping[int, bytes]) -> consent_pb2.ConsentRecord:
    kept = document.evidence
    return consent_pb2.ConsentRecord(
        name=f"consentRecords/{document.uid}",
        customer=document.customer,
        purpose=document.purpose,
        channel=document.channel,
        action=document.action,
        notice_version=document.notice_version,
        evidence=consent_pb2.Evidence(
            method=kept.method,
            origin=kept.origin or "",
            ip_address=kept.ip_address or "",
            user_agent=kept.user_agent or "",
            language_code=kept.language_code or "",
        )
        if kept
        else None,
        actor=document.actor,
        create_time=document.create_time,
        sequence=document.sequence,
        commitment=bytes(document.commitment).hex(),
        hash=hashes.get(document.sequence, b"").hex(),
    )


def verification(found: "Found") -> consent_service_pb2.ChainVerification:
    """The outcome of a check of the chain."""
    flaw = found.flaw
    return consent_service_pb2.ChainVerification(
        valid=flaw is None,
        checked_count=found.checked,
        first_bad_sequence=flaw.sequence if flaw else 0,
        first_bad_record=f"consentRecords/{flaw.record}" if flaw and flaw.record else "",
        problem=flaw.problem if flaw else "",
        next_sequence=found.next_sequence,
        unsealed_count=found.unsealed,
        oldest_unsealed_time=found.oldest_unsealed,
        checkpoint_sequence=found.checkpoint_sequence,
        checkpoint_public_key=found.checkpoint_public_key,
    )


def erasure_request(document: ErasureRequest) -> erasure_request_pb2.ErasureRequest:
    """An erasure request with its answers and, once completed, its certificate."""
    proof = document.certificate
    return erasure_request_pb2.ErasureRequest(
        name=document.name,
        uid=document.uid,
        customer=document.customer,
        customers=document.customers,
        evidence=erasure_request_pb2.ErasureEvidence(method=document.method, origin=document.origin or ""),
        state=document.state,
        steps=[_erasure_step(step, done=step.answered(document.customers)) for step in document.steps],
        rounds=document.rounds,
        actor=document.actor,
        request_time=document.request_time,
        due_time=document.due_time,
        complete_time=document.complete_time,
        certificate=erasure_request_pb2.ErasureCertificate(
            text=proof.text,
            signature=bytes(proof.signature),
            key_id=proof.key_id,
            public_key_pem=proof.public_key_pem,
        )
        if proof
        else None,
        create_time=document.create_time,
        update_time=document.update_time,
        etag=document.etag,
    )


def _erasure_step(step: ErasureStep, *, done: bool) -> erasure_request_pb2.ErasureStep:
    return erasure_request_pb2.ErasureStep(
        service=step.service,
        state="STATE_ANSWERED" if done else "STATE_WAITING",
        items=[
            erasure_answer_pb2.ErasedItems(kind=item.kind, removed=item.removed, anonymized=item.anonymized)
            for item in step.items
        ],
        erase_time=step.erase_time,
        interrupted=bool(step.interrupted),
    )
