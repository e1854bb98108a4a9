"""Published figures of lifetime value, and what `clv` must reach of them."""

from collections.abc import Mapping

from scoring.benchmarks.marks import Mark, equal_to
from scoring.models.selection import CANDIDATES

SAMPLE_PARAMETERS: dict[str, dict[str, float]] = {
    "bg_nbd": {"r": 0.2426, "alpha": 4.4136, "a": 0.7929, "b": 2.4259, "log-likelihood": -9582.4292},
    "mbg_nbd": {"r": 0.525, "alpha": 6.183, "a": 0.891, "b": 1.614},
    "pareto_nbd": {"r": 0.5533, "alpha": 10.578, "s": 0.6062, "beta": 11.667, "log-likelihood": -9594.976},
}
FULL_PARAMETERS = {
    "bg_nbd": {"r": 0.2516, "alpha": 4.789, "a": 0.7234, "b": 2.161, "log-likelihood": -95368.44},
}
SAMPLE_HOLDOUT: dict[str, dict[str, float]] = {
    "bg_nbd": {"mae": 0.7855, "rmse": 1.6080, "correlation": 0.6256, "total_error": -0.121, "fit seconds": 0.10},
    "mbg_nbd": {"mae": 0.7648, "rmse": 1.6072, "correlation": 0.6273, "total_error": -0.162, "fit seconds": 0.10},
    "pareto_nbd": {"mae": 0.7545, "rmse": 1.6028, "correlation": 0.6302, "total_error": -0.115, "fit seconds": 0.73},
}
BEST_OF_SAMPLE = {"mae": 0.7545, "rmse": 1.6028, "correlation": 0.6302, "total_error": -0.115}
"""Pareto/NBD by lifetimes: the best of the table, known only after looking at the holdout."""
COHORTS = {
    "High End": ((1000, 869, 743, 653, 593, 551, 517, 491, 468, 445, 427, 409, 394), (0.668, 3.806, -1611.2)),
    "Regular": ((1000, 631, 468, 382, 326, 289, 262, 241, 223, 207, 194, 183, 173), (0.704, 1.182, -1680.3)),
}
"""Survivors after each renewal (Fader and Hardie 2007), and alpha, beta, log-likelihood of the first seven."""
SPEND = {"p": 6.2496, "q": 3.7442, "gamma": 15.4435}
SPEND_CORRELATION = 0.114
MARK_SECONDS = 5.0
WHOLE = "choose, fit and score: CPU seconds"

_PAPERS = "Fader, Hardie, Lee 2005; Batislam, Denizel, Filiztekin 2007"
_NOTE = "Fader, Hardie 2013, note 025"
_LIKELIHOOD = "log-likelihood"


def _parameters(data: str, published: Mapping[str, Mapping[str, float]]) -> tuple[Mark, ...]:
    marks: tuple[Mark, ...] = ()
    for kind, figures in published.items():
        title = CANDIDATES[kind].title
        for name, value in figures.items():
            marks += equal_to(data, _PAPERS, 6 if name == _LIKELIHOOD else 3, [(f"{title} {name}", value)])
    return marks


def _holdouts() -> tuple[Mark, ...]:
    return equal_to(
        "cdnow sample",
        "lifetimes 0.11",
        3,
        [
            (f"{CANDIDATES[kind].title} holdout {name.replace('_', ' ')}", value)
            for kind, figures in SAMPLE_HOLDOUT.items()
            for name, value in figures.items()
            if name != "fit seconds"
        ],
    )


MARKS = (
    *_parameters("cdnow sample", SAMPLE_PARAMETERS),
    *_parameters("cdnow", FULL_PARAMETERS),
    *_holdouts(),
    *equal_to("cdnow sample", _NOTE, 3, [(f"Gamma-Gamma {name}", value) for name, value in SPEND.items()]),
    *equal_to("cdnow sample", _NOTE, 3, [("Gamma-Gamma correlation of spend and frequency", SPEND_CORRELATION)]),
    *(
        mark
        for cohort, (_, (alpha, beta, _likelihood)) in COHORTS.items()
        for mark in equal_to(f"sBG {cohort}", "Fader, Hardie 2007", 3, [("sBG alpha", alpha), ("sBG beta", beta)])
    ),
    Mark(data="1,000,000 simulated customers, *", metric=WHOLE, at_most=MARK_SECONDS, source="stated"),
)
