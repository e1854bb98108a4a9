"""What tests of bad input share: a tenant with something in it, and what a precise refusal looks like (AIP-193)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from e2e import tenants
from e2e.demo.api import Json

LISTS = {
    "customers": "showDeleted",
    "merges": "",
    "mergeConflicts": "",
    "consents": "",
    "consentRecords": "",
    "purposes": "",
    "quarantinedEvents": "",
    "keys": "",
    "tickets": "",
    "inboundMails": "",
    "calendars": "",
    "accounts": "showDeleted",
    "contacts": "showDeleted",
    "leads": "",
    "leadScores": "",
    "itemAssociations": "",
    "opportunities": "",
    "orders": "",
    "promises": "",
}


@dataclass(frozen=True)
class World:
    """A tenant with something in it. names: as `seeds.plant` tells."""

    tenant: tenants.Tenant
    names: dict[str, str]

    def post(self, path: str, body: Json, **headers: str) -> requests.Response:
        """Posts; `Idempotency_Key` and the like are headers."""
        return self.tenant.api.send("POST", path, body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def patch(self, name: str, body: Json, mask: str = "", **headers: str) -> requests.Response:
        """Changes what `name` names."""
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        return self.tenant.api.send("PATCH", f"/v1/{name}", body, {"updateMask": mask} if mask else {}, named)

    def get(self, path: str, **query: str | int) -> requests.Response:
        """Reads."""
        return self.tenant.api.send("GET", path, None, query)

    @property
    def customer(self) -> str:
        """The customer most is about."""
        return self.names["customers"]

    def stored(self) -> dict[str, Any]:
        """Everything that can be read back, but for what goes on by itself: clocks, and people being forgotten."""
        api = self.tenant.api
        found: dict[str, Any] = {
            name: list(api.pages(f"/v1/{name}", name, **({flag: "true"} if flag else {})))
            for name, flag in LISTS.items()
        }
        leaving = {request["customer"] for request in api.pages("/v1/erasureRequests", "erasureRequests")}
        found["customers"] = [customer for customer in found["customers"] if customer["name"] not in leaving]
        for ticket in found["tickets"]:
            del ticket["sla"]
        for name in ("Good", "Order Completed", "Probe"):
            found[name] = api.get("/v1/timelineEntries:summarize", event=name)
        return found


Case = tuple[str, Callable[[World], requests.Response], int, str, str, str]
"""What it is called, the call, and the answer: status, reason, field, a pattern of how to mend it."""


def assert_refused(answer: requests.Response, status: int, reason: str, field: str, mend: str) -> dict[str, str]:
    """The answer is a refusal with one ErrorInfo, names the field, and says how to mend it (a pattern).

    Returns the metadata of its ErrorInfo.
    """
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    kinds = {detail["@type"].rpartition(".")[2]: detail for detail in error["details"]}
    assert error["code"] == status
    assert kinds["ErrorInfo"]["reason"] == reason
    assert kinds["ErrorInfo"]["domain"].endswith(".rapport")
    violations = kinds.get("BadRequest", {}).get("fieldViolations", [])
    assert field in {violation["field"] for violation in violations} | {""}, violations
    said = " ".join([error["message"], *(violation["description"] for violation in violations)])
    assert re.search(mend, said), said
    metadata: dict[str, str] = kinds["ErrorInfo"].get("metadata", {})
    return metadata
