import os
import subprocess
import sys

import pytest
from pydantic import ValidationError

from consent.settings import ConsentSettings
from testkit.keys import TEST_KEYRING


@pytest.mark.parametrize("address", ["", "no-reply@shop.example", "Shop <no-reply@shop.example>"])
def test_senders_that_are_taken(address: str) -> None:
    assert ConsentSettings(keys=TEST_KEYRING, mail_from=address).mail_from == address


@pytest.mark.parametrize("address", ["shop", "Shop <shop>", "a@b.example\r\nBcc: c@d.example"])
def test_senders_that_are_refused(address: str) -> None:
    with pytest.raises(ValidationError):
        ConsentSettings(keys=TEST_KEYRING, mail_from=address)


@pytest.mark.parametrize("url", ["shop.example", "https://shop.example/?a=b", "javascript:alert(1)"])
def test_public_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        ConsentSettings(keys=TEST_KEYRING, public_url=url)


@pytest.mark.parametrize(("role", "missing"), [("serve", "RAPPORT_MAIL_FROM"), ("run", "RAPPORT_BLOB_URL")])
def test_a_role_names_the_variable_it_cannot_do_without(role: str, missing: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAPPORT_")}
    ended = subprocess.run(
        [sys.executable, "-m", "consent", role],
        env=kept | {"RAPPORT_KEYS": TEST_KEYRING},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 78
    assert missing in ended.stderr
