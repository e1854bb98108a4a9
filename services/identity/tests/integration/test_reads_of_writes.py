"""Who has written elsewhere reads it here, or is told that it is not here yet."""

import threading
from dataclasses import replace

import grpc
import pytest
from rapport.sales.v1 import events_pb2 as sales

from chassis import consistency
from chassis.consistency import Written

from .telling import (
    order,
    promise,
    ticket,
)

SERVICE = "identity"


def token_for(client, envelopes):
    """What the mutations that wrote these events answered with."""
    with client.context():
        return consistency.token_of(Written(each.id, each.type, each.subject, *each.sequence) for each in envelopes)


def test_who_wrote_elsewhere_sees_it_here_or_is_told_that_it_is_not_here_yet(client, teller):
    customer = client.create().name
    late = [teller.envelope(event) for event in (promise(customer, "p"), order(customer, 1), ticket(customer, "t"))]
    token = token_for(client, late)
    stale, told = client.told_beside("ViewCustomer", token, name=customer)
    assert (len(stale.promises), told.get("x-stale")) == (0, "true")
    later = threading.Timer(0.1, teller.hear, late)
    later.start()
    seen, told = client.told_beside("ViewCustomer", token, name=customer)
    later.join()
    assert (len(seen.promises), seen.purchases.order_count, seen.tickets.open_count) == (1, 1, 1)
    assert "x-stale" not in told
    listed, told = client.told_beside("ListTimelineEntries", token, parent=customer)
    assert (len(listed.timeline_entries), "x-stale" in told) == (3, False)
    # What has come to a later version, or is not heard here at all, is not waited for.
    teller.hear(promise(customer, "p", 3, kind=sales.PromiseUpdated))
    between = teller.envelope(promise(customer, "p", 2, kind=sales.PromiseUpdated))
    unheard = replace(between, type="rapport.identity.v1.CustomerCreated", subject=customer)
    assert "x-stale" not in client.told_beside("ViewCustomer", token_for(client, [between, unheard]), name=customer)[1]


def test_tokens_of_others_are_refused(client, client_of, teller):
    customer = client.create().name
    token = token_for(client_of(), [teller.envelope(promise(customer, "p"))])
    for wrong in (token, "nonsense"):
        with pytest.raises(grpc.RpcError) as caught:
            client.told_beside("ViewCustomer", wrong, name=customer)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_mutation_names_what_it_wrote(client):
    made, told = client.told_beside("CreateCustomer", "", customer={"email": "ada@example.com"})
    with client.context():
        (event,) = consistency.events_of(told["x-consistency-token"])
    assert (event.type, event.subject) == ("rapport.identity.v1.CustomerCreated", made.name)
    assert "x-consistency-token" not in client.told_beside("GetCustomer", "", name=made.name)[1]
