import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import docstore
from chassis import tenancy
from docstore import aliases
from docstore.aliases import AliasChange, CustomerAlias

DOCUMENTS = [CustomerAlias]

names = st.sampled_from([f"customers/{letter}" for letter in "abcd"])
changes = st.lists(
    st.builds(AliasChange, names, names, st.tuples(st.integers(1, 4), st.integers(0, 2))),
    max_size=12,
    unique_by=lambda change: (change.customer, change.sequence),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(changes, st.randoms(use_true_random=False), st.integers(1, 4))
def test_order_and_repeats_do_not_matter(tenant: str, told: list[AliasChange], random: object, size: int) -> None:
    docstore.collection(CustomerAlias).delete_many({})
    arriving = told + told[:3]
    random.shuffle(arriving)  # type: ignore[attr-defined]
    for start in range(0, len(arriving), size):
        aliases.apply(arriving[start : start + size])
    expected = {change.customer: change for change in sorted(told, key=lambda change: change.sequence)}
    everyone = [f"customers/{letter}" for letter in "abcd"]
    resolved = aliases.resolve(everyone)
    assert resolved == {name: expected[name].canonical if name in expected else name for name in everyone}
    for name in everyone:
        assert set(aliases.members(name)) == {one for one in everyone if resolved[one] == name}


def test_merge_and_unmerge(tenant: str) -> None:
    aliases.apply(
        [AliasChange("customers/a", "customers/b", (2, 0)), AliasChange("customers/b", "customers/b", (1, 0))]
    )
    assert aliases.resolve(["customers/a", "customers/b", "customers/new"]) == {
        "customers/a": "customers/b",
        "customers/b": "customers/b",
        "customers/new": "customers/new",
    }
    assert aliases.members("customers/b") == ["customers/b", "customers/a"]
    assert aliases.members("customers/a") == []
    aliases.apply([AliasChange("customers/a", "customers/a", (3, 0))])
    assert aliases.members("customers/b") == ["customers/b"]
    with tenancy.service_context("other"):
        assert aliases.resolve(["customers/a"]) == {"customers/a": "customers/a"}


def test_a_late_change_does_not_abort_a_transaction(tenant: str) -> None:
    aliases.apply([AliasChange("customers/a", "customers/b", (5, 0))])

    def handle() -> None:
        aliases.apply([AliasChange("customers/a", "customers/c", (4, 0))])
        aliases.apply([AliasChange("customers/d", "customers/b", (1, 0))])

    docstore.in_transaction(handle)
    assert aliases.members("customers/b") == ["customers/b", "customers/a", "customers/d"]


def test_reads_use_their_indexes(tenant: str) -> None:
    aliases.apply(AliasChange(f"customers/{n}", f"customers/{n % 100}", (1, 0)) for n in range(1000))
    docstore.explain.assert_indexed(CustomerAlias, {"uid": {"$in": ["1", "2", "x"]}})
    docstore.explain.assert_indexed(CustomerAlias, {"canonical": "customers/7"})
    assert len(aliases.members("customers/7")) == 10


def test_erased_customers_are_forgotten_on_both_sides(tenant: str) -> None:
    pairs = [("a", "b"), ("c", "a"), ("d", "e")]
    aliases.apply(AliasChange(f"customers/{one}", f"customers/{other}", (1, 0)) for one, other in pairs)
    assert aliases.forget(["customers/a", "customers/x"]) == 2
    assert [row["customer"] for row in CustomerAlias.rows().find({})] == ["customers/d"]
    assert aliases.forget(["customers/a"]) == 0


def test_no_changes_are_fine(tenant: str) -> None:
    aliases.apply([])
    assert aliases.resolve([]) == {}


@pytest.mark.parametrize("sequence", [(1, 500), (2, 0)])
def test_the_index_orders_within_a_version(tenant: str, sequence: tuple[int, int]) -> None:
    aliases.apply([AliasChange("customers/a", "customers/b", (1, 499))])
    aliases.apply([AliasChange("customers/a", "customers/c", sequence)])
    assert aliases.resolve(["customers/a"])["customers/a"] == "customers/c"
