"""Fixtures of eventing's tests: the sample service, its topology, and a publisher of single events."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import pika.exceptions
import pytest

SERVICES = str(Path(__file__).parent / "service")
sys.path.insert(0, SERVICES)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [SERVICES, os.environ.get("PYTHONPATH")]))

from sample.publishing import TENANT, Bus  # noqa: E402

from chassis import tenancy  # noqa: E402
from eventing import topology  # noqa: E402


@pytest.fixture(scope="module")
def topology_file(amqp, tmp_path_factory):
    """The manifest of the sample service, declared on the module's virtual host."""
    manifest = topology.manifest(["sample"])
    topology.declare(amqp, manifest)
    path = tmp_path_factory.mktemp("topology") / "topology.json"
    path.write_text(json.dumps(manifest))
    return path


@pytest.fixture
def tenant():
    with tenancy.service_context(TENANT, principal="services/sample"):
        yield TENANT


@pytest.fixture
def bus(amqp, topology_file):
    made = Bus(amqp)
    made.purge()
    yield made
    with suppress(pika.exceptions.AMQPError):  # some tests kill the broker
        made.connection.close()
