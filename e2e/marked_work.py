"""Marked values on their way through tickets, mails, sales and an erasure: in calls that work and calls that fail."""

import base64
from email.message import EmailMessage
from email.utils import formataddr

import requests

from e2e.demo.api import Api, Json, wait_for
from e2e.leak_scan import Marks

LATER, EARLIER = "2100-01-01T00:00:00Z", "2020-01-01T00:00:00Z"


def exercise(api: Api, marks: Marks, customer: str) -> None:
    """Puts the marks into everything the two services keep, and has somebody else forgotten meanwhile."""
    leaving = api.post("/v1/customers", {"displayName": "Leaves"})["name"]
    evidence = {"method": "METHOD_AGENT", "origin": marks.erasure_origin}
    erasure = api.post("/v1/erasureRequests", {"customer": leaving, "evidence": evidence})["name"]
    _write_in(api, marks)
    _serve(api, marks, customer)
    _sell(api, marks, customer)
    passed = {what: each.status_code for what, each in _refused(api, marks, customer).items() if each.ok}
    assert passed == {}
    wait_for(lambda: api.get(f"/v1/{erasure}")["state"] == "STATE_COMPLETED", "the erasure completed", timeout=120)


def _write_in(api: Api, marks: Marks) -> None:
    mail = EmailMessage()
    mail["From"] = formataddr((marks.mail_sender_name, marks.mail_sender))
    mail["To"], mail["Subject"] = "desk@example.com", marks.mail_subject
    mail["Message-ID"] = f"<{marks.mail_message_id}>"
    mail.set_content(marks.mail_text)
    mail.add_attachment(b"nothing", maintype="application", subtype="octet-stream", filename=marks.attachment)
    name = api.post("/v1/inboundMails", {"raw": _base64(mail.as_bytes())})["name"]
    wait_for(lambda: api.get(f"/v1/{name}")["state"] == "STATE_PROCESSED", "the mail in a ticket", timeout=60)
    # The bytes of what cannot be read are marked, too.
    broken = f"From: {marks.mail_sender}\r\nContent-Type: multipart/mixed\r\nX-{marks.attachment}\r\n\r\n"
    api.send("POST", "/v1/inboundMails", {"raw": _base64(broken.encode() + b"\xff" + marks.mail_text.encode())})


def _serve(api: Api, marks: Marks, customer: str) -> None:
    opening = {"subject": marks.ticket_subject, "text": marks.ticket_text, "customer": customer}
    ticket = api.post("/v1/tickets", opening | {"requesterEmail": marks.requester})["name"]
    answer = {"author": "AUTHOR_AGENT", "text": marks.answer}
    api.post(f"/v1/{ticket}/messages", answer)

    def sent() -> bool:
        said = api.get(f"/v1/{ticket}/messages")["ticketMessages"]
        return any("sendTime" in message for message in said if message["author"] == "AUTHOR_AGENT")

    wait_for(sent, "the answer at the mail server", timeout=60)
    api.post(f"/v1/{ticket}:resolve")


def _sell(api: Api, marks: Marks, customer: str) -> None:
    lead = {"displayName": marks.lead, "companyName": marks.company, "email": marks.lead_email, "source": "SOURCE_WEB"}
    lead |= {"phone": marks.lead_phone, "message": marks.lead_message}
    one, other = (api.post("/v1/leads", lead)["name"] for _ in range(2))
    api.post(f"/v1/{one}:convert")
    api.post(f"/v1/{other}:disqualify", {"reason": marks.disqualified})
    account = api.post("/v1/accounts", {"displayName": marks.company})["name"]
    person = {"displayName": marks.contact, "account": account, "phone": marks.contact_phone, "customer": customer}
    contact = api.post("/v1/contacts", person)["name"]
    deal = {"displayName": marks.deal, "account": account, "contact": contact}
    api.post(f"/v1/{api.post('/v1/opportunities', deal)['name']}:lose", {"lostReason": marks.lost})
    amount = {"currencyCode": "USD", "units": "5"}
    api.post("/v1/orders", {"customer": customer, "amount": amount, "orderNumber": marks.order_number})
    api.post("/v1/promises", {"customer": customer, "text": marks.promise, "dueTime": LATER})

    def seen() -> bool:
        view = api.get(f"/v1/{customer}:agentView")
        return bool(view.get("promises")) and bool(int(view["purchases"].get("orderCount", 0)))

    wait_for(seen, "what was sold and promised in the agent's view", timeout=60)


def _refused(api: Api, marks: Marks, customer: str) -> dict[str, requests.Response]:
    amount = {"currencyCode": "USD", "units": "5"}
    evidence = {"method": "METHOD_AGENT", "origin": f"{marks.erasure_origin} {marks.email}"}
    lead = {"displayName": marks.lead, "source": "SOURCE_WEB"}
    calls: dict[str, tuple[str, Json]] = {
        "mail without a sender": ("inboundMails", {"raw": _base64(f"Subject: {marks.mail_subject}\r\n\r\n".encode())}),
        "mail of no sender": ("inboundMails", {"raw": _base64(f"From: {marks.mail_sender}@@\r\n\r\nHi".encode())}),
        "ticket's address": ("tickets", {"subject": "X", "requesterEmail": f"{marks.requester}@@"}),
        "ticket's subject": ("tickets", {"subject": marks.ticket_subject * 99}),
        "lead's phone": ("leads", lead | {"phone": f"{marks.lead_phone}99999999"}),
        "lead's address": ("leads", lead | {"email": f"{marks.lead_email}@@"}),
        "contact's account": ("contacts", {"displayName": marks.contact, "account": f"accounts/{marks.contact}"}),
        "number taken": ("orders", {"customer": customer, "amount": amount, "orderNumber": marks.order_number}),
        "promise too late": (
            "promises",
            {"customer": customer, "text": marks.promise, "dueTime": EARLIER},
        ),
        "erasure's origin": ("erasureRequests", {"customer": customer, "evidence": evidence}),
    }
    refused = {what: api.send("POST", f"/v1/{collection}", body) for what, (collection, body) in calls.items()}
    for collection in ("tickets", "leads", "orders", "promises", "inboundMails"):
        query = {"filter": f'email >> "{marks.query}"'}
        refused[f"filter of {collection}"] = api.send("GET", f"/v1/{collection}", query=query)
    return refused


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
