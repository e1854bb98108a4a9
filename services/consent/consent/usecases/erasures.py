"""The erasure saga: asks every service, collects the answers, asks again for further customers, makes the certificate.

Consent itself is one of the services: it answers as the others do (`consent.usecases.erasing`).
"""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta

from bson import Binary
from rapport.consent.v1 import erasure_answer_pb2, events_pb2

import docstore
from chassis import clock, context, keys
from chassis.errors import AlreadyExists
from chassis.inputs import uid
from consent.domain import erasures as rules
from consent.domain.erasures import Asked
from consent.settings import ConsentSettings
from consent.store import ErasureRequest, erasures
from consent.store.erasures import Certificate, ErasedItems, ErasureStep
from docstore.aliases import profiles
from docstore.documents import whole_milliseconds
from eventing import tombstones

_SIGNER_USE = "erasure-certificate"

Sequence = tuple[int, int]


@docstore.command(None)
def create(customer: str, asked: Asked, settings: ConsentSettings) -> ErasureRequest:
    """Asks every service to erase a person: all customers that are known to be this one (resource name).

    From the commit on consent keeps nothing new of them. Raises AlreadyExists ERASURE_IS_OPEN.
    """
    canonical, members = profiles([customer])[customer]
    # The customer too: a map that lost it must not lose the request.
    everybody = {customer, *members}
    return _open(customer, canonical, everybody, asked, settings.erasure_services, settings.erasure_residue_days)


@docstore.command(None)
def collect(service: str, answer: erasure_answer_pb2.ErasureAnswer, sequence: Sequence) -> None:
    """Takes a service's answer; asks again when it names further customers, completes when all have answered.

    Answers may come in any order and repeatedly: the one with the highest sequence holds. Raises NotFound for an
    unknown request.
    """
    request = ErasureRequest.get(uid(answer.erasure_request))
    further = set(answer.customers) - set(request.customers)
    if request.state == erasures.COMPLETED:
        if further:
            # The certificate stands for those it names; for the others there is a new one.
            _reopen(request, further)
        return
    if not _take(request.step(service), answer, sequence):
        return
    if request.state == erasures.REQUESTED:
        request.state = erasures.RUNNING
    if further:
        request.customers = sorted({*request.customers, *further})
        request.rounds += 1
        tombstones.erase(further)
        _ask(request)
    if all(step.answered(request.customers) for step in request.steps):
        _complete(request)
    request.save()


def oldest_open_age() -> float:
    """Seconds since the oldest request that is not completed was made; 0 without one."""
    oldest = erasures.oldest_open()
    return max(0.0, (clock.now() - oldest).total_seconds()) if oldest else 0.0


def _open(
    customer: str, canonical: str, customers: Collection[str], asked: Asked, services: Iterable[str], residue_days: int
) -> ErasureRequest:
    there = ErasureRequest.open_about(customers)
    if there is not None:
        raise AlreadyExists(
            "ERASURE_IS_OPEN",
            f"{there.name} is about the same person and is not completed yet.",
            metadata={"resource": there.name},
        )
    now = whole_milliseconds(clock.now())
    request = ErasureRequest.new(
        customer=customer,
        customers=sorted(customers),
        method=asked.method,
        origin=asked.origin or None,
        steps=[ErasureStep(service=service) for service in sorted(set(services))],
        actor=context.current().principal,
        request_time=now,
        due_time=rules.due(now),
        residue_days=residue_days,
        open=canonical,
    )
    tombstones.erase(customers)
    _ask(request)
    return request.insert()


def _reopen(request: ErasureRequest, customers: Collection[str]) -> None:
    left = set(customers)
    while left and (there := ErasureRequest.open_about(left)) is not None:
        left -= set(there.customers)
    if left:
        asked = Asked(request.method, request.origin or "")
        services = [step.service for step in request.steps]
        _open(min(left), min(left), left, asked, services, request.residue_days)


def _ask(request: ErasureRequest) -> None:
    event = events_pb2.ErasureRequested(erasure_request=request.name, customers=request.customers)
    event.request_time.FromDatetime(request.request_time)
    request.emit(event, request.customers)


def _take(step: ErasureStep, answer: erasure_answer_pb2.ErasureAnswer, sequence: Sequence) -> bool:
    """Keeps an answer in its step; False for one that is older than what is there."""
    if step.sequence and tuple(step.sequence) >= sequence:
        return False
    step.sequence = list(sequence)
    step.customers = sorted(answer.customers)
    step.items = [
        ErasedItems(kind=item.kind, removed=item.removed, anonymized=item.anonymized) for item in answer.items
    ]
    step.interrupted = answer.interrupted
    step.erase_time = answer.erase_time.ToDatetime(tzinfo=UTC)
    return True


def _complete(request: ErasureRequest) -> None:
    request.state = erasures.COMPLETED
    request.complete_time = whole_milliseconds(clock.now())
    request.open = None
    text = rules.certificate_text(_facts(request, request.complete_time))
    signer = keys.keyring().signer(_SIGNER_USE)
    request.certificate = Certificate(
        text=text,
        signature=Binary(signer.sign(text.encode())),
        key_id=signer.key_id,
        public_key_pem=signer.public_key_pem,
    )
    event = events_pb2.ErasureCompleted(erasure_request=request.name)
    event.complete_time.FromDatetime(request.complete_time)
    request.emit(event)


def _facts(request: ErasureRequest, complete_time: datetime) -> rules.Facts:
    return rules.Facts(
        tenant=request.tenant,
        erasure_request=request.name,
        customers=request.customers,
        method=request.method,
        origin=request.origin or "",
        rounds=request.rounds,
        request_time=request.request_time,
        complete_time=complete_time,
        residue=timedelta(days=request.residue_days),
        parts=[
            rules.Part(
                step.service,
                step.erase_time,
                {item.kind: (item.removed, item.anonymized) for item in step.items},
                bool(step.interrupted),
            )
            for step in request.steps
        ],
    )
