"""Step 2: some confirm by the link in a mail, some never do, some refuse, some withdraw, some are never asked."""

import re
import time
from collections import Counter
from typing import TYPE_CHECKING

import requests
from rich.progress import Progress

from e2e import tenants
from e2e.demo.api import patiently, wait_for
from e2e.demo.people import Choice, Person

if TYPE_CHECKING:
    from e2e.demo.story import Story

PURPOSE = "purposes/marketing-email"


class Consenting:
    """Asks, confirms, refuses and withdraws as planted, then checks decisions, timeline, proof and trace."""

    def __init__(self, story: "Story") -> None:
        self.story = story
        self._trace_id = ""
        # Ids of mails are times: what another run left in the sink is older.
        self._first_mail = f"{time.time_ns():020d}"

    def play(self) -> None:
        """Some confirm by the link in a mail, some never do, some refuse, some withdraw, some are never asked."""
        tenants.create_purpose(self.story.api, "marketing-email", double_opt_in=True)
        leaving = [person for person in self.story.people if person.choice is Choice.WITHDRAWS]
        confirming = [person for person in self.story.people if person.choice is Choice.CONFIRMS] + leaving
        asked = confirming + [person for person in self.story.people if person.choice is Choice.IGNORES]
        self.story.in_parallel("opt-ins asked for", asked, self._request_opt_in)
        links = self._links({person.emails[person.sources[0]].lower(): person for person in confirming})
        self.story.in_parallel("links followed and confirmed", list(links.values()), self._follow)
        refusing = [person for person in self.story.people if person.choice is Choice.REFUSES]
        self.story.in_parallel("refusals", refusing, lambda person: self._say("refuse", person))
        self.story.in_parallel("withdrawals", leaving, lambda person: self._say("withdraw", person))
        self._check_decisions()
        self._check_timelines(leaving[0])
        proof = self.story.api.post("/v1/consentRecords:verify", {"maxRecords": 100000})
        self.story.report.check("2", "consent proof chain valid", True, proof.get("valid", False))
        records = len(asked) + len(confirming) + len(refusing) + len(leaving)
        self.story.report.check("2", "consent records sealed", records, self._sealed(records))
        self._trace()

    def _request_opt_in(self, person: Person) -> None:
        body = {
            "customer": self.story.names[person.number],
            "purpose": PURPOSE,
            "email": person.emails[person.sources[0]],
            "evidence": {"method": "METHOD_FORM", "origin": "https://demo-shop.example/checkout", "languageCode": "en"},
        }
        answer, trace = self.story.api.exchange("POST", "/v1/consents:requestOptIn", body)
        if answer["state"] != "STATE_PENDING":
            raise RuntimeError(f"an opt-in asked for is {answer['state']}")
        self._trace_id = trace

    def _say(self, verb: str, person: Person) -> None:
        body = {
            "customer": self.story.names[person.number],
            "purpose": PURPOSE,
            "channel": "CHANNEL_EMAIL",
            "evidence": {"method": "METHOD_FORM", "origin": "https://demo-shop.example/preferences"},
        }
        self.story.api.post(f"/v1/consents:{verb}", body)

    def _links(self, wanted: dict[str, Person]) -> dict[str, str]:
        """Address -> confirmation link, out of the mails that really arrived."""
        found: dict[str, str] = {}

        def arrived(progress: Progress) -> bool:
            for mail in requests.get(f"{self.story.platform.mails}/mails", params={"limit": 10000}, timeout=30).json()[
                "mails"
            ]:
                address = mail["to"][0].lower()
                if address in wanted and address not in found and mail["id"] > self._first_mail:
                    text = requests.get(f"{self.story.platform.mails}/mails/{mail['id']}", timeout=30).json()["text"]
                    if link := re.search(r"https?://\S+/c/\S+", text):
                        found[address] = link.group(0)
            progress.update(progress.task_ids[0], completed=len(found))
            return len(found) == len(wanted)

        with self.story.report.progress("confirmation mails arrived", len(wanted)) as progress:
            wait_for(lambda: arrived(progress), f"{len(wanted)} confirmation mails")
        return found

    def _follow(self, link: str) -> None:
        """Opens the link, which must change nothing yet, and presses the page's button."""
        page = patiently(lambda: requests.get(link, timeout=30))
        if 'method="post"' not in page.text.lower():
            raise RuntimeError("the page behind a confirmation link has no button")
        patiently(lambda: requests.post(link, timeout=30))

    def _check_decisions(self) -> None:
        """Asks for a decision on everybody: allowed are exactly those whose consent stands."""
        outcome: Counter[str] = Counter()
        choices = {self.story.names[person.number]: person.choice for person in self.story.people}
        customers = list(choices)
        wrong = 0
        for start in range(0, len(customers), 500):
            body = {"customers": customers[start : start + 500], "purpose": PURPOSE, "channel": "CHANNEL_EMAIL"}
            for decision in self.story.api.post("/v1/consents:batchDecide", body)["decisions"]:
                allowed = decision["outcome"] == "OUTCOME_ALLOWED"
                wrong += allowed != (choices[decision["customer"]] is Choice.CONFIRMS)
                outcome[decision["reasons"][0]] += 1
        planted = Counter(choices.values())
        for choice, reason in {
            Choice.CONFIRMS: "REASON_CONSENT_GRANTED",
            Choice.IGNORES: "REASON_NOT_CONFIRMED",
            Choice.REFUSES: "REASON_REFUSED",
            Choice.WITHDRAWS: "REASON_WITHDRAWN",
            Choice.NEVER_ASKED: "REASON_NEVER_ASKED",
        }.items():
            self.story.report.check("2", f"decisions: {choice.value}", planted[choice], outcome[reason])
        self.story.report.check("2", "wrong decisions", 0, wrong)

    def _check_timelines(self, person: Person) -> None:
        """A withdrawal told by the consent service shows in the timeline the identity service keeps."""

        def told() -> bool:
            entries = self.story.api.get(f"/v1/{self.story.names[person.number]}/timelineEntries", pageSize=10)[
                "timelineEntries"
            ]
            return "rapport.consent.v1.ConsentWithdrawn" in {entry["event"] for entry in entries}

        self.story.report.check(
            "2", "withdrawal in the timeline", True, wait_for(told, "the withdrawal in the timeline")
        )

    def _sealed(self, records: int) -> int:
        def sealed() -> int:
            proof = self.story.api.post("/v1/consentRecords:verify", {"maxRecords": 100000})
            waiting, checked = int(proof.get("unsealedCount", 0)), int(proof.get("checkedCount", 0))
            # Those sealed between the check and the count are in neither.
            return 0 if waiting or checked < records else checked

        return wait_for(sealed, f"{records} records sealed")

    def _trace(self) -> None:
        """One trace id leads from the API call to the mail it caused."""

        def whole() -> list[str]:
            answer = requests.get(f"{self.story.platform.traces}/traces/{self._trace_id}", timeout=10)
            spans = answer.json().get("spans", []) if answer.ok else []
            mailed = any(span["name"] == "send mail" for span in spans)
            services = sorted({span["service"] for span in spans})
            return services if mailed and {"gateway", "consent"} <= set(services) else []

        services = wait_for(whole, "one trace from the API call to the mail")
        self.story.report.note(
            "trace from the API call to the mail",
            f"{self.story.platform.traces}/traces/{self._trace_id} ({', '.join(services)})",
        )
