"""What a text is about, and its mood: a linear model that each tenant teaches by resolved tickets."""

from textmodel.artefact import dump, fingerprint, load
from textmodel.model import (
    Evaluation,
    Prediction,
    Suggestion,
    TextModel,
    evaluate,
    explain,
    predict,
    suggest,
)
from textmodel.terms import LEAST_AUTHORS, MOST_CHARACTER_TERMS, MOST_WORD_TERMS, CuedText
from textmodel.training import LEAST_TEXTS, train

__all__ = [
    "LEAST_AUTHORS",
    "LEAST_TEXTS",
    "MOST_CHARACTER_TERMS",
    "MOST_WORD_TERMS",
    "CuedText",
    "Evaluation",
    "Prediction",
    "Suggestion",
    "TextModel",
    "dump",
    "evaluate",
    "explain",
    "fingerprint",
    "load",
    "predict",
    "suggest",
    "train",
]
