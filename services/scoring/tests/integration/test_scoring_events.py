"""Events of others through a real broker and the role `work`, shuffled and repeated; our own through `relay`."""

import random

from google.protobuf.message import Message
from rapport.consent.v1 import consent_pb2
from rapport.consent.v1 import events_pb2 as consent_events_pb2
from rapport.identity.v1 import events_pb2 as identity_events_pb2
from rapport.scoring.v1 import events_pb2

from docstore import aliases
from eventing import tombstones
from scoring.decisions import PURPOSE
from scoring.store import Objection
from testkit import eventually
from testkit.telling import decoded

from .conftest import NONE, customer, plant, purchase, score_row

SERVICE = "scoring"


def said(kind: type[Message], name: str, state: str, purpose: str = PURPOSE, channel: int = NONE) -> Message:
    told = consent_events_pb2.ConsentState(
        consent=f"consents/of-{name.rpartition('/')[2]}",
        customer=name,
        purpose=purpose,
        channel=channel,
        state=consent_pb2.Consent.State.Value(state),
    )
    told.decide_time.GetCurrentTime()
    return kind(consent=told)


def alias(kind: type[Message], name: str, canonical: str) -> Message:
    return kind(alias={"customer": name, "canonical_customer": canonical})


def test_purchases_count_once_however_shuffled_and_repeated(client, started, publish) -> None:
    chance = random.Random(2)
    people = [customer() for _ in range(10)]
    events = [purchase(chance.choice(people), chance.randrange(100), amount=100) for _ in range(120)]
    messages = [identity_events_pb2.EventsTracked(events=events[start : start + 10]) for start in range(0, 120, 10)]
    # The same purchase in two messages: identity's own repeat under another event id.
    messages += [identity_events_pb2.EventsTracked(events=chance.sample(events, 10)) for _ in range(5)]
    chance.shuffle(messages)
    sent = [publish(message) for message in messages]
    for event in chance.sample(sent, 8):
        publish(event)
    started("work")

    def units() -> dict[str, int]:
        return {money.currency_code: money.units for money in client.SummarizePurchases().revenues}

    # Two batches are handled at once: the last message may be known before the ones ahead of it.
    for number in (1, 2):
        marker = purchase(people[0], number, amount=100, currency="EUR")
        publish(identity_events_pb2.EventsTracked(events=[marker]))
        eventually(lambda: units() == {"EUR": number, "USD": 120}, message="each purchase is known once")  # noqa: B023
    assert client.SummarizePurchases().purchase_count == 122


def test_the_erased_are_left_out_of_a_message_about_many(client, started, publish) -> None:
    gone, kept = customer(), customer()
    with client.context():
        tombstones.erase([gone])
    message = identity_events_pb2.EventsTracked(events=[purchase(gone, 1), purchase(kept, 1)])
    started("work")
    publish(message, gone, kept)
    eventually(lambda: client.SummarizePurchases().purchase_count == 1, message="the other's purchase is known")


def test_an_objection_takes_scores_and_memberships_away_at_once(client, started, publish) -> None:
    anna, old, bert = customer(), customer(), customer()
    plant(client, [score_row(name) for name in (anna, bert)])
    client.segment("frequency >= 2")
    work = started("work")
    publish(alias(identity_events_pb2.CustomerMerged, old, anna), subject=old, sequence=2)
    with client.context():
        eventually(lambda: aliases.resolve([old])[old] == anna, message="the merge is known")
    # Of another purpose or channel: nothing to us.
    withdrawn = consent_events_pb2.ConsentWithdrawn
    publish(said(withdrawn, bert, "STATE_WITHDRAWN", purpose="purposes/news"), subject="consents/1")
    publish(said(withdrawn, bert, "STATE_WITHDRAWN", channel=1), subject="consents/2")
    # A member of the profile objects, and so the whole person.
    objection = said(withdrawn, old, "STATE_WITHDRAWN")
    event = publish(objection, subject="consents/3", sequence=2)
    publish(event)
    eventually(lambda: client.scored().keys() == {bert}, message="the scores are gone")
    segment = client.GetSegment(name="segments/some")
    assert (segment.member_count, client.members()) == (1, {bert})
    assert client.moves()[-1] == ("left", anna)
    assert sum(move == ("left", anna) for move in client.moves()) == 1
    left, updated = client.told()[-2:]
    assert left.cause == events_pb2.SegmentLeft.CAUSE_SCORES_REMOVED
    assert list(updated.removed_customers) == [anna]
    # An older word does not undo it, a newer one does.
    granted = consent_events_pb2.ConsentGranted
    publish(said(granted, old, "STATE_GRANTED"), subject="consents/3")
    publish(said(granted, bert, "STATE_GRANTED"), subject="consents/4")
    with client.context():
        assert Objection.rows().count({}) == 1
        publish(said(granted, old, "STATE_GRANTED"), subject="consents/3", sequence=3)
        eventually(lambda: Objection.rows().count({}) == 0, message="the agreement is known")
    assert work.stop() == 0


def test_a_merged_customers_scores_go_and_so_do_the_profiles_if_one_objected(client, started, publish) -> None:
    anna, old, bert, objector = (customer() for _ in range(4))
    plant(client, [score_row(name) for name in (anna, old, bert)])
    client.segment("frequency >= 2")
    started("work")
    publish(alias(identity_events_pb2.CustomerMerged, old, anna), subject=old, sequence=2)
    eventually(lambda: client.scored().keys() == {anna, bert}, message="the merged one's scores are gone")
    assert client.told()[-2].cause == events_pb2.SegmentLeft.CAUSE_MERGED
    assert client.GetCustomerScores(name=f"{old}/scores").customer == anna
    publish(said(consent_events_pb2.ConsentWithdrawn, objector, "STATE_WITHDRAWN"), subject="consents/1")
    with client.context():
        eventually(lambda: Objection.rows().count({}) == 1, message="the objection is known")
    publish(alias(identity_events_pb2.CustomerMerged, objector, bert), subject=objector, sequence=2)
    eventually(lambda: client.scored().keys() == {anna}, message="the objector's profile has no scores")
    publish(alias(identity_events_pb2.CustomerUnmerged, old, old), subject=old, sequence=3)
    with client.context():
        eventually(lambda: aliases.resolve([old])[old] == old, message="the unmerge is known")
    assert client.refused("GetCustomerScores", name=f"{old}/scores")[0] == "NOT_FOUND"
    assert client.GetSegment(name="segments/some").member_count == 1


def test_what_changes_is_told_with_the_people_it_is_about(client, captured, started) -> None:
    told = captured("rapport.scoring.v1.#")
    anna = customer()
    plant(client, [score_row(anna)])
    client.segment("frequency >= 2")
    started("relay")
    (event,) = eventually(told, 30, "the event")
    assert (event.type, event.source, event.datasubjects) == (
        "rapport.scoring.v1.SegmentEntered",
        "//rapport/scoring",
        (anna,),
    )
    body = decoded(event)
    assert (body.segment, body.customers[0].customer) == ("segments/some", anna)
