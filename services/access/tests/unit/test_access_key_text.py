import secrets

from hypothesis import given
from hypothesis import strategies as st

from access.domain.key_text import KeyText, hash_secret, parse_key

SLUGS = st.from_regex(r"[a-z][a-z0-9-]{1,39}", fullmatch=True)
KEYS = st.builds(KeyText, SLUGS, st.uuids().map(str), st.binary(min_size=32, max_size=32))


@given(KEYS)
def test_a_key_is_read_as_it_was_written(key):
    assert parse_key(key.text()) == key
    assert len(key.text().rpartition(".")[2]) == 43


@given(KEYS, st.data())
def test_a_changed_key_is_another_key_or_none(key, data):
    text = key.text()
    position = data.draw(st.integers(0, len(text) - 1))
    changed = text[:position] + data.draw(st.characters(codec="utf-8")) + text[position + 1 :]
    if changed != text:
        assert parse_key(changed) != key


@given(st.text())
def test_any_other_text_is_no_key(text):
    assert parse_key(text) is None


def test_a_key_has_one_text_only():
    """The last character holds two bits that no secret uses; all four values of them decode to the same bytes."""
    text = KeyText("acme", "0192f0c1-0000-7000-8000-000000000001", bytes(32)).text()
    assert text.endswith("A")
    assert parse_key(text) is not None
    for last in "BCD":
        assert parse_key(text[:-1] + last) is None


def test_the_secret_is_in_no_representation():
    secret = secrets.token_bytes(32)
    shown = repr(KeyText("acme", "0192f0c1-0000-7000-8000-000000000001", secret))
    assert repr(secret) not in shown
    assert "secret" not in shown


def test_a_hash_is_sha_256():
    assert hash_secret(b"").hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
