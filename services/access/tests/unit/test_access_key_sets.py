import json
import threading
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from access import key_sets
from access.key_set_source import KeySetUnreachable, address_problem
from access.key_sets import KeySets
from chassis.errors import Unavailable
from testkit import eventually

URI = "https://id.example.com/jwks"


class Source:
    """A key set that can change and fail, and counts how often it is fetched."""

    def __init__(self, *kids):
        self.kids = list(kids)
        self.fetches = 0
        self.down = False

    def __call__(self, uri):
        self.fetches += 1
        if self.down:
            raise KeySetUnreachable("down")
        public = ed25519.Ed25519PrivateKey.generate().public_key()
        key = jwt.algorithms.OKPAlgorithm.to_jwk(public, as_dict=True)
        return json.dumps({"keys": [{**key, "kid": kid} for kid in self.kids]}).encode()


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_set_is_fetched_once_while_fresh_and_again_after(clock):
    source = Source("a")
    sets = KeySets(source, clock)
    for _ in range(3):
        assert sets.key("acme/1", URI, "a").key_id == "a"
    assert source.fetches == 1
    clock.now += key_sets.FRESH_S
    assert sets.key("acme/1", URI, "a")
    assert source.fetches == 2


def test_an_unknown_key_asks_again_at_most_once_in_thirty_seconds(clock):
    source = Source("a")
    sets = KeySets(source, clock)
    sets.key("acme/1", URI, "a")
    for number in range(10):
        assert sets.key("acme/1", URI, f"made-up-{number}") is None
    assert source.fetches == 2
    source.kids.append("b")
    clock.now += 29
    assert sets.key("acme/1", URI, "b") is None
    clock.now += 2
    assert sets.key("acme/1", URI, "b").key_id == "b"
    assert source.fetches == 3


def test_known_keys_serve_on_for_an_hour_while_the_issuer_is_down(clock):
    source = Source("a")
    sets = KeySets(source, clock)
    sets.key("acme/1", URI, "a")
    source.down = True
    clock.now += key_sets.STALE_S - 1
    assert sets.key("acme/1", URI, "a")
    clock.now += 1
    with pytest.raises(Unavailable):
        sets.key("acme/1", URI, "a")


def test_a_failing_issuer_is_left_alone_for_a_while(clock):
    source = Source("a")
    source.down = True
    sets = KeySets(source, clock)
    for _ in range(3):
        with pytest.raises(Unavailable):
            sets.key("acme/1", URI, "a")
    assert source.fetches == 1
    source.down = False
    clock.now += key_sets.FAILURE_PAUSE_S
    assert sets.key("acme/1", URI, "a")


def test_the_number_of_sets_is_bounded(clock):
    source = Source("a")
    sets = KeySets(source, clock)
    for number in range(300):
        sets.key(f"acme/{number}", URI, "a")
    assert len(sets._sets) == 256
    sets.key("acme/299", URI, "a")
    assert source.fetches == 300
    sets.key("acme/0", URI, "a")
    assert source.fetches == 301


def test_many_tokens_at_once_cause_one_fetch(clock):
    source = Source("a")
    begun = threading.Barrier(8)
    sets = KeySets(source, clock)
    found = []

    def ask():
        begun.wait()
        found.append(sets.key("acme/1", URI, "a"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(found)
    assert source.fetches == 1


def test_issuers_that_hang_cannot_take_all_threads(clock):
    let_go = threading.Event()

    def fetch(uri):
        let_go.wait(30)
        raise KeySetUnreachable("hangs")

    sets, refused = KeySets(fetch, clock), []

    def ask(number):
        with pytest.raises(Unavailable):
            sets.key(f"acme/{number % 10}", f"{URI}/{number % 10}", "a")
        refused.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: len(refused) >= 40, 2, "all but 20 are refused at once")
    finally:
        let_go.set()
        for thread in threads:
            thread.join()


def test_known_keys_are_not_held_up_by_a_fetch(clock):
    source, let_go, fetching = Source("a"), threading.Event(), threading.Event()

    def fetch(uri):
        if source.fetches:
            fetching.set()
            let_go.wait(30)
        return source(uri)

    sets = KeySets(fetch, clock)
    sets.key("acme/1", URI, "a")
    clock.now += key_sets.FRESH_S
    refreshing = threading.Thread(target=sets.key, args=("acme/1", URI, "a"))
    refreshing.start()
    try:
        assert fetching.wait(5)
        begun = time.monotonic()
        assert sets.key("acme/1", URI, "a").key_id == "a"
        assert time.monotonic() - begun < 15
    finally:
        let_go.set()
        refreshing.join()


@pytest.mark.parametrize(
    "uri",
    [
        "http://id.example.com/jwks",
        "ftp://id.example.com",
        "https://",
        "https:///jwks",
        "id.example.com",
        "https://user@id.example.com",
        "https://id.example.com/#x",
        "https://id.example.com:port/",
        "https://id.exa mple.com/",
        "https://id.example.com/\r\nHost: x",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://[::1]/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[2002:a00:1::]/",
        "https://[64:ff9b:1::a00:1]/",
        "https://[::10.0.0.1]/",
        "https://[fec0::1]/",
        "https://id.example.com/" + "x" * 2000,
    ],
)
def test_addresses_that_lead_inside_or_nowhere_are_refused(uri):
    assert address_problem(uri, loopback=False)


def test_public_addresses_are_fine_and_loopback_only_where_allowed():
    assert address_problem(URI, loopback=False) is None
    assert address_problem("https://93.184.216.34:8443/jwks?x=1", loopback=False) is None
    for uri in ("http://127.0.0.1:8000/jwks", "http://localhost:1/", "http://[::1]:1/"):
        assert address_problem(uri, loopback=True) is None
        assert address_problem(uri, loopback=False)
    assert address_problem("http://10.0.0.1/", loopback=True)
    assert address_problem("http://id.example.com/", loopback=True)
