"""Jobs carried out within the test: to start their programs takes longer than what these do."""

import threading
from importlib import import_module
from typing import Any

from docstore import batches
from docstore.blobs import BlobStore
from scoring.jobs.files import Folder
from scoring.jobs.programs import PROGRAMS
from scoring.jobs.progress import Reporter
from scoring.settings import ScoringSettings
from scoring.store import ScoringJob
from scoring.store.jobs import PREPARING
from scoring.usecases import preparing, running

from .conftest import Client, claimed


def carried_out(client: Client, settings: ScoringSettings, store: BlobStore, **terms: Any) -> Any:
    """A new job of the tenant, from its start to its end."""
    name = client.CreateScoringJob(scoring_job=terms).name
    job = claimed(client)
    with client.context():
        compute(job, settings, store)
        finish(job, settings, store)
    return client.GetScoringJob(name=name)


def compute(job: ScoringJob, settings: ScoringSettings, store: BlobStore) -> None:
    """Prepares a claimed job, and runs its program."""
    steps = running.STEPS[job.kind]
    while job.phase == PREPARING:
        steps.prepare(job, settings, store)
    told = {**job.spec, "output": preparing.url(settings, job.result_subject)}
    output = Folder(told["output"])
    import_module(steps.program).run(PROGRAMS[steps.program].spec.model_validate(told), output, Reporter(output))


def kept_of(client: Client, settings: ScoringSettings, name: str) -> Folder:
    """What a job of the tenant left in its output folder."""
    with client.context():
        return Folder(preparing.url(settings, ScoringJob.get(name.rpartition("/")[2]).result_subject))


def finish(job: ScoringJob, settings: ScoringSettings, store: BlobStore) -> None:
    """Goes on with a claimed job until it has ended; a program that has not run yet runs as a process of its own."""
    batches.finish(job, running.run_job(job, settings, store, threading.Event()))
