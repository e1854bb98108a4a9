"""The next best offer of a customer: EASE over recency-weighted purchases, or popularity where data are few."""

from scoring.models.offers.calibration import Calibration
from scoring.models.offers.eligibility import NEVER, UNLIMITED, Terms, allocate, eligible, expected_margin
from scoring.models.offers.history import Purchases
from scoring.models.offers.listing import Listing, listings
from scoring.models.offers.model import Candidates, Offer, OfferModel, days_ago
from scoring.models.offers.ranking import Ranking, rank, top
from scoring.models.offers.training import fit

__all__ = [
    "NEVER",
    "UNLIMITED",
    "Calibration",
    "Candidates",
    "Listing",
    "Offer",
    "OfferModel",
    "Purchases",
    "Ranking",
    "Terms",
    "allocate",
    "days_ago",
    "eligible",
    "expected_margin",
    "fit",
    "listings",
    "rank",
    "top",
]
