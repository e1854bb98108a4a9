"""Uplift: whom a treatment, such as an e-mail, moves; from a randomised trial with a hold-out group."""

from scoring.models.uplift.model import (
    LEAST_CUSTOMERS,
    LEAST_EACH,
    Evaluation,
    Prediction,
    Uplift,
    evaluate,
    explain,
    predict,
    train,
)

__all__ = [
    "LEAST_CUSTOMERS",
    "LEAST_EACH",
    "Evaluation",
    "Prediction",
    "Uplift",
    "evaluate",
    "explain",
    "predict",
    "train",
]
