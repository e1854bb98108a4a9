from datetime import timedelta
from email import message_from_bytes, policy

import pytest

from chassis import keys
from consent.mail import Mail, render_opt_in
from consent.settings import ConsentSettings
from testkit.keys import TEST_KEYRING


@pytest.fixture(autouse=True)
def keyring() -> None:
    keys.configure(ConsentSettings(keys=TEST_KEYRING))


def rendered(**changes: str) -> Mail:
    values = {
        "message_id": "<0192@shop.example>",
        "mail_from": "Shop <no-reply@shop.example>",
        "rcpt_to": "alice@example.com",
        "language_code": "en",
        "purpose_display_name": "News",
        "notice_text": "We write once a month.",
        "link": "https://shop.example/c/token",
    }
    return render_opt_in(**(values | changes), lifetime=timedelta(days=7))


def test_the_message_is_complete_and_seven_bit() -> None:
    mail = rendered(language_code="de-AT", notice_text="Grüße, jeden Monat.", purpose_display_name="Neues für Sie")
    assert mail.raw.isascii()
    message = message_from_bytes(mail.raw, policy=policy.default)
    assert message["Message-ID"] == mail.message_id
    assert message["To"] == "alice@example.com"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == "de"
    assert message["Subject"] == "Bitte bestätigen: Neues für Sie"
    assert message["Date"].datetime.tzinfo is not None
    assert mail.mail_from == "no-reply@shop.example"
    plain, html = (message.get_body((kind,)).get_content() for kind in ("plain", "html"))
    for text in (plain, html):
        assert "https://shop.example/c/token" in text
        assert "Grüße, jeden Monat." in text


def test_texts_are_data_not_markup_nor_templates() -> None:
    mail = rendered(notice_text="<script>x</script> {{ 7 * 7 }}", purpose_display_name="News\r\nBcc: eve@example.com")
    message = message_from_bytes(mail.raw, policy=policy.default)
    assert message["Bcc"] is None
    html = message.get_body(("html",)).get_content()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "{{ 7 * 7 }}" in html


def test_an_unknown_language_falls_back_to_english() -> None:
    assert message_from_bytes(rendered(language_code="ja").raw, policy=policy.default)["Content-Language"] == "en"


def test_a_sealed_message_tells_nothing_and_opens_under_its_own_uid_only() -> None:
    mail = rendered()
    sealed = mail.sealed("uid-1")
    assert b"alice" not in bytes(sealed)
    assert Mail.unsealed(bytes(sealed), "uid-1") == mail
    with pytest.raises(keys.InvalidToken):
        Mail.unsealed(bytes(sealed), "uid-2")
