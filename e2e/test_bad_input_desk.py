"""Bad input to tickets, mails, sales and erasures: a precise answer, and nothing of it is applied."""

import base64
import io
import uuid
import zipfile
from datetime import timedelta
from email.message import EmailMessage

import pytest
import requests

from e2e import seeds
from e2e.demo.api import Json, wait_for
from e2e.refusals import Case, World, assert_refused

MONDAY = {"dayOfWeek": "MONDAY", "start": {"hours": 9}, "end": {"hours": 17}}
OVERLAPPING = [MONDAY, {"dayOfWeek": "MONDAY", "start": {"hours": 16}, "end": {"hours": 18}}]
LATER = "2100-01-01T00:00:00Z"
EUR = {"currencyCode": "EUR", "units": "5"}
FILTERED = ("tickets", "inboundMails", "leads", "opportunities", "orders", "promises", "contacts", "erasureRequests")


def _usd(units: int) -> Json:
    return {"currencyCode": "USD", "units": str(units)}


def _mail(world: World, raw: bytes) -> requests.Response:
    return world.post("/v1/inboundMails", {"raw": base64.b64encode(raw).decode()})


def _of_mebibytes(size: int) -> bytes:
    return b"From: a@example.org\r\n\r\n" + b"x" * (size << 20)


def _calendar(world: World, **changed: object) -> requests.Response:
    body = {"displayName": "Never", "timeZone": "Europe/Berlin"} | changed
    return world.tenant.api.send("POST", "/v1/calendars", body, {"calendarId": "never"})


def _order(world: World, **changed: object) -> requests.Response:
    return world.post("/v1/orders", {"customer": world.customer, "amount": _usd(5)} | changed)


def _refund(world: World, amount: Json) -> requests.Response:
    return world.post(f"/v1/{world.names['orders']}:refund", {"amount": amount})


def _promise(world: World, **changed: object) -> requests.Response:
    return world.post("/v1/promises", {"customer": world.customer, "text": "We call back."} | changed)


CASES: list[Case] = [
    ("mail that is none", lambda w: _mail(w, b" \r\n"), 400, "MAIL_EMPTY", "inbound_mail.raw", "whole mail"),
    ("mail without a sender", lambda w: _mail(w, b"Subject: Hi\r\n\r\nHi\r\n"), 400, "SENDER_MISSING",
     "inbound_mail.raw", "From"),
    ("mail over the limit", lambda w: _mail(w, _of_mebibytes(10)), 400, "MAIL_TOO_LARGE", "inbound_mail.raw",
     "at most 10485760"),
    ("mail beyond all limits", lambda w: _mail(w, _of_mebibytes(12)), 413, "BODY_TOO_LARGE", "", "14680064"),
    ("raw that is no base64", lambda w: w.post("/v1/inboundMails", {"raw": "%%%"}), 400, "INVALID_FIELD",
     "inbound_mail.raw", "base64"),
    ("calendar without hours", _calendar, 400, "CALENDAR_NEVER_OPEN", "calendar.hours", "at least one day"),
    ("calendar with overlapping hours", lambda w: _calendar(w, hours=OVERLAPPING), 400, "INVALID_OPEN_HOURS",
     "calendar.hours[1].start", r"overlaps calendar\.hours\[0\] on Monday"),
    ("calendar in no time zone", lambda w: _calendar(w, hours=[MONDAY], timeZone="Europe/Atlantis"), 400,
     "INVALID_TIME_ZONE", "calendar.time_zone", "IANA"),
    ("order in an unknown currency", lambda w: _order(w, amount={"currencyCode": "XQX", "units": "5"}), 400,
     "CURRENCY_UNKNOWN", "order.amount.currency_code", "ISO 4217.*such as EUR"),
    ("order of less than a cent", lambda w: _order(w, amount=_usd(5) | {"nanos": 1}), 400, "MONEY_TOO_PRECISE",
     "order.amount.nanos", "2 decimals"),
    ("order without a customer", lambda w: w.post("/v1/orders", {"amount": _usd(5)}), 400, "INVALID_FIELDS",
     "order.customer", "equired"),
    ("refund above the rest", lambda w: _refund(w, _usd(101)), 400, "REFUND_TOO_LARGE", "", "Only 10000 minor units"),
    ("refund in another currency", lambda w: _refund(w, EUR), 400, "CURRENCY_MISMATCH", "amount.currency_code",
     "in USD"),
    ("promise without due time", _promise, 400, "INVALID_FIELDS", "promise.due_time", "equired"),
    ("promise of yesterday", lambda w: _promise(w, dueTime="2020-01-01T00:00:00Z"), 400, "INVALID_DUE_TIME",
     "promise.due_time", "future"),
    ("stale etag of a ticket", lambda w: w.patch(w.names["tickets"], {"subject": "New"}, If_Match='"0"'), 409,
     "ETAG_MISMATCH", "", "read it again"),
    ("stale etag of an opportunity", lambda w: w.patch(w.names["opportunities"], {"displayName": "New"},
     If_Match='"0"'), 409, "ETAG_MISMATCH", "", "read it again"),
    ("stale etag of what is done", lambda w: w.post(f"/v1/{w.names['opportunities']}:win", {}, If_Match='"0"'), 409,
     "ETAG_MISMATCH", "", "read it again"),
    *((f"filter of {name} by an unknown field", lambda w, n=name: w.get(f"/v1/{n}", filter='shoe_size = "42"'), 400,
       "INVALID_FILTER", "filter", "shoe_size.*(customer|state)") for name in FILTERED),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
@pytest.mark.usefixtures("unchanged")
def test_bad_input_is_refused_precisely_and_whole(world: World, case: Case) -> None:
    _name, send, status, reason, field, mend = case
    assert_refused(send(world), status, reason, field, mend)


@pytest.mark.usefixtures("unchanged")
def test_a_mail_of_ten_thousand_headers_is_refused_at_once(world: World) -> None:
    raw = b"From: a@example.org\r\n" + b"".join(b"X-%d: x\r\n" % number for number in range(10_000)) + b"\r\nHi\r\n"
    answer = _mail(world, raw)
    assert_refused(answer, 400, "TOO_MANY_HEADERS", "inbound_mail.raw", "10001 header fields; at most 1000")
    assert answer.elapsed < timedelta(seconds=1)


def test_of_a_mail_with_a_zip_bomb_the_bomb_alone_is_left_out(world: World) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.bin", bytes(64 << 20))
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "bomber@example.org", "desk@example.com", f"Bomb {uuid.uuid4().hex[:8]}"
    mail.set_content("See the attachments.")
    mail.add_attachment(bomb.getvalue(), maintype="application", subtype="zip", filename="bomb.zip")
    mail.add_attachment(b"%PDF-1.4 a receipt", maintype="application", subtype="pdf", filename="receipt.pdf")
    name = _mail(world, mail.as_bytes()).json()["name"]

    def processed() -> Json | None:
        found: Json = world.get(f"/v1/{name}").json()
        return found if found["state"] != "STATE_RECEIVED" else None

    taken = wait_for(processed, "the mail processed", timeout=30)
    assert taken["state"] == "STATE_PROCESSED"
    ticket = world.get(f"/v1/{taken['ticket']}").json()
    assert ticket["subject"] == mail["Subject"]
    (message,) = world.get(f"/v1/{taken['ticket']}/messages").json()["ticketMessages"]
    assert message["text"].strip() == "See the attachments."
    for attachments in (taken["attachments"], message["attachments"]):
        refusals = {each["filename"]: each.get("refusal", "") for each in attachments}
        assert refusals == {"bomb.zip": "ARCHIVE_BOMB", "receipt.pdf": ""}
        assert [each["filename"] for each in attachments if each.get("sha256")] == ["receipt.pdf"]
    wait_for(lambda: seeds.all_assigned(world.tenant.api), "the ticket assigned", timeout=30)


def test_a_lead_is_converted_once(world: World) -> None:
    lead = world.post("/v1/leads", {"displayName": "Once", "companyName": "Once Ltd", "source": "SOURCE_WEB"}).json()
    path, key = f"/v1/{lead['name']}:convert", str(uuid.uuid4())
    first = world.post(path, {}, Idempotency_Key=key)
    assert first.status_code == 200, first.text
    became = first.json()["conversion"]
    before = world.stored()
    told = assert_refused(world.post(path, {}), 400, "LEAD_ALREADY_CONVERTED", "", "became .*opportunities/")
    assert {kind: told[kind] for kind in ("account", "contact", "opportunity")} == {
        kind: became[kind] for kind in ("account", "contact", "opportunity")
    }
    again = world.post(path, {}, Idempotency_Key=key)
    assert (again.status_code, again.json()["conversion"]) == (200, became)
    assert world.stored() == before


def test_an_erasure_is_asked_once_while_it_is_open(world: World) -> None:
    customer = world.post("/v1/customers", {"displayName": "Asks twice"}).json()["name"]
    body = {"customer": customer, "evidence": {"method": "METHOD_AGENT"}}
    first = world.post("/v1/erasureRequests", body).json()
    told = assert_refused(world.post("/v1/erasureRequests", body), 409, "ERASURE_IS_OPEN", "", "not completed yet")
    assert told["resource"] == first["name"]
    listed = world.get("/v1/erasureRequests", filter=f'customer = "{customer}"').json()["erasureRequests"]
    assert [each["name"] for each in listed] == [first["name"]]


def test_nothing_is_kept_about_an_erased_customer(world: World) -> None:
    customer = world.get(f"/v1/{world.names['erasureRequests']}").json()["customer"]
    about = {"customer": customer}
    bodies: dict[str, Json] = {
        "tickets": {"subject": "Late"},
        "orders": {"amount": _usd(5)},
        "leads": {"displayName": "Late", "source": "SOURCE_WEB"},
        "contacts": {"displayName": "Late", "account": world.names["accounts"]},
        "promises": {"text": "Late", "dueTime": LATER},
    }
    # What comes before the service has heard of the erasure is taken, and erased with the rest.
    for collection, body in bodies.items():
        wait_for(
            lambda c=collection, b=body: world.post(f"/v1/{c}", b | about).status_code != 200,
            f"{collection} refused for the erased customer",
            timeout=30,
        )
    before = world.stored()
    for collection, body in bodies.items():
        answer = world.post(f"/v1/{collection}", body | about)
        told = assert_refused(answer, 400, "CUSTOMER_ERASED", "", "erased on request")
        assert told["resource"] == customer
    assert world.stored() == before
