"""The service's own events on the broker, and the events of identity it follows, through real roles."""

import grpc
from rapport.consent.v1 import consent_pb2
from rapport.identity.v1 import events_pb2

from contracts import descriptors
from testkit import eventually
from testkit.telling import decoded

SERVICE = "consent"


def test_merges_told_by_identity_decide_and_unmerges_restore(client, started, publish) -> None:
    client.purpose()
    anna, old = client.customer(), client.customer()
    client.grant(anna)
    client.withdraw(old)
    started("work")
    alias = {"customer": old, "canonical_customer": anna}
    publish(events_pb2.CustomerMerged(alias=alias), subject=old, sequence=2)
    eventually(lambda: client.reason(anna) == "WITHDRAWN", message="the merge is known")
    publish(events_pb2.CustomerUnmerged(alias=alias | {"canonical_customer": old}), subject=old, sequence=3)
    eventually(lambda: client.reason(anna) == "+CONSENT_GRANTED", message="the unmerge is known")
    # A repeat of the merge that was overtaken changes nothing; the marker behind it shows that it was handled.
    other = client.customer()
    publish(events_pb2.CustomerMerged(alias=alias), subject=old, sequence=2)
    publish(events_pb2.CustomerMerged(alias={"customer": other, "canonical_customer": old}), subject=other)
    eventually(lambda: client.reason(other) == "WITHDRAWN", message="the marker is known")
    assert client.reason(anna) == "+CONSENT_GRANTED"
    assert client.reason(old) == "WITHDRAWN"


def test_every_change_is_told_in_order_with_its_person(client, public, captured, started) -> None:
    so_far = captured("rapport.consent.v1.#")
    client.purpose()
    person = client.customer()
    pending = client.ask(person)
    public.ConfirmOptIn(token=client.links(pending)[0])
    client.withdraw(person)
    started("relay")
    told = eventually(lambda: len(found := so_far()) == 3 and found, 30, "three events")
    assert [event.type.rpartition(".")[2] for event in told] == ["ConsentPending", "ConsentGranted", "ConsentWithdrawn"]
    assert [event.sequence for event in told] == [(1, 0), (2, 0), (3, 0)]
    for event in told:
        assert (event.source, event.subject, event.datasubjects) == ("//rapport/consent", pending.name, (person,))
        consent = decoded(event).consent
        assert (consent.customer, consent.purpose) == (person, "purposes/news")
    assert consent.state == consent_pb2.Consent.STATE_WITHDRAWN


def test_a_withdrawal_takes_the_urgent_queues() -> None:
    rule = descriptors.event_rule(descriptors.message_class("rapport.consent.v1.ConsentWithdrawn").DESCRIPTOR)
    assert rule is not None
    assert rule.urgent


def test_the_role_serve_answers_and_ends_in_peace(client, started) -> None:
    process = started("serve")
    with grpc.insecure_channel(f"127.0.0.1:{process.settings.grpc_port}") as channel:
        there = type(client)(channel, client.tenant, client.permissions)
        assert there.purpose() == client.GetPurpose(name="purposes/news")
    assert process.stop() == 0
