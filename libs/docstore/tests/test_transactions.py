import os
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import mongoengine
import pytest
from mongoengine import IntField

import docstore
from chassis import context, tenancy
from chassis.errors import Aborted
from chassis.settings import Settings


class Counter(docstore.Record):
    meta = {"collection": "counters"}
    count = IntField(default=0)


class Bare(mongoengine.Document):
    """What a library that knows only mongoengine would do."""

    meta = {"collection": "counters", "strict": False}
    id = mongoengine.StringField(primary_key=True)
    tenant = mongoengine.StringField()
    count = IntField()


DOCUMENTS = [Counter]


def count(uid: str) -> int:
    return int(Counter.get(uid).count)


def test_all_or_nothing(tenant: str) -> None:
    Counter.new("a").insert()

    def change() -> None:
        docstore.collection(Counter).update_one({"uid": "a"}, {"$inc": {"count": 1}})
        Counter.new("b").insert()
        assert docstore.transaction_active()
        raise KeyError

    with pytest.raises(KeyError):
        docstore.in_transaction(change)
    assert not docstore.transaction_active()
    assert count("a") == 0
    assert docstore.collection(Counter).count() == 1


def test_a_nested_transaction_joins(tenant: str) -> None:
    Counter.new("a").insert()

    def inner() -> None:
        docstore.collection(Counter).update_one({"uid": "a"}, {"$inc": {"count": 1}})

    def outer() -> None:
        docstore.in_transaction(inner)
        raise KeyError

    with pytest.raises(KeyError):
        docstore.in_transaction(outer)
    assert count("a") == 0


@pytest.mark.parametrize("wrapped", [False, True])
def test_contention_loses_no_update(tenant: str, wrapped: bool) -> None:
    """mongoengine hides the label that asks for another attempt; it must still be found."""
    Counter.new("a").insert()

    def read_and_write() -> None:
        seen = count("a")
        if wrapped:
            Bare.objects(id=f"{tenant}/a", tenant=tenant).update_one(set__count=seen + 1)
        else:
            docstore.collection(Counter).update_one({"uid": "a"}, {"$set": {"count": seen + 1}})

    def call(_: int) -> None:
        with tenancy.service_context(tenant):
            for _ in range(5):
                docstore.in_transaction(read_and_write)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(call, range(6)))
    assert count("a") == 30


def test_contention_ends_at_the_deadline(tenant: str) -> None:
    Counter.new("a").insert()
    rows = docstore.collection(Counter)
    started = time.monotonic()

    def overtaken() -> None:
        rows.find_one({"uid": "a"})
        with ThreadPoolExecutor(1) as other:
            other.submit(outside).result()
        rows.update_one({"uid": "a"}, {"$inc": {"count": 1}})

    def outside() -> None:
        with tenancy.service_context(tenant):
            rows.update_one({"uid": "a"}, {"$inc": {"count": 1}})

    hurried = context.RequestContext(tenant, "p", frozenset(), "m", deadline=started + 0.5)
    with context.use(hurried), pytest.raises(Aborted) as caught:
        docstore.in_transaction(overtaken)
    assert caught.value.reason == "TRANSACTION_CONTENTION"
    assert time.monotonic() - started < 5


def test_green_threads_have_transactions_of_their_own(settings: Settings) -> None:
    """Under eventlet's patch, as in role work, in a process of its own."""
    program = textwrap.dedent(
        """
        import warnings; warnings.simplefilter("ignore")
        import eventlet; eventlet.monkey_patch()
        import os, docstore
        from chassis import tenancy
        from chassis.settings import Settings
        docstore.connect(Settings(service="green", mongodb_uri=os.environ["URI"], database=os.environ["DB"], keys="-"))
        rows = docstore.collection("green")
        with tenancy.service_context("t"):
            rows.insert_one({"uid": "a", "count": 0})
        def add(n):
            with tenancy.service_context("t"):
                def once():
                    seen = rows.find_one({"uid": "a"})["count"]
                    eventlet.sleep(0.001)
                    rows.update_one({"uid": "a"}, {"$set": {"count": seen + 1}})
                docstore.in_transaction(once)
        def outside(n):
            with tenancy.service_context("t"):
                assert not docstore.transaction_active()
                rows.find_one({"uid": "a"})
        pool = eventlet.GreenPool(20)
        jobs = [pool.spawn(add if n % 2 else outside, n) for n in range(40)]
        for job in jobs: job.wait()
        with tenancy.service_context("t"):
            print(rows.find_one({"uid": "a"})["count"])
        docstore.client().drop_database(os.environ["DB"])
        """
    )
    assert settings.mongodb_uri is not None
    environment = os.environ | {"URI": settings.mongodb_uri.get_secret_value(), "DB": f"{settings.database}_green"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "20", done.stderr
