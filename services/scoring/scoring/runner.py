"""Role `run`: starts jobs, carries them through, scores leads, writes files, keeps segments, erases people."""

import functools
import logging
import threading
from collections.abc import Callable, Iterable

import pymongo.errors
from rapport.scoring.v1 import events_pb2

import docstore
from chassis import client, metric_names, telemetry, tenancy
from chassis.folder import NoDriverError, located
from chassis.lifecycle import Stopping
from chassis.probe import Probe
from chassis.settings import ConfigurationError
from docstore import Row, batches, blobs
from docstore.blobs import BlobStore
from docstore.documents import TenantDocument
from eventing import erasing
from eventing.readiness import wait_migrated
from scoring.settings import ScoringSettings
from scoring.store import FeatureManifest, Objection, ScoreChange, ScoringJob
from scoring.store.models import LEAD_CONVERSION
from scoring.usecases import (
    activity,
    customer_features,
    earlier_refunds,
    evaluating,
    evaluations,
    flushing,
    fraud_training,
    journey_effects,
    kept_results,
    lead_scoring,
    lead_what_if,
    models,
    propensity_what_if,
    rescoring,
    retention,
    running,
    scheduling,
)
from scoring.usecases.erasing import erase

EVALUATE_EVERY_S = 0.25
LEADS_EVERY_S = 0.3
ANSWER_EVERY_S = 0.2
RESCORE_EVERY_S = 0.3
EFFECTS_EVERY_S = 1.0
FRAUD_EVERY_S = 1.0
SCHEDULES_EVERY_S = 1.0
FLUSH_EVERY_S = 1.0
TIDY_EVERY_S = 60.0
_LONGEST_PAUSE_S = 10.0
TIDIED: tuple[tuple[type[TenantDocument], Row], ...] = (
    (FeatureManifest, {}),
    (ScoringJob, {"files": True}),
    (ScoringJob, {"result_until": {"$exists": True}}),
    (Objection, {"results_due": True}),
)
"""Collections, and the rows in them whose tenants are tidied."""
ANSWERS: dict[str, evaluations.Answers] = {
    LEAD_CONVERSION: lead_what_if.answers,
    customer_features.FEATURES: customer_features.answers,
    **propensity_what_if.ANSWERS,
}
"""Who answers questions: what-if ones by the kind of the model, and what features customers have."""

logger = logging.getLogger(__name__)


def run(settings: ScoringSettings, stopping: Stopping) -> None:
    """Works until asked to stop; several of them share the work. Raises ConfigurationError."""
    if not settings.blob_url:
        raise ConfigurationError("RAPPORT_BLOB_URL", "is not set: purchases and results are kept there")
    if "consent" not in settings.upstreams:
        raise ConfigurationError("RAPPORT_UPSTREAMS", "names no address of consent, without which nobody is scored")
    if settings.amqp_uri is None:
        raise ConfigurationError("RAPPORT_AMQP_URI", "is not set: whoever is erased goes from the dead letters too")
    store = blobs.store(settings)
    if settings.day_rates_url:
        try:
            located(settings.day_rates_url)
        except NoDriverError as error:
            raise ConfigurationError("RAPPORT_DAY_RATES_URL", str(error)) from error
    docstore.connect(settings)
    telemetry.gauge(metric_names.SCORING_STAGED_AGE, lambda: [(_oldest_staged_age(), {})])
    telemetry.gauge(metric_names.SCORING_RESCORE_AGE, lambda: [(rescoring.longest_wait(), {})])
    telemetry.gauge(metric_names.SCORING_LEADS_WAITING, lambda: [(lead_scoring.waiting(), {})])
    telemetry.gauge(metric_names.SCORING_MODEL_AGE, lambda: [(models.oldest_age(), {})])
    telemetry.gauge(metric_names.SCORING_DRIFT, lambda: models.drift_by_column("psi"))
    telemetry.gauge(metric_names.SCORING_DRIFT_LOW, lambda: models.drift_by_column("low"))
    with Probe(settings) as probe:
        if not wait_migrated(settings.service, stopping):
            return
        threads = [
            _loop(
                "evaluate", stopping, EVALUATE_EVERY_S, functools.partial(evaluating.evaluate_due, settings.instance)
            ),
            _loop("leads", stopping, LEADS_EVERY_S, functools.partial(_score_leads, settings, store, stopping)),
            _loop(
                "answer", stopping, ANSWER_EVERY_S, functools.partial(evaluations.answer_due, settings, store, ANSWERS)
            ),
            _loop("rescore", stopping, RESCORE_EVERY_S, functools.partial(rescoring.rescore_due, settings, store)),
            _loop(
                "effects", stopping, EFFECTS_EVERY_S, functools.partial(journey_effects.compute_due, settings.instance)
            ),
            _loop("fraud", stopping, FRAUD_EVERY_S, functools.partial(_learn_fraud, settings, stopping)),
            _loop("schedules", stopping, SCHEDULES_EVERY_S, functools.partial(scheduling.start_due, settings.instance)),
            _loop("flush", stopping, FLUSH_EVERY_S, functools.partial(_flush, settings, store)),
            _loop("tidy", stopping, TIDY_EVERY_S, functools.partial(_tidy, settings, store)),
            threading.Thread(target=_erase, args=(settings, store, stopping), name="erase"),
        ]
        for thread in threads:
            thread.start()
            probe.alive_check(thread.is_alive)
        lead_scoring.warm_up()
        rescoring.warm_up()
        probe.ready()
        docstore.batches.process(
            ScoringJob,
            functools.partial(running.run_job, settings=settings, blobs=store, stopping=stopping),
            stopping,
            parallel=1,
            lease_s=settings.job_lease_s,
            owner=settings.instance,
        )
        probe.ready(False)
        for thread in threads:
            thread.join()
    # The database stays connected: the last metrics are asked for after this.
    client.close_channels()


def _loop(name: str, stopping: Stopping, every_s: float, work: Callable[[], object]) -> threading.Thread:
    """A thread that does some work again and again until told to stop; longer pauses after failures."""

    def until_stopped() -> None:
        failures = 0
        while not stopping.wait(min(every_s * 2**failures, max(every_s, _LONGEST_PAUSE_S))):
            try:
                work()
                failures = 0
            except pymongo.errors.PyMongoError as error:
                failures = min(failures + 1, 6)
                logger.warning("%s waits: the database cannot be used (%s)", name, type(error).__name__)
            except Exception as error:
                failures = min(failures + 1, 6)
                logger.exception("%s failed: %s", name, type(error).__name__)

    return threading.Thread(target=until_stopped, name=name)


def _erase(settings: ScoringSettings, store: BlobStore, stopping: Stopping) -> None:
    erasing.loop(settings, functools.partial(erase, settings=settings, blobs=store), events_pb2.SubjectErased, stopping)


def _score_leads(settings: ScoringSettings, store: BlobStore, stopping: Stopping) -> None:
    while lead_scoring.score_waiting(settings, store) and not stopping.is_set():
        continue


def _learn_fraud(settings: ScoringSettings, stopping: Stopping) -> None:
    while fraud_training.train_due(settings.instance) and not stopping.is_set():
        continue


def _flush(settings: ScoringSettings, store: BlobStore) -> None:
    purchases, others = (functools.partial(each.flush, settings, store) for each in (flushing, activity))
    due = [(tenant, purchases) for tenant in flushing.waiting_tenants(settings)]
    _of_each("flush", [*due, *((tenant, others) for tenant in activity.waiting_tenants(settings))])


def _oldest_staged_age() -> float:
    return max(flushing.oldest_staged_age(), activity.oldest_staged_age())


def _tidy(settings: ScoringSettings, store: BlobStore) -> None:
    """Removes what nothing needs any more: events that are out, ended jobs and their files, files nobody names."""
    batches.delete_expired(ScoreChange)
    running.end_parked()

    def tidy() -> None:
        running.remove_files(store)
        kept_results.take_out_objecting(settings, store)
        earlier_refunds.move(settings, store)
        retention.retire(settings, store)
        flushing.remove_orphans(store)

    _of_each("tidy", [(tenant, tidy) for tenant in _tenants()])


def _of_each(method: str, due: Iterable[tuple[str, Callable[[], object]]]) -> None:
    """Works for each tenant, for the others too where it fails for one; raises the last failure when all had a turn."""
    failure = None
    for tenant, work in due:
        with tenancy.service_context(tenant, method=method):
            try:
                work()
            except pymongo.errors.PyMongoError:
                raise
            except Exception as error:  # noqa: BLE001 - it is raised once the others had their turn
                failure = error
    if failure is not None:
        raise failure


def _tenants() -> list[str]:
    """Those that may have something to tidy: files of purchases and activity, of jobs, or objections to take out."""
    with docstore.platform_scope():
        tenants: set[str] = set()
        for cls, there in TIDIED:
            # The tenant's bound lets MongoDB skip from one tenant to the next in the index.
            tenants.update(docstore.platform_collection(cls).distinct("tenant", {"tenant": {"$gt": ""}, **there}))
    return sorted(tenants)
