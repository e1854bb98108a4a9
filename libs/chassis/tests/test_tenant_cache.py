from collections.abc import Iterator
from itertools import count

import pytest

from chassis import tenancy
from chassis.tenant_cache import TenantCache


@pytest.fixture(autouse=True)
def tenant() -> Iterator[None]:
    with tenancy.service_context("acme"):
        yield


def test_an_answer_is_kept_for_each_tenant() -> None:
    turns = count(1)
    cache = TenantCache(lambda: (tenancy.tenant(), next(turns)), kept_s=60)
    assert [cache.get(), cache.get()] == [("acme", 1), ("acme", 1)]
    with tenancy.service_context("globex"):
        assert cache.get() == ("globex", 2)
    assert cache.get() == ("acme", 1)


def test_an_answer_grows_old() -> None:
    turns = count(1)
    cache = TenantCache(lambda: next(turns), kept_s=0)
    assert [cache.get(), cache.get()] == [1, 2]


def test_what_is_forgotten_is_read_anew_and_other_tenants_stay() -> None:
    turns = count(1)
    cache = TenantCache(lambda: next(turns), kept_s=60)
    with tenancy.service_context("globex"):
        cache.get()
    assert cache.get() == 2
    cache.forget()
    assert cache.get() == 3
    with tenancy.service_context("globex"):
        assert cache.get() == 1


def test_a_reading_that_was_overtaken_by_a_change_is_not_kept() -> None:
    stored = ["old"]

    def read() -> str:
        found = stored[0]
        if found == "old":
            stored[0] = "new"
            cache.forget()
        return found

    cache = TenantCache(read, kept_s=60)
    assert [cache.get(), cache.get()] == ["old", "new"]


def test_a_reading_that_failed_is_not_kept() -> None:
    answers = iter([ZeroDivisionError(), 2])

    def read() -> int:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    cache = TenantCache(read, kept_s=60)
    with pytest.raises(ZeroDivisionError):
        cache.get()
    assert cache.get() == 2
