"""Templates: what may stand in them, and what becomes of them.

The texts are Jinja, cut down to what needs no trust: an allow-list of syntax is checked when a template is saved, so
that rendering has no calls, no attributes, no loops and no arithmetic to run away with. Rendering is still sandboxed
and bounded in size and time.
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from babel.core import negotiate_locale
from jinja2 import Template, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

UNSUBSCRIBE_URL = "unsubscribe_url"
SUBJECT_MAX, BODY_MAX = 500, 100_000
OUTPUT_MAX = 300_000
RENDER_SECONDS_MAX = 1.0
VALUE_MAX = 1_000
_FILTERS = ("capitalize", "lower", "title", "trim", "truncate", "upper")
_TESTS = ("defined", "none", "string", "number")
_ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.If,
    nodes.CondExpr,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Filter,
    nodes.Test,
)
_REFUSED: Mapping[type[nodes.Node], str] = {
    nodes.Getattr: "attributes of values cannot be reached",
    nodes.Getitem: "parts of values cannot be reached",
    nodes.Call: "nothing can be called",
    nodes.For: "there are no loops",
    nodes.Include: "other templates cannot be included",
    nodes.Import: "other templates cannot be imported",
    nodes.FromImport: "other templates cannot be imported",
    nodes.Extends: "other templates cannot be extended",
    nodes.Block: "there are no blocks",
    nodes.Macro: "there are no macros",
    nodes.CallBlock: "there are no macros",
    nodes.Assign: "nothing can be set",
    nodes.AssignBlock: "nothing can be set",
    nodes.FilterBlock: "filters stand behind values only",
}


@dataclass(frozen=True, slots=True)
class Texts:
    """Subject and bodies: of a template, or rendered."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong in a text: its field, the line, and the reason."""

    field: str
    line: int
    reason: str


class RenderingRefused(Exception):  # noqa: N818 - named for what it is
    """Rendering became too large or took too long."""


def flaws(texts: Texts, variables: Sequence[str]) -> Iterator[Flaw]:
    """All that must not stand in a template's texts. `variables` are those it declares."""
    for field, source, limit in (
        ("subject", texts.subject, SUBJECT_MAX),
        ("text", texts.text, BODY_MAX),
        ("html", texts.html, BODY_MAX),
    ):
        if len(source) > limit:
            yield Flaw(field, 1, f"has more than {limit} characters")
        elif field == "subject" and re.search(r"[\r\n]", source):
            yield Flaw(field, 1, "must be one line")
        else:
            yield from _flaws(field, source, {*variables, UNSUBSCRIBE_URL})


def render(texts: Texts, values: Mapping[str, str], fallbacks: Mapping[str, str]) -> Texts:
    """The texts with values in place, a fall-back where there is none. Raises RenderingRefused."""
    known = {name: values.get(name, "")[:VALUE_MAX] for name in fallbacks}
    context = {name: value if value.strip() else fallbacks[name] for name, value in known.items()}
    context[UNSUBSCRIBE_URL] = values.get(UNSUBSCRIBE_URL, "")
    subject = " ".join(_rendered(texts.subject, context, escape=False).split())
    return Texts(subject, _rendered(texts.text, context, escape=False), _rendered(texts.html, context, escape=True))


def missing(values: Mapping[str, str], fallbacks: Mapping[str, str]) -> list[str]:
    """The variables for which a fall-back stands in."""
    return sorted(name for name in fallbacks if not values.get(name, "").strip())


def best_language(wanted: str, available: Sequence[str]) -> str:
    """The best of the available languages (BCP 47) for the wanted one; the first when none fits."""
    found = negotiate_locale([wanted, wanted.split("-")[0]], available, sep="-") if wanted else None
    return next((code for code in available if found and code.lower() == found.lower()), available[0])


def _flaws(field: str, source: str, variables: set[str]) -> Iterator[Flaw]:
    try:
        tree = _ENVIRONMENTS[False].parse(source)
    except TemplateSyntaxError as error:
        yield Flaw(field, error.lineno, f"cannot be read: {error.message}")
        return
    except RecursionError:
        yield Flaw(field, 1, "is nested too deeply")
        return
    waiting: list[nodes.Node] = [tree]
    while waiting:
        node = waiting.pop()
        reason = _refusal(node, variables)
        if reason:
            yield Flaw(field, node.lineno, reason)
        else:
            waiting += reversed(list(node.iter_child_nodes()))


def _refusal(node: nodes.Node, variables: set[str]) -> str:
    if not isinstance(node, _ALLOWED):
        return _REFUSED.get(type(node), f"{type(node).__name__.lower()} is not allowed here")
    match node:
        case nodes.Name(name=name) if name not in variables:
            return f"{name[:60]} is not declared as a variable"
        case nodes.Filter(name=name) if name not in _FILTERS:
            return f"the filter {name[:60]} does not exist here; there are {', '.join(_FILTERS)}"
        case nodes.Filter(dyn_args=dynamic, dyn_kwargs=named) if dynamic or named:
            return "filters take plain arguments only"
        case nodes.Test(name=name) if name not in _TESTS:
            return f"the test {name[:60]} does not exist here; there are {', '.join(_TESTS)}"
    return ""


def _rendered(source: str, context: Mapping[str, str], *, escape: bool) -> str:
    parts: list[str] = []
    length, deadline = 0, time.monotonic() + RENDER_SECONDS_MAX
    for part in _compiled(source, escape).generate(context):
        length += len(part)
        if length > OUTPUT_MAX:
            raise RenderingRefused(f"more than {OUTPUT_MAX} characters come out")
        if time.monotonic() > deadline:
            raise RenderingRefused(f"it takes more than {RENDER_SECONDS_MAX:g} s")
        parts.append(part)
    return "".join(parts)


@lru_cache(maxsize=128)
def _compiled(source: str, escape: bool) -> Template:
    return _ENVIRONMENTS[escape].from_string(source)


def _new_environment(escape: bool) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(autoescape=escape, keep_trailing_newline=True)
    environment.globals = {}
    environment.filters = {name: environment.filters[name] for name in _FILTERS}
    environment.tests = {name: environment.tests[name] for name in _TESTS}
    return environment


_ENVIRONMENTS = {escape: _new_environment(escape) for escape in (False, True)}
