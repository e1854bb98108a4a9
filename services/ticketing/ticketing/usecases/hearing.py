"""What a request is about and how a customer sounds: told by the tenant's own models, moods else by the lexicon."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from docstore.blobs import BlobStore
from sentiment import NEGATIVE, NONE, POSITIVE, UNCERTAIN, cues_of, sentiment_of
from ticketing.store.lessons import asked_text
from ticketing.store.messages import CUSTOMER
from ticketing.store.sentiments import Sentiment
from ticketing.store.tickets import IntentSuggestion
from ticketing.usecases.learned_models import INTENTS, MOODS, Ready, ready
from ticketing.usecases.opening import Mood, Said

if TYPE_CHECKING:
    from sentiment import Sentiment as Judgement

TEXT_MAX = 4_000
"""Characters of a text that models read."""
_REASONS_MAX = 5


@dataclass(frozen=True)
class Suggested:
    """What the model takes a request for, and whether it is sure."""

    suggestion: IntentSuggestion
    sure: bool


def first_words(subject: str, said: Said, language_code: str, blobs: BlobStore) -> tuple[Suggested | None, Said]:
    """What a new request is taken for, None without a model; and its first words with how they sound."""
    intents, moods = ready(blobs, INTENTS, MOODS)
    return _suggested(subject, said.text, intents), _heard(said, language_code, moods)


def subject_alone(subject: str, blobs: BlobStore) -> Suggested | None:
    """What a request without any words is taken for."""
    (intents,) = ready(blobs, INTENTS)
    return _suggested(subject, "", intents)


def words(said: Said, language_code: str, blobs: BlobStore) -> Said:
    """Something said, with how it sounds where the customer said it."""
    (moods,) = ready(blobs, MOODS) if _sounds(said) else (None,)
    return _heard(said, language_code, moods)


def _suggested(subject: str, text: str, intents: Ready | None) -> Suggested | None:
    if intents is None:
        return None
    import textmodel

    found = textmodel.suggest(intents.model, asked_text(subject, text[:TEXT_MAX]))
    if found is None:
        return None
    suggestion = IntentSuggestion(
        intent=found.label, probability=found.probability, reasons=list(found.words), model_version=intents.version
    )
    return Suggested(suggestion, found.sure)


def _sounds(said: Said) -> bool:
    """Whether a customer spoke, and not a program."""
    return said.author == CUSTOMER and not said.automatic


def _heard(said: Said, language_code: str, moods: Ready | None) -> Said:
    judged = sentiment_of(said.text, language_code) if _sounds(said) else None
    if judged is None or judged.label == NONE:
        return said
    told = _told(said.text, language_code, judged, moods) if moods else None
    if told is None:
        told = Mood(_stored(judged.label, judged.score, judged.reasons, judged.model), judged.score)
    return replace(said, mood=told)


def _told(text: str, language_code: str, judged: "Judgement", moods: Ready) -> Mood | None:
    import textmodel

    read = text[:TEXT_MAX]
    cues = cues_of(judged if read == text else sentiment_of(read, language_code))
    found = textmodel.suggest(moods.model, textmodel.CuedText(read, cues))
    if found is None:
        return None
    likely = dict(zip(moods.model.labels, found.probabilities, strict=True))
    score = round(likely.get(POSITIVE, 0.0) - likely.get(NEGATIVE, 0.0), 3)
    reasons = [*found.words, *(judged.reasons if found.cues else ())]
    sentiment = _stored(
        found.label if found.sure else UNCERTAIN,
        score,
        tuple(dict.fromkeys(reasons))[:_REASONS_MAX],
        f"{MOODS.subject}/{moods.version}",
    )
    # How likely it is bad is not how bad it is: very bad is what the lexicon finds so and a sure model does not deny.
    return Mood(sentiment, max(score, judged.score) if found.sure else judged.score)


def _stored(label: str, score: float, reasons: tuple[str, ...], model: str) -> Sentiment:
    return Sentiment(label=label, score=score, reasons=list(reasons), model=model)
