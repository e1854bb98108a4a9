"""How values change and how merged profiles are folded."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from identity.domain import profile
from identity.domain.profile import OwnData, fold, learn

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(minute):
    return START + timedelta(minutes=minute)


news = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.dictionaries(st.sampled_from(["email", "traits.plan", "traits.age"]), st.sampled_from(["", "x", "y", 3])),
    ),
    max_size=8,
)


def learnt(told):
    own = OwnData("c")
    for minute, values in told:
        for key, value in learn(own.values, own.times, values, at(minute)).items():
            own.values[key], own.times[key] = value, at(minute)
    return own.values, own.times


@given(news, st.randoms())
def test_values_do_not_depend_on_the_order_they_are_told_in(told, random):
    shuffled = random.sample(told, len(told))
    assert learnt(told) == learnt(shuffled)


@given(news)
def test_the_latest_word_wins(told):
    values, times = learnt(told)
    for key, value in values.items():
        latest = max(minute for minute, said in told if key in said)
        assert times[key] == at(latest)
        assert value in [said[key] for minute, said in told if minute == latest and key in said]


members = st.lists(
    st.dictionaries(
        st.sampled_from(["email", "phone", "traits.plan"]),
        st.tuples(st.sampled_from(["", "x", "y"]), st.integers(0, 4)),
    ),
    min_size=1,
    max_size=5,
)


def owned(number, known):
    return OwnData(f"c{number}", {k: v for k, (v, _) in known.items()}, {k: at(m) for k, (_, m) in known.items()})


@given(members, st.randoms())
def test_a_fold_depends_on_the_members_alone(known, random):
    made = [owned(number, one) for number, one in enumerate(known)]
    shuffled = random.sample(made, len(made))
    folded = fold("c0", made)
    assert folded == fold("c0", shuffled)
    for key in ("email", "phone", "traits.plan"):
        if key in made[0].values:
            assert folded.get(key, "") == made[0].values[key], "the canonical customer's own value wins"
        else:
            told = [(m.times[key], m.values[key]) for m in made if m.values.get(key)]
            assert (key in folded) == bool(told)
            assert not told or folded[key] in [value for time, value in told if time == max(told)[0]]


def test_a_fold_of_one_is_itself_less_what_was_emptied():
    own = OwnData("c", {"email": "a@x.io", "phone": ""}, {"email": at(0), "phone": at(1)})
    assert fold("c", [own]) == {"email": "a@x.io"}


def test_traits_have_limits():
    assert profile.fits({}, "a", "x" * 1000)
    assert not profile.fits({}, "a", "x" * profile.MAX_TRAITS_BYTES)
    full = {f"t{n}": 1 for n in range(profile.MAX_TRAITS)}
    assert not profile.fits(full, "one more", 1)
    assert profile.fits(full, "t0", 2)


def test_only_so_many_removed_traits_are_remembered():
    times = {f"traits.t{n:03}": at(n) for n in range(profile.MAX_TRAITS + 5)} | {"email": at(0)}
    kept = profile.without_forgotten(times, {"t000": "still there"})
    assert len(kept) == profile.MAX_TRAITS + 2
    assert "traits.t000" in kept
    assert "traits.t001" not in kept
    assert "email" in kept
