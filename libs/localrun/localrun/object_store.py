"""An object store that speaks S3 over HTTP: SeaweedFS, all its parts in one process on loopback."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path

from localrun import provision
from localrun.childprocess import ChildProcess, end_leftover
from localrun.ports import free_port
from localrun.readiness import HOST, refuse_taken, wait_until

_PORTS = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")


class ObjectStore:
    """A SeaweedFS whose only user has the key `key` and the secret `secret`.

    directory: data, log and pid file.
    """

    key, secret = "rapport", "rapport-secret"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.log = directory / "weed.log"
        self._ports = {name: free_port() for name in (*_PORTS, "s3.port.grpc")}
        self._process: ChildProcess | None = None

    @property
    def endpoint(self) -> str:
        """Where it answers, for AWS_ENDPOINT_URL_S3."""
        return f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Starts the process; `wait_ready` tells when it can be used. Raises NotReadyError when a port is taken."""
        if self._process and self._process.pid is not None:
            return
        program = provision.ensure_seaweedfs()
        data = self.directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        users = self.directory / "users.json"
        credentials = [{"accessKey": self.key, "secretKey": self.secret}]
        users.write_text(
            json.dumps({"identities": [{"name": "test", "credentials": credentials, "actions": ["Admin"]}]})
        )
        command = [
            *(str(program), "server", f"-dir={data}", f"-ip={HOST}", f"-ip.bind={HOST}", "-filer", "-s3"),
            *(
                f"-s3.port={self.port}",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                f"-s3.config={users}",
                "-s3.iam=false",
            ),
            "-s3.autoCreateBucket=false",
            # Alone it need not wait for others to be elected; who asks it before that asks again after five seconds.
            *("-master.electionTimeout=150ms", "-master.heartbeatInterval=50ms"),
            *(f"-{name}={port}" for name, port in self._ports.items()),
            *(
                "-master.telemetry=false",
                "-master.volumeSizeLimitMB=64",
                "-volume.max=20",
                "-volume.preStopSeconds=0",
            ),
        ]
        pid_file = self.directory / "weed.pid"
        end_leftover(pid_file)
        refuse_taken("SeaweedFS", self.port, *self._ports.values())
        self._process = ChildProcess(command, env=dict(os.environ), log=self.log, pid_file=pid_file, cwd=self.directory)
        self._process.start()

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Returns once it answers requests. Raises NotReadyError."""
        wait_until("SeaweedFS", self._process, timeout, self._answers)

    def kill(self) -> None:
        """kill -9."""
        if self._process:
            self._process.kill()
        # It puts them there, whatever its folders are, and being killed leaves them.
        for port in (*self._ports.values(), self.port):
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.endpoint, timeout=2).close()
        except urllib.error.HTTPError as error:
            # It knows that nobody asks.
            if error.code != 403:
                raise
        # It answers before it has a place for what it is given.
        with urllib.request.urlopen(f"http://{HOST}:{self._ports['master.port']}/dir/status", timeout=2) as answer:
            return bool(json.load(answer)["Topology"]["Max"])
