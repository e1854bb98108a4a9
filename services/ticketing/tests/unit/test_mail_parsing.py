import base64
import contextlib
import gzip
import io
import random
import struct
import time
import zipfile
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticketing import mail_parsing
from ticketing.domain import mail_limits
from ticketing.domain.mail_limits import MailRefused
from ticketing.mail_parsing import ParsedMail, parse

MIB = 1024 * 1024


def mail(text: str = "My order is late.", **fields: str) -> EmailMessage:
    message = EmailMessage(policy.SMTP)
    given = {"From": "Ann Smith <ann@example.com>", "To": "help@shop.example", "Subject": "Order 7"} | fields
    for name, value in given.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message


def raw(*lines: str, body: str = "Hello") -> bytes:
    return "\r\n".join(["From: ann@example.com", *lines, "", body]).encode("utf-8", "surrogateescape")


def refused(content: bytes) -> MailRefused:
    with pytest.raises(MailRefused) as raised:
        parse(content)
    assert raised.value.problem.endswith(".")
    return raised.value


def seconds(content: bytes) -> float:
    started = time.process_time()
    with contextlib.suppress(MailRefused):
        parse(content)
    return time.process_time() - started


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


class TestLimits:
    def test_nothing_and_too_much_are_refused(self) -> None:
        assert refused(b"\r\n \r\n").reason == "MAIL_EMPTY"
        assert refused(raw(body="x" * mail_limits.RAW_MAX)).reason == "MAIL_TOO_LARGE"

    def test_ten_thousand_headers_are_refused_in_milliseconds(self, record_property) -> None:
        content = raw(*(f"X-{number}: y" for number in range(10_000)))
        best = min(seconds(content) for _ in range(5))
        record_property("refuse_10000_headers_ms", round(best * 1000, 2))
        assert refused(content).reason == "TOO_MANY_HEADERS"
        assert best < 0.02

    def test_a_thousand_headers_are_taken(self) -> None:
        assert parse(raw(*(f"X-{number}: y" for number in range(mail_limits.HEADER_FIELDS_MAX - 1)))).text == "Hello"

    def test_long_lines_and_blocks_of_header_are_refused(self) -> None:
        assert refused(raw("X: " + "y" * 20_000)).reason == "HEADER_LINE_TOO_LONG"
        folded = "X: y\r\n" + " z" * 1000 + "\r\n"
        assert refused(raw(*[folded.strip()] * 200)).reason == "HEADER_TOO_LARGE"

    def test_too_many_parts_and_too_deep_nesting_are_refused(self) -> None:
        head = 'Content-Type: multipart/mixed; boundary="b"'
        assert parse(raw(head, body="\r\n--b\r\n\r\nx" * 99 + "\r\n--b--")).text
        assert refused(raw(head, body="\r\n--b\r\n\r\nx" * 101)).reason == "TOO_MANY_PARTS"

        def nested(depth: int) -> bytes:
            body = "words"
            for level in range(depth, 0, -1):
                kind = f'Content-Type: multipart/mixed; boundary="b{level + 1}"' if level < depth else ""
                body = (
                    f"--b{level}\r\n{kind}\r\n\r\n{body}\r\n--b{level}--"
                    if kind
                    else f"--b{level}\r\n\r\n{body}\r\n--b{level}--"
                )
            return raw('Content-Type: multipart/mixed; boundary="b1"', body=body)

        assert parse(nested(9)).text == "words"
        assert refused(nested(10)).reason == "NESTED_TOO_DEEPLY"

    def test_attachments_beyond_the_total_are_left_out_and_say_so(self) -> None:
        message = mail("three files")
        for name in "abc":
            message.add_attachment(name.encode() * (3 * MIB), maintype="image", subtype="png", filename=name,
                                   cte="8bit")  # fmt: skip
        found = parse(message.as_bytes()).attachments
        assert [each.refusal for each in found] == ["", "", "TOTAL_TOO_LARGE"]
        assert found[2].size_bytes >= 3 * MIB
        assert not found[2].content


def zipped(**files: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return target.getvalue()


class TestArchives:
    @pytest.mark.parametrize(
        ("content", "name", "refusal"),
        [
            (zipped(a_txt=b"harmless", b_txt=b"words " * 100), "a.zip", ""),
            (zipped(a_txt=b"0" * (20 * MIB)), "a.zip", "ARCHIVE_BOMB"),
            (zipped(a_txt=b"0" * (20 * MIB)), "picture.png", "ARCHIVE_BOMB"),
            (zipped(inner_zip=zipped(a_txt=b"x")), "a.zip", "ARCHIVE_BOMB"),
            (zipped(a_txt=b"x")[:-10], "a.zip", "ARCHIVE_UNREADABLE"),
            (b"no archive", "a.zip", "ARCHIVE_UNREADABLE"),
            (gzip.compress(b"words " * 100), "a.gz", ""),
            (gzip.compress(b"0" * (20 * MIB)), "a.gz", "ARCHIVE_BOMB"),
            (gzip.compress(b"0" * (20 * MIB)) + gzip.compress(b"x"), "a.gz", "ARCHIVE_BOMB"),
            (gzip.compress(b"x"), "a.zip.gz", "ARCHIVE_BOMB"),
            (gzip.compress(b"x"), "a.tar.gz", ""),
            (b"\x1f\x8b", "a.gz", "ARCHIVE_UNREADABLE"),
            (gzip.compress(b"x" * 1000)[:-9], "a.gz", "ARCHIVE_UNREADABLE"),
            (gzip.compress(b"x") + b"noise", "a.gz", "ARCHIVE_UNREADABLE"),
            (b"%PDF", "a.pdf", ""),
        ],
    )
    def test_what_would_expand_too_far_is_known_without_expanding_it(
        self, content: bytes, name: str, refusal: str
    ) -> None:
        assert mail_limits.judge_archive(content, name)[0] == refusal

    def test_declared_sizes_and_overlaps_count(self) -> None:
        content = bytearray(zipped(a_txt=b"x" * 70_000, b_txt=b"y"))
        entry = content.find(b"PK\x01\x02")
        declared = bytes(content[: entry + 24]) + struct.pack("<L", 200 * MIB) + bytes(content[entry + 28 :])
        assert mail_limits.judge_archive(declared, "a.zip")[0] == "ARCHIVE_BOMB"
        second = content.find(b"PK\x01\x02", entry + 4)
        overlapping = bytes(content[: second + 42]) + struct.pack("<L", 0) + bytes(content[second + 46 :])
        assert mail_limits.judge_archive(overlapping, "a.zip")[0] == "ARCHIVE_BOMB"

    def test_what_all_archives_of_a_mail_expand_to_is_limited_and_so_is_the_time_it_takes(self) -> None:
        message = mail("many archives")
        packed = gzip.compress(b"0" * (4 * MIB)) + gzip.compress(random.Random(1).randbytes(50_000))
        for number in range(40):
            message.add_attachment(packed, maintype="application", subtype="gzip", filename=f"{number}.gz")
        content = message.as_bytes()
        refusals = [each.refusal for each in parse(content).attachments]
        assert refusals[:24] == [""] * 24
        assert set(refusals[25:]) == {"ARCHIVE_BOMB"}
        assert seconds(content) < 1.0

    def test_many_entries_are_refused_before_they_are_listed(self) -> None:
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as archive:
            for number in range(mail_limits.ARCHIVE_ENTRIES_MAX + 1):
                archive.writestr(str(number), b"")
        assert mail_limits.judge_archive(target.getvalue(), "a.zip")[0] == "ARCHIVE_BOMB"

    def test_the_mail_with_a_bomb_goes_in_without_it(self) -> None:
        message = mail("see the archive")
        bomb = zipped(a_txt=b"0" * (20 * MIB))
        message.add_attachment(bomb, maintype="application", subtype="zip", filename="a.zip")
        message.add_attachment(b"fine", maintype="image", subtype="png", filename="b.png")
        found = parse(message.as_bytes())
        assert found.text == "see the archive"
        assert [(each.filename, each.refusal) for each in found.attachments] == [
            ("a.zip", "ARCHIVE_BOMB"),
            ("b.png", ""),
        ]
        assert found.attachments[0].size_bytes == len(bomb)


LINES = [
    "From: ann@example.com", "From:", "Subject: =?utf-8?q?x=", "Subject: =?x?b?!!!?=", "To: <<>>,\"", "Date: Mon, 99",
    "Message-ID: <a b>", "References: <", "Content-Type: multipart/mixed; boundary=b", "Content-Type: text/html",
    "Content-Type: multipart/alternative; boundary*0=b; boundary*1*=x''%ff", "Content-Type: ; charset*=a'b'c",
    "Content-Disposition: attachment; filename*0*=x''%80; filename*1=..", "Content-Transfer-Encoding: base64",
    "Content-Transfer-Encoding: quoted-printable", "Content-Type: text/plain; charset=utf-16", "--b", "--b--", "", "",
    "=", "=3D=ZZ", "AAA", "<p>&#99999999999;<blockquote>", "On x wrote:", "> q", "-- ", "\x00", "PK\x03\x04", "\ufffd",
    "Content-Type: message/rfc822", "Content-Type: application/zip; name=a.zip", "Auto-Submitted:",
    "Precedence: \u00e4",
]  # fmt: skip
PIECES = st.sampled_from(LINES) | st.text(max_size=40)


def _parsed_or_refused(content: bytes) -> None:
    try:
        found = parse(content)
    except MailRefused:
        return
    assert isinstance(found, ParsedMail)
    for text in (found.text, found.whole_text, found.subject, found.sender_name, *found.recipients, *found.references):
        text.encode()
        assert "\x00" not in text
    assert len(found.whole_text) <= mail_parsing.TEXT_MAX
    for attachment in found.attachments:
        assert attachment.filename
        assert "/" not in attachment.filename
        attachment.filename.encode()


class TestAnyBytes:
    @settings(max_examples=150)
    @given(st.binary(max_size=2_000))
    def test_noise_is_parsed_or_refused(self, content: bytes) -> None:
        _parsed_or_refused(content)
        _parsed_or_refused(b"From: a@b.example\n" + content)

    @settings(max_examples=300)
    @given(st.lists(PIECES, max_size=40), st.sampled_from(["\r\n", "\n", "\r"]), st.binary(max_size=20))
    def test_almost_mails_are_parsed_or_refused(self, lines: list[str], end: str, noise: bytes) -> None:
        _parsed_or_refused(end.join(["From: a@b.example", *lines]).encode("utf-8", "replace") + noise)

    @pytest.mark.parametrize(
        ("head", "bodies"),
        [
            ("X: y", [b"x\n", b"\n", b"> ", b"On x wrote:\n", b"_____________\n", b"From: a\nSent: b\n"]),
            ("Content-Type: text/html", [b"<a ", b"</", b"<!--", b"<", b"&#9", b"<style>", b"<blockquote>"]),
            ("Content-Type: multipart/mixed; boundary=b", [b"--b", b"\n--b", b"\n--b\n", b"\n--b-- "]),
            ("Content-Transfer-Encoding: base64", [b"A", b"A\n", b"=", b"\xff", b"From: "]),
            ("Content-Transfer-Encoding: quoted-printable", [b"=", b"=\n", b" ", b" \n"]),
            ("Content-Type: application/zip; name=a.zip", [b"PK\x01\x02", b"PK\x05\x06"]),
        ],
    )
    def test_ten_mebibytes_of_anything_take_less_than_a_second(
        self, head: str, bodies: list[bytes], record_property
    ) -> None:
        for body in bodies:
            taken = seconds(raw(head, body="") + body * ((mail_limits.RAW_MAX - 200) // len(body)))
            record_property(f"parse_10_mib_of_{body!r}_s", round(taken, 3))
            assert taken < 1.0, body

    @pytest.mark.parametrize(
        "value", ["=?utf-8?q?", "=?", "<", "(", '"', ";", "a;", "=?a?b?YQ==?= ", "a@b,", "'", "\\"]
    )
    @pytest.mark.parametrize(
        "name", ["From", "To", "Subject", "References", "Content-Type", "Content-Disposition", "Date", "Message-ID"]
    )
    def test_header_lines_of_anything_take_less_than_a_tenth_of_a_second(self, name: str, value: str) -> None:
        line = f"{name}: {value * (16_000 // len(value))}"
        assert seconds(raw(line)) < 0.1
