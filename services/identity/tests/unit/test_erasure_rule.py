"""Which late events are about somebody who was erased."""

from datetime import UTC, datetime, timedelta

import pytest

from identity.domain.erasures import Mark, about_erased
from identity.domain.identifiers import Identifier, Kind
from identity.domain.resolution import Evidence

ERASED = datetime(2026, 3, 1, 12, tzinfo=UTC)
BEFORE, AFTER = ERASED - timedelta(seconds=1), ERASED + timedelta(seconds=1)
ANN, BEN = (Identifier(Kind.USER_ID, "shop", name) for name in ("ann", "ben"))
MAIL = Identifier(Kind.EMAIL, "", "ann@example.com")
DEVICE = Identifier(Kind.ANONYMOUS_ID, "shop", "device")


def evidence(strong=(), weak=(), previous="", at=BEFORE):
    return Evidence("m1", at, tuple(strong), tuple(weak), previous)


@pytest.mark.parametrize(
    ("happened", "received", "dropped"),
    [
        (BEFORE, BEFORE, True),
        (BEFORE, AFTER, True),
        (AFTER, BEFORE, True),  # a clock that runs ahead
        (ERASED, AFTER, True),
        (AFTER, AFTER, False),  # the person has come back
    ],
)
def test_what_happened_or_came_before_the_erasure_is_dropped(happened, received, dropped):
    assert about_erased(evidence([ANN], at=happened), received, {ANN: Mark(ERASED)}) is dropped


@pytest.mark.parametrize(
    ("one", "dropped"),
    [
        (evidence([BEN, MAIL]), True),
        (evidence([BEN]), False),
        (evidence([BEN], previous="ann"), True),
        (evidence([BEN], previous="other"), False),
        (evidence(weak=[DEVICE]), True),
    ],
)
def test_one_identifier_is_enough(one, dropped):
    marks = {each: Mark(ERASED) for each in (ANN, MAIL, DEVICE)}
    assert about_erased(one, AFTER, marks) is dropped


@pytest.mark.parametrize("one", [evidence([BEN], [DEVICE]), evidence([BEN], previous="device")])
def test_a_device_counts_for_others_only_when_nobody_was_known_to_own_it(one):
    assert about_erased(one, AFTER, {DEVICE: Mark(ERASED, claimed=False)})
    assert not about_erased(one, AFTER, {DEVICE: Mark(ERASED, claimed=True)})
    assert about_erased(evidence(weak=[DEVICE]), AFTER, {DEVICE: Mark(ERASED, claimed=True)})
