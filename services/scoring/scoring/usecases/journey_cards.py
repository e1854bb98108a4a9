"""The card of what a journey brought, drawn when it is asked for."""

from google.api.httpbody_pb2 import HttpBody

from scoring.cards import journey_page
from scoring.cards.journey_page import JourneyCard
from scoring.domain.journey_outcomes import WINDOW_DEFAULT
from scoring.store import JourneyEffect
from scoring.usecases.cards import drawn


def card(journey: str, format: str) -> HttpBody:
    """The card of the journey of that uid. Raises NotFound JOURNEY_NOT_MEASURED, InvalidArgument INVALID_FORMAT."""
    found = JourneyEffect.of(journey)
    shown = JourneyCard(
        f"journeys/{journey}",
        WINDOW_DEFAULT,
        {int(days): window for days, window in (found.windows or {}).items()},
        found.uplift or {},
        found.compute_time,
    )
    return drawn(f"effect-{journey}", format, journey_page.html, journey_page.markdown, shown)
