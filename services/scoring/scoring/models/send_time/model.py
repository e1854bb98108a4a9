"""When in the week a customer is active: histograms over its 168 hours, shrunk from everybody to segment to customer.

A time at one hour says something about the hours beside it, round the clock, and less about the same hours of
other days: it is spread by a circular kernel, weighed with what is usual of the segment, so that no mass goes to
hours at which nobody is active. A customer's own times then count against `strength` times of the segment,
as a segment's count against `segment_strength` of everybody (posterior means of Dirichlet distributions). Kernel,
strengths and the half-life of times are chosen by predicting the last part of the training data from what came
before. Hours are local to the customer: 0 is Monday 0:00 to 1:00, 167 Sunday 23:00 to 24:00.
"""

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv  # type: ignore[import-untyped]

from scoring.models.fitting import Floats
from scoring.models.send_time.clock import HOURS, QuietHours
from scoring.models.send_time.habits import habit, named
from scoring.models.summary import Ints

LEAST_TIMES = 500
"""Fewer do not tell how strongly to shrink: strong usual values stand in."""
LEAST_DAYS = 28
"""Nor do those of fewer days."""
_VALIDATED = 0.2
"""Share of the times, the latest ones, that choose the settings."""
_BATCH = 8_192


class Settings(NamedTuple):
    """How times are spread and shrunk."""

    width: float
    """Standard deviation of the kernel, in hours."""
    other_days: float
    """What a time says about the same hour of another day, against 1 for its own day."""
    strength: float
    segment_strength: float
    half_life: float
    """Days after which a time counts half; infinite if age does not matter."""


DEFAULT = Settings(width=1.5, other_days=0.5, strength=30.0, segment_strength=200.0, half_life=float("inf"))
# Most are steps of about a square root of two: coarser ones lose what shrinking gains.
_KERNELS = tuple(product((0.5, 0.7, 1.0, 1.4, 2.0, 2.8), (0.1, 0.2, 0.35, 0.6, 1.0)))
_STRENGTHS = (2.0, 3.0, 4.0, 6.0, 8.5, 12.0, 17.0, 24.0, 34.0, 50.0, 100.0, 400.0)
_SEGMENT_STRENGTHS = (50.0, 500.0, 5_000.0)
_HALF_LIVES = (float("inf"), 180.0, 60.0)


@dataclass(frozen=True)
class Activity:
    """What customers did; one element a time that one was active."""

    customer: Ints
    """Code of the customer, from 0."""
    hour: Ints
    """Local hour of the week."""
    day: Ints
    """Days since any fixed day; tells order and age."""


@dataclass(frozen=True)
class SendTime:
    """What is usual: shape (segments + 1, 168), the last row for those of no known segment."""

    usual: Floats
    settings: Settings
    times: int
    messages: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """One customer's best hour of the week to be written to."""

    hour: int
    probability: float
    """That a time this customer is active falls into this hour of the week."""
    low: float
    high: float
    """90 percent interval of the probability."""
    lift: float
    """Against an hour drawn at random from those allowed."""
    reasons: tuple[str, ...]


def train(activity: Activity, segment: Ints) -> SendTime:
    """Learns what is usual, and how much a customer's own times count.

    segment: code of each customer's segment, -1 for none; indexed by the customer's code.
    """
    segments = int(segment.max(initial=-1)) + 1
    size = len(activity.hour)
    # Day by which four fifths of the times were; those from it on choose the settings.
    cut = int(np.quantile(activity.day, 1 - _VALIDATED, method="lower")) if size else 0
    span = cut - int(activity.day.min()) if size else 0
    if size < LEAST_TIMES or span < LEAST_DAYS:
        usual = _usual(_segment_counts(activity, segment, segments, DEFAULT, 0), DEFAULT)
        message = (
            f"customers were active {size} times, most of them over {span} days; how habits differ is learnt from "
            f"{LEAST_TIMES} over {LEAST_DAYS} days: customers are taken to differ little until then"
        )
        return SendTime(usual, DEFAULT, size, (message,))
    earlier, later = (_some(activity, part) for part in (activity.day < cut, activity.day >= cut))
    settings = _chosen(earlier, later, segment, segments, cut)
    counts = _segment_counts(activity, segment, segments, settings, int(activity.day.max()))
    return SendTime(_usual(counts, settings), settings, size, ())


def everybody(activity: Activity) -> Floats:
    """When customers are active, whoever they are: a probability above 0 for each hour of the week."""
    nobody = np.full(int(activity.customer.max(initial=-1)) + 1, -1, dtype=np.int64)
    usual: Floats = _usual(_segment_counts(activity, nobody, 0, DEFAULT, 0), DEFAULT)[0]
    return usual


def predict(model: SendTime, activity: Activity, segment: Ints, as_of: int) -> Floats:
    """Probabilities of the hours of the week, shape (customers, 168); one customer for each element of `segment`."""
    own = _counts(activity.customer, activity, len(segment), model.settings.half_life, as_of)
    # A segment that came after training is nobody's.
    segment = np.where(segment < len(model.usual) - 1, segment, -1)
    return _posterior(own, model.usual, segment, model.settings.strength, _kernel(model.settings))


def best(
    model: SendTime, activity: Activity, segment: Ints, as_of: int, quiet: QuietHours | None = None
) -> list[Choice]:
    """The best allowed hour of each customer, with reasons; of equal hours the first of the week."""
    quiet = quiet or QuietHours()
    allowed = quiet.allowed()
    probabilities = predict(model, activity, segment, as_of)
    counted = _counts(activity.customer, activity, len(segment), float("inf"), as_of)
    open_hours = np.where(allowed, probabilities, -1.0)
    hours = open_hours.argmax(axis=1)
    wished = probabilities.argmax(axis=1)
    found = []
    for customer, hour in enumerate(hours.tolist()):
        p = float(probabilities[customer, hour])
        weight = model.settings.strength + counted[customer].sum()
        low, high = betaincinv(p * weight, (1 - p) * weight, np.array([0.05, 0.95]))
        reasons = [habit(counted[customer], known=segment[customer] >= 0)]
        if wished[customer] != hour:
            reasons.append(f"quiet hours leave out {named(int(wished[customer]))}, when they are most active")
        lift = p / max(float(probabilities[customer, allowed].mean()), 1e-300)
        # Near 0 and 1 the mean of so skewed a distribution lies in its tail.
        found.append(Choice(hour, p, min(float(low), p), max(float(high), p), lift, tuple(reasons)))
    return found


def evaluate(probabilities: Floats, customer: Ints, hour: Ints) -> dict[str, float]:
    """Mean log loss (nats) of new times, over the 168 hours of the week and over the 24 of the day."""
    of_day = probabilities.reshape(-1, 7, 24).sum(axis=1)
    return {
        "log_loss_168": float(-np.log(probabilities[customer, hour]).mean()),
        "log_loss_24": float(-np.log(of_day[customer, hour % 24]).mean()),
    }


def _chosen(earlier: Activity, later: Activity, segment: Ints, segments: int, cut: int) -> Settings:
    """The settings that predict the later times best; one step after the other, twice round."""
    chosen = DEFAULT
    loss = np.inf
    active, code = np.unique(later.customer, return_inverse=True)
    # Only those who bought later are predicted.
    row = np.full(len(segment), -1, dtype=np.int64)
    row[active] = np.arange(len(active))
    mine = row[earlier.customer] >= 0
    own = Activity(row[earlier.customer[mine]], earlier.hour[mine], earlier.day[mine])
    options = [
        *({"width": width, "other_days": other} for width, other in _KERNELS),
        *({"segment_strength": strength} for strength in _SEGMENT_STRENGTHS),
        *({"half_life": days} for days in _HALF_LIVES),
    ]
    strengths = np.array(_STRENGTHS)
    for _ in range(2):
        for option in options:
            tried = chosen._replace(**option)
            usual = _usual(_segment_counts(earlier, segment, segments, tried, cut), tried)
            counts = _counts(own.customer, own, len(active), tried.half_life, cut)
            spread = counts.sum(axis=1)[code]
            base = usual[segment[later.customer], later.hour]
            told = _told_by_own(counts, usual, segment[active], _kernel(tried), code, later.hour)
            # Own times and the strength enter apart: all strengths are tried at once.
            p = (told + strengths[:, None] * base) / (spread + strengths[:, None])
            losses = -np.log(p).mean(axis=1)
            if losses.min() < loss - 1e-9:
                loss = float(losses.min())
                chosen = tried._replace(strength=float(strengths[losses.argmin()]))
    return chosen


def _kernel(settings: Settings) -> Floats:
    """How near each hour of the week is to each other one, shape (168, 168)."""
    hour, day = np.arange(HOURS) % 24, np.arange(HOURS) // 24
    apart = np.abs(hour[:, None] - hour)
    near = np.exp(-0.5 * (np.minimum(apart, 24 - apart) / settings.width) ** 2)
    kernel: Floats = near * np.where(day[:, None] == day, 1.0, settings.other_days)
    return kernel


def _posterior(counts: Floats, usual: Floats, segment: Ints, strength: float, kernel: Floats) -> Floats:
    found = np.empty(counts.shape)
    for code in np.unique(segment).tolist():
        of = np.flatnonzero(segment == code)
        prior = usual[code]
        found[of] = counts[of] @ _spread(kernel, prior) + strength * prior
    found /= counts.sum(axis=1, keepdims=True) + strength
    return found


def _told_by_own(counts: Floats, usual: Floats, segment: Ints, kernel: Floats, code: Ints, hour: Ints) -> Floats:
    """What a customer's own times, spread, say about a time at `hour`; `code` is the customer's row."""
    told = np.empty(len(hour))
    for each in np.unique(segment).tolist():
        spread = _spread(kernel, usual[each])
        of = np.flatnonzero(segment[code] == each)
        for begin in range(0, len(of), _BATCH):
            some = of[begin : begin + _BATCH]
            told[some] = np.einsum("ij,ij->i", counts[code[some]], spread.T[hour[some]])
    return told


def _spread(kernel: Floats, prior: Floats) -> Floats:
    """From each hour of a time (row) the probabilities it speaks for: the prior, weighed by nearness."""
    weighed = kernel * prior
    spread: Floats = weighed / weighed.sum(axis=1, keepdims=True)
    return spread


def _usual(counts: Floats, settings: Settings) -> Floats:
    """Of each segment, shrunk to everybody; the last row is everybody. counts: (segments + 1, 168)."""
    # All: half a time at each hour, so that nothing is impossible, and a little of the hours beside.
    narrow = _kernel(settings._replace(width=0.35, other_days=0.0))
    of_all = counts.sum(axis=0) @ (narrow / narrow.sum(axis=1, keepdims=True)) + 0.5
    of_all /= of_all.sum()
    usual = counts.copy()
    usual[-1] = 0.0
    usual += settings.segment_strength * of_all
    usual /= usual.sum(axis=1, keepdims=True)
    return usual


def _segment_counts(activity: Activity, segment: Ints, segments: int, settings: Settings, as_of: int) -> Floats:
    of = segment[activity.customer]
    return _counts(np.where(of < 0, segments, of), activity, segments + 1, settings.half_life, as_of)


def _counts(row: Ints, activity: Activity, rows: int, half_life: float, as_of: int) -> Floats:
    """Activity by row and hour of the week, each counting by its age at `as_of`."""
    weight = np.exp2(-np.maximum(as_of - activity.day, 0) / half_life)
    flat = np.bincount(row * HOURS + activity.hour, weights=weight, minlength=rows * HOURS)
    # Without any time bincount gives integers.
    counts: Floats = flat.astype(np.float64).reshape(rows, HOURS)
    return counts


def _some(activity: Activity, keep: NDArray[np.bool_]) -> Activity:
    return Activity(activity.customer[keep], activity.hour[keep], activity.day[keep])
