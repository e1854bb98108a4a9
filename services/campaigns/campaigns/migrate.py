"""Role `migrate`: indexes and numbered migrations of the service's database."""

import docstore
from campaigns.settings import CampaignsSettings
from campaigns.store import DOCUMENTS
from chassis.lifecycle import Stopping
from docstore.migration import Migration
from eventing.records import RECORDS

MIGRATIONS: tuple[Migration, ...] = ()

VERSION = len(MIGRATIONS)
"""The database version this code needs."""


def migrate(settings: CampaignsSettings) -> None:
    """Brings the database up to `VERSION`; may be repeated."""
    docstore.migrate("campaigns", [*DOCUMENTS, *RECORDS], MIGRATIONS, settings)


def role(settings: CampaignsSettings, _stopping: Stopping) -> None:
    """Entry of role `migrate`."""
    migrate(settings)
