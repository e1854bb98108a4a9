"""What makes a journey whole, and where its ways lead."""

from datetime import timedelta

import pytest

from campaigns.domain.journeys import Branch, Definition, End, Send, Step, Wait
from campaigns.inputs import CONDITION_FIELDS
from docstore.conditions import holds
from docstore.filters import parse

MAIL = Send("templates/hello", "purposes/news")
DAY = timedelta(days=1)


def problems(*steps: Step) -> list[tuple[str, str]]:
    return [(problem.field, problem.description) for problem in Definition(steps).problems()]


def test_a_list_that_ends_is_whole() -> None:
    definition = Definition([Step("wait", Wait(DAY)), Step("mail", MAIL), Step("end", End())])
    assert definition.problems() == []
    assert [definition.following(step, "") for step in ("wait", "mail", "end")] == ["mail", "end", ""]
    assert definition.following("wait", "end") == "end"


def test_a_way_without_an_end_is_named() -> None:
    ((field, text),) = problems(Step("wait", Wait(DAY)), Step("mail", MAIL))
    assert field == "steps[1].next"
    assert "no end" in text


def test_a_cycle_is_named_with_its_steps() -> None:
    ((_, text),) = problems(
        Step("first", MAIL),
        Step("again", Wait(DAY, "which")),
        Step("which", Branch('customer.language_code = "de"', "again", "end")),
        Step("end", End()),
    )
    assert "again" in text
    assert "which" in text
    assert "cycle" in text


@pytest.mark.parametrize(
    ("steps", "field", "words"),
    [
        ([], "steps", "1 to 100"),
        ([Step("Bad Name", End())], "steps[0].id", "lower-case"),
        ([Step("end", End()), Step("end", End())], "steps[1].id", "Another step"),
        ([Step("wait", Wait(DAY, "nowhere")), Step("end", End())], "steps[0].next", "no step nowhere"),
        ([Step("if", Branch("x", "", "nowhere")), Step("end", End())], "steps[0].branch.otherwise", "no step nowhere"),
        ([Step("wait", Wait(timedelta())), Step("end", End())], "steps[0].wait.duration", "1 second"),
        ([Step("wait", Wait(timedelta(days=367))), Step("end", End())], "steps[0].wait.duration", "366 days"),
        ([Step("a", Wait(DAY, "end")), Step("lost", MAIL), Step("end", End())], "steps[1]", "No way leads to lost"),
        ([Step("only", Wait(DAY, "only"))], "steps[0]", "cycle: only -> only"),
    ],
)
def test_each_mistake_is_told_with_its_place(steps: list[Step], field: str, words: str) -> None:
    ((found, text),) = problems(*steps)
    assert found == field
    assert words in text


def test_a_hundred_branches_are_checked_at_once() -> None:
    steps = [Step(f"s{n}", Branch("x", f"s{n + 1}", f"s{n + 1}")) for n in range(99)]
    assert problems(*steps, Step("s99", End())) == []


VALUES = {"customer.language_code": "de", "score.p_alive": 0.25, "score.rfm_segment": "Champions"}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("score.p_alive < 0.3", True),
        ("score.p_alive < 0.3 AND customer.language_code = de", True),
        ("score.p_alive >= 0.3 OR customer.language_code = en", False),
        ("NOT customer.language_code = en", True),
        ('score.rfm_segment != "Champions"', False),
        ("score.lifetime_value > 1", False),
        ("customer.region_code != DE", True),
        ("customer.region_code = DE", False),
        ("-(score.p_alive > 0.2) OR score.rfm_segment = Champions", True),
    ],
)
def test_conditions_decide_on_what_is_known(expression: str, expected: bool) -> None:
    assert holds(parse(expression, CONDITION_FIELDS), VALUES) is expected
