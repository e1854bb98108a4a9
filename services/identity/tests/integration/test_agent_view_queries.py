"""What the agent view costs: few queries, each on the index."""

import json
import re

import pytest
from pymongo import monitoring

import docstore
from docstore.listener import TenantGuard
from identity.store import Facet
from identity.store.agent_view import pipelines
from identity.usecases.agent_view import view_customer

from .telling import (
    LABELS,
    PARTS,
    ago,
    leaving,
    likely,
    mailed,
    order,
    posted,
    promise,
    reached,
    ticket,
)

SERVICE = "identity"


class Counted(monitoring.CommandListener):
    """Notes what is sent."""

    def __init__(self):
        self.commands = []

    def started(self, event):
        self.commands.append(f"{event.command_name} {event.command.get(event.command_name)}")

    def succeeded(self, event):
        """Nothing to see."""

    def failed(self, event):
        """Nothing to see."""


@pytest.fixture
def counted(database):
    """The commands that are sent, on a connection of the test's own."""
    docstore.disconnect()
    listener = Counted()
    docstore.connect(database, event_listeners=[TenantGuard(), listener])
    yield listener.commands
    docstore.disconnect()
    docstore.connect(database, event_listeners=[TenantGuard()])


@pytest.fixture
def crowd(client, teller):
    """A customer among others with enough rows that a scan shows."""
    customer = client.create().name
    for n in range(12):
        whose = customer if n % 2 else client.create().name
        teller.hear(*(order(whose, f"{n}-{i}", days=i) for i in range(4)), ticket(whose, f"{n}"))
        teller.hear(
            posted(whose, f"{n}", LABELS.LABEL_NEUTRAL, 0),
            mailed(whose, f"{n}"),
            promise(whose, f"{n}"),
            leaving(whose, 0.5),
            *(likely(whose, part) for part in PARTS),
            reached(whose),
        )
    return customer


def test_the_view_takes_four_queries(client, teller, counted):
    one, other = client.create().name, client.create().name
    client.MergeCustomer(name=one, merged_customer=other)
    teller.hear(order(one, 1), order(other, 2))
    with client.context():
        counted.clear()
        view_customer(one.rpartition("/")[2])
        assert counted == ["find customers", "aggregate facets", "find timeline", "find identifiers"]
        counted.clear()
        view_customer(other.rpartition("/")[2])
        assert len(counted) == 6


def test_every_list_ends_on_the_index_and_totals_read_nothing_else(client, crowd):
    one, two = [crowd.rpartition("/")[2]], [crowd.rpartition("/")[2], client.create().uid]
    asked = [(uids, *each) for uids in (one, two) for each in enumerate(pipelines(uids, ago(days=90)))]
    with client.context():
        for uids, place, pipeline in asked:
            command = {"aggregate": "facets", "pipeline": Facet.rows()._scoped_pipeline(pipeline), "cursor": {}}
            explained = docstore.database().command("explain", command, verbosity="executionStats")
            plan = json.dumps(explained, default=str)
            assert '"IXSCAN"' in plan, place
            assert not {'"COLLSCAN"', '"SORT"', '"$sort"'} & set(re.findall(r'"[^"]*"', plan.partition("command")[0]))
            stats = (explained.get("stages") or [{"$cursor": explained}])[0]["$cursor"]["executionStats"]
            if place == 0:
                assert "PROJECTION_COVERED" in plan
                assert stats["totalDocsExamined"] == 0
            else:
                assert stats["totalKeysExamined"] <= 10 + 2 * len(uids), (place, stats["totalKeysExamined"])
