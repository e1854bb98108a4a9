"""Role `migrate`: indexes and numbered migrations of the service's database."""

import docstore
from chassis.lifecycle import Stopping
from docstore.migration import Migration
from eventing.records import RECORDS
from sales.settings import SalesSettings
from sales.store import DOCUMENTS

MIGRATIONS: tuple[Migration, ...] = ()

VERSION = len(MIGRATIONS)
"""The database version this code needs."""


def migrate(settings: SalesSettings) -> None:
    """Brings the database up to `VERSION`; may be repeated."""
    docstore.migrate("sales", [*DOCUMENTS, *RECORDS], MIGRATIONS, settings)


def role(settings: SalesSettings, _stopping: Stopping) -> None:
    """Entry of role `migrate`."""
    migrate(settings)
