"""Role `run` teaches the tenants' intent models: one at a time in each process, and one process for each tenant."""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pymongo.errors

from chassis import clock, tenancy
from chassis.errors import NotFound
from chassis.lifecycle import Stopping
from docstore import Row, due, leases
from docstore.blobs import BlobStore
from ticketing.settings import TicketingSettings
from ticketing.store import IntentModel, lessons
from ticketing.store.intent_models import FIGURES, change, settle
from ticketing.store.lessons import Taught
from ticketing.usecases import intents

if TYPE_CHECKING:
    from textmodel.process import Learned, Lesson

PRECISION = 0.9
"""Share of what a model is sure of that shall be right."""
TEXTS_MOST, CHARACTERS_MOST, LABELS_MOST = 20_000, 10_000_000, 100
"""What a model learns from: the newest texts, together so long, of the most frequent intents."""
MORE, MORE_SHARE, MORE_AFTER = 50, 10, timedelta(days=1)
"""Is learned anew after so many more lessons, or one of so many more than last time, or any after so long."""
PAUSE = timedelta(minutes=10)
"""Between two times, whatever came, once there is a model."""
LOOK_EVERY = timedelta(minutes=1)
LEASE_S = 60.0
_LABELS_LEAST, _LABELS_TOLD = 2, 5
_FAILED_PAUSE = timedelta(minutes=10)

logger = logging.getLogger(__name__)


def learn_due(settings: TicketingSettings, blobs: BlobStore, stopping: Stopping) -> int:
    """Looks at the model of the tenant that is due longest, and learns it anew if there is reason; returns how many."""
    for tenant, (row, *_) in due.claim(IntentModel, 1, LEASE_S, settings.instance):
        with tenancy.service_context(tenant, method="learn intents"):
            _look(row, blobs, stopping)
        return 1
    return 0


def _look(row: Row, blobs: BlobStore, stopping: Stopping) -> None:
    now = clock.now()
    if not wanted(row, now):
        settle(row, now + LOOK_EVERY)
        return
    from textmodel.process import LearningError

    problem = ""
    try:
        _learn(row, now, blobs, stopping)
    except pymongo.errors.PyMongoError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, its text may be somebody's; that of LearningError is not
        problem = str(error) if isinstance(error, LearningError) else type(error).__name__
    if problem:
        logger.error("an intent model could not be learned: %s", problem)
        changes: Row = {"messages": [f"learning failed; it is tried again in {_FAILED_PAUSE.seconds // 60} minutes"]}
        if row.get("forget"):
            # Whatever keeps a new one from being learned, whoever is erased does not stay in the old one.
            _take_away(row, changes)
        _place(row, changes, blobs)
        settle(row, clock.now() + _FAILED_PAUSE)


def wanted(row: Row, now: datetime) -> bool:
    """Whether there is reason to learn: somebody was erased, or enough came."""
    if row.get("forget"):
        return True
    last = row.get("attempt_time")
    if last is not None and row.get("version") and now - last < PAUSE:
        return False
    more = lessons.count_since(row.get("taught_until"), MORE)
    enough = min(MORE, max(1, row.get("taught", 0) // MORE_SHARE))
    return more >= enough or (more > 0 and last is not None and now - last >= MORE_AFTER)


def _learn(row: Row, now: datetime, blobs: BlobStore, stopping: Stopping) -> None:
    from textmodel.process import learn_apart

    found = lessons.newest(TEXTS_MOST, intents.TEXT_MAX, CHARACTERS_MOST)
    taught, messages = _chosen(found)
    forget = row.get("forget")
    learned = None
    if missing := _missing(taught):
        messages.append(missing)
    else:
        # Whoever is erased must not go on in the old model: it gives way, whatever the new one is like.
        in_place = None if forget else _artefact(row, blobs)
        learned = learn_apart(taught, in_place, precision=PRECISION, going_on=_holder(row, stopping))
        if learned is None:
            leases.release(IntentModel.rows(), row)
            return
        messages += learned.messages
    changes: Row = {
        "attempt_time": now,
        "taught": len(found),
        "taught_until": found[-1].since if found else row.get("taught_until"),
        "messages": messages,
    }
    if learned is not None and learned.artefact is not None:
        changes |= _stored(row, learned, len(taught), now, blobs)
    elif forget:
        _take_away(row, changes)
    _place(row, changes, blobs)
    settle(row, clock.now() + LOOK_EVERY, forgotten=True)


def _take_away(row: Row, changes: Row) -> None:
    if row.get("artefact"):
        changes["artefact"] = None
        changes["messages"].append("the model is gone: somebody is erased whose tickets taught it")


def _place(row: Row, changes: Row, blobs: BlobStore) -> None:
    """Notes what came, unless somebody was erased meanwhile; then deletes the artefacts that nobody shall read."""
    now = change(row, changes)
    if now is None:
        return
    intents.placed.forget()
    # That of before may be read by who has not heard of the new one.
    kept = {now.get("artefact"), None if row.get("forget") else row.get("artefact")}
    for name in blobs.list(intents.SUBJECT):
        if name not in kept:
            blobs.delete(intents.SUBJECT, name)
    blobs.delete_unfinished(intents.SUBJECT)


def _chosen(found: list[Taught]) -> tuple[list["Lesson"], list[str]]:
    """What is learned from, the oldest first, and what has to be said about it."""
    from textmodel.process import Lesson

    counted = Counter(each.intent for each in found)
    known = set(sorted(counted, key=lambda intent: (-counted[intent], intent))[:LABELS_MOST])
    authors: dict[str, int] = {}
    chosen = [
        Lesson(
            intents.learned_text(each.subject, each.text), each.intent, authors.setdefault(each.author, len(authors))
        )
        for each in found
        if each.intent in known
    ]
    messages = []
    if len(counted) > len(known):
        messages.append(
            f"intents that are left out, since {LABELS_MOST} others are more frequent: {len(counted) - len(known)}"
        )
    if 2 * sum(each.author == lessons.NOBODY_KNOWN for each in found) > len(found):
        messages.append(
            "most tickets tell neither customer nor requester_email: they count as those of one person, whose words "
            "are not learned"
        )
    return chosen, messages


def _missing(taught: Sequence["Lesson"]) -> str:
    """What is missing for a model; empty if nothing is."""
    import textmodel
    from textmodel.challenge import learned_from

    least = textmodel.LEAST_TEXTS
    counted = Counter(each.label for each in taught[: learned_from(len(taught))])
    if sum(count >= least for count in counted.values()) >= _LABELS_LEAST:
        return ""
    most = ", ".join(f"{label} {count}" for label, count in counted.most_common(_LABELS_TOLD))
    return (
        f"no model is learned: {_LABELS_LEAST} intents need {least} texts each, the newest tenth of all texts not "
        f"counted; there are {most or 'none'}"
    )


def _artefact(row: Row, blobs: BlobStore) -> bytes | None:
    if not row.get("artefact"):
        return None
    try:
        return blobs.get(intents.SUBJECT, row["artefact"])
    except NotFound:
        logger.error("the intent model in place is not in the blob store: a new one takes its place")
        return None


def _stored(row: Row, learned: "Learned", texts: int, now: datetime, blobs: BlobStore) -> Row:
    """Stores a new model; what to note of it, so that it is in place."""
    assert learned.artefact is not None
    artefact = hashlib.sha256(learned.artefact).hexdigest()
    blobs.put(intents.SUBJECT, artefact, learned.artefact)
    return {
        "version": row.get("version", 0) + 1,
        "artefact": artefact,
        "learn_time": now,
        "texts": texts - learned.held_out_texts,
        "labels": [{"intent": label, "texts": count} for label, count in learned.labels.items()],
        **{name: getattr(learned, name) for name in FIGURES},
    }


def _holder(row: Row, stopping: Stopping) -> Callable[[], bool]:
    """Whether to go on: until asked to stop, or somebody is erased, and as long as the claim holds."""

    def going_on() -> bool:
        until = clock.real_now() + timedelta(seconds=LEASE_S)
        return not stopping.is_set() and change(row, {"lease.until": until}) is not None

    return going_on
