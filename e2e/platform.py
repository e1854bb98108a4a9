"""The running platform as journeys and fault tests see it: addresses, its first key, its processes."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from localrun import state


@dataclass(frozen=True)
class Platform:
    """Where things are, as `python -m localrun run` tells its command."""

    gateway: str
    bootstrap_key: str
    mails: str
    traces: str
    clock_file: Path
    state: Path

    @classmethod
    def from_environment(cls) -> "Platform":
        """Reads the environment. Raises SystemExit with what to do when it is not there."""
        try:
            return cls(
                gateway=os.environ["RAPPORT_GATEWAY_URL"],
                bootstrap_key=os.environ["RAPPORT_BOOTSTRAP_KEY"],
                mails=os.environ["RAPPORT_MAIL_URL"],
                traces=os.environ["RAPPORT_TRACES_URL"],
                clock_file=Path(os.environ["RAPPORT_CLOCK_FILE"]),
                state=state.directory(),
            )
        except KeyError as missing:
            raise SystemExit(f"{missing.args[0]} is not set: run this by `python -m localrun run -- ...`") from None

    def processes(self) -> dict[str, int]:
        """Workload -> process id, for every process the supervisor keeps, databases and broker included."""
        found = {}
        for path in sorted((self.state / "run" / "pids").glob("*.pid")):
            text = path.read_text().split()
            if text and path.stem != "supervisor":
                found[path.stem] = int(text[0])
        return found

    def kill(self, workload: str) -> int:
        """kill -9 of one workload's process; returns the pid it had."""
        pid = self.processes()[workload]
        os.kill(pid, signal.SIGKILL)
        return pid
