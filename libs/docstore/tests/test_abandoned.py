"""A process killed inside a transaction holds up nobody for long."""

import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

from mongoengine import IntField

import docstore
from chassis.settings import Settings
from docstore.abandoned import abort_abandoned


class Tally(docstore.Record):
    meta = {"collection": "tallies"}
    count = IntField(default=0)


DOCUMENTS = [Tally]

_KILLED_INSIDE = """
    import os, sys
    import docstore
    from chassis import tenancy
    from chassis.settings import Settings

    docstore.connect(Settings(service="docstore", mongodb_uri=sys.argv[1], database=sys.argv[2], keys="{}"))

    def change():
        docstore.collection("tallies").update_one({"uid": "a"}, {"$inc": {"count": 100}})
        os.kill(os.getpid(), 9)

    with tenancy.service_context(sys.argv[3]):
        docstore.in_transaction(change)
"""


def die_inside(settings: Settings, tenant: str) -> None:
    uri = settings.mongodb_uri.get_secret_value()
    program = [sys.executable, "-c", textwrap.dedent(_KILLED_INSIDE), uri, settings.database, tenant]
    assert subprocess.run(program, check=False).returncode == -9


def increment() -> None:
    Tally.rows().update_one({"uid": "a"}, {"$inc": {"count": 1}})


def test_what_a_killed_process_locked_is_free_within_seconds(settings: Settings, tenant: str) -> None:
    Tally.new("a").insert()
    die_inside(settings, tenant)
    started = time.monotonic()
    docstore.in_transaction(increment)
    assert time.monotonic() - started < 10, "MongoDB alone takes 60 s"
    assert Tally.get("a").count == 1


def test_transactions_at_work_are_left_alone(tenant: str) -> None:
    Tally.new("a").insert()

    def change() -> int:
        increment()
        with ThreadPoolExecutor(1) as another:
            return another.submit(abort_abandoned).result()

    assert docstore.in_transaction(change) == 0
    assert Tally.get("a").count == 1
