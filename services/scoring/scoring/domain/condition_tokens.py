"""The pieces that the text of a condition is made of (see condition_text)."""

import math
import re
from dataclasses import dataclass

from scoring.domain.conditions import Value

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<operator><=|>=|!=|=|<|>|:)
    | (?P<open>\()
    | (?P<close>\))
    | (?P<comma>,)
    | (?P<minus>-(?=[A-Za-z_(]))
    | (?P<word>[^\s()=!<>:"',]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d{1,3})?")


class ExpressionError(ValueError):
    """What is wrong with a text, and where: a sentence about it that lacks its subject."""


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a text: string, operator, open, close, comma, minus, word, or the end; position: from 0."""

    kind: str
    text: str
    position: int


def tokens_of(text: str) -> list[Token]:
    """The pieces of a text, `end` last. Raises ExpressionError."""
    if (position := text.find("\0")) >= 0:
        raise ExpressionError(f"is wrong at character {position + 1}: a stray character")
    tokens: list[Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            position += len(text[position:]) - len(text[position:].lstrip())
            raise ExpressionError(
                f"is wrong at character {position + 1}: a quote without its end, or a stray character"
            )
        tokens.append(Token(match.lastgroup, match.group(match.lastgroup), match.start(match.lastgroup)))
        position = match.end()
    return [*tokens, Token("end", "", end)]


def text_of(token: Token) -> str:
    """What a token says, without its quotes."""
    return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL) if token.kind == "string" else token.text


def value_of(token: Token, *, typed: bool) -> Value:
    """The value of a token; with `typed` a plain word may be a number, true or false."""
    if token.kind == "word" and typed:
        if token.text in ("true", "false"):
            return token.text == "true"
        if _NUMBER.fullmatch(token.text) and math.isfinite(number := float(token.text)):
            return number + 0.0  # no negative zero
    return text_of(token)
