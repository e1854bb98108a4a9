"""How a text sounds by the words it has, in English and German, without any learning; and what a model can go by."""

from sentiment.judging import (
    NEGATIVE,
    NEUTRAL,
    NONE,
    POSITIVE,
    UNCERTAIN,
    Sentiment,
    cues_of,
    language_of,
    sentiment_of,
    words_of,
)
from sentiment.lexicon import fold

__all__ = [
    "NEGATIVE",
    "NEUTRAL",
    "NONE",
    "POSITIVE",
    "UNCERTAIN",
    "Sentiment",
    "cues_of",
    "fold",
    "language_of",
    "sentiment_of",
    "words_of",
]
