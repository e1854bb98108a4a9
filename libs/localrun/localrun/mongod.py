"""MongoDB: a one-node replica set on loopback."""

import base64
import hashlib
import os
from pathlib import Path
from urllib.parse import quote

import pymongo
import pymongo.errors

from localrun import provision
from localrun.childprocess import ChildProcess, end_leftover
from localrun.ports import free_port
from localrun.readiness import HOST, holds, refuse_taken, wait_until


class Mongod:
    """A mongod that is its own replica set.

    directory: data, log and pid file. port: 0 chooses a free one. cache_gb: WiredTiger's cache in GiB.
    root_password: turns on authentication, with a user `root`; None leaves it off.
    """

    replica_set = "rs0"

    def __init__(
        self, directory: Path, port: int = 0, cache_gb: float = 0.25, *, root_password: str | None = None
    ) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.cache_gb = cache_gb
        self.root_password = root_password
        self.log = directory / "mongod.log"
        self._process: ChildProcess | None = None

    @property
    def uri(self) -> str:
        """Connection string of the replica set, as root when there are users."""
        user = f"root:{quote(self.root_password, safe='')}@" if self.root_password else ""
        return f"mongodb://{user}{HOST}:{self.port}/?replicaSet={self.replica_set}"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Starts the process; `wait_ready` tells when it can be used.

        Raises NotReadyError when somebody else has its port.
        """
        if self.pid is not None:
            return
        program = provision.ensure_mongod()
        data = self.directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        command = [
            *(str(program), "--replSet", self.replica_set, "--dbpath", str(data)),
            *("--port", str(self.port), "--bind_ip", HOST, "--wiredTigerCacheSizeGB", str(self.cache_gb)),
            *("--networkMessageCompressors", "snappy,zstd", "--setParameter", "diagnosticDataCollectionEnabled=false"),
            # What a killed process has locked in a transaction is free again after 20 s instead of 60.
            *("--setParameter", "transactionLifetimeLimitSeconds=20"),
            # The log of slow commands quotes their values: names and addresses of people.
            *("--slowOpSampleRate", "0"),
            "--quiet",
        ]
        if self.root_password:
            command += ["--keyFile", str(self._key_file(self.root_password))]
        pid_file = self.directory / "mongod.pid"
        end_leftover(pid_file)
        refuse_taken("mongod", self.port)
        self._process = ChildProcess(
            command,
            env=dict(os.environ),
            log=self.log,
            pid_file=pid_file,
            cwd=self.directory,
        )
        self._process.start()

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Returns once the replica set has a primary (and the root user exists). Raises NotReadyError."""
        wait_until("mongod", self._process, timeout, self._usable)

    def is_ready(self) -> bool:
        """What `wait_ready` waits for, asked once."""
        return holds(self._usable)

    def create_user(self, database: str, user: str, password: str) -> None:
        """Makes `user` the owner of `database` and of nothing else, or gives an existing one this password."""
        roles = [{"role": role, "db": database} for role in ("readWrite", "dbAdmin")]
        with pymongo.MongoClient[dict[str, object]](self.uri) as client:
            try:
                client[database].command("createUser", user, pwd=password, roles=roles)
            except pymongo.errors.OperationFailure as error:
                if error.code != 51003:  # already exists
                    raise
                client[database].command("updateUser", user, pwd=password, roles=roles)

    def user_uri(self, database: str, user: str, password: str) -> str:
        """Connection string of a user made by `create_user`."""
        secret = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"mongodb://{secret}@{HOST}:{self.port}/?replicaSet={self.replica_set}&authSource={database}"

    def stop(self, grace_s: float = 30.0) -> None:
        """Clean end (SIGTERM)."""
        if self._process:
            self._process.stop(grace_s)

    def kill(self) -> None:
        """kill -9."""
        if self._process:
            self._process.kill()

    def _direct(self, user: str = "") -> "pymongo.MongoClient[dict[str, object]]":
        return pymongo.MongoClient(
            f"mongodb://{user}{HOST}:{self.port}/?directConnection=true", serverSelectionTimeoutMS=500
        )

    def _usable(self) -> bool:
        return self._is_primary() and (self.root_password is None or self._has_root())

    def _is_primary(self) -> bool:
        with self._direct() as client:
            hello = client.admin.command("hello")
            if "setName" not in hello:
                member = {"_id": 0, "host": f"{HOST}:{self.port}"}
                try:
                    client.admin.command("replSetInitiate", {"_id": self.replica_set, "members": [member]})
                except pymongo.errors.OperationFailure as error:
                    if error.code != 13:  # not authorised: it has users already, so it is initiated and starting
                        raise
            return bool(hello.get("isWritablePrimary"))

    def _has_root(self) -> bool:
        """Creates root through the localhost exception, which ends with that first user."""
        with self._direct() as client:
            try:
                client.admin.command("createUser", "root", pwd=self.root_password, roles=["root"])
            except pymongo.errors.OperationFailure as error:
                if error.code not in (13, 51003):
                    raise
        with pymongo.MongoClient[dict[str, object]](self.uri, serverSelectionTimeoutMS=500) as client:
            client.admin.command("ping")
        return True

    def _key_file(self, password: str) -> Path:
        """Members prove themselves to each other by this file; derived, so that it stays the same."""
        path = self.directory / "keyfile"
        path.touch(mode=0o600)
        path.write_text(base64.b64encode(hashlib.sha256(b"mongod key file" + password.encode()).digest()).decode())
        return path
