"""Random conditions of segments, valid by construction, about the few things that tests let happen."""

from typing import Any

from hypothesis import strategies as st

from scoring.domain import conditions as tree
from scoring.domain.conditions import Amount, Condition, Consent, Events, InSegment, Not, Score, Trait, Window

SEGMENTS = ("s9", "s7", "s8", "s6")
"""Each asks for those before it only; an order of names that is none of these."""
PURPOSES = ("purposes/news", "purposes/more")
RFM = ("Lost", "At risk")


def _choice(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


COMPARED = st.sampled_from(tree.COMPARISONS)
EQUAL = st.sampled_from(tree.EQUALITIES)
COUNTS = _choice(0.0, 1.0, 2.0, 3.0, 5.0)
AMOUNTS = _choice(-5.0, 0.0, 5.0, 9.995, 10.0, 20.01, 100.0)
WINDOWS = st.builds(Window, _choice(1, 2, 5, 24, 30, 366), _choice("d", "h"))
NARROWED = WINDOWS | st.none()
ORDER = _choice("Order", "Page")
TRAIT = st.one_of(
    st.builds(Trait, _choice("region_code"), EQUAL, _choice("DE", "FR")),
    st.builds(Trait, _choice("has_email"), EQUAL, st.booleans()),
    st.builds(Trait, _choice("traits.plan", "traits.my plan"), EQUAL, _choice("pro", "5", 5.0, True)),
    st.builds(Trait, _choice("traits.age", "traits.plan"), COMPARED, _choice(5.0, 17.0, 18.5)),
    st.builds(Trait, _choice("traits.tags", "traits.plan"), _choice(":"), _choice("pro", 5.0, True)),
    st.builds(Trait, _choice("traits.tags", "traits.age", "region_code", "has_email"), _choice(":*")),
)
SCORE = st.one_of(
    st.builds(Score, _choice("lifetime_value", "revenue"), COMPARED, AMOUNTS),
    st.builds(Score, _choice("p_alive", "churn_risk", "expected_purchases"), COMPARED, _choice(0.25, 0.5, 1.0)),
    st.builds(Score, _choice("recency_weeks", "age_weeks"), COMPARED, _choice(0.5, 10.0)),
    st.builds(Score, _choice("frequency", "purchases"), COMPARED, COUNTS),
    st.builds(Score, _choice("rfm_segment", "cluster"), EQUAL, _choice(*RFM)),
    st.builds(Score, _choice(*tree.SCORES), _choice(":*")),
)
EVENTS = st.one_of(
    st.builds(Events, _choice("count"), ORDER, COMPARED, COUNTS, NARROWED, _choice("", "", "shop"), _choice("", "EUR")),
    st.builds(
        Events,
        _choice("sum", "count"),
        ORDER,
        COMPARED,
        COUNTS,
        WINDOWS,
        _choice("", "till"),
        _choice("EUR", "JPY"),
        st.builds(Amount, COMPARED, AMOUNTS) | st.none(),
    ),
    st.builds(Events, _choice("sum"), ORDER, COMPARED, AMOUNTS, NARROWED, _choice("", "shop"), _choice("EUR", "JPY")),
    st.builds(
        Events,
        _choice("days_since_last", "hours_since_last"),
        ORDER,
        st.sampled_from(tree.ORDERS),
        _choice(0.0, 0.3333, 1.0, 2.0, 30.0),
        _choice(None),
        _choice("", "till"),
        _choice("", "JPY"),
    ),
)
CONSENTS = st.builds(Consent, st.sampled_from(PURPOSES), _choice("EMAIL", "NONE"), st.sampled_from(tree.CONSENT_STATES))


def _compound(parts: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return st.one_of(st.builds(tree.All, several), st.builds(tree.Any, several), st.builds(Not, parts))


def _conditions(place: int) -> st.SearchStrategy[Condition]:
    """Any condition that the segment of that place may have."""
    others = st.builds(InSegment, _choice("unknown", *SEGMENTS[:place]))
    return st.recursive(st.one_of(TRAIT, SCORE, EVENTS, EVENTS, CONSENTS, others), _compound, max_leaves=6)


CONDITIONS = [_conditions(place) for place in range(len(SEGMENTS))]
CHANGES = st.one_of([st.tuples(st.just(uid), each) for uid, each in zip(SEGMENTS, CONDITIONS, strict=True)])
