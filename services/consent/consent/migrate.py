"""Role `migrate`: indexes and numbered migrations of the service's database."""

import docstore
from chassis.lifecycle import Stopping
from consent.settings import ConsentSettings
from consent.store import DOCUMENTS
from docstore.migration import Migration
from eventing.records import RECORDS

MIGRATIONS: tuple[Migration, ...] = ()

VERSION = len(MIGRATIONS)
"""The database version this code needs."""


def migrate(settings: ConsentSettings) -> None:
    """Brings the database up to `VERSION`; may be repeated."""
    docstore.migrate("consent", [*DOCUMENTS, *RECORDS], MIGRATIONS, settings)


def role(settings: ConsentSettings, _stopping: Stopping) -> None:
    """Entry of role `migrate`."""
    migrate(settings)
