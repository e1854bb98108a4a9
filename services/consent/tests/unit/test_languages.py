import pytest

from consent.domain.languages import best


@pytest.mark.parametrize(
    ("wanted", "available", "chosen"),
    [
        ("de", ["en", "de"], "de"),
        ("de-AT", ["en", "de"], "de"),
        ("pt-BR", ["pt-PT", "en", "pt-BR"], "pt-BR"),
        ("zh-Hant-TW", ["zh-Hans", "zh-Hant"], "zh-Hant"),
        ("pt", ["en", "pt-PT"], "pt-PT"),
        ("fr", ["en", "de"], "en"),
        ("", ["en", "de"], "en"),
        ("DE", ["en", "de"], "de"),
    ],
)
def test_the_nearest_language_is_chosen(wanted: str, available: list[str], chosen: str) -> None:
    assert available[best(wanted, available)] == chosen
