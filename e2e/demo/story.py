"""The story: what its steps share, and their order."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from e2e import tenants
from e2e.demo.api import Api
from e2e.demo.campaigning import Campaigning
from e2e.demo.collecting import Collecting
from e2e.demo.complaining import Complaining
from e2e.demo.consenting import Consenting
from e2e.demo.forgetting import Forgetting
from e2e.demo.orders import OrderFile
from e2e.demo.people import SOURCES, Person
from e2e.demo.report import Report
from e2e.demo.scoring import Scoring
from e2e.demo.selling import Selling
from e2e.demo.viewing import Viewing
from e2e.platform import Platform

T = TypeVar("T")
CLIENTS = 8


@dataclass
class Story:
    """One run of the story, in a tenant of its own."""

    platform: Platform
    file: OrderFile
    people: list[Person]
    report: Report
    tenant: str
    now: datetime
    """The business clock's instant at the beginning."""
    api: Api = field(init=False)
    write_keys: dict[str, str] = field(init=False, default_factory=dict)
    names: dict[str, str] = field(init=False, default_factory=dict)
    """Person's number -> name of the customer; known after step 1."""

    def play(self) -> None:
        """All steps. Raises CheckFailedError, ApiError or TimeoutError at the first thing that is not as planted."""
        with self.report.step("0. A tenant and its keys"):
            tenant = tenants.create(self.platform.gateway, self.platform.bootstrap_key, self.tenant, SOURCES)
            self.api, self.write_keys = tenant.api, tenant.write_keys
        with self.report.step("1. Two sources, one customer per person"):
            Collecting(self).play()
        with self.report.step("2. Consent for marketing e-mail"):
            Consenting(self).play()
        campaigning = Campaigning(self)
        with self.report.step("3. Scores with reasons, and a segment"):
            campaigning.prepare()
            Scoring(self).play()
        with self.report.step("4. A personal mail to the segment, as far as consent stands"):
            campaigning.send()
        with self.report.step("5. A click, a one-click unsubscription, and who is left out next"):
            campaigning.react()
        customer, person = campaigning.reader
        with self.report.step("6. A complaint by e-mail"):
            Complaining(self, campaigning).play(customer, person)
        selling = Selling(self)
        with self.report.step("7. A web lead becomes a deal"):
            selling.play()
            selling.promise(customer, self.now)
            selling.reconcile("7", customers=len(self.people))
        with self.report.step("8. One person is forgotten everywhere"):
            Forgetting(self).play(*campaigning.leaver)
            selling.reconcile("8", customers=len(self.people) - 1)
        with self.report.step("9. One customer in one read"):
            Viewing(self).play(customer, person)

    def in_parallel(self, title: str, items: Iterable[T], work: Callable[[T], None]) -> None:
        """Does `work` on every item, eight at a time, with a bar."""
        items = list(items)
        with self.report.progress(title, len(items)) as progress, ThreadPoolExecutor(CLIENTS) as pool:
            for _ in pool.map(work, items):
                progress.advance(progress.task_ids[0])
