import base64
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis import keys
from chassis.key_rings import new_ring, rotate_ring
from chassis.keys import ExpiredToken, InvalidToken, Keyring

RING = new_ring()
ROTATED = rotate_ring(RING)
FOREIGN = new_ring()


@pytest.fixture
def ring() -> Keyring:
    return Keyring(RING)


def mint(ring: Keyring, **more) -> str:
    given = {"tenant": "acme", "principal": "principals/ada", "permissions": ["a.b.c"], "audience": "identity"}
    return ring.mint_token(**{**given, **more})


@pytest.fixture
def later(monkeypatch):
    def move(seconds: float) -> None:
        now = time.time() + seconds
        monkeypatch.setattr(keys.time, "time", lambda: now)

    return move


def test_a_token_opened_before_expires_all_the_same(ring, later):
    token = mint(ring, ttl_s=60)
    assert ring.open_token(token, "identity") == ring.open_token(token, "identity")
    later(67)
    with pytest.raises(ExpiredToken):
        ring.open_token(token, "identity")


def test_token_round_trip(ring):
    claims = ring.open_token(mint(ring, ttl_s=60), "identity")
    assert (claims.tenant, claims.principal, claims.permissions) == ("acme", "principals/ada", {"a.b.c"})
    assert timedelta(seconds=55) < claims.expires - datetime.now(UTC) <= timedelta(seconds=62)


def test_token_is_for_one_audience(ring):
    with pytest.raises(InvalidToken, match="another service"):
        ring.open_token(mint(ring), "consent")


def test_token_expires(ring, later):
    later(-70)
    token = mint(ring, ttl_s=60)
    with pytest.raises(ExpiredToken):
        ring.open_token(token, "identity")


@pytest.mark.parametrize("ttl_s", [0, -1, 301, 1e9])
def test_token_life_is_bounded(ring, ttl_s):
    with pytest.raises(ValueError, match="300"):
        mint(ring, ttl_s=ttl_s)


@pytest.mark.parametrize("missing", ["tenant", "principal", "audience"])
def test_token_names_everybody(ring, missing):
    with pytest.raises(ValueError, match="names its"):
        mint(ring, **{missing: ""})


def test_tokens_of_other_makers_are_refused(ring):
    good = mint(ring)
    claims = jwt.decode(good, options={"verify_signature": False})
    key = ring._subkey("k1", "token")
    endless = {**claims, "exp": claims["exp"] + 10_000}
    for forged in (
        mint(Keyring(FOREIGN)),
        jwt.encode(claims, None, algorithm="none", headers={"kid": "k1"}),
        jwt.encode(claims, key, algorithm="HS256"),
        jwt.encode(claims, key, algorithm="HS256", headers={"kid": "k9"}),
        jwt.encode(endless, key, algorithm="HS256", headers={"kid": "k1"}),
        jwt.encode({k: v for k, v in claims.items() if k != "exp"}, key, algorithm="HS256", headers={"kid": "k1"}),
        jwt.encode({k: v for k, v in claims.items() if k != "tnt"}, key, algorithm="HS256", headers={"kid": "k1"}),
        good + "x" * 20_000,
        "",
        "a.b.c",
    ):
        with pytest.raises(InvalidToken):
            ring.open_token(forged, "identity")


def test_link_round_trip(ring):
    token = ring.mint_link("opt-in", "acme", {"record": "r1"}, timedelta(days=2))
    link = ring.open_link(token, "opt-in")
    assert (link.tenant, link.data) == ("acme", {"record": "r1"})
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert "acme" not in base64.urlsafe_b64decode(token + "==").decode("latin-1")


def test_link_has_one_purpose_and_ends(ring, later):
    token = ring.mint_link("opt-in", "acme", {}, timedelta(days=2))
    with pytest.raises(InvalidToken):
        ring.open_link(token, "unsubscribe")
    later(2 * 86_400 + 1)
    with pytest.raises(ExpiredToken):
        ring.open_link(token, "opt-in")


@pytest.mark.parametrize("life", [timedelta(), timedelta(seconds=-1), timedelta(days=732)])
def test_link_life_is_bounded(ring, life):
    with pytest.raises(ValueError, match="731"):
        ring.mint_link("opt-in", "acme", {}, life)


@given(st.data())
def test_changed_links_never_open(data):
    ring = Keyring(RING)
    token = ring.mint_link("opt-in", "acme", {"n": 1}, timedelta(days=1))
    at = data.draw(st.integers(0, len(token) - 1))
    changed = token[:at] + data.draw(st.sampled_from("Aaz09-_ =+/.é\n")) + token[at + 1 :]
    shapes = [changed, token[:at], token + data.draw(st.sampled_from(["=", "A", "==", " "])), token[at:] + token[:at]]
    for shape in shapes:
        if shape != token:
            with pytest.raises(InvalidToken):
                ring.open_link(shape, "opt-in")


@given(st.binary(max_size=200), st.binary(max_size=20), st.data())
def test_sealed_opens_for_its_use_and_context_only(plaintext, aad, data):
    ring = Keyring(RING)
    sealed = ring.seal("page", plaintext, aad)
    assert ring.open("page", sealed, aad) == plaintext
    at = data.draw(st.integers(0, len(sealed) - 1))
    flipped = sealed[:at] + bytes([sealed[at] ^ data.draw(st.integers(1, 255))]) + sealed[at + 1 :]
    for use, text, context in (
        ("page", flipped, aad),
        ("page", sealed[:at], aad),
        ("other", sealed, aad),
        ("page", sealed, aad + b"x"),
    ):
        with pytest.raises(InvalidToken):
            ring.open(use, text, context)


@given(st.binary(max_size=100), st.text(max_size=100))
def test_rubbish_never_opens(sealed, token):
    ring = Keyring(RING)
    with pytest.raises(InvalidToken):
        ring.open("page", sealed)
    with pytest.raises(InvalidToken):
        ring.open_link(token, "opt-in")
    with pytest.raises(InvalidToken):
        ring.open_token(token, "identity")


def test_rotation_keeps_what_was_made(ring):
    token, link, sealed = mint(ring), ring.mint_link("p", "acme", {}, timedelta(1)), ring.seal("page", b"x")
    old = ring.signer("chain")
    signature = old.sign(b"head")
    rotated = Keyring(ROTATED)
    assert rotated.open_token(token, "identity").tenant == "acme"
    assert rotated.open_link(link, "p").tenant == "acme"
    assert rotated.open("page", sealed) == b"x"
    rotated.signer("chain", old.key_id).verify(b"head", signature)
    assert rotated.signer("chain").key_id == "k2" != old.key_id
    assert rotated.fingerprint("block", "ada") == ring.fingerprint("block", "ada")


def test_every_process_knows_a_key_before_it_is_used(ring):
    """During the roll-out of a rotated ring, processes with the old ring open what the new ones make."""
    rotated = Keyring(ROTATED)
    assert ring.open_token(mint(rotated), "identity").tenant == "acme"
    assert ring.open("page", rotated.seal("page", b"x")) == b"x"
    single = json.dumps({"current": "a", "keys": {"a": json.loads(RING)["keys"]["k1"]}})
    assert json.loads(rotate_ring(single))["current"] == "a"
    assert json.loads(rotate_ring(rotate_ring(single)))["current"] == "k1"


def test_dropped_key_is_refused(ring):
    twice = rotate_ring(ROTATED)
    dropped = json.loads(rotate_ring(twice, drop=["k2"]))
    assert set(dropped["keys"]) == {"k1", "k3", "k4", "k5"}
    sealed = Keyring(ROTATED).seal("page", b"x")
    with pytest.raises(InvalidToken, match="not in the keyring"):
        Keyring(json.dumps(dropped)).open("page", sealed)
    with pytest.raises(InvalidToken, match="not in the keyring"):
        Keyring(json.dumps(dropped)).open_token(mint(Keyring(ROTATED)), "identity")
    with pytest.raises(InvalidToken, match="not in the keyring"):
        Keyring(json.dumps(dropped)).signer("chain", "k2")
    for needed in ("k1", "k3"):
        with pytest.raises(ValueError, match="in use"):
            rotate_ring(twice, drop=[needed])


def test_fingerprints_are_keyed_and_separate_by_use(ring):
    value = ring.fingerprint("block", "ada@example.com")
    assert len(value) == 64
    assert value == Keyring(RING).fingerprint("block", "ada@example.com")
    others = (
        ring.fingerprint("pseudonym", "ada@example.com"),
        Keyring(FOREIGN).fingerprint("block", "ada@example.com"),
    )
    assert value not in others


def test_signatures_verify_for_their_use_only(ring):
    signer = ring.signer("chain")
    signature = signer.sign(b"head")
    signer.verify(b"head", signature)
    assert signer.public_key_pem.startswith("-----BEGIN PUBLIC KEY-----")
    assert Keyring(RING).signer("chain").public_key_pem == signer.public_key_pem
    for other, data in ((signer, b"tail"), (ring.signer("certificate"), b"head")):
        with pytest.raises(InvalidToken):
            other.verify(data, signature)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON"),
        ("[]", "no keys"),
        ('{"current": "a", "keys": {}}', "no keys"),
        ('{"current": "a", "keys": {"a": "c2VjcmV0"}}', "32 bytes"),
        ('{"current": "a", "keys": {"a": "secret!"}}', "base64"),
        ('{"current": "a", "keys": {"a": 5}}', "base64"),
        ('{"current": "a", "keys": {"a b": ""}}', "key id"),
        (RING.replace('"current": "k1"', '"current": "k7"'), "current"),
        (RING.replace('"current": "k1"', '"current": ["k1"]'), "current"),
        (RING.replace('"stable": "k1"', '"stable": "k7"'), "stable"),
    ],
)
def test_malformed_ring_is_told_without_its_content(text, problem):
    with pytest.raises(ValueError, match=problem) as caught:
        Keyring(text)
    assert "secret" not in str(caught.value)
    assert json.loads(RING)["keys"]["k1"] not in str(caught.value)


def test_command_line_makes_and_rotates():
    def run(*arguments, text=""):
        return subprocess.run(
            [sys.executable, "-m", "chassis.keys", *arguments], input=text, capture_output=True, text=True, timeout=60
        )

    made = run("new")
    Keyring(made.stdout)
    rotated = json.loads(run("rotate", text=made.stdout).stdout)
    assert (rotated["current"], rotated["stable"], list(rotated["keys"])) == ("k2", "k1", ["k1", "k2", "k3"])
    failed = run("rotate", text="rubbish")
    assert failed.returncode == 1
    assert "not JSON" in failed.stderr
