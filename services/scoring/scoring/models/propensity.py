"""How probable an outcome is of each of a tenant's rows: a trained classifier, and what judges and watches it.

Boosted trees (Prokhorenkova et al. 2018, CatBoost), logistic regression and their average, calibrated; which one tells
is chosen on rows that none had seen (`classifier.train`).
"""

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoring.models import classifier
from scoring.models.classifier import Classifier, Table, Training
from scoring.models.drift import Histogram
from scoring.models.fitting import Floats
from scoring.models.summary import Ints

_QUANTILES = np.linspace(0, 1, 201)


@dataclass(frozen=True)
class Labelled:
    """Rows whose outcome is known, in any order. rival: what ranks each without a model, 0 to 1, more for likelier.

    waited: whole days from a row's date to what makes the outcome not come, NaN where it came; None where time is none
    of the outcome's. owners: whose each row is, where ids do not say it.
    """

    table: Table
    dates: NDArray[np.datetime64]
    labels: Floats
    rival: Floats
    waited: Floats | None = None
    owners: NDArray[Any] | None = None

    @property
    def customers(self) -> NDArray[Any]:
        """Whose each row is: those of one customer are not independent."""
        return self.table.ids if self.owners is None else self.owners

    @property
    def customer_counts(self) -> tuple[int, int]:
        """How many customers have a row with the outcome, and how many one without."""
        having, lacking = (len(np.unique(self.customers[self.labels == value])) for value in (1, 0))
        return having, lacking

    def take(self, rows: Ints) -> "Labelled":
        """Some of them."""
        waited, owners = (None if each is None else each[rows] for each in (self.waited, self.owners))
        return Labelled(self.table.take(rows), self.dates[rows], self.labels[rows], self.rival[rows], waited, owners)

    def __len__(self) -> int:
        return len(self.table)


@dataclass(frozen=True)
class Propensity:
    """A trained model with the probabilities it gave rows it had not seen, for percentiles."""

    classifier: Classifier
    reference: tuple[float, ...]
    """Quantiles, 0 to 1 in steps of half a percent."""
    newest: int
    """Rows of later dates than this (microseconds since 1970) have outcomes it has not learned from."""
    as_of: int
    """The instant it looked from, in microseconds since 1970."""
    promised: float | None
    """Squared error on the rows it was tested on, as a share of that of telling all the same; None if not tested."""
    histograms: Mapping[str, Histogram]
    """How rows lay when it was made, by column, and what it tells of them."""

    def probability(self, table: Table) -> Floats:
        """Of each row to have the outcome."""
        return classifier.predict(self.classifier, table).probability

    def percentile(self, probability: Floats) -> Floats:
        """The share of the rows it learned from with such a probability or a lower one, 0 to 100."""
        below = np.searchsorted(np.array(self.reference), probability, side="right")
        return np.minimum(100.0, below / len(self.reference) * 100)


def reference_of(training: Training) -> tuple[float, ...]:
    """How the probabilities of rows lie that the model had not seen: `Propensity.reference`."""
    seen = training.out_of_fold
    told = seen.probability[training.classifier.chosen] if seen else [training.classifier.base_rate.probability]
    return tuple(float(f"{q:.9g}") for q in np.quantile(told, _QUANTILES))


def dump(model: Propensity) -> dict[str, Any]:
    """The model whole, as JSON holds it."""
    return {
        "classifier": base64.b64encode(classifier.to_bytes(model.classifier)).decode(),
        "reference": list(model.reference),
        "newest": model.newest,
        "as_of": model.as_of,
        "promised": model.promised,
        "histograms": {name: asdict(found) for name, found in model.histograms.items()},
    }


def load(stored: Mapping[str, Any]) -> Propensity:
    """The model that was dumped. Raises ArtefactError where it is damaged."""
    whole = classifier.from_bytes(base64.b64decode(stored["classifier"]))
    # Those of before missing values had a bin took them for zero: there is nothing to compare with.
    histograms = {name: Histogram.load(found) for name, found in stored["histograms"].items() if "missing" in found}
    # Models of before the instant was kept: what they learned of happened until about then.
    as_of = stored.get("as_of", stored["newest"])
    return Propensity(whole, tuple(stored["reference"]), stored["newest"], as_of, stored["promised"], histograms)
