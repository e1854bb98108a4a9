"""Role `migrate`: indexes, numbered migrations, and what exists from the installation on. Safe to repeat."""

import docstore
from access.settings import Settings
from access.store import DOCUMENTS
from access.usecases.bootstrap import create_platform_tenant, provide_bootstrap_key
from access.usecases.built_in_roles import refresh_built_in_roles
from chassis.lifecycle import Stopping
from eventing.records import RECORDS

MIGRATIONS: tuple[docstore.Migration, ...] = ()


def migrate(settings: Settings, stopping: Stopping | None = None) -> None:  # noqa: ARG001 - the signature of roles
    """Brings the database up to this release and exits."""
    docstore.migrate("access", [*DOCUMENTS, *RECORDS], MIGRATIONS, settings)
    provide(settings)


def provide(settings: Settings) -> None:
    """Creates or renews what exists from the installation on: tenant `platform`, built-in roles, the first key."""
    create_platform_tenant()
    refresh_built_in_roles()
    provide_bootstrap_key(settings)
