"""Filters decided on values at hand agree with what they mean."""

import pytest

from docstore.conditions import holds
from docstore.filters import FilterField, parse

FIELDS = {
    "kind": FilterField("enum", values=("A", "B")),
    "language": FilterField("string"),
    "score": FilterField("float"),
}


@pytest.mark.parametrize(
    ("expression", "values", "expected"),
    [
        ("", {}, True),
        ("kind = A", {"kind": "A"}, True),
        ("kind = A", {"kind": "B"}, False),
        ("kind = A", {}, False),
        ("kind != A", {}, True),
        ("NOT kind = A", {}, True),
        ("kind = A OR language = de", {"kind": "B", "language": "de"}, True),
        ("kind = A AND language = de", {"kind": "B", "language": "de"}, False),
        ("-(kind = A OR language = de) AND score >= 0.5", {"kind": "B", "score": 0.5}, True),
        ("score < 0.5", {"score": None}, False),
        ("score < 0.5", {"score": 0.4}, True),
        ("language:*", {"language": "de"}, True),
        ("language:*", {}, False),
    ],
)
def test_filters_decide_on_values(expression, values, expected) -> None:
    assert holds(parse(expression, FIELDS), values) is expected
