"""Every metric of the platform: name, unit, meaning, labels. Code, dashboards and alert rules agree with this list.

Labels take values from small, known sets: never tenants, people, or ids.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `unit` is UCUM, as OpenTelemetry wants it; `buckets` are a histogram's upper bounds."""

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    unit: str
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

RPC_SERVER_DURATION = Metric(
    "rpc.server.call.duration",
    "histogram",
    "s",
    "Time to answer a gRPC call, from the first interceptor on.",
    ("rpc.method", "rpc.response.status_code"),
    _SECONDS,
)
HTTP_SERVER_DURATION = Metric(
    "http.server.request.duration",
    "histogram",
    "s",
    "Time to answer an HTTP request at the gateway.",
    ("http.request.method", "http.route", "http.response.status_code"),
    _SECONDS,
)
EVENT_PROCESS_DURATION = Metric(
    "messaging.process.duration",
    "histogram",
    "s",
    "Time to handle one event.",
    ("rapport.event.type", "rapport.event.outcome"),
    _SECONDS,
)
EVENTS_RETRIED = Metric(
    "rapport.events.retried",
    "counter",
    "{event}",
    "Events sent to a retry queue after a failure.",
    ("rapport.event.type",),
)
EVENTS_DEAD = Metric(
    "rapport.events.dead",
    "counter",
    "{event}",
    "Events given up and kept in the dead-letter queue.",
    ("rapport.event.type", "rapport.event.reason"),
)
EVENTS_REDELIVERED = Metric(
    "rapport.events.redelivered",
    "counter",
    "{event}",
    "Events the broker delivered again, after a crash, a lost connection or a stop.",
    ("messaging.destination.name",),
)
EVENTS_RELAYED = Metric(
    "rapport.events.relayed",
    "counter",
    "{event}",
    "Events published and confirmed.",
    ("rapport.event.type",),
)
EVENTS_RETURNED = Metric(
    "rapport.events.returned",
    "counter",
    "{event}",
    "Published events that no queue took, though their type has consumers.",
    ("rapport.event.type",),
)
OUTBOX_AGE = Metric("rapport.outbox.age", "gauge", "s", "Age of the oldest event not yet published.")
TIMERS_FIRED = Metric(
    "rapport.timers.fired",
    "counter",
    "{timer}",
    "Durable timers that were run.",
    ("rapport.timer.kind", "rapport.timer.outcome"),
)
TIMER_DELAY = Metric("rapport.timers.delay", "gauge", "s", "How long the oldest due timer has been waiting.")
MAIL_SENT = Metric(
    "rapport.mail.sent", "counter", "{message}", "Attempts to hand a mail to the server.", ("rapport.mail.outcome",)
)
INBOUND_MAIL_AGE = Metric(
    "rapport.ticketing.inbound_mail.age", "gauge", "s", "Age of the oldest mail taken in that is not dealt with."
)
INBOUND_MAIL_FAILED = Metric(
    "rapport.ticketing.inbound_mail.failed",
    "counter",
    "{message}",
    "Mails taken in that can never be dealt with, by reason.",
    ("rapport.mail.reason",),
)
INGESTED = Metric(
    "rapport.ingest.events",
    "counter",
    "{event}",
    "Behavioural events taken in, by what became of them.",
    ("rapport.ingest.outcome",),
)
CONSENT_DECISIONS = Metric(
    "rapport.consent.decisions",
    "counter",
    "{decision}",
    "Consent decisions given, by outcome and reason.",
    ("rapport.consent.outcome", "rapport.consent.reason"),
)
CONSENT_UNSEALED_AGE = Metric(
    "rapport.consent.unsealed.age", "gauge", "s", "Age of the oldest consent record not yet in the chain."
)
ERASURE_OLDEST_AGE = Metric(
    "rapport.consent.erasure.oldest.age",
    "gauge",
    "s",
    "Age of the oldest erasure request that is not completed; the law gives one month.",
)
CREDENTIALS_EXCHANGED = Metric(
    "rapport.access.exchanges",
    "counter",
    "{exchange}",
    "Outside credentials exchanged for internal tokens.",
    ("rapport.access.kind", "rapport.access.outcome"),
)
SCORING_JOBS = Metric(
    "rapport.scoring.jobs",
    "counter",
    "{job}",
    "Scoring jobs that ended, by outcome.",
    ("rapport.scoring.outcome",),
)
SCORING_SEGMENT_DIFFERENCES = Metric(
    "rapport.scoring.segment.differences",
    "counter",
    "{membership}",
    "Memberships that a full recompute of segments found different from what was kept, and mended.",
)
SCORING_MODELS = Metric(
    "rapport.scoring.models",
    "counter",
    "{model}",
    "Models that jobs judged, by what became of them.",
    ("rapport.scoring.outcome",),
)
SCORING_MODEL_AGE = Metric(
    "rapport.scoring.model.age", "gauge", "s", "Age of the oldest model that scores: of its last purchases."
)
SCORING_DRIFT = Metric(
    "rapport.scoring.drift",
    "gauge",
    "1",
    "How far rows and scores have moved from those the model was made of (PSI): the most of any tenant.",
    ("rapport.scoring.kind", "rapport.scoring.column"),
)
SCORING_DRIFT_LOW = Metric(
    "rapport.scoring.drift.low",
    "gauge",
    "1",
    "The lower end of its 90 percent interval, the most of any tenant: from 0.2 on the column has drifted.",
    ("rapport.scoring.kind", "rapport.scoring.column"),
)
SCORING_RESCORE_AGE = Metric(
    "rapport.scoring.rescore.age", "gauge", "s", "How long the customer who waits longest to be scored anew has waited."
)
SCORING_LEADS = Metric(
    "rapport.scoring.leads",
    "counter",
    "{lead}",
    "Leads looked at, by what came of it: scored, refused (consent does not allow it), or looked at again later.",
    ("rapport.scoring.outcome",),
)
SCORING_LEADS_WAITING = Metric(
    "rapport.scoring.leads.waiting", "gauge", "{lead}", "Leads that wait for a score; 10,000 are counted at most."
)
SCORING_STAGED_AGE = Metric(
    "rapport.scoring.staged.age", "gauge", "s", "Age of the oldest purchase that is not yet in a file."
)


def all_metrics() -> tuple[Metric, ...]:
    """The registry, in the order above."""
    return tuple(value for value in globals().values() if isinstance(value, Metric))
