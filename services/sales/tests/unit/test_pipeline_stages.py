"""Stages of pipelines."""

from sales.domain.stages import DEFAULT, STAGES_MAX, Stage, problems


def test_the_default_stages_are_sound() -> None:
    assert list(problems(DEFAULT)) == []


def test_everything_wrong_is_named_with_its_place() -> None:
    stages = [Stage("new", "New", 10), Stage("new", " ", 101), Stage("No good", "x" * 201, -1)]
    assert [place for place, _ in problems(stages)] == [
        "stages[1].id", "stages[1].display_name", "stages[1].probability_percent",
        "stages[2].id", "stages[2].display_name", "stages[2].probability_percent",
    ]  # fmt: skip


def test_there_are_1_to_30() -> None:
    many = [Stage(f"stage-{number}", "Stage", 1) for number in range(STAGES_MAX + 1)]
    assert list(problems(many[:STAGES_MAX])) == []
    assert [place for place, _ in problems(many)] == ["stages"]
    assert [place for place, _ in problems([])] == ["stages"]
