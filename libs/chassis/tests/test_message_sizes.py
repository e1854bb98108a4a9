import threading

import grpc
import pytest

from chassis import client
from chassis.message_sizes import LARGE_AT_ONCE, MESSAGE_MAX_BYTES, largest_response


def size_refusal(stub_method, request) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        stub_method(request)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    found = client.error_info(caught.value)
    return found.reason if found else ""


def test_requests_past_4_mib_are_refused_unless_their_method_takes_more(serving, servicer, things):
    stub = serving().stub
    request = things.pb.TokenRequest(content=b"x" * (MESSAGE_MAX_BYTES + 1))
    assert size_refusal(stub.FollowLink, request) == "REQUEST_TOO_LARGE"
    assert servicer.contexts == []
    stub.Exchange(request)
    assert len(servicer.requests[0].content) == MESSAGE_MAX_BYTES + 1
    stub.FollowLink(things.pb.TokenRequest(content=b"x" * (MESSAGE_MAX_BYTES - 100)))
    # Past the largest of the server's methods gRPC itself refuses, without reading it.
    assert size_refusal(stub.Exchange, things.pb.TokenRequest(content=b"x" * (8 << 20))) == ""


def test_few_large_requests_are_worked_on_at_once(serving, servicer, things):
    """Small ones go on meanwhile, and their place is free again once they have ended."""
    stub = serving().stub
    large, small = things.pb.TokenRequest(content=b"x" * (5 << 20)), things.pb.TokenRequest(content=b"x")
    ended, arrived = threading.Event(), threading.Semaphore(0)

    def hold(request):
        if len(request.content) > 1:
            arrived.release()
            ended.wait(10)
        return things.pb.Thing()

    servicer.behave = hold
    try:
        running = [stub.Exchange.future(large) for _ in range(LARGE_AT_ONCE)]
        assert all(arrived.acquire(timeout=10) for _ in running)
        assert size_refusal(stub.Exchange, large) == "TOO_MANY_LARGE_REQUESTS"
        stub.Exchange(small)
    finally:
        ended.set()
    for call in running:
        call.result(timeout=10)
    stub.Exchange(large)


def test_a_channel_takes_the_largest_answer_of_its_service():
    assert largest_response("ticketing") == 9 * 1024 * 1024
    assert largest_response("access") == MESSAGE_MAX_BYTES
