"""Path templates of `google.api.http` rules: `/v1/{customer.name=customers/*}:merge`.

The grammar is that of google/api/http.proto: segments are literals, `*` (one segment), `**` (the rest, only at the
end) or variables over segments; a custom verb follows the last one after a colon.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_VARIABLE = re.compile(r"\{([a-z][a-z0-9_.]*)(?:=([^{}]*))?\}")
_LITERAL = re.compile(r"[A-Za-z0-9_.~-]+")


class TemplateError(ValueError):
    """A template that breaks the grammar; the message quotes it."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable: the field it fills and the segments it covers, `[start, end)`; `end` None is the rest."""

    field: str
    start: int
    end: int | None


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template. `segments` holds literals, `*` and `**`; `verb` is empty without one."""

    text: str
    segments: tuple[str, ...]
    verb: str
    variables: tuple[Variable, ...]

    def overlaps(self, other: "Template") -> bool:
        """Whether some path would match both."""
        if self.verb != other.verb:
            return False
        mine, theirs = self.segments, other.segments
        for left, right in zip(mine, theirs, strict=False):
            if "**" in (left, right):
                return True
            if left != right and "*" not in (left, right):
                return False
        longer = mine if len(mine) > len(theirs) else theirs
        return len(mine) == len(theirs) or longer[min(len(mine), len(theirs))] == "**"

    def values(self, segments: list[str]) -> dict[str, str]:
        """The value of each variable in a matching path, given as raw (still encoded) segments.

        Raises UnicodeDecodeError when a segment is not percent-encoded UTF-8.
        """
        found = {}
        for variable in self.variables:
            covered = segments[variable.start : variable.end]
            single = variable.end == variable.start + 1
            # A slash within a variable of several segments stays encoded, or it could not be told from a separator.
            found[variable.field] = "/".join(_decode(segment, keep_slash=not single) for segment in covered)
        return found


def parse(text: str) -> Template:
    """Parses a template. Raises TemplateError."""
    if not text.startswith("/") or text.endswith("/"):
        raise TemplateError(f"{text}: a template starts with a slash and does not end with one")
    # Slashes within braces do not separate: hide them while splitting.
    path, verb = text, ""
    if match := re.search(r":([A-Za-z][A-Za-z0-9]*)$", text):
        path, verb = text[: match.start()], match[1]
    segments: list[str] = []
    variables: list[Variable] = []
    for part in re.findall(r"/((?:\{[^{}]*\}|[^/{}]+)+)", path):
        if match := _VARIABLE.fullmatch(part):
            covered = (match[2] or "*").split("/")
            start = len(segments)
            segments += covered
            variables.append(Variable(match[1], start, None if covered[-1] == "**" else len(segments)))
        else:
            segments.append(part)
    if any(segment not in ("*", "**") and not _LITERAL.fullmatch(segment) for segment in segments):
        raise TemplateError(f"{text}: a segment is neither a name, * nor **")
    if not segments or "**" in segments[:-1]:
        raise TemplateError(f"{text}: ** is allowed at the end only, and a template needs a segment")
    return Template(text, tuple(segments), verb, tuple(variables))


def split(raw_path: str) -> tuple[list[str], str]:
    """The segments and the custom verb of a request's path, both still encoded."""
    segments = raw_path[1:].split("/")
    last, colon, verb = segments[-1].partition(":")
    if colon:
        segments[-1] = last
    return segments, verb


def _decode(segment: str, *, keep_slash: bool) -> str:
    if "%" not in segment:
        return segment
    if keep_slash:
        segment = re.sub("%2[Ff]", "%252F", segment)
    return unquote_to_bytes(segment).decode("utf-8")
