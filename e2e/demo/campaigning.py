"""Steps 4 and 5: the segment gets a mail as far as consent stands; one reader clicks, another unsubscribes."""

import re
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import requests

from e2e.demo.api import Json, patiently, wait_for
from e2e.demo.consenting import PURPOSE
from e2e.demo.people import Choice, Person
from e2e.demo.scoring import SEGMENT

if TYPE_CHECKING:
    from e2e.demo.story import Story

WIN_BACK, NEWS, WELCOME = "win-back", "spring-news", "welcome"
READERS_MIN, READERS_MAX = 2, 10
SHOP = "https://demo-shop.example/come-back?from=mail"
TEMPLATE: Json = {
    "displayName": "We miss you",
    "variables": [{"name": "given_name", "fallback": "there"}],
    "contents": [
        {
            "languageCode": "en",
            "subject": "{{ given_name }}, we miss you",
            "text": f"Dear {{{{ given_name }}}},\n\nyour discount waits at {SHOP}\n",
            "html": f'<html><body><p>Dear {{{{ given_name }}}},</p><a href="{SHOP}">Your discount</a></body></html>',
        }
    ],
}


class Campaigning:
    """A journey on the segment, what its readers do, and a second journey that leaves out who unsubscribed."""

    def __init__(self, story: "Story") -> None:
        self.story = story
        self._recipients: dict[str, Person] = {}
        self._mailed: Counter[str] = Counter()
        # Ids of mails are times: what step 2 sent is older.
        self._first_mail = ""
        self.reader: tuple[str, Person]
        """Name and person of who clicked, known after step 5."""
        self.leaver: tuple[str, Person]
        """Name and person of who unsubscribed, known after step 5."""

    def prepare(self) -> None:
        """The journeys wait for what makes people enter: people enter as they come into the segment."""
        self._first_mail = f"{time.time_ns():020d}"
        self.story.api.post("/v1/templates", TEMPLATE, templateId="we-miss-you")
        self._journey(WIN_BACK, {"segment": f"segments/{SEGMENT}"})

    def send(self) -> None:
        """Step 4: exactly the members whose consent stands get one mail; all others a refusal with its decision."""
        members = self._members()
        messages = self._settled(WIN_BACK, len(members))
        allowed = {customer for customer, person in members.items() if person.choice is Choice.CONFIRMS}
        sent = {message["customer"]: message for message in messages if message["state"] == "STATE_SENT"}
        refused = [message for message in messages if message["state"] == "STATE_REFUSED"]
        report = self.story.report
        report.check("4", "members that got a message or a reason", len(members), len(messages))
        report.check("4", "mails sent: members whose consent stands", len(allowed), len(sent))
        report.check("4", "mails sent to anybody else", 0, len(sent.keys() - allowed))
        report.check("4", "refusals: all other members", len(members) - len(allowed), len(refused))
        reasons = Counter(message["reason"] for message in refused)
        report.note("refusals by reason", dict(sorted(reasons.items())))
        wrong: list[str] = []

        def check(message: Json) -> None:
            decision = self.story.api.get(f"/v1/{message['decision']}")
            good = decision["outcome"] == "OUTCOME_REFUSED" and message["reason"] in decision["reasons"]
            if not good or decision["customer"] != message["customer"]:
                wrong.append(message["name"])

        self.story.in_parallel("decisions behind the refusals", refused, check)
        report.check("4", "refusals without their decision", 0, len(wrong))
        self._recipients = {customer: members[customer] for customer in sorted(sent)}
        self._check_mails("4", self._recipients)

    def react(self) -> None:
        """Step 5: a click is tracked; one click unsubscribes, which holds everywhere and in the next journey."""
        report = self.story.report
        if len(self._recipients) < READERS_MIN:
            report.note(f"members of {SEGMENT} with consent", f"{len(self._recipients)}: others are written to as well")
            agreed = [person for person in self.story.people if person.choice is Choice.CONFIRMS]
            self._recipients = {self.story.names[person.number]: person for person in agreed[:READERS_MAX]}
            self._write(WELCOME)
            self._check_mails("5", self._recipients)
        clicking, *_, leaving = self._recipients
        self._click(clicking)
        self._unsubscribe(leaving)
        traces = self._write(NEWS)
        # A message keeps the name of the member of a profile to whom something happened.
        messages = {
            self.story.api.get(f"/v1/{message['customer']}")["name"]: message
            for message in self._settled(NEWS, len(self._recipients))
        }
        sent = {customer for customer, message in messages.items() if message["state"] == "STATE_SENT"}
        report.check("5", "next journey: mails sent", len(self._recipients) - 1, len(sent))
        report.check("5", "next journey: mail to who unsubscribed", False, leaving in sent)
        left_out = messages[leaving]
        report.check("5", "why", "STATE_REFUSED REASON_WITHDRAWN", f"{left_out['state']} {left_out['reason']}")
        again = {customer: person for customer, person in self._recipients.items() if customer != leaving}
        self._check_mails("5", again)
        self._trace(traces[again[clicking].sources[0]])
        self.reader, self.leaver = (clicking, again[clicking]), (leaving, self._recipients[leaving])

    def start(self, journey: str, people: Iterable[Person]) -> dict[str, str]:
        """Something happens to some people that triggers a journey of its own; source -> trace id of its call."""
        self._journey(journey, {"event": journey})
        return self._happens(journey, people)

    def settle(self, journey: str, people: Sequence[Person]) -> None:
        """Waits until the journey has written to the people or will not, and counts the mails as planted."""
        self._settled(journey, len(people))
        self._mailed.update(person.number for person in people)

    def states(self, journey: str) -> str:
        """The states of the journey's messages."""
        found = self.story.api.pages("/v1/messages", "messages", filter=f'journey = "journeys/{journey}"')
        return " ".join(sorted(message["state"] for message in found))

    def _write(self, journey: str) -> dict[str, str]:
        """Something happens to all recipients that triggers a journey of its own; source -> trace id of its call."""
        traces = self.start(journey, self._recipients.values())
        self._settled(journey, len(self._recipients))
        return traces

    def _journey(self, journey_id: str, trigger: Json) -> None:
        send = {"template": "templates/we-miss-you", "purpose": PURPOSE}
        body = {
            "displayName": journey_id,
            "trigger": trigger,
            "steps": [{"id": "mail", "send": send}, {"id": "end", "end": {}}],
        }
        made = self.story.api.post("/v1/journeys", body, journeyId=journey_id)
        self.story.api.post(f"/v1/{made['name']}:activate")

    def _members(self) -> dict[str, Person]:
        people = {self.story.names[person.number]: person for person in self.story.people}
        members = self.story.api.pages(f"/v1/segments/{SEGMENT}/members", "members")
        return {member["customer"]: people[member["customer"]] for member in members}

    def _settled(self, journey: str, count: int) -> list[Json]:
        """The journey's messages, once there are so many and none waits."""
        with self.story.report.progress(f"messages of {journey}", count) as progress:

            def settled() -> list[Json]:
                filter = f'journey = "journeys/{journey}"'
                found = list(self.story.api.pages("/v1/messages", "messages", filter=filter))
                done = [each for each in found if each["state"] not in ("STATE_PENDING", "STATE_DEFERRED")]
                progress.update(progress.task_ids[0], completed=len(done))
                return found if len(done) == len(found) >= count else []

            return wait_for(settled, f"{count} messages of {journey} settled") if count else []

    def _mails(self) -> dict[str, list[Json]]:
        """Address -> mails that really arrived since the journeys began, the oldest first."""
        answer = requests.get(f"{self.story.platform.mails}/mails", params={"limit": 10000}, timeout=30).json()
        found: dict[str, list[Json]] = defaultdict(list)
        for mail in reversed(answer["mails"]):
            if mail["id"] > self._first_mail:
                found[mail["to"][0].lower()].append(mail)
        return found

    def _mails_of(self, person: Person, mails: dict[str, list[Json]]) -> list[Json]:
        return [mail for address in {each.lower() for each in person.emails.values()} for mail in mails[address]]

    def _check_mails(self, step: str, wanted: Mapping[str, Person]) -> None:
        """What lies in the mail server's sink: one more mail for each, with the reader's name, and nothing else."""
        report, mails = self.story.report, self._mails()
        self._mailed.update(person.number for person in wanted.values())
        found = {person.number: self._mails_of(person, mails) for person in self.story.people}
        arrived = Counter({number: len(each) for number, each in found.items() if each})
        report.check(step, "mails at the mail server", self._mailed.total(), arrived.total())
        wrong = (self._mailed - arrived) + (arrived - self._mailed)
        report.check(step, "people with too few or too many", 0, len(wrong))
        subjects = {person.number: f"{person.given_name}, we miss you" for person in wanted.values()}
        personal = sum(found[number][-1]["subject"] == subject for number, subject in subjects.items())
        report.check(step, "mails with the reader's name", len(wanted), personal)

    def _mail(self, customer: str) -> Json:
        mail = self._mails_of(self._recipients[customer], self._mails())[-1]
        content: Json = requests.get(f"{self.story.platform.mails}/mails/{mail['id']}", timeout=30).json()
        return content

    def _click(self, customer: str) -> None:
        link = re.search(r"https?://\S+/l/[\w-]+", self._mail(customer)["text"])
        if link is None:
            raise RuntimeError("the mail holds no tracked link")
        answer = patiently(lambda: requests.get(link.group(0), timeout=30, allow_redirects=False))
        self.story.report.check("5", "the link leads to", SHOP, answer.headers.get("Location", ""))
        messages = self.story.api.pages("/v1/messages", "messages", filter=f'customer = "{customer}"')
        self.story.report.check("5", "clicks counted", 1, sum(each.get("clickCount", 0) for each in messages))
        self._in_timeline(customer, "rapport.campaigns.v1.MessageClicked", "the click in the timeline")

    def _unsubscribe(self, customer: str) -> None:
        headers = dict(self._mail(customer)["headers"])
        link = headers["List-Unsubscribe"].strip("<> ")
        one_click = "List-Unsubscribe=One-Click"
        self.story.report.check("5", "one-click header", one_click, headers["List-Unsubscribe-Post"])
        page = patiently(lambda: requests.get(link, timeout=30))
        self.story.report.check("5", "looking at the page unsubscribes", False, 'method="post"' not in page.text)
        self.story.report.check("5", "consent before the click", "REASON_CONSENT_GRANTED", self._decided(customer))
        form = dict([one_click.split("=")])
        patiently(lambda: requests.post(link, data=form, timeout=30))
        wait_for(lambda: self._decided(customer) == "REASON_WITHDRAWN", "the consent withdrawn", timeout=30)
        self.story.report.check("5", "consent after the click", "REASON_WITHDRAWN", self._decided(customer))
        self._in_timeline(customer, "rapport.consent.v1.ConsentWithdrawn", "the withdrawal in the timeline")

    def _decided(self, customer: str) -> str:
        body = {"customer": customer, "purpose": PURPOSE, "channel": "CHANNEL_EMAIL"}
        reasons: list[str] = self.story.api.post("/v1/consents:decide", body)["reasons"]
        return reasons[0]

    def _in_timeline(self, customer: str, event: str, what: str) -> None:
        def told() -> bool:
            found = self.story.api.get(f"/v1/{customer}/timelineEntries", filter=f'event = "{event}"')
            return bool(found.get("timelineEntries"))

        self.story.report.check("5", what, True, wait_for(told, what))

    def _happens(self, event: str, people: Iterable[Person]) -> dict[str, str]:
        """The event happens to some people, each as one source knows them; source -> trace id of its call."""
        by_source: dict[str, list[Json]] = defaultdict(list)
        for person in people:
            source = person.sources[0]
            told = {"messageId": f"news-{uuid.uuid4()}", "kind": "KIND_TRACK", "event": event}
            by_source[source].append(told | {"userId": person.user_ids[source]})
        return {
            source: self.story.api.exchange("POST", "/v1/events:ingest", {"source": source, "events": events})[1]
            for source, events in by_source.items()
        }

    def _trace(self, trace_id: str) -> None:
        """One trace id leads from the event's API call to the mail it caused."""

        def whole() -> list[str]:
            answer = requests.get(f"{self.story.platform.traces}/traces/{trace_id}", timeout=10)
            spans = answer.json().get("spans", []) if answer.ok else []
            mailed = any(span["name"] == "send mail" for span in spans)
            services = sorted({span["service"] for span in spans})
            return services if mailed and {"gateway", "identity", "campaigns"} <= set(services) else []

        services = wait_for(whole, "one trace from the event's API call to the mail")
        self.story.report.note(
            "trace from the event's API call to the mail",
            f"{self.story.platform.traces}/traces/{trace_id} ({', '.join(services)})",
        )
