"""Who did it: the result depends on the events, not on their order."""

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.domain.graph import Node, canonical, components, pair
from identity.domain.guards import Guard, Limits
from identity.domain.identifiers import Identifier, Kind
from identity.domain.resolution import Evidence, Profile, Resolver, distinct

START = datetime(2026, 1, 1, tzinfo=UTC)
WIDE = Limits(dict.fromkeys(Kind, 1000), 1000)


def user(value, source="shop"):
    return Identifier(Kind.USER_ID, source, value)


def email(value):
    return Identifier(Kind.EMAIL, "", value)


def device(value, source="shop"):
    return Identifier(Kind.ANONYMOUS_ID, source, value)


def seen(number, *identifiers, previous=""):
    """Evidence of one event, `number` minutes after the start."""
    return Evidence(
        f"m{number:04}",
        START + timedelta(minutes=number),
        tuple(one for one in identifiers if one.kind.strong),
        tuple(one for one in identifiers if not one.kind.strong),
        previous,
    )


def resolver(limits=WIDE, undone=()):
    count = itertools.count()
    return Resolver({}, {}, set(undone), limits, lambda: f"c{next(count):04}", START)


def resolved(evidence, limits=WIDE, undone=()):
    made = resolver(limits, undone)
    for one in evidence:
        made.resolve(one)
    return made


def partition(made):
    groups = {}
    for identifier, known in made.identifiers.items():
        groups.setdefault(id(made.profiles[known.customer]), set()).add(identifier)
    return {frozenset(group) for group in groups.values()}


@st.composite
def histories(draw):
    """Events of a few people with shared devices, addresses and sources, each at its own time."""
    events = draw(st.lists(st.tuples(
        st.sampled_from(["shop", "app"]),
        st.sampled_from([None, "u1", "u2", "u3", "u4"]),
        st.sampled_from([None, None, None, "a@x.io", "b@x.io", "c@x.io"]),
        st.sampled_from([None, "d1", "d2", "d3"]),
        st.sampled_from(["", "", "", "", "u1", "u5"]),
    ), min_size=1, max_size=14))  # fmt: skip
    evidence = []
    for number, (source, user_id, address, device_id, previous) in enumerate(events):
        if user_id is None and device_id is None:
            continue
        identifiers = [user(user_id, source)] if user_id else []
        identifiers += [email(address)] if user_id and address else []
        identifiers += [device(device_id, source)] if device_id else []
        evidence.append(seen(number, *identifiers, previous=previous if user_id else ""))
    return evidence, draw(st.permutations(evidence))


@given(histories())
@settings(max_examples=400, deadline=None)
def test_order_of_arrival_does_not_matter(history):
    evidence, shuffled = history
    assert partition(resolved(evidence)) == partition(resolved(shuffled))


@given(histories())
@settings(max_examples=200, deadline=None)
def test_repeats_change_nothing(history):
    evidence, shuffled = history
    once = resolved(evidence)
    twice = resolved([*evidence, *shuffled])
    assert partition(once) == partition(twice)
    assert len(once.new_customers) == len(twice.new_customers)


@given(histories())
@settings(max_examples=200, deadline=None)
def test_strong_identifiers_seen_together_are_one_person_and_no_others(history):
    evidence, _ = history
    made = resolved(evidence)
    strong = {identifier for identifier in made.identifiers if identifier.kind.strong}
    edges = []
    for one in evidence:
        together = [*one.strong]
        if one.previous:
            together.append(user(one.previous, one.strong[0].source))
        edges += [(str(a), str(b)) for a, b in itertools.pairwise(together)]
    wanted = {frozenset(component) for component in components(map(str, strong), edges)}
    found = {frozenset(str(one) for one in group if one.kind.strong) for group in partition(made)}
    assert found - {frozenset()} == wanted


def test_two_people_on_one_device_stay_two_whatever_the_order():
    events = [seen(0, device("d")), seen(1, user("ann"), device("d")), seen(2, user("bob"), device("d"))]
    for order in itertools.permutations(events):
        made = resolved(order)
        assert partition(made) == {frozenset({user("ann"), device("d")}), frozenset({user("bob")})}, order
        assert not [merge for merge in made.merges if merge.kind.strong]


def test_what_a_visitor_did_before_logging_in_becomes_theirs():
    made = resolver()
    before, _ = made.resolve(seen(0, device("d")))
    after, lead = made.resolve(seen(1, user("ann"), device("d")))
    assert before == after
    assert lead == user("ann")
    assert made.new_customers == [before]


def test_a_known_customer_on_a_new_device_takes_over_what_the_device_did():
    made = resolved([seen(0, user("ann")), seen(1, device("d")), seen(2, user("ann"), device("d"))])
    assert [(merge.kind, merge.alias) for merge in made.merges] == [(Kind.ANONYMOUS_ID, False)]
    assert len(partition(made)) == 1


def test_shop_and_app_that_share_an_address_become_one():
    made = resolved([
        seen(0, user("1", "shop"), email("ada@x.io")),
        seen(1, user("9", "app")),
        seen(2, user("9", "app"), email("ada@x.io")),
    ])  # fmt: skip
    assert len(partition(made)) == 1
    assert [(merge.kind, merge.message_id) for merge in made.merges] == [(Kind.EMAIL, "m0002")]


def test_a_new_user_id_with_a_known_address_is_a_merge_that_can_be_undone():
    made = resolved([seen(0, user("1", "shop"), email("ada@x.io")), seen(1, user("9", "app"), email("ada@x.io"))])
    assert len(made.new_customers) == 2
    assert [(merge.kind, merge.message_id) for merge in made.merges] == [(Kind.EMAIL, "m0001")]
    assert len(partition(made)) == 1


def test_an_alias_of_a_user_id_merges_and_says_so():
    made = resolved([seen(0, user("old")), seen(1, user("new")), seen(2, user("new"), previous="old")])
    assert [merge.alias for merge in made.merges] == [True]


def test_an_alias_of_a_known_device_never_merges_two_people():
    made = resolved([
        seen(0, device("d")), seen(1, user("ann"), previous="d"), seen(2, user("bob"), previous="d"),
    ])  # fmt: skip
    assert partition(made) == {frozenset({user("ann"), device("d")}), frozenset({user("bob")})}


@pytest.mark.parametrize(
    ("limits", "guard"),
    [
        (Limits({kind: 1 if kind is Kind.USER_ID else 9 for kind in Kind}, 9), Guard.IDENTIFIER_LIMIT),
        (Limits(dict.fromkeys(Kind, 9), 1), Guard.MEMBER_LIMIT),
    ],
)
def test_a_profile_past_its_limits_is_a_conflict_not_a_merge(limits, guard):
    evidence = [
        seen(0, user("1"), email("a@x.io")),
        seen(1, user("2", "app")),
        seen(2, user("2", "app"), email("a@x.io")),
    ]
    made = resolved(evidence, limits)
    assert not made.merges
    (conflict,) = made.conflicts.values()
    assert conflict.guard == guard
    assert len(conflict.customers) == 2
    assert conflict.message_id == "m0002"
    owner, _ = made.resolve(seen(3, user("2", "app"), email("a@x.io")))
    assert owner == made.identifiers[user("2", "app")].customer, "the user id decides whose event it is"
    assert len(made.conflicts) == 1


def test_one_identifier_too_many_is_not_added():
    limits = Limits(dict.fromkeys(Kind, 2), 9)
    made = resolved([seen(n, user("ann"), device(f"d{n}")) for n in range(4)], limits)
    assert {i.value for i in made.identifiers if i.kind is Kind.ANONYMOUS_ID} == {"d0", "d1"}
    assert [(c.guard, c.kind, len(c.customers)) for c in made.conflicts.values()] == [
        (Guard.IDENTIFIER_LIMIT, Kind.ANONYMOUS_ID, 1)
    ]


def test_people_whom_somebody_separated_stay_apart():
    made = resolved([seen(0, user("1")), seen(1, user("2"))])
    one, two = made.new_customers
    made.undone = {pair(one, two)}
    made.resolve(seen(2, user("1"), email("a@x.io")))
    made.resolve(seen(3, user("2"), email("a@x.io")))
    assert not made.merges
    assert [conflict.guard for conflict in made.conflicts.values()] == [Guard.UNMERGED_BEFORE]


def test_nothing_is_merged_into_a_deleted_customer():
    gone = Profile({Node(START, "gone")}, Counter({Kind.EMAIL: 1}), deleted=True)
    made = resolver()
    made.profiles["gone"] = gone
    made._add(email("a@x.io"), "gone", None)
    made.resolve(seen(0, user("1")))
    made.resolve(seen(1, user("1"), email("a@x.io")))
    assert [conflict.guard for conflict in made.conflicts.values()] == [Guard.CUSTOMER_DELETED]
    assert not made.merges


def test_distinct_names_everything_an_alias_may_mean():
    assert distinct([seen(0, user("new"), previous="old")]) == {user("new"), user("old"), device("old")}


nodes = st.lists(st.tuples(st.integers(0, 5), st.uuids()), min_size=1, max_size=8, unique_by=lambda pair: pair[1])


@given(nodes, st.randoms())
def test_the_oldest_member_stands_for_the_profile(members, random):
    made = [Node(START + timedelta(days=age), str(uid)) for age, uid in members]
    shuffled = list(made)
    random.shuffle(shuffled)
    stands = canonical(made)
    assert canonical(shuffled) == stands
    oldest = min(age for age, _ in members)
    assert stands == min(str(uid) for age, uid in members if age == oldest)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=20), st.randoms())
def test_undoing_a_merge_gives_what_would_be_without_it(edges, random):
    names = [str(number) for number in range(10)]
    edges = [(str(a), str(b)) for a, b in edges]
    without = edges[:-1]
    shuffled = random.sample(without, len(without))
    assert {*components(names, without)} == {*components(names, shuffled)}
    for component in components(names, edges):
        inside = [edge for edge in edges if edge[0] in component]
        assert len(components(component, inside)) == 1
    assert sorted(name for component in components(names, edges) for name in component) == sorted(names)
