"""What the counts of a journey say: differences with intervals, and the sentence people read."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from chassis import money
from docstore import Row
from scoring.domain.journey_outcomes import Group, Tally
from scoring.domain.purchases import main_currency
from scoring.models import effect
from scoring.models.effect import Difference, Sample

PENDING, RUNNING, TOO_FEW, MEASURED = "PENDING", "RUNNING", "TOO_FEW", "MEASURED"
_NOT_BY_CHANCE = 0.001


def report(tally: Tally, days: int) -> Row:
    """What is known of one window, as stored.

    state: RUNNING while nobody's window is over, TOO_FEW while an interval would mislead, then MEASURED. treated,
    held_out: customers, buyers, revenue (mean, in minor units). share, revenue: `effect.Difference`, once measured.
    """
    percents = tally.percents(days)
    currencies = tally.purchases(days)
    currency = main_currency(dict(currencies)) if currencies else ""
    groups = {
        held_out: [tally.group(days, percent, held_out=held_out) for percent in percents] for held_out in (False, True)
    }
    # Whom nobody of the other group can be held against says nothing of a difference.
    pairs = [
        (treated, held_out)
        for treated, held_out in zip(groups[False], groups[True], strict=True)
        if min(treated.customers, held_out.customers) >= 2
    ]
    compared = [_both(side) for side in (zip(*pairs, strict=True) if pairs else ((), ()))]
    found: Row = {
        "treated": _told(groups[False], currency),
        "held_out": _told(groups[True], currency),
        "currency": currency,
        "waiting": tally.waiting[days],
        "messages": _messages(tally, days, currency),
    }
    problem = _too_few(*compared)
    if not any(found[group]["customers"] for group in ("treated", "held_out")):
        return found | {"state": RUNNING, "summary": _running(tally, days)}
    if problem:
        return found | {"state": TOO_FEW, "summary": f"Too few to tell yet: {problem}."}
    share = effect.of_shares([(_buyers(treated), _buyers(held_out)) for treated, held_out in pairs])
    revenue = effect.of_means(
        [(_revenue(treated, currency), _revenue(held_out, currency)) for treated, held_out in pairs]
    )
    return found | {
        "state": MEASURED,
        "share": asdict(share),
        "revenue": asdict(revenue),
        "summary": _sentence(share, revenue, currency, days, compared[1].customers),
    }


def _both(groups: Sequence[Group]) -> Group:
    found = Group()
    for each in groups:
        found.customers += each.customers
        found.buyers += each.buyers
    return found


def _too_few(treated: Group, held_out: Group) -> str:
    for name, group in (("were sent to", treated), ("were held out", held_out)):
        if group.customers < effect.LEAST:
            return f"{group.customers} of those whose time is over {name}, and {effect.LEAST} of each are needed"
    bought = treated.buyers + held_out.buyers
    if bought < effect.LEAST_HITS:
        return f"{bought} of them bought, and {effect.LEAST_HITS} are needed"
    return ""


def _running(tally: Tally, days: int) -> str:
    if days not in tally.first_end:
        return "Nobody has entered."
    end = datetime.fromtimestamp(tally.first_end[days] / 1000, UTC)
    return f"Not over yet: the {days} days of those who entered first end on {end:%Y-%m-%d}."


def _buyers(group: Group) -> Sample:
    return Sample(group.customers, group.buyers, group.buyers)


def _revenue(group: Group, currency: str) -> Sample:
    return Sample(group.customers, *group.revenue.get(currency, (0, 0)))


def _told(groups: Sequence[Group], currency: str) -> Row:
    customers = sum(each.customers for each in groups)
    total = sum(each.revenue.get(currency, (0, 0))[0] for each in groups)
    return {
        "customers": customers,
        "buyers": sum(each.buyers for each in groups),
        "revenue": total / customers if customers else 0.0,
    }


def _messages(tally: Tally, days: int, currency: str) -> list[str]:
    percents = tally.percents(days)
    found = []
    if len(percents) > 1:
        held = ", ".join(f"{percent} %" for percent in percents)
        found.append(
            f"The share held out was changed ({held}): people are compared only with those who entered under the same, "
            "so that shares and averages of the groups as a whole may differ by more or less than the difference told."
        )
    counts = [
        (
            tally.group(days, percent, held_out=False).customers,
            tally.group(days, percent, held_out=True).customers,
            percent / 100,
        )
        for percent in percents
    ]
    if effect.drawn_p(counts) < _NOT_BY_CHANCE:
        found.append(
            "More or fewer are counted as held out than chance gives: something that the messages change, such as "
            "objections to profiling, decides who is counted. The difference is not to be relied on."
        )
    others = sum(number for code, number in tally.purchases(days).items() if code != currency)
    if others:
        found.append(f"{others} purchases in other currencies than {currency} count as purchases, not as revenue.")
    if tally.crossed:
        found.append(
            f"{tally.crossed} people are in both groups, because customers turned out to be the same person; they "
            "count in the one they were in first."
        )
    return found


def _sentence(share: Difference, revenue: Difference, currency: str, days: int, held_out: int) -> str:
    points, low, high = (100 * value for value in (share.value, share.low_90, share.high_90))
    money_low, money_high = (_amount(value, currency) for value in (revenue.low_90, revenue.high_90))
    more = f"{abs(points):.1f} points {'fewer' if points < 0 else 'more'} bought within {days} days"
    bought = f"{more}, 90 % between {low:.1f} and {high:.1f}; {held_out:,} held out."
    if low <= 0 <= high:
        bought = f"Not told from chance: {bought}"
    spent = (
        f"Each spent {_amount(abs(revenue.value), currency)} {currency} {'less' if revenue.value < 0 else 'more'} on "
        f"average, 90 % between {money_low} and {money_high}."
    )
    return f"{bought} {spent}"


def _amount(minor: float, currency: str) -> str:
    decimals = money.check_currency(currency)
    return f"{minor / 10**decimals:.{decimals}f}"
