"""Role `run` as a process: killed at any instant, two at once, stopped politely; and the roles around it."""

import random
import subprocess
import sys
import threading
from collections import Counter

import docstore
from docstore.abandoned import abort_abandoned
from identity.store import Customer, IngestionBatch
from testkit import eventually

from .conftest import identify, track

SERVICE = "identity"


def batches(count, people, size=40):
    """Batches of orders of few people, who are introduced again and again by addresses they share across sources."""
    chance = random.Random(3)
    for number in range(count):
        source = chance.choice(["shop", "app"])
        events = []
        for place in range(size):
            person = chance.randrange(people)
            message_id = f"{number}-{place}"
            if place % 5 == 0:
                events.append(identify(message_id, f"{source}{person}", {"email": f"p{person}@example.com"}))
            else:
                events.append(track(message_id, f"{source}{person}", properties={"revenue": 1}))
        yield source, events


def settled(client, sent, people):
    """Checks that every event is visible once, told once, and that people are who they are."""
    batches_done = [client.applied(name) for name in sent]
    assert sum(batch.duplicate_count for batch in batches_done) == 0
    customers = client.ListCustomers(page_size=1000).customers
    assert len(customers) == people
    for customer in customers:
        assert len({identifier.value for identifier in customer.identifiers if identifier.kind == 2}) == 1
    with client.context():
        entries = [entry for row in IngestionBatch.rows().find({}) for entry in row["outbox"]]
        known = Customer.find({}, limit=10_000)
        created = Counter(
            entry["subject"]
            for row in Customer.rows().find({})
            for entry in row["outbox"]
            if entry["type"].endswith("CustomerCreated")
        )
    assert len(entries) == len(sent)
    assert created == Counter(customer.name for customer in known), "every customer was told once"
    return sum(1 for customer in known if customer.merged)


def test_a_runner_killed_again_and_again_applies_everything_once(client, settings, role):
    people, chance = 12, random.Random(5)
    sent = [client.send(*events, source=source).ingestion_batch for source, events in batches(30, people)]
    runner = role(settings.model_copy(update={"role": "run"}))
    for _ in range(3):
        runner.start().wait_ready()
        threading.Event().wait(chance.uniform(0.0, 0.12))  # Somewhere in the middle of the work.
        runner.kill()
    abort_abandoned(idle_s=0)
    with docstore.platform_scope():
        # What the dead held is free at once, as it would be when their leases end.
        docstore.platform_collection(IngestionBatch).update_many({}, {"$unset": {"lease": ""}})
    runner.start().wait_ready()
    assert settled(client, sent, people) == people, "each is one person of two sources"
    assert runner.stop() == 0


def test_two_runners_at_once_agree(client, settings, role):
    people = 15
    runners = [role(settings.model_copy(update={"role": "run", "probe_port": port}))
               for port in (settings.probe_port, settings.grpc_port)]  # fmt: skip
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.wait_ready()
    sent = [client.send(*events, source=source).ingestion_batch for source, events in batches(30, people)]
    assert settled(client, sent, people) == people
    assert [runner.stop() for runner in runners] == [0, 0]


def test_a_batch_is_visible_within_a_second_of_its_acknowledgement(client, settings, role):
    runner = role(settings.model_copy(update={"role": "run"})).start().wait_ready()
    client.applied(client.send(track("warm", "u1")).ingestion_batch)
    name = client.send(track("m1", "u1")).ingestion_batch
    eventually(lambda: client.GetIngestionBatch(name=name).state == 2, timeout=1.0)
    assert runner.stop() == 0


def test_the_process_knows_its_roles():
    done = subprocess.run([sys.executable, "-m", "identity", "--help"], capture_output=True, text=True, check=True)
    for name in ("serve", "work", "relay", "run", "migrate"):
        assert name in done.stdout
