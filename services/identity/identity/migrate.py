"""Role `migrate`: brings the database up to the code."""

import docstore
from chassis.lifecycle import Stopping
from docstore import Migration
from eventing.records import RECORDS
from identity.settings import IdentitySettings
from identity.store import DOCUMENTS

MIGRATIONS: tuple[Migration, ...] = ()
VERSION = len(MIGRATIONS)


def migrate(settings: IdentitySettings, _stopping: Stopping | None = None) -> None:
    """Create indexes and run the migrations that have not run; safe to repeat."""
    docstore.migrate("identity", [*DOCUMENTS, *RECORDS], MIGRATIONS, settings)
