"""Contracts made of the events of subscriptions: when each comes to its renewals, and how these ended.

A subscription is what one customer's events of one id tell. It begins with a start. A start or renewal half a period to
a period and a quarter after the last one renews it; one that comes sooner is the same told again. A renewal that is
overdue by more than a quarter of a period did not come, and what is told after that begins anew. After a cancellation
the next renewal does not come, unless a renewal that is told before then takes the cancellation back; a start begins
anew. So how a renewal ended is settled a quarter of a period after it was due, whatever comes later. How old a contract
is whose first event is a renewal nobody knows: it is left out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoring.models.sbg import Tenures
from scoring.models.summary import Ints

RENEWAL, END, START = 0, 1, 2
"""In the order they count in when they are told of the same instant: who changes contracts ends one and starts one."""
DAY = 86_400
USUAL = {"week": 7 * DAY, "month": 30 * DAY, "quarter": 91 * DAY, "half year": 183 * DAY, "year": 365 * DAY}
"""Periods that contracts are grouped by, with their usual lengths in seconds; the nearest by ratio is theirs."""
NAMES = tuple(USUAL)
LEAST_SHARE = 0.05
"""Of the subscriptions that were renewed; those with periods of fewer are left out."""
_LEAST_GAP = USUAL["week"] // 2
_NONE = -1
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Events:
    """Events of subscriptions, each once, by subscription, time and kind.

    subscription: which of so many `subscriptions`, from 0; customer: which, from 0; time: seconds since 1970, UTC.
    """

    subscription: Ints
    customer: Ints
    kind: Ints
    time: Ints
    subscriptions: int

    def before(self, instant: int) -> "Events":
        """Those before an instant; subscriptions and customers keep their codes."""
        kept = self.time < instant
        return Events(
            self.subscription[kept], self.customer[kept], self.kind[kept], self.time[kept], self.subscriptions
        )

    @property
    def customers(self) -> Ints:
        """Of each subscription whose it is; 0 of those without any event."""
        found = np.zeros(self.subscriptions, dtype=np.int64)
        found[self.subscription] = self.customer
        return found


@dataclass(frozen=True)
class Periods:
    """How long the periods of each subscription are.

    length: in seconds; 0 where none is known, or one that few have. group: place in NAMES, -1 there. usual: by group
    the median length, 0 of those that none or few have. rare: how many subscriptions have one that few have.
    """

    length: Ints
    group: Ints
    usual: tuple[int, ...]
    rare: int


@dataclass(frozen=True)
class Contracts:
    """Contracts, and the renewals they came to.

    subscription; renewals: how many came; begun: when the running period began; known: whether its start is;
    running: whether it is neither cancelled nor overdue: of each contract.
    of: its contract; number: which of the contract it is, from 1; settled: when; came; told: of those that did not come
    whether an event said so, else it was overdue: of each renewal that has come or will not.
    """

    subscription: Ints
    renewals: Ints
    begun: Ints
    known: Flags
    running: Flags
    of: Ints
    number: Ints
    settled: Ints
    came: Flags
    told: Flags

    def tenures(self, which: Flags) -> Tenures:
        """Of the contracts that such renewals are of, all of a contract until some instant."""
        of, came = self.of[which], self.came[which]
        renewals = np.bincount(of, minlength=len(self.renewals))
        left = np.bincount(of[~came], minlength=len(self.renewals))
        there = renewals > 0
        return Tenures.of(renewals[there], left[there])


def periods(events: Events, now: int) -> Periods:
    """By the median gap between starts and renewals: of the subscription, else of its customer, else of most.

    Where there are several periods, one that was never renewed has that of most, unless it was cancelled later than
    such a contract can be, or is silent for longer although most of those say it when they end: then the next longer.
    """
    count = events.subscriptions
    gap = np.diff(events.time)
    turns = (events.kind[:-1] != END) & (events.kind[1:] != END) & (gap >= _LEAST_GAP)
    there = np.flatnonzero(turns & (events.subscription[1:] == events.subscription[:-1]))
    gap = gap[there]
    length = _medians(events.subscription[there], gap, count)
    group = _nearest(length)
    sizes = np.bincount(group[group >= 0], minlength=len(NAMES))
    kept = sizes >= np.maximum(LEAST_SHARE * sizes.sum(), 1)
    usual = tuple(int(np.median(length[group == place])) if kept[place] else 0 for place in range(len(NAMES)))
    customer = events.customers
    of_customers = _medians(events.customer[there], gap, int(customer.max(initial=0)) + 1)[customer]
    found = np.where(length > 0, length, of_customers)
    place = np.where(found > 0, _nearest(found), _of_most(events, length, group, sizes * kept, usual, now))
    place = np.where(np.bincount(events.subscription, minlength=count) > 0, place, _NONE)
    rare = (place >= 0) & ~kept[place]
    place[rare] = _NONE
    found = np.where(found > 0, found, np.array(usual)[place])
    return Periods(np.where(place >= 0, found, 0), place, usual, int(rare.sum()))


def contracts(events: Events, told: Periods, now: int) -> Contracts:
    """Those of all events, which are before `now`, by such periods; subscriptions without any are left out."""
    with_period = told.length[events.subscription] > 0
    subscription, kind, time = (column[with_period] for column in (events.subscription, events.kind, events.time))
    most, subscriptions = len(time), len(told.length)
    of, renewals, begun = (np.zeros(most, dtype=np.int64) for _ in range(3))
    known, cancelled = (np.zeros(most, dtype=bool) for _ in range(2))
    current = np.full(subscriptions, _NONE)
    made = 0
    came: list[tuple[Ints, Ints, Ints]] = []
    counts = np.bincount(subscription, minlength=subscriptions)
    first = np.cumsum(counts) - counts
    # All first events at a time, then all second ones: what an event means depends on those before it.
    order = np.argsort(-counts, kind="stable")
    reach = np.searchsorted(-counts[order], -np.arange(1, int(counts.max(initial=0)) + 1), side="right")
    for turn, there in enumerate(reach.tolist()):
        who = order[:there]
        at = first[who] + turn
        what, when, length, mine = kind[at], time[at], told.length[who], current[who]
        has = mine >= 0
        since = when - begun[mine]
        in_time = has & (since * 4 <= 5 * length)
        anew = (what != END) & (~in_time | ((what == START) & cancelled[mine]))
        renews = (what != END) & ~anew & (since * 2 >= length)
        cancelled[mine[in_time & (what == END)]] = True
        cancelled[mine[~anew & (renews | (in_time & (what == RENEWAL)))]] = False
        some = mine[renews]
        renewals[some] += 1
        came.append((some, renewals[some].copy(), _settled(begun[some], length[renews])))
        begun[some] = when[renews]
        new = np.arange(made, made + int(anew.sum()))
        made += len(new)
        of[new], begun[new], current[who[anew]] = who[anew], when[anew], new
        known[new] = (what[anew] == START) | has[anew]
    of, renewals, begun = (each[:made] for each in (of, renewals, begun))
    known, cancelled = known[:made], cancelled[:made]
    settled = _settled(begun, told.length[of])
    newest = np.zeros(made, dtype=bool)
    newest[current[current >= 0]] = True
    running = newest & ~cancelled & (settled >= now)
    gone = np.flatnonzero(~running)
    columns = [*came, (gone, renewals[gone] + 1, settled[gone])]
    which, number, when = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    kept = np.arange(len(which)) < len(which) - len(gone)
    return Contracts(of, renewals, begun, known, running, which, number, when, kept, cancelled[which])


def _settled(begun: Ints, length: Ints) -> Ints:
    """The last second of a renewal of the period that began then."""
    return begun + length * 5 // 4


def _of_most(events: Events, length: Ints, group: Ints, sizes: Ints, usual: tuple[int, ...], now: int) -> Ints:
    """The group of each subscription, were it never renewed."""
    if not sizes.any():
        return np.full(len(length), _NONE)
    most = int(sizes.argmax())
    begun, heard, last = (np.zeros(len(length), dtype=np.int64) for _ in range(3))
    # The last one that is written stays.
    begun[events.subscription[::-1]] = events.time[::-1]
    heard[events.subscription], last[events.subscription] = events.time, events.kind
    left = (group == most) & ((last == END) | ((now - heard) * 4 > 5 * length))
    say_so = (last[left] == END).mean() >= 1 / 2 if left.any() else False
    lasted = np.where(last == END, heard, now if say_so else heard) - begun
    found = np.full(len(length), most)
    for place in range(most + 1, len(NAMES)):
        if usual[place]:
            found = np.where(lasted * 4 > 5 * np.array(usual)[found], place, found)
    return found


def _nearest(length: Ints) -> Ints:
    """The group of each length; -1 of 0."""
    usual = np.array(list(USUAL.values()))
    middles = np.sqrt(usual[1:] * usual[:-1])
    return np.where(length > 0, np.searchsorted(middles, length), _NONE)


def _medians(code: Ints, value: Ints, count: int) -> Ints:
    """The lower median of the values of each code; 0 where there are none."""
    order = np.lexsort((value, code))
    sizes = np.bincount(code, minlength=count)
    middles = np.cumsum(sizes) - sizes + (sizes - 1) // 2
    there = sizes > 0
    found = np.zeros(count, dtype=np.int64)
    found[there] = value[order][middles[there]]
    return found
