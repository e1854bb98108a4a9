"""What an operator has done for one tenant by `python -m scoring....`, with the environment of role `run`."""

import argparse
import logging
import sys
from collections.abc import Callable

import docstore
from chassis import tenancy
from chassis.errors import RapportError
from chassis.settings import ConfigurationError, load
from docstore import blobs
from docstore.blobs import BlobStore
from scoring.settings import ScoringSettings
from scoring.usecases.leased_jobs import JobFailed


def parser(module: str, about: str | None) -> argparse.ArgumentParser:
    """Reads the command's line, of which the tenant is a part; about: the module's docstring."""
    reads = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    reads.add_argument("--tenant", required=True)
    return reads


def run(tenant: str, command: str, work: Callable[[ScoringSettings, BlobStore], int]) -> int:
    """Does the work as the tenant; returns its exit code, or 1 where it failed, which stderr then tells.

    command: its name in the trail of what was done.
    """
    logging.basicConfig(level=logging.WARNING)
    try:
        settings = load(ScoringSettings, service="scoring", role="run")
        docstore.connect(settings)
        with tenancy.service_context(tenant, method=command):
            return work(settings, blobs.store(settings))
    except (ConfigurationError, RapportError, JobFailed, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
