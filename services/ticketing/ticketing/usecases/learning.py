"""Role `run` teaches the tenants' models: one at a time in each process, and one process for each model."""

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
from sentiment import cues_of, sentiment_of
from ticketing.settings import TicketingSettings
from ticketing.store import lessons
from ticketing.store.lessons import Taught
from ticketing.store.sentiments import SCORES
from ticketing.store.text_models import FIGURES, change, settle
from ticketing.usecases import hearing
from ticketing.usecases.learned_models import LEARNABLES, Learnable

if TYPE_CHECKING:
    from textmodel.process import Learned

TEXTS_MOST, CHARACTERS_MOST, LABELS_MOST = 20_000, 10_000_000, 100
"""What a model learns from: the newest texts, together so long, of the most frequent labels."""
MORE, MORE_SHARE, MORE_AFTER = 50, 10, timedelta(days=1)
"""Is learned anew after so many more lessons, or one of so many more than last time, or any after so long."""
PAUSE = timedelta(minutes=10)
"""Between two times, whatever came, once there is a model."""
CONFIRMED_SHARE = 4
"""One of so many moods that were told must be confirmed, else what people say is of the wrong ones alone."""
LOOK_EVERY = timedelta(minutes=1)
LEASE_S = 60.0
_LABELS_LEAST, _LABELS_TOLD = 2, 5
_HELD_EVERY = 1_000
_AS_LEARNED = {"lexicon_accuracy": "baseline_accuracy"}
_FAILED_PAUSE = timedelta(minutes=10)

logger = logging.getLogger(__name__)


def learn_due(settings: TicketingSettings, blobs: BlobStore, stopping: Stopping) -> int:
    """Looks of each kind at the model that is due longest, and learns it anew if there is reason; returns how many."""
    count = 0
    for learnable in LEARNABLES:
        for tenant, (row, *_) in due.claim(learnable.state, 1, LEASE_S, settings.instance):
            with tenancy.service_context(tenant, method="learn text models"):
                _look(learnable, row, blobs, stopping)
            count += 1
    return count


def _look(learnable: Learnable, row: Row, blobs: BlobStore, stopping: Stopping) -> None:
    now = clock.now()
    if not wanted(learnable, row, now):
        settle(learnable.state, row, now + LOOK_EVERY)
        return
    from textmodel.process import LearningError

    problem = ""
    try:
        _learn(learnable, row, now, blobs, stopping)
    except pymongo.errors.PyMongoError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, its text may be somebody's; that of LearningError is not
        problem = str(error) if isinstance(error, LearningError) else type(error).__name__
    if problem:
        logger.error("the %s could not be learned: %s", learnable.title, problem)
        changes: Row = {"messages": [f"learning failed; it is tried again in {_FAILED_PAUSE.seconds // 60} minutes"]}
        if row.get("forget"):
            # Whatever keeps a new one from being learned, whoever is erased does not stay in the old one.
            _take_away(row, changes)
        _place(learnable, row, changes, blobs)
        settle(learnable.state, row, clock.now() + _FAILED_PAUSE)


def wanted(learnable: Learnable, row: Row, now: datetime) -> bool:
    """Whether there is reason to learn: somebody was erased, or enough came."""
    if row.get("forget"):
        return True
    last = row.get("attempt_time")
    if last is not None and row.get("version") and now - last < PAUSE:
        return False
    more = learnable.count(row.get("taught_until"), MORE)
    enough = min(MORE, max(1, row.get("taught", 0) // MORE_SHARE))
    return more >= enough or (more > 0 and last is not None and now - last >= MORE_AFTER)


def _learn(learnable: Learnable, row: Row, now: datetime, blobs: BlobStore, stopping: Stopping) -> None:
    found = learnable.newest(TEXTS_MOST, hearing.TEXT_MAX, CHARACTERS_MOST)
    chosen, messages = _chosen(learnable, found)
    forget = row.get("forget")
    learned = None
    if missing := _missing(learnable, chosen) or _one_sided(learnable, found):
        messages.append(missing)
    else:
        # Whoever is erased must not go on in the old model: it gives way, whatever the new one is like.
        in_place = None if forget else _artefact(learnable, row, blobs)
        learned = _learned(learnable, chosen, in_place, _holder(learnable, row, stopping))
        if learned is None:
            leases.release(learnable.state.rows(), row)
            return
        messages += learned.messages
    changes: Row = {
        "attempt_time": now,
        "taught": len(found),
        "taught_until": found[-1].since if found else row.get("taught_until"),
        "messages": messages,
    }
    if learned is not None and learned.artefact is not None:
        changes |= _stored(learnable, row, learned, len(chosen), now, blobs)
    elif forget:
        _take_away(row, changes)
    _place(learnable, row, changes, blobs)
    settle(learnable.state, row, clock.now() + LOOK_EVERY, forgotten=True)


def _learned(
    learnable: Learnable, chosen: Sequence[Taught], in_place: bytes | None, going_on: Callable[[], bool]
) -> "Learned | None":
    """What came of learning from these; None if it is not to go on."""
    from textmodel.process import Lesson, learn_apart

    authors: dict[str, int] = {}
    taught = []
    for at, each in enumerate(chosen):
        # Ten million characters take the lexicon some ten seconds: the claim must hold as long.
        if at % _HELD_EVERY == 0 and not going_on():
            return None
        author = authors.setdefault(each.author, len(authors))
        judged = sentiment_of(each.text, each.language_code) if learnable.beside_lexicon else None
        cues, baseline = (cues_of(judged), judged.label) if judged else ((), None)
        taught.append(Lesson(each.text, each.label, author, cues, baseline))
    return learn_apart(taught, in_place, precision=learnable.precision, going_on=going_on)


def _take_away(row: Row, changes: Row) -> None:
    if row.get("artefact"):
        changes["artefact"] = None
        changes["messages"].append("the model is gone: somebody is erased who taught it")


def _place(learnable: Learnable, row: Row, changes: Row, blobs: BlobStore) -> None:
    """Notes what came, unless somebody was erased meanwhile; then deletes the artefacts that nobody shall read."""
    now = change(learnable.state, row, changes)
    if now is None:
        return
    learnable.placed.forget()
    # That of before may be read by who has not heard of the new one.
    kept = {now.get("artefact"), None if row.get("forget") else row.get("artefact")}
    for name in blobs.list(learnable.subject):
        if name not in kept:
            blobs.delete(learnable.subject, name)
    blobs.delete_unfinished(learnable.subject)


def _chosen(learnable: Learnable, found: list[Taught]) -> tuple[list[Taught], list[str]]:
    """What is learned from, the oldest first, and what has to be said about it."""
    counted = Counter(each.label for each in found)
    known = set(sorted(counted, key=lambda label: (-counted[label], label))[:LABELS_MOST])
    chosen = [each for each in found if each.label in known]
    messages = []
    if len(counted) > len(known):
        messages.append(
            f"{learnable.plural} that are left out, since {LABELS_MOST} others are more frequent: "
            f"{len(counted) - len(known)}"
        )
    if 2 * sum(each.author == lessons.NOBODY_KNOWN for each in found) > len(found):
        messages.append(
            "most tickets tell neither customer nor requester_email: they count as those of one person, whose words "
            "are not learned"
        )
    return chosen, messages


def _missing(learnable: Learnable, taught: Sequence[Taught]) -> str:
    """What is missing for a model; empty if nothing is."""
    import textmodel
    from textmodel.challenge import learned_from

    least = textmodel.LEAST_TEXTS
    counted = Counter(each.label for each in taught[: learned_from(len(taught))])
    if sum(count >= least for count in counted.values()) >= _LABELS_LEAST:
        return ""
    most = ", ".join(f"{label} {count}" for label, count in counted.most_common(_LABELS_TOLD))
    return (
        f"no model is learned: {_LABELS_LEAST} {learnable.plural} need {least} texts each, the newest tenth of all "
        f"texts not counted; there are {most or 'none'}"
    )


def _one_sided(learnable: Learnable, found: Sequence[Taught]) -> str:
    """What is wrong with lessons of which hardly one says that what was told is right; empty if nothing is.

    People who only correct teach that all of it is wrong, and so the opposite of what stands uncorrected.
    """
    if not learnable.beside_lexicon:
        return ""
    decided = [each for each in found if each.told in SCORES]
    confirmed = sum(each.told == each.label for each in decided)
    if confirmed * CONFIRMED_SHARE >= len(decided):
        return ""
    return (
        f"no model is learned: of {len(decided)} texts that were told how they sound people said of {confirmed} that "
        f"it is right, and one of {CONFIRMED_SHARE} is needed: what is right and never confirmed would be unlearned"
    )


def _artefact(learnable: Learnable, row: Row, blobs: BlobStore) -> bytes | None:
    if not row.get("artefact"):
        return None
    try:
        return blobs.get(learnable.subject, row["artefact"])
    except NotFound:
        logger.error("the %s in place is not in the blob store: a new one takes its place", learnable.title)
        return None


def _stored(learnable: Learnable, row: Row, learned: "Learned", texts: int, now: datetime, blobs: BlobStore) -> Row:
    """Stores a new model; what to note of it, so that it is in place."""
    assert learned.artefact is not None
    artefact = hashlib.sha256(learned.artefact).hexdigest()
    blobs.put(learnable.subject, artefact, learned.artefact)
    return {
        "version": row.get("version", 0) + 1,
        "artefact": artefact,
        "learn_time": now,
        "texts": texts - learned.held_out_texts,
        "labels": [{learnable.label_field: label, "texts": count} for label, count in learned.labels.items()],
        **{name: getattr(learned, _AS_LEARNED.get(name, name)) for name in FIGURES},
    }


def _holder(learnable: Learnable, row: Row, stopping: Stopping) -> Callable[[], bool]:
    """Whether to go on: until asked to stop, or somebody is erased, and as long as the claim holds."""

    def going_on() -> bool:
        until = clock.real_now() + timedelta(seconds=LEASE_S)
        return not stopping.is_set() and change(learnable.state, row, {"lease.until": until}) is not None

    return going_on
