from collections.abc import Callable

import pytest

from chassis import consistency, keys, tenancy
from chassis.consistency import Written, collecting, events_of, token_of
from chassis.errors import InvalidArgument
from chassis.settings import Settings


def written(number: int) -> Written:
    return Written(f"e{number}", "rapport.sales.v1.PromiseMade", f"promises/{number}", number, 0)


def test_a_token_names_the_last_events_and_is_good_in_its_tenant_only(settings: Callable[..., Settings]) -> None:
    keys.configure(settings())
    events = [written(number) for number in range(consistency.EVENTS_MAX + 3)]
    with tenancy.service_context("acme"):
        token = token_of(events)
        assert events_of(token) == events[3:]
    assert "promises" not in token
    for tenant, given in (("other", token), ("acme", token[:-4]), ("acme", "nothing"), ("acme", "\u00e9")):
        with tenancy.service_context(tenant), pytest.raises(InvalidArgument) as caught:
            events_of(given)
        assert caught.value.reason == "INVALID_CONSISTENCY_TOKEN"


def test_what_a_failed_attempt_wrote_is_forgotten() -> None:
    with collecting() as found:
        consistency.note([written(1)])
        before = consistency.position()
        consistency.note([written(2), written(3)])
        consistency.rewind(before)
        consistency.note([written(4)])
    assert found == [written(1), written(4)]


def test_outside_a_mutation_nothing_is_gathered() -> None:
    consistency.note([written(1)])
    assert consistency.position() == 0
    consistency.rewind(0)
