"""Whether a customer responds to messages: a model of propensity on the declared features of purchases and activity.

Of customers to whom a message is sent within 14 days after an instant, those respond who follow a link within the same
14 days, after that message (after the first, where there are several). So what is told of a customer is how probable a
response within 14 days is if something is sent in them. A model learns from several instants 14 days apart, so that no
click tells two labels, and each label was known at the next instant. Whom programs follow links for has not responded
(`features.table.by_persons`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from scoring.domain.conditions import RESPONSE_PROBABILITY
from scoring.domain.response_rules import HORIZON, INSTANTS_MOST, LOOKED_AT, REACHED_WITHIN
from scoring.features.declared import CLICKED, PURCHASE, SENT
from scoring.features.table import by_persons
from scoring.models import past_customers
from scoring.models.classifier import Table
from scoring.models.fitting import Floats
from scoring.models.past_customers import column_of
from scoring.models.propensity import Propensity
from scoring.models.summary import Ints

OUTCOME = "probability of a response"
CLICK_SHARE = "clicks_per_message_90d"
COLUMNS = tuple(map(column_of, LOOKED_AT))
_HORIZON_US = HORIZON // timedelta(microseconds=1)


@dataclass(frozen=True)
class Rows:
    """Customers, by their codes, as of an instant (microseconds), and whether they responded (1) or not (0)."""

    at: int
    table: Table
    labels: Floats


class Customers(past_customers.Customers):
    """Customers with what they bought, what was sent to them, and what else they did."""

    def reached(self, at: int) -> Ints:
        """Codes of those who are scored as of an instant."""
        events = self.events
        kinds = (events.kind == SENT) | ((events.kind == PURCHASE) & (events.amount >= 0))
        within = (events.time >= at - REACHED_WITHIN // timedelta(microseconds=1)) & (events.time < at)
        return np.flatnonzero(np.bincount(events.customer[kinds & within]))

    def table(self, at: int, codes: Ints) -> Table:
        """What was known of these customers as of an instant: COLUMNS."""
        return self.known(at, codes, LOOKED_AT)

    def first_message(self) -> int | None:
        """When the first message was sent that is known of any of them; None where none is."""
        sent = self.events.time[self.events.kind == SENT]
        return int(sent.min()) if len(sent) else None

    def labelled(self, moments: Sequence[int]) -> Iterator[Rows]:
        """The rows of each instant, in their order."""
        events = by_persons(self.events)
        for at in moments:
            end = at + _HORIZON_US
            inside = (events.time >= at) & (events.time < end)
            sent, clicked = inside & (events.kind == SENT), inside & (events.kind == CLICKED)
            first, last = np.full(len(self), end), np.full(len(self), at - 1)
            np.minimum.at(first, events.customer[sent], events.time[sent])
            np.maximum.at(last, events.customer[clicked], events.time[clicked])
            codes = np.flatnonzero(first < end)
            yield Rows(at, self.table(at, codes), (last >= first)[codes].astype(np.float64))


def instants(as_of: int) -> tuple[int, ...]:
    """The instants that may be learned from, the newest first: of each it is known as of `as_of` who responded."""
    return tuple(as_of - number * _HORIZON_US for number in range(1, INSTANTS_MOST + 1))


def learned_from(moments: Sequence[int], first_message: int | None) -> tuple[int, ...]:
    """Those of the instants before which messages were known for a horizon at least, from the first one on."""
    return () if first_message is None else tuple(at for at in moments if at >= first_message + _HORIZON_US)


def rival(table: Table, dates: np.ndarray[Any, Any]) -> Floats:
    """What ranks customers without a model: the share of messages of 90 days with a followed link, at most 1.

    Of whom nothing was sent to then, the mean of the others as of the same instant.
    """
    share = np.minimum(np.asarray(table.values[CLICK_SHARE], dtype=np.float64), 1)
    unknown = np.isnan(share)
    for at in np.unique(dates[unknown]):
        others = share[(dates == at) & ~unknown]
        share[(dates == at) & unknown] = others.mean() if len(others) else 0
    return share


def told(model: Propensity, table: Table) -> dict[str, list[Any]]:
    """The probability of each row with its interval and its reasons, by the names of columns."""
    return past_customers.told(model, table, RESPONSE_PROBABILITY)
