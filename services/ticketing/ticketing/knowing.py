"""Asks the identity service who writes, and makes known who is new."""

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import grpc
from rapport.identity.v1 import (
    customer_pb2,
    identity_service_pb2,
    identity_service_pb2_grpc,
)

from chassis import client, tenancy
from ticketing.settings import TicketingSettings

TIMEOUT_S = 4.0

_TAKEN = (grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.ABORTED)
_NEVER = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)

Stub = identity_service_pb2_grpc.IdentityServiceStub


class IdentityAway(Exception):  # noqa: N818 - reads as what is the matter
    """Identity gave no answer. `code` is its gRPC status."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class SenderErased(Exception):  # noqa: N818 - reads as what is the matter
    """Whoever had the address when the mail came was erased since."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, as the mail tells, and when it came in. key: stable over repeats, so that one is made known once."""

    email: str
    display_name: str
    language_code: str
    receive_time: datetime
    key: str


def customer_of(settings: TicketingSettings, writer: Writer) -> str:
    """The customer (resource name) with the writer's address, made known if there is none; empty when identity takes
    neither. Raises IdentityAway, SenderErased."""
    with _calling(settings) as stub:
        found = _lookup(stub, writer)
        return _create(stub, writer) if found is None else found


def _lookup(stub: Stub, writer: Writer) -> str | None:
    request = identity_service_pb2.LookupCustomerRequest(
        kind=customer_pb2.Identifier.KIND_EMAIL, value=writer.email, evidence_time=writer.receive_time
    )
    try:
        found = stub.LookupCustomer(request, timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        return _refused(error)
    return "" if found.HasField("delete_time") else str(found.name)


def _create(stub: Stub, writer: Writer) -> str:
    new = customer_pb2.Customer(
        email=writer.email, display_name=writer.display_name, language_code=writer.language_code
    )
    digest = hashlib.sha256(f"{tenancy.tenant()}/{writer.key}".encode()).digest()
    request = identity_service_pb2.CreateCustomerRequest(
        customer=new, request_id=str(uuid.UUID(bytes=digest[:16], version=4)), evidence_time=writer.receive_time
    )
    try:
        made = stub.CreateCustomer(request, timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        if error.code() in _TAKEN:  # Another mail of the same writer was faster.
            return _lookup(stub, writer) or ""
        return _refused(error)
    return str(made.name)


def _refused(error: grpc.RpcError) -> str:
    """No customer, when identity takes none with that address; else the error goes on."""
    info = client.error_info(error)
    if info is not None and info.reason == "ERASED_PERSON":
        raise SenderErased from None
    if error.code() in _NEVER:
        return ""
    raise error


@contextmanager
def _calling(settings: TicketingSettings) -> Iterator[Stub]:
    try:
        with client.call_credentials(client.service_token(tenancy.tenant(), "identity")):
            yield Stub(client.channel(settings, "identity"))  # type: ignore[no-untyped-call]
    except grpc.RpcError as error:
        raise IdentityAway(error.code().name) from None
