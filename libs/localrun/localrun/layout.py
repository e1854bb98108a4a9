"""Where things of a running platform lie in its state folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths under one state folder."""

    state: Path

    @property
    def run(self) -> Path:
        """What belongs to the running platform only."""
        return self.state / "run"

    @property
    def pid_files(self) -> Path:
        """`<workload>.pid` of each process."""
        return self.run / "pids"

    @property
    def supervisor_pid(self) -> Path:
        """Pid file of the supervisor."""
        return self.pid_files / "supervisor.pid"

    @property
    def lock(self) -> Path:
        """Held by the running supervisor, so that there is never a second one."""
        return self.run / "lock"

    @property
    def socket(self) -> Path:
        """Where the supervisor answers."""
        return self.run / "control.sock"

    @property
    def logs(self) -> Path:
        """`<workload>.log` of each process."""
        return self.state / "logs"

    @property
    def data(self) -> Path:
        """What outlives a platform that is stopped: databases, queues, mails, blobs."""
        return self.state / "data"

    def create(self) -> None:
        """Makes the folders."""
        for folder in (self.run, self.pid_files, self.logs, self.data):
            folder.mkdir(parents=True, exist_ok=True)
