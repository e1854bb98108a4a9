"""Other services that the service under test asks, as real processes."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymongo

from testkit.plugin import settings_of
from testkit.roles import RoleProcess


@contextmanager
def serving(service: str, mongodb: str, folder: Path, **settings: Any) -> Iterator[RoleProcess]:
    """A service's role `serve`, ready, on a migrated database of its own that is dropped in the end.

    folder: for its logs and blobs. settings: what it is told besides. Its address: `.settings.grpc_port` on 127.0.0.1.
    """
    made = settings_of(service, mongodb, secrets.token_hex(4), folder, **settings)
    RoleProcess(made.model_copy(update={"role": "migrate"}), folder / "migrate.log").run()
    process = RoleProcess(made.model_copy(update={"role": "serve"}), folder / "serve.log").start().wait_ready()
    yield process
    if process.process.poll() is None:
        process.stop()
    with pymongo.MongoClient[dict[str, Any]](mongodb) as servers:
        assert made.database
        servers.drop_database(made.database)
