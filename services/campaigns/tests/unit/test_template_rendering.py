"""What may stand in templates, and what becomes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import rendering
from campaigns.rendering import Texts, flaws, render

VARIABLES = ["given_name", "tier"]
FALLBACKS = {"given_name": "there", "tier": "basic"}


def refusals(source: str, field: str = "text") -> list[tuple[str, int, str]]:
    texts = {"subject": "Hi", "text": "Hi", "html": ""} | {field: source}
    return [(flaw.field, flaw.line, flaw.reason) for flaw in flaws(Texts(**texts), VARIABLES)]


def test_good_templates_are_taken() -> None:
    assert (
        refusals("Hello {{ given_name | title }}{% if tier == 'gold' and not tier is none %}!{% else %}.{% endif %}")
        == []
    )
    assert refusals("{{ given_name if tier != 'x' else tier|upper }} {{ unsubscribe_url }} {# a remark #}") == []
    assert refusals("{{ given_name|truncate(20) }}") == []


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        ("{{ given_name.__class__.__mro__ }}", "attributes"),
        ("{{ given_name['__class__'] }}", "parts"),
        ("{{ ''.__class__ }}", "attributes"),
        ("{{ given_name|attr('__class__') }}", "the filter attr"),
        ("{{ given_name|map('upper') }}", "the filter map"),
        ("{{ given_name|format(1) }}", "the filter format"),
        ("{{ given_name|center(1000000000) }}", "the filter center"),
        ("{{ range(10**9) }}", "called"),
        ("{% for i in range(1000000000) %}x{% endfor %}", "no loops"),
        ("{% for c in given_name %}x{% endfor %}", "no loops"),
        ("{{ 'a' * 1000000000 }}", "mul"),
        ("{{ 2 ** 1000000000 }}", "pow"),
        ("{{ given_name ~ given_name }}", "concat"),
        ("{{ [given_name] }}", "list"),
        ("{{ {'a': 1} }}", "dict"),
        ("{% include 'other' %}", "included"),
        ("{% import 'other' as o %}", "imported"),
        ("{% from 'other' import x %}", "imported"),
        ("{% extends 'other' %}", "extended"),
        ("{% block b %}{% endblock %}", "blocks"),
        ("{% macro m() %}{% endmacro %}", "macros"),
        ("{% call given_name() %}{% endcall %}", "macros"),
        ("{% set x = 1 %}", "set"),
        ("{% set x %}y{% endset %}", "set"),
        ("{% filter upper %}x{% endfilter %}", "filters stand"),
        ("{{ self }}", "not declared"),
        ("{{ config }}", "not declared"),
        ("{{ nobody }}", "nobody is not declared"),
        ("{{ given_name is divisibleby 3 }}", "the test divisibleby"),
        ("{{ given_name|upper(*tier) }}", "plain arguments"),
        ("{{ given_name", "cannot be read"),
        ("{% if %}", "cannot be read"),
        ("{% unknown %}", "cannot be read"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", ""),
        ("x" * 100_001, "100000 characters"),
    ],
)
def test_attacks_and_mistakes_are_refused_with_line_and_reason(attack: str, words: str) -> None:
    found = refusals("one\ntwo\n" + attack)
    assert found, attack
    field, line, reason = found[0]
    assert field == "text"
    assert words in reason
    assert line in (1, 3)
    assert refusals(attack, "html")


def test_the_line_is_that_of_the_mistake() -> None:
    assert refusals("one\n{{ given_name }}\n\n{{ nobody }}") == [("text", 4, "nobody is not declared as a variable")]


def test_a_subject_is_one_short_line() -> None:
    assert refusals("a\nBcc: x@example.com", "subject")[0][2] == "must be one line"
    assert "500 characters" in refusals("x" * 501, "subject")[0][2]


@pytest.mark.parametrize("missing", [{}, {"given_name": ""}, {"given_name": " \t\n"}])
def test_a_missing_value_falls_back_and_is_never_blank(missing: dict[str, str]) -> None:
    assert render(Texts("Hi {{ given_name }}", "{{ given_name }}", ""), missing, FALLBACKS).text == "there"
    assert rendering.missing(missing, FALLBACKS) == ["given_name", "tier"]


def test_values_are_escaped_in_html_only_and_keep_subjects_on_one_line() -> None:
    values = {"given_name": "<b>A&B</b>\r\nBcc: x@example.com"}
    found = render(Texts("{{ given_name }}", "{{ given_name }}", "{{ given_name }}"), values, FALLBACKS)
    assert found.html.startswith("&lt;b&gt;A&amp;B&lt;/b&gt;")
    assert found.text.startswith("<b>A&B</b>")
    assert "\n" not in found.subject
    assert "\r" not in found.subject


def test_a_value_is_no_template() -> None:
    assert render(Texts("s", "{{ given_name }}", ""), {"given_name": "{{ 7*7 }}"}, FALLBACKS).text == "{{ 7*7 }}"


def test_what_comes_out_is_bounded() -> None:
    many = "{{ given_name }}" * 6_000
    with pytest.raises(rendering.RenderingRefused):
        render(Texts("s", many, ""), {"given_name": "x" * 5_000}, FALLBACKS)


@given(st.text(max_size=200))
def test_no_text_makes_the_check_or_rendering_fail(source: str) -> None:
    if not refusals(source):
        render(Texts("s", source, ""), {}, FALLBACKS)


@pytest.mark.parametrize(
    ("wanted", "available", "best"),
    [
        ("de-AT", ["en", "de"], "de"),
        ("pt-BR", ["en", "pt-BR", "pt-PT"], "pt-BR"),
        ("fr", ["en", "de"], "en"),
        ("", ["de", "en"], "de"),
        ("DE", ["en", "de"], "de"),
    ],
)
def test_the_language_is_the_best_there_is(wanted: str, available: list[str], best: str) -> None:
    assert rendering.best_language(wanted, available) == best
