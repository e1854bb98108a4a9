"""Two models as one: the mean of their log odds."""

from dataclasses import dataclass

from scoring.models.classifier.boosting import Boosting
from scoring.models.classifier.encoding import Matrix
from scoring.models.classifier.logistic import Logistic
from scoring.models.fitting import Floats


@dataclass(frozen=True)
class Average:
    """Raw scores and contributions halfway between both."""

    boosting: Boosting
    logistic: Logistic

    @property
    def base(self) -> float:
        """Halfway, too."""
        return (self.boosting.base + self.logistic.base) / 2

    def raw(self, matrix: Matrix) -> Floats:
        """Log odds of each row."""
        return (self.boosting.raw(matrix) + self.logistic.raw(matrix)) / 2

    def contributions(self, matrix: Matrix) -> Floats:
        """Log odds, shape (rows, slots)."""
        return (self.boosting.contributions(matrix) + self.logistic.contributions(matrix)) / 2
