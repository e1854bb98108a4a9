"""Mails that are too much, or nothing that a mail is: each becomes a value or a refusal, in bounded time."""

import gzip
import io
import random
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticketing import mail_parsing
from ticketing.domain import mail_limits
from ticketing.domain.mail_limits import MailRefused
from ticketing.mail_parsing import ParsedMail, parse

from .written_mails import mail, raw, refused, seconds

MIB = 1024 * 1024


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
