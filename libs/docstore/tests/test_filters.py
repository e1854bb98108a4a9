import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mongoengine import BooleanField, FloatField, IntField, ListField, StringField

import docstore
from chassis.errors import InvalidArgument
from docstore import filters
from docstore.filters import FilterField, parse

START = datetime(2026, 1, 1, tzinfo=UTC)
STATES = ("OPEN", "CLOSED")


class Sample(docstore.Record):
    meta = {"collection": "samples", "indexes": [{"fields": ["tenant", "text"]}]}
    text = StringField()
    count = IntField()
    score = FloatField()
    good = BooleanField()
    time = docstore.InstantField()
    state = StringField()
    tags = ListField(StringField())


DOCUMENTS = [Sample]

FIELDS = {
    "display_name": FilterField("string", path="text", prefix=True),
    "count": FilterField("int"),
    "score": FilterField("float"),
    "good": FilterField("bool"),
    "create_time": FilterField("timestamp", path="time"),
    "state": FilterField("enum", values=STATES),
    "tags": FilterField("string", repeated=True),
    "email": FilterField("string", path="text", convert=str.lower),
}

texts = st.sampled_from(["", "a", "ab", 'q"uote', "b's", "back\\slash", "AND", "sp ace", "ä(", "a.b", "1"])
values: dict[str, st.SearchStrategy[Any]] = {
    "display_name": texts,
    "count": st.integers(-3, 3),
    "score": st.sampled_from([-1.5, 0.0, 0.25, 2.0]),
    "good": st.booleans(),
    "create_time": st.integers(-2, 2).map(lambda n: START + timedelta(milliseconds=n)),
    "state": st.sampled_from(STATES),
    "tags": texts,
}
paths = {name: field.path or name for name, field in FIELDS.items()}

rows = st.fixed_dictionaries(
    {},
    optional={
        **{paths[name]: st.one_of(st.none(), values[name]) for name in values if name != "tags"},
        "tags": st.lists(texts, max_size=3),
    },
)


def written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if value not in STATES else value
    return str(value)


@st.composite
def restrictions(draw: st.DrawFn) -> tuple[str, Any]:
    name = draw(st.sampled_from(sorted(values)))
    field, value = FIELDS[name], draw(values[name])
    operators = [":"] if field.repeated else ["=", "!="]
    if field.type in ("int", "float", "timestamp"):
        operators += ["<", "<=", ">", ">="]
    choices = ["present", *operators, *(["prefix"] if field.prefix and value else [])]
    operator = draw(st.sampled_from(choices))
    space = draw(st.sampled_from(["", " "]))
    if operator == "present":
        return f"{name}:*", ("present", paths[name], None)
    if operator == "prefix":
        return f"{name} = {json.dumps(value + '*', ensure_ascii=False)}", ("prefix", paths[name], value)
    return f"{name}{space}{operator}{space}{written(value)}", (operator, paths[name], value)


def combined(inner: st.SearchStrategy[tuple[str, Any]]) -> st.SearchStrategy[tuple[str, Any]]:
    both = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        both.map(lambda parts: (f"({' AND '.join(text for text, _ in parts)})", ("and", [tree for _, tree in parts]))),
        both.map(lambda parts: (f"({' OR '.join(text for text, _ in parts)})", ("or", [tree for _, tree in parts]))),
        inner.map(lambda part: (f"NOT {part[0]}", ("not", [part[1]]))),
        inner.map(lambda part: (f"-{part[0]}", ("not", [part[1]]))),
    ).map(lambda part: (f"({part[0]})", part[1]))


expressions = st.recursive(restrictions(), combined, max_leaves=8)


def holds(tree: Any, row: docstore.Row) -> bool:
    """What the expression means, said a second time in Python."""
    kind = tree[0]
    if kind == "and":
        return all(holds(part, row) for part in tree[1])
    if kind == "or":
        return any(holds(part, row) for part in tree[1])
    if kind == "not":
        return not holds(tree[1][0], row)
    stored, value = row.get(tree[1]), tree[2]
    if kind == "present":
        return stored is not None and stored != []
    if kind == ":":
        return stored is not None and value in stored
    if kind == "prefix":
        return stored is not None and stored.startswith(value)
    if kind == "!=":
        return stored is None or stored != value
    if stored is None:
        return False
    return bool({"=": stored == value}.get(kind, False)) if kind == "=" else {
        "<": stored < value, "<=": stored <= value, ">": stored > value, ">=": stored >= value
    }[kind]  # fmt: skip


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(rows, min_size=1, max_size=12), st.lists(expressions, min_size=1, max_size=6))
def test_mongodb_finds_what_the_expression_means(
    tenant: str, samples: list[docstore.Row], asked: list[tuple[str, Any]]
) -> None:
    stored = docstore.collection(Sample)
    stored.delete_many({})
    stored.insert_many([{**row, "uid": str(n)} for n, row in enumerate(samples)])
    for expression, tree in asked:
        found = {row["uid"] for row in stored.find(parse(expression, FIELDS))}
        assert found == {str(n) for n, row in enumerate(samples) if holds(tree, row)}, expression


def test_or_binds_tighter_than_and() -> None:
    assert parse("count = 1 AND count = 2 OR count = 3", FIELDS) == {
        "$and": [{"count": {"$eq": 1}}, {"$or": [{"count": {"$eq": 2}}, {"count": {"$eq": 3}}]}]
    }


def test_an_empty_filter_matches_everything() -> None:
    assert parse("", FIELDS) == parse("  ", FIELDS) == {}


def test_values_may_be_converted() -> None:
    assert parse("email = 'Ann@Example.COM'", FIELDS) == {"text": {"$eq": "ann@example.com"}}


def test_plain_words_and_instants_need_no_quotes() -> None:
    assert parse("display_name = foo-bar", FIELDS) == {"text": {"$eq": "foo-bar"}}
    assert parse("create_time >= 2026-01-01T01:00:00+01:00", FIELDS) == {"time": {"$gte": START}}


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        (
            "colour = 'red'",
            "character 1: colour is no field to filter by; allowed are count, create_time, display_name",
        ),
        ("count", "expected an operator after count"),
        ("count =", "expected a value"),
        ("count = AND", "expected a whole number"),
        ("count = 1.5", "expected a whole number"),
        ("count = '1'", "expected a whole number"),
        ("count = 99999999999999999999", "expected a whole number"),
        ("count = 1 count = 2", "character 11: expected AND, OR or the end"),
        ("(count = 1", "expected )"),
        ("count = 1)", "expected AND, OR or the end"),
        ("count = 1 AND", "expected a field name"),
        ("NOT", "expected a field name"),
        ("display_name = 'open", "a quote without its end"),
        ("display_name < 'a'", "has no order"),
        ("display_name : 'a'", "is no list"),
        ("display_name = '*'", "at the end only"),
        ("display_name = '*a*'", "at the end only"),
        ("email = 'a*'", "takes no *"),
        ("tags = 'a'", "is a list; ask with tags:value"),
        ("state = LOST", "expected one of OPEN, CLOSED"),
        ("good = yes", "expected true or false"),
        ("create_time > yesterday", "expected an instant"),
        ("create_time > 2026-01-01T00:00:00", "with its offset"),
        ("create_time > '2026-13-01T00:00:00Z'", "expected an instant"),
        ("create_time > 0001-01-01T00:00:00+14:00", "expected an instant"),
        ("display_name = 'a\0*'", "stray character"),
        ("$where = 1", "$where is no field"),
        ("count = {'$gt': 1}", "expected a whole number"),
        ("x" * (filters.MAX_LENGTH + 1), "longer than"),
        ("(" * 30 + "count = 1" + ")" * 30, "nested deeper"),
        (" AND ".join(["count = 1"] * 51), "more than 50 conditions"),
    ],
)
def test_mistakes_are_told_precisely(expression: str, problem: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(expression, FIELDS)
    assert caught.value.reason == "INVALID_FILTER"
    assert problem in caught.value.violations[0][1]


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text(alphabet="()=!<>:\"'\\ -*ANDORNOTcount1.", max_size=40)))
def test_nonsense_never_crashes(expression: str) -> None:
    try:
        parse(expression, FIELDS)
    except InvalidArgument as error:
        assert error.reason == "INVALID_FILTER"  # noqa: PT017


def test_a_prefix_is_served_by_the_index(tenant: str) -> None:
    stored = docstore.collection(Sample)
    stored.insert_many([{"text": f"{n:04}"} for n in range(1000)])
    docstore.explain.assert_indexed(stored, parse("display_name = '012*'", FIELDS), max_keys=12)
