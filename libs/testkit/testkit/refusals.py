"""What a refused call says, read from its google.rpc.Status."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2
from grpc_status import rpc_status


@dataclass
class Refusal:
    """A refusal. code: canonical name such as NOT_FOUND. reason, domain, metadata: of its ErrorInfo.

    violations: field -> what is wrong with it. preconditions: subject -> what it must be first.
    retry_s: when to try again, None if it does not say.
    """

    code: str = ""
    reason: str = ""
    domain: str = ""
    message: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: dict[str, str] = field(default_factory=dict)
    preconditions: dict[str, str] = field(default_factory=dict)
    retry_s: float | None = None


def refusal_of(error: grpc.RpcError) -> Refusal:
    """What a refused call says; AssertionError if it carries no status."""
    status = rpc_status.from_call(error)
    assert status is not None, error
    found = Refusal(code=code_pb2.Code.Name(status.code), message=status.message)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    precondition, retry = error_details_pb2.PreconditionFailure(), error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info):
            found.reason, found.domain, found.metadata = info.reason, info.domain, dict(info.metadata)
        elif detail.Unpack(bad):
            found.violations = {each.field: each.description for each in bad.field_violations}
        elif detail.Unpack(precondition):
            found.preconditions = {each.subject: each.description for each in precondition.violations}
        elif detail.Unpack(retry):
            found.retry_s = retry.retry_delay.ToTimedelta().total_seconds()
    return found


@pytest.fixture
def refused(request: pytest.FixtureRequest) -> Callable[..., AbstractContextManager[Refusal]]:
    """`with refused("REASON", grpc.StatusCode.NOT_FOUND) as error:` expects the service under test to refuse so.

    `error` then tells the details.
    """
    domain = f"{request.module.SERVICE}.rapport"

    @contextlib.contextmanager
    def expect(reason: str, code: grpc.StatusCode | None = None) -> Iterator[Refusal]:
        details = Refusal()
        with pytest.raises(grpc.RpcError) as caught:
            yield details
        vars(details).update(vars(refusal_of(caught.value)))
        assert (details.reason, details.domain) == (reason, domain), details
        assert code is None or details.code == code.name, details

    return expect
