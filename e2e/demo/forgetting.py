"""Step 8: one person asks to be forgotten; every service erases, and a search of everything proves it."""

import base64
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from rich.panel import Panel

from e2e.decoding_search import DecodingSearch, Findings
from e2e.demo.api import Json, wait_for
from e2e.demo.complaining import complaint
from e2e.demo.people import Person

if TYPE_CHECKING:
    from e2e.demo.story import Story

SERVICES = frozenset({"identity", "consent", "campaigns", "ticketing", "sales", "scoring"})


class Forgetting:
    """Plants words of one person in every service, has them erased, and looks for them everywhere."""

    def __init__(self, story: "Story") -> None:
        self.story = story

    def play(self, customer: str, person: Person) -> None:
        """From the request to the certificate."""
        self._leave_traces(customer, person)
        texts = self.planted(person)
        report = self.story.report
        report.check("8", "planted texts not found before the erasure", [], sorted(texts - self._search(texts).texts))
        body = {"customer": customer, "evidence": {"method": "METHOD_SIGNED_IN", "origin": "demo-shop.example/account"}}
        request = self.story.api.post("/v1/erasureRequests", body)

        def steps() -> dict[str, str]:
            return {step["service"]: step["state"] for step in self.story.api.get(f"/v1/{request['name']}")["steps"]}

        def completed() -> Json:
            found = self.story.api.get(f"/v1/{request['name']}")
            return found if found["state"] == "STATE_COMPLETED" else {}

        with report.console.status("  every service erases, twice, until no late write can be left"):
            try:
                done = wait_for(completed, "the answers of all services", timeout=120)
            except TimeoutError as late:
                late.add_note(f"where they stand: {steps()}")
                raise
        report.check("8", "services that erased", sorted(SERVICES), sorted(step["service"] for step in done["steps"]))
        found = self._search(texts)
        report.check(
            "8", "planted texts found after the erasure", {}, {text: dict(found.places[text]) for text in found.texts}
        )
        report.note("looked at in the search", dict(found.looked_at))
        self._check_certificate(done["certificate"])

    def planted(self, person: Person) -> set[str]:
        """What only this person has: addresses, ids, phone number, and the words left in each service."""
        texts = {address.lower() for address in person.emails.values()} | set(person.user_ids.values())
        return texts | {person.phone} | {f"{word}-{person.number}" for word in ("lead", "promise", "comment", "note")}

    def _leave_traces(self, customer: str, person: Person) -> None:
        """A ticket by mail, a lead, a promise, a trait and an event that hold words found nowhere else."""
        api, source = self.story.api, person.sources[0]
        mail = complaint(person)
        mail.replace_header("Subject", f"A comment-{person.number}")
        api.post("/v1/inboundMails", {"raw": base64.b64encode(mail.as_bytes()).decode()})
        lead = {"displayName": f"lead-{person.number}", "email": person.emails[source], "source": "SOURCE_WEB"}
        api.post("/v1/leads", lead | {"customer": customer})
        due = "2100-01-01T00:00:00Z"
        api.post("/v1/promises", {"customer": customer, "text": f"promise-{person.number}", "dueTime": due})
        event: Json = {"messageId": f"note-{person.number}", "kind": "KIND_TRACK", "event": "Note"}
        event |= {"userId": person.user_ids[source]}
        event |= {"properties": {"text": f"note-{person.number}", "phone": person.phone}}
        api.post("/v1/events:ingest", {"source": source, "events": [event]})

        def arrived() -> bool:
            tickets = api.get("/v1/tickets", filter=f'customer = "{customer}"').get("tickets", [])
            entries = api.get(f"/v1/{customer}/timelineEntries", filter='event = "Note"').get("timelineEntries", [])
            return bool(tickets and entries)

        wait_for(arrived, "what the person left behind is in place", timeout=60)

    def _search(self, texts: set[str]) -> Findings:
        with self.story.report.console.status("  looking through everything that is stored, queued and logged"):
            return DecodingSearch(self.story.platform, self.story.tenant, texts).run()

    def _check_certificate(self, certificate: Json) -> None:
        """The signature holds with the public key alone."""
        key = load_pem_public_key(certificate["publicKeyPem"].encode())
        if not isinstance(key, Ed25519PublicKey):
            raise TypeError("the certificate's key is no Ed25519 key")
        key.verify(base64.b64decode(certificate["signature"]), certificate["text"].encode())
        self.story.report.check("8", "the certificate's signature", "valid", "valid")
        self.story.report.console.print(Panel(certificate["text"], title="certificate", width=100))
