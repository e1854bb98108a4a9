"""Who gets a lead."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sales.domain.assignment import Rep, Wanted, choose

ANYTHING = Wanted("", "", frozenset())


def rep(uid: str, load: int = 0, capacity: int = 10, **fields) -> Rep:
    values = {name: frozenset(fields.get(name, ())) for name in ("regions", "languages", "skills")}
    return Rep(
        uid, f"principals/{uid}", load=load, capacity=capacity, available=fields.get("available", True), **values
    )


def wanted(region: str = "", language: str = "", *skills: str) -> Wanted:
    return Wanted(region, language, frozenset(skills))


def chosen(want: Wanted, *reps: Rep) -> str:
    choice = choose(want, reps)
    return choice.rep.uid if choice.rep else ""


def test_the_lowest_share_of_capacity_wins_and_ties_go_by_name() -> None:
    assert chosen(ANYTHING, rep("ann", 3), rep("ben", 2), rep("cem", 2)) == "ben"
    # 5 of 20 is less than 3 of 10.
    assert chosen(ANYTHING, rep("ann", 3, 10), rep("ben", 5, 20)) == "ben"
    assert chosen(ANYTHING, rep("ben", 1, 3), rep("ann", 2, 6)) == "ann"


@pytest.mark.parametrize(
    ("want", "fields", "fits"),
    [
        (wanted("DE"), {"regions": ["DE", "AT"]}, True),
        (wanted("FR"), {"regions": ["DE", "AT"]}, False),
        (wanted("FR"), {}, True),
        (wanted(""), {"regions": ["DE"]}, True),
        (wanted("", "de-AT"), {"languages": ["de"]}, True),
        (wanted("", "de"), {"languages": ["de-AT"]}, True),
        (wanted("", "de-CH"), {"languages": ["de-AT"]}, False),
        (wanted("", "fr"), {"languages": ["de", "en"]}, False),
        (wanted("", "", "cloud"), {"skills": ["cloud", "data"]}, True),
        (wanted("", "", "cloud", "tax"), {"skills": ["cloud", "data"]}, False),
        (wanted("", "", "cloud"), {}, False),
    ],
)
def test_region_language_and_skills_decide_who_fits(want: Wanted, fields: dict, fits: bool) -> None:
    assert bool(chosen(want, rep("ann", **fields))) is fits


def test_reasons_tell_misfit_from_want_of_room() -> None:
    assert choose(wanted("FR"), [rep("ann", regions=["DE"])]).reason == "No sales rep fits: region FR."
    full = [rep("ann", 10), rep("ben", available=False), rep("cem", 0, 0)]
    assert choose(ANYTHING, full).reason.startswith("Nobody of the 3 who fit has room now")
    told = choose(wanted("DE", "de", "b", "a"), [rep("ann", 3, skills=["a", "b"]), rep("ben", 4, skills=["a", "b"])])
    assert told.reason == (
        "Fits (region DE, language de, skills a, b) and has 3 of 10 leads, the lowest share of the 2 who fit and have "
        "room."
    )


REPS = st.lists(
    st.builds(
        rep,
        uid=st.sampled_from(["ann", "ben", "cem", "dov", "eva"]),
        load=st.integers(0, 4),
        capacity=st.integers(0, 8),
        regions=st.sets(st.sampled_from(["DE", "FR"])),
        languages=st.sets(st.sampled_from(["de", "fr", "de-AT"])),
        available=st.booleans(),
    ),
    unique_by=lambda each: each.uid,
)
LEADS = st.lists(
    st.builds(wanted, region=st.sampled_from(["", "DE", "FR"]), language=st.sampled_from(["", "de", "fr"])), max_size=30
)


@given(REPS, LEADS, st.randoms())
def test_nobody_gets_past_the_capacity_nobody_who_could_waits_and_a_second_run_gives_the_same(reps, leads, chance):
    def run(order: list[Rep]) -> list[str]:
        now = {each.uid: each for each in order}
        result = []
        for want in leads:
            choice = choose(want, now.values())
            if choice.rep:
                assert choice.rep.fits(want)
                now[choice.rep.uid] = replace(choice.rep, load=choice.rep.load + 1)
            else:
                assert not any(each.fits(want) and each.has_room for each in now.values())
            result.append(choice.rep.uid if choice.rep else "")
        given = Counter(result)
        assert all(each.load + given[each.uid] <= max(each.capacity, each.load) for each in order)
        return result

    shuffled = list(reps)
    chance.shuffle(shuffled)
    assert run(reps) == run(shuffled)
