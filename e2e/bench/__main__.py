"""Starts a fresh platform, measures it, ends it: `make bench`. Prints one JSON object a line."""

import sys
import tempfile
import uuid
from pathlib import Path

from e2e import tenants
from e2e.bench import agent_view, delay, footprint, ingestion, relay, scores, segments, tickets
from e2e.platform import started


def main() -> int:
    """Always 0: the figures speak for themselves."""
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as folder, started(Path(folder)) as platform:
        footprint.measure(platform)
        tenant = tenants.create(platform.gateway, platform.bootstrap_key, f"bench-{uuid.uuid4().hex[:8]}")
        delay.measure(platform, tenant)
        relay.measure(platform)
        agent_view.measure(platform)
        scores.measure(platform)
        tickets.measure(platform, tenant)
        in_files = ingestion.measure(platform, tenant)
        segments.measure(platform, tenant)  # The last: its 200 segments stay and would look at every event.
        in_files.result()
    return 0


if __name__ == "__main__":
    sys.exit(main())
