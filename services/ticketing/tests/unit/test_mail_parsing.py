import base64
from datetime import UTC, datetime

import pytest

from ticketing.mail_parsing import parse

from .written_mails import mail, raw, refused


class TestReading:
    def test_a_usual_mail_is_read_whole(self) -> None:
        message = mail(
            "Guten Tag,\n\nwo ist mein Päckchen?\n",
            Subject="Größe fehlt",
            Message_ID="<1@example.com>",
            In_Reply_To="<a@shop.example>",
            References="<r1@shop.example> <a@shop.example>",
            Date="Sat, 21 Nov 2026 10:00:00 +0100",
        )
        message.replace_header("From", "Jörg Müller <joerg@example.com>")
        message.add_attachment(b"%PDF-1.7", maintype="application", subtype="pdf", filename="Rechnung März.pdf")
        message["Content-Language"] = "de-DE, en"
        found = parse(message.as_bytes())
        assert (found.sender, found.sender_name) == ("joerg@example.com", "Jörg Müller")
        assert found.recipients == ("help@shop.example",)
        assert found.subject == "Größe fehlt"
        assert found.text == "Guten Tag,\n\nwo ist mein Päckchen?"
        assert found.message_id == "<1@example.com>"
        assert found.references == ("<a@shop.example>", "<r1@shop.example>")
        assert found.date == datetime(2026, 11, 21, 9, tzinfo=UTC)
        assert found.language_code == "de-DE"
        (attachment,) = found.attachments
        assert (attachment.filename, attachment.content_type) == ("Rechnung März.pdf", "application/pdf")
        assert (attachment.size_bytes, attachment.content, attachment.refusal) == (8, b"%PDF-1.7", "")
        assert len(attachment.sha256) == 64

    def test_of_alternatives_the_plain_one_is_taken_and_else_the_page_is_made_text(self) -> None:
        message = mail("plain words")
        message.add_alternative("<p>page words</p>", subtype="html")
        assert parse(message.as_bytes()).text == "plain words"
        page = (
            "<html><head><title>T</title><style>p { color: red }</style></head><body><!-- no --><p>Hello &amp; "
            "good\n day</p><ul><li>one<li>two</ul><script>alert(1)</script><table><tr><td>a</td><td>b</td></tr></table>"
            "<blockquote type=cite><p>old words</p></blockquote></body></html>"
        )
        content = raw("Content-Type: text/html; charset=utf-8", body=page)
        assert parse(content).text == "Hello & good day\n\n- one\n- two\n\na b"
        assert "> old words" in parse(content).whole_text

    @pytest.mark.parametrize(
        "history",
        [
            "> old\n> older",
            "On Mon, 2 Nov 2026 at 10:00, Shop Help <help@shop.example> wrote:\n> old",
            "On Mon, 2 Nov 2026 at 10:00, Shop Help\n<help@shop.example> wrote:\n\n> old",
            "Am 02.11.2026 um 10:00 schrieb Shop <help@shop.example>:\n> alt",
            "-----Original Message-----\nFrom: Shop\nold",
            "-----Ursprüngliche Nachricht-----\nVon: Shop\nalt",
            "________________________________\nFrom: Shop <help@shop.example>\nSent: Monday\nTo: Ann\n\nold",
            "Von: Shop <help@shop.example>\nGesendet: Montag\nAn: Ann\n\nalt",
            "-- \nAnn Smith\nExample Ltd",
            "Sent from my iPhone",
            "Von meinem iPhone gesendet",
        ],
    )
    def test_quoted_history_and_signature_are_taken_away_and_kept_apart(self, history: str) -> None:
        found = parse(mail(f"It works now.\n\n{history}").as_bytes())
        assert found.text == "It works now."
        assert found.whole_text.startswith("It works now.\n\n" + history.split("\n")[0].rstrip())

    def test_answers_between_the_quoted_lines_are_kept(self) -> None:
        found = parse(mail("> Which colour?\nRed.\n> Which size?\nLarge.").as_bytes())
        assert found.text == "Red.\nLarge."

    def test_a_mail_of_nothing_but_quotes_keeps_them(self) -> None:
        assert parse(mail("> Please call me").as_bytes()).text == "> Please call me"

    def test_words_that_look_like_an_attribution_are_no_history(self) -> None:
        text = "On Monday my colleague wrote:\nPlease send the parcel back.\nI did.\nNothing came.\nWhat now?"
        assert parse(mail(text).as_bytes()).text == text

    @pytest.mark.parametrize(
        ("name", "kept"),
        [
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\ann\\bill.pdf", "bill.pdf"),
            ("bill\u202efdp.exe", "billfdp.exe"),
            ("a\x00b<c>.txt", "ab_c_.txt"),
            ("x" * 300 + ".pdf", "x" * 129 + ".pdf"),
            ("..", "attachment-1.bin"),
        ],
    )
    def test_names_of_files_are_made_harmless(self, name: str, kept: str) -> None:
        encoded = "=?utf-8?b?" + base64.b64encode(name.encode()).decode() + "?="
        content = raw("MIME-Version: 1.0", 'Content-Type: multipart/mixed; boundary="b"', body="\r\n".join(
            ["--b", "Content-Type: application/octet-stream", f'Content-Disposition: attachment; filename="{encoded}"',
             "", "x", "--b--"]
        ))  # fmt: skip
        assert parse(content).attachments[0].filename == kept

    def test_a_forwarded_mail_is_an_attachment_and_not_walked_through(self) -> None:
        inner = mail("inner")
        message = mail("see below")
        message.add_attachment(inner)
        found = parse(message.as_bytes())
        assert found.text == "see below"
        assert [each.filename for each in found.attachments] == ["attachment-1.eml"]


class TestNonsense:
    @pytest.mark.parametrize("charset", ["x-unknown", "zlib", "idna", "punycode", "unicode_escape", "utf-8\x00", "'"])
    def test_an_unknown_charset_is_read_as_what_it_looks_like(self, charset: str) -> None:
        content = raw(f'Content-Type: text/plain; charset="{charset}"', body="schön")
        assert parse(content).text == "schön"
        assert parse(content.replace("schön".encode(), "schön".encode("cp1252"))).text == "schön"

    def test_bytes_that_are_not_of_the_charset_are_replaced(self) -> None:
        content = raw("Content-Type: text/plain; charset=utf-8") + b"\xff\xfe"
        assert parse(content).text == "Hello\ufffd\ufffd"

    def test_broken_base64_text_is_read_as_far_as_it_goes_and_a_file_is_not_kept(self) -> None:
        broken = base64.b64encode(b"Hello there, all").decode()[:-3]
        content = raw("Content-Transfer-Encoding: base64", body=broken)
        assert parse(content).text.startswith("Hello there")
        content = raw('Content-Type: multipart/mixed; boundary="b"', body="\r\n".join(
            ["--b", "Content-Type: image/png", "Content-Transfer-Encoding: base64", "", broken, "--b--"]
        ))  # fmt: skip
        (attachment,) = parse(content).attachments
        assert (attachment.refusal, attachment.content, attachment.sha256) == ("NOT_DECODABLE", b"", "")

    def test_a_multipart_without_boundary_or_end_is_read_as_far_as_it_goes(self) -> None:
        assert parse(raw("Content-Type: multipart/mixed", body="words")).text == "words"
        open_ended = raw('Content-Type: multipart/mixed; boundary="b"', body="--b\r\n\r\nwords")
        assert parse(open_ended).text == "words"

    @pytest.mark.parametrize(
        ("sender", "reason"),
        [
            ("", "SENDER_MISSING"),
            ("undisclosed-recipients:;", "SENDER_INVALID"),
            ("Ann", "SENDER_INVALID"),
            ("ann@", "SENDER_INVALID"),
            ("(" * 1500 + "ann@example.com", None),
            ("a" * 300 + "@example.com", "SENDER_INVALID"),
        ],
    )
    def test_a_mail_without_a_sender_is_refused(self, sender: str, reason: str | None) -> None:
        content = f"From: {sender}\r\nTo: help@shop.example\r\n\r\nHello".encode()
        if reason:
            assert refused(content).reason == reason
        else:
            assert parse(content).sender == "ann@example.com"
        assert refused(b"To: help@shop.example\r\n\r\nHello").reason == "SENDER_MISSING"


class TestAutomatic:
    @pytest.mark.parametrize(
        ("line", "automatic"),
        [
            ("Auto-Submitted: auto-replied", "AUTO_REPLY"),
            ("Auto-Submitted: auto-generated; owner-email=x", "AUTO_REPLY"),
            ("Auto-Submitted: no", ""),
            ("Precedence: bulk", "BULK"),
            ("Precedence: junk", "BULK"),
            ("Precedence: list", ""),
            ("Precedence: auto_reply", "AUTO_REPLY"),
            ("X-Autoreply: yes", "AUTO_REPLY"),
            ("X-Loop: somebody@else.example", ""),
            ("Return-Path: <>", "BOUNCE"),
            ("Content-Type: multipart/report; boundary=x; report-type=delivery-status", "BOUNCE"),
        ],
    )
    def test_what_no_person_wrote_is_known_by_its_header(self, line: str, automatic: str) -> None:
        assert parse(raw(line)).automatic == automatic

    def test_marks_against_loops_are_told(self) -> None:
        assert parse(raw("X-Loop: one", "Subject: x", "X-Loop: two")).loop_marks == ("one", "two")
