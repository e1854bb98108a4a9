"""The declared features of one customer up to now: asked for here, told by role `run`, which takes events in one by one
and may ask consent.
"""

from collections.abc import Sequence
from math import isnan

import docstore
from chassis import clock
from chassis import inputs as fields
from chassis.errors import NotFound, RapportError
from docstore import Row
from docstore.blobs import BlobStore
from scoring import decisions
from scoring.decisions import Decision
from scoring.domain.happenings import Series
from scoring.domain.purchases import main_currency
from scoring.features import row
from scoring.features.row import Convert
from scoring.settings import ScoringSettings
from scoring.store import Profile
from scoring.store.objections import objecting, profile_of
from scoring.usecases import current_rates, evaluations, summaries
from scoring.usecases.feature_tables import NO_CURRENCY
from scoring.usecases.histories import milliseconds
from scoring.usecases.persons import Persons

FEATURES = "FEATURES"
"""Kind of such questions (`store.Evaluation`)."""
_CONSENT_S = 2.0
"""How long consent is waited for: one thread answers all tenants, whose questions wait for `evaluations.WAIT_S`."""


def found(name: str) -> Row:
    """What is told of features (resource name): customer, as_of, currency, decision, and values by feature.

    Raises NotFound PROFILING_OBJECTED, PROFILING_REFUSED or FEATURES_NOT_KNOWN, and as `evaluations.ask` does.
    """
    members = profile_of(name.rpartition("/")[0])
    canonical = members[0]
    # Not more than whether there is one: the role that serves would read thousands of events for nothing.
    if Profile.rows().find_one({"uid": {"$in": [fields.uid(member) for member in members]}}, {"_id": 1}) is None:
        raise _unknown(canonical)
    if objecting([canonical]):
        raise _refused("PROFILING_OBJECTED", canonical, "the customer objects to profiling")
    return evaluations.ask(FEATURES, {"customer": canonical})


def answers(settings: ScoringSettings, _blobs: BlobStore, questions: Sequence[Row]) -> Sequence[Row | RapportError]:
    """The features of those asked for, each by itself; for role `run`."""
    names = sorted({question["customer"] for question in questions})
    people, refused = Persons.load(names), objecting(names)
    try:
        decided = decisions.decide(settings, names, _CONSENT_S)
    except RapportError as error:
        return [error] * len(questions)
    purchases = {code: number for code, (number, _) in summaries.known_purchases().items()}
    currency = main_currency(purchases) if purchases else NO_CURRENCY
    convert = current_rates.to(currency, settings.day_rates_url, currency)
    told: dict[str, Row | RapportError] = {}
    for name in names:
        try:
            if name in refused:
                raise _refused("PROFILING_OBJECTED", name, "the customer objects to profiling")
            told[name] = {**_told(people, name, decided[name], convert), "currency": currency if purchases else ""}
        except RapportError as error:
            told[name] = error
    return [told[question["customer"]] for question in questions]


def _told(people: Persons, name: str, decision: Decision, convert: Convert) -> Row:
    if not decision.allowed:
        raise _refused("PROFILING_REFUSED", name, "consent does not allow profiling of the customer")
    at = docstore.whole_milliseconds(clock.now())
    values = row.row(_series(people, name), milliseconds(at) * 1_000, convert)
    return {
        "customer": name,
        "as_of": at,
        "decision": decision.name,
        "values": {feature: None if isnan(value) else value for feature, value in values.items()},
    }


def _series(people: Persons, name: str) -> list[Sequence[Series]]:
    """Of each profile that belongs to the customer. Raises NotFound FEATURES_NOT_KNOWN."""
    profiles = [people.rows[each] for each in people.members.get(name, ()) if each in people.rows]
    if not profiles:
        raise _unknown(name)
    return [profile.get("series", ()) for profile in profiles]


def _unknown(customer: str) -> NotFound:
    return _refused("FEATURES_NOT_KNOWN", customer, "nothing is known of the customer: send events first")


def _refused(reason: str, customer: str, why: str) -> NotFound:
    name = f"{customer}/features"
    return NotFound(reason, f"{name} does not exist: {why}.", metadata={"resource": name})
