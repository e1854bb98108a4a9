"""MongoDB and RabbitMQ: started, killed, started again on the same data; several side by side."""

import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pymongo
import pymongo.errors
import pytest

from localrun.ports import listening
from localrun.servers import Mongod, NotReadyError, RabbitMQ
from testkit.servers import Broker


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[Mongod]:
    server = Mongod(tmp_path / "mongod", root_password="p/a:s@s")
    server.start()
    server.wait_ready()
    yield server
    server.stop()
    assert server.pid is None


def test_mongod_keeps_data_and_users_over_kill(mongod: Mongod) -> None:
    mongod.create_user("identity", "identity", "one")
    mongod.create_user("identity", "identity", "two")
    uri = mongod.user_uri("identity", "identity", "two")
    with pymongo.MongoClient(uri) as client:
        client["identity"]["rows"].insert_one({"_id": 1})
        with pytest.raises(pymongo.errors.OperationFailure, match="not authorized"):
            client["consent"]["rows"].insert_one({"_id": 1})
    before = mongod.pid
    mongod.kill()
    assert mongod.pid is None
    assert not mongod.is_ready()
    mongod.start()
    mongod.wait_ready()
    assert mongod.pid != before
    with pymongo.MongoClient(uri) as client:
        assert client["identity"]["rows"].find_one() == {"_id": 1}
    address = f"mongodb://127.0.0.1:{mongod.port}/?directConnection=true"
    with pymongo.MongoClient(address) as stranger, pytest.raises(pymongo.errors.OperationFailure):
        stranger["identity"]["rows"].find_one()


def test_mongod_left_behind_is_ended_by_the_next_start(tmp_path: Path) -> None:
    first = Mongod(tmp_path)
    first.start()
    first.wait_ready()
    left = first.pid
    assert left is not None
    second = Mongod(tmp_path, first.port)
    second.start()
    second.wait_ready()
    assert second.pid != left
    assert first.pid is None
    second.stop()


def test_mongod_that_cannot_start_says_why(tmp_path: Path, mongod: Mongod) -> None:
    with pytest.raises(NotReadyError, match=f"127.0.0.1:{mongod.port} is taken"):
        Mongod(tmp_path / "other", mongod.port).start()
    broken = Mongod(tmp_path / "broken", cache_gb=-1)
    broken.start()
    with pytest.raises(NotReadyError, match=r"(?s)ended with exit code.*cacheSizeGB must be"):
        broken.wait_ready(20)


def test_rabbitmq_keeps_queues_over_kill_and_leaves_nothing_after_stop(tmp_path: Path) -> None:
    server = RabbitMQ(tmp_path / "rabbitmq")
    server.start()
    server.wait_ready()
    mapper = int((tmp_path / "rabbitmq/epmd.pid").read_text().split()[0])
    try:
        node = Broker(server.uri, server.management_uri)
        node.create_vhost("kept")
        before = server.pid
        server.kill()
        assert not server.is_ready()
        server.start()
        server.wait_ready()
        assert server.pid != before
        assert "kept" in [vhost["name"] for vhost in node.call("GET", "/api/vhosts")]
        flags = {flag["name"]: flag["state"] for flag in node.call("GET", "/api/feature-flags")}
        assert flags["quorum_queue"] == "enabled"
        with urllib.request.urlopen(f"http://127.0.0.1:{server.prometheus_port}/metrics", timeout=5) as answer:
            assert b"rabbitmq_build_info" in answer.read()
        for connection in psutil.Process(server.pid).net_connections("tcp"):
            assert connection.status != psutil.CONN_LISTEN or connection.laddr.ip == "127.0.0.1"
    finally:
        server.stop()
    assert server.pid is None
    assert not psutil.pid_exists(mapper)
    assert not listening("127.0.0.1", server.port)
    assert os.stat(tmp_path / "rabbitmq/.erlang.cookie").st_mode & 0o077 == 0
