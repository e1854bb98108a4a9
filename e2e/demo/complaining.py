"""Step 6: a complaint arrives as e-mail; the service desk works on it, and marketing to that person waits."""

import base64
import time
import uuid
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import TYPE_CHECKING

import requests

from e2e.demo.api import Json, wait_for
from e2e.demo.collecting import ZONE
from e2e.demo.people import Person

if TYPE_CHECKING:
    from e2e.demo.campaigning import Campaigning
    from e2e.demo.story import Story

DESK = "service@demo-shop.example"
SKILL = "complaints"
OPENS_H, CLOSES_H = 9, 17
FIRST_RESPONSE_H, RESOLUTION_H = 4, 12
NEWS = "autumn-news"
SUBJECT = "Zipper broken after one week"
WORDS = (
    "Hello,\n\nI am very disappointed. The jacket I bought arrived late, its zipper broke after one week, and nobody "
    "answers the phone. This is unacceptable. I want my money back.\n\n"
)


class Complaining:
    """A desk with two agents of which one can handle complaints, and a customer who complains."""

    def __init__(self, story: "Story", campaigning: "Campaigning") -> None:
        self.story = story
        self._campaigning = campaigning
        # Ids of mails are times: what another run left in the sink is older.
        self._first_mail = f"{time.time_ns():020d}"

    def play(self, customer: str, person: Person) -> str:
        """The complaint from arrival to resolution; returns the ticket's name."""
        self._open_desk()
        ticket = self._arrive(customer, person)
        self._check_ticket(customer, ticket)
        self._marketing_waits(person)
        self._resolve(person, ticket["name"])
        return str(ticket["name"])

    def _open_desk(self) -> None:
        api = self.story.api
        days = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY")
        hours = [{"dayOfWeek": day, "start": {"hours": OPENS_H}, "end": {"hours": CLOSES_H}} for day in days]
        office = {"displayName": "Office hours", "timeZone": str(ZONE), "hours": hours}
        calendar = api.post("/v1/calendars", office, calendarId="office-hours")["name"]
        agreed = {"firstResponse": f"{FIRST_RESPONSE_H * 3600}s", "resolution": f"{RESOLUTION_H * 3600}s"}
        priorities = ("PRIORITY_LOW", "PRIORITY_NORMAL", "PRIORITY_HIGH", "PRIORITY_URGENT")
        targets = [{"priority": priority} | agreed for priority in priorities]
        policy = {"displayName": "Standard", "calendar": calendar, "targets": targets, "warningPercent": 80}
        api.post("/v1/slaPolicies", policy, slaPolicyId="standard")
        queue = {"displayName": "Complaints", "filter": 'kind = "KIND_COMPLAINT"', "requiredSkills": [SKILL]}
        api.post("/v1/queues", queue, queueId="complaints")
        for agent, skills in (("ben", ["billing"]), ("carla", [SKILL, "billing"])):
            body = {"displayName": agent.capitalize(), "skills": skills, "capacity": 10, "available": True}
            api.post("/v1/agents", body, agentId=agent)

    def _arrive(self, customer: str, person: Person) -> Json:
        """Sends the mail as a mail server would hand it over, twice; there is one ticket."""
        body = {"raw": base64.b64encode(complaint(person).as_bytes()).decode()}
        first = self.story.api.post("/v1/inboundMails", body)
        again = self.story.api.post("/v1/inboundMails", body)
        self.story.report.check("6", "the same mail handed over twice", first["name"], again["name"])

        def assigned() -> Json:
            tickets = self.story.api.get("/v1/tickets", filter=f'customer = "{customer}"').get("tickets", [])
            return next((ticket for ticket in tickets if ticket.get("assignment", {}).get("agent")), {})

        ticket = wait_for(assigned, "a ticket of the mail's sender with its agent", timeout=60)
        count = len(self.story.api.get("/v1/tickets").get("tickets", []))
        self.story.report.check("6", "tickets of the mail", 1, count)
        return ticket

    def _check_ticket(self, customer: str, ticket: Json) -> None:
        report = self.story.report
        same = self.story.api.get(f"/v1/{ticket['customer']}")["name"]
        report.check("6", "the ticket's customer is its sender", customer, same)
        report.check("6", "kind", "KIND_COMPLAINT", ticket["kind"])
        report.check("6", "sentiment", "LABEL_NEGATIVE", ticket["sentiment"]["label"])
        report.check("6", "the agent who can handle complaints", "agents/carla", ticket["assignment"]["agent"])
        opened = datetime.fromisoformat(ticket["createTime"]).astimezone(ZONE)
        for clock, hours in (("firstResponse", FIRST_RESPONSE_H), ("resolution", RESOLUTION_H)):
            due = datetime.fromisoformat(ticket["sla"][clock]["dueTime"]).astimezone(ZONE)
            report.check("6", f"{clock}: {hours} office hours later", _told(due_after(opened, hours)), _told(due))
        report.note("why that kind", ticket["kindReason"])
        report.note("why that agent", ticket["assignment"]["reason"])
        report.note("what sounds so", ", ".join(ticket["sentiment"]["reasons"][:5]))

    def _marketing_waits(self, person: Person) -> None:
        """Something happens that writes to the complaining reader: the message waits."""
        self._campaigning.start(NEWS, [person])

        def message() -> Json:
            found = self.story.api.get("/v1/messages", filter=f'journey = "journeys/{NEWS}"').get("messages", [])
            return next((each for each in found if each.get("reason") == "COMPLAINT_OPEN"), {})

        waiting = wait_for(message, "the message waits for the complaint", timeout=60)
        self.story.report.check("6", "marketing while the complaint is open", "STATE_DEFERRED", waiting["state"])

    def _resolve(self, person: Person, ticket: str) -> None:
        """The agent answers by e-mail and resolves; then the message that waited goes out."""
        answer = {"author": "AUTHOR_AGENT", "text": "We are sorry. Your money is on its way, and so is a new jacket."}
        self.story.api.post(f"/v1/{ticket}/messages", answer)
        address = sender(person)

        def answered() -> Json:
            params: dict[str, str | int] = {"to": address, "limit": 10}
            mails = requests.get(f"{self.story.platform.mails}/mails", params=params, timeout=30).json()["mails"]
            new = (mail for mail in mails if mail["id"] > self._first_mail)
            return next((mail for mail in new if SUBJECT in mail["subject"]), {})

        mail = wait_for(answered, "the agent's answer at the mail server", timeout=60)
        # What follows the subject brings the customer's next mail to the same ticket.
        subject = mail["subject"].partition(" [")[0]
        self.story.report.check("6", "the answer's subject", f"Re: {SUBJECT}", subject)
        resolved = self.story.api.post(f"/v1/{ticket}:resolve")
        self.story.report.check("6", "resolved", "STATE_RESOLVED", resolved["state"])
        self._campaigning.settle(NEWS, [person])
        self.story.report.check("6", "marketing after the complaint", "STATE_SENT", self._campaigning.states(NEWS))


def sender(person: Person) -> str:
    """The address the person writes from."""
    return person.emails[person.sources[0]].lower()


def complaint(person: Person) -> EmailMessage:
    """The mail, with the signature only this person has."""
    mail = EmailMessage()
    mail["From"] = f"{person.given_name} {person.family_name} <{sender(person)}>"
    mail["To"] = DESK
    mail["Subject"] = SUBJECT
    mail["Date"] = datetime.now(UTC)
    mail["Message-ID"] = f"<{uuid.uuid4()}@mail.example.org>"
    mail.set_content(f"{WORDS}{person.given_name} {person.family_name}, customer {person.number}\n")
    mail.add_attachment(b"%PDF-1.4 a receipt", maintype="application", subtype="pdf", filename="receipt.pdf")
    return mail


def due_after(opened: datetime, hours: int) -> datetime:
    """So many office hours after a local instant within office hours, by going from day to day."""
    left, at = timedelta(hours=hours), opened
    while True:
        closing = at.replace(hour=CLOSES_H, minute=0, second=0, microsecond=0)
        if at + left <= closing:
            return at + left
        left -= closing - at
        at = (closing + timedelta(days=1)).replace(hour=OPENS_H)
        while at.weekday() >= 5:
            at += timedelta(days=1)


def _told(instant: datetime) -> str:
    return instant.strftime("%a %H:%M:%S")
