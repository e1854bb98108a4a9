"""Asks the identity service who writes, and makes known who is new."""

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

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


def customer_of(settings: TicketingSettings, email: str, display_name: str, language_code: str, key: str) -> str:
    """The customer (resource name) with that address, made known if there is none; empty when identity takes neither.

    key: stable over repeats, so that one writer is made known once. Raises IdentityAway.
    """
    with _calling(settings) as stub:
        found = _lookup(stub, email)
        if found is None:
            found = _create(stub, email, display_name, language_code, key)
        return found


def _lookup(stub: Stub, email: str) -> str | None:
    request = identity_service_pb2.LookupCustomerRequest(kind=customer_pb2.Identifier.KIND_EMAIL, value=email)
    try:
        found = stub.LookupCustomer(request, timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        if error.code() in _NEVER:
            return ""
        raise
    return "" if found.HasField("delete_time") else str(found.name)


def _create(stub: Stub, email: str, display_name: str, language_code: str, key: str) -> str:
    new = customer_pb2.Customer(email=email, display_name=display_name, language_code=language_code)
    digest = hashlib.sha256(f"{tenancy.tenant()}/{key}".encode()).digest()
    request_id = str(uuid.UUID(bytes=digest[:16], version=4))
    try:
        made = stub.CreateCustomer(
            identity_service_pb2.CreateCustomerRequest(customer=new, request_id=request_id), timeout=TIMEOUT_S
        )
    except grpc.RpcError as error:
        if error.code() in _TAKEN:  # Another mail of the same writer was faster.
            return _lookup(stub, email) or ""
        if error.code() in _NEVER:
            return ""
        raise
    return str(made.name)


@contextmanager
def _calling(settings: TicketingSettings) -> Iterator[Stub]:
    try:
        with client.call_credentials(client.service_token(tenancy.tenant(), "identity")):
            yield Stub(client.channel(settings, "identity"))  # type: ignore[no-untyped-call]
    except grpc.RpcError as error:
        raise IdentityAway(error.code().name) from None
