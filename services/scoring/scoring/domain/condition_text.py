"""Conditions as text, in the words of AIP-160.

    conditions = any { "AND" any }
    any        = term { "OR" term }               (OR binds tighter than AND, as AIP-160 has it)
    term       = ["NOT" | "-"] ( "(" conditions ")" | single )
    single     = name operator value              lifetime_value > 100, traits.plan = "pro", traits.tags:"vip"
               | measure "(" event ["," window] {"," filter} ")" operator number
               | "consent" "(" purpose "," channel ")" "=" state
               | "in_segment" "(" segment ")"
    window     = digits ("d" | "h")
    filter     = ("source" | "currency") "=" value | "amount" operator number

Texts are quoted or plain words. For a trait of one's own a plain word that reads as a number, `true` or `false` is
one; quoted it is a text.
"""

import re
from collections.abc import Callable, Mapping
from typing import NoReturn, TypeVar

from scoring.domain import conditions as tree
from scoring.domain.condition_problems import problem_of
from scoring.domain.condition_tokens import ExpressionError, Token, text_of, tokens_of, value_of
from scoring.domain.conditions import (
    CONDITIONS_MAX,
    DEPTH_MAX,
    MEASURES,
    SCORES,
    TRAIT_PREFIX,
    TRAITS,
    Amount,
    Condition,
    Consent,
    Events,
    InSegment,
    Measure,
    Not,
    Operator,
    Score,
    Single,
    Trait,
    Window,
)

LENGTH_MAX = 5_000

T = TypeVar("T", bound=Single)

_WINDOW = re.compile(r"(\d{1,6})([dh])")


def parse(text: str) -> Condition:
    """The tree a text stands for. Raises ExpressionError."""
    if not text.strip():
        raise ExpressionError("is empty; give a condition such as `p_alive < 0.5`")
    if len(text) > LENGTH_MAX:
        raise ExpressionError(f"is longer than {LENGTH_MAX} characters")
    return _Parser(text).whole()


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self._tokens = tokens_of(text)
        self._next = 0
        self._count = 0
        self._functions: Mapping[str, Callable[[Token], Single]] = {
            **dict.fromkeys(MEASURES, self._events),
            "consent": self._consent,
            "in_segment": self._in_segment,
        }

    def whole(self) -> Condition:
        found = self._conditions(1)
        if self._peek().kind != "end":
            self._fail(self._peek(), "expected AND, OR or the end")
        return found

    def _conditions(self, depth: int) -> Condition:
        if depth > DEPTH_MAX:
            raise ExpressionError(f"is nested deeper than {DEPTH_MAX} levels")
        parts = [self._any(depth)]
        while self._take_word("AND"):
            parts.append(self._any(depth))
        return parts[0] if len(parts) == 1 else tree.All(tuple(parts))

    def _any(self, depth: int) -> Condition:
        parts = [self._term(depth)]
        while self._take_word("OR"):
            parts.append(self._term(depth))
        return parts[0] if len(parts) == 1 else tree.Any(tuple(parts))

    def _term(self, depth: int) -> Condition:
        if self._take_kind("minus") or self._take_word("NOT"):
            return Not(self._simple(depth))
        return self._simple(depth)

    def _simple(self, depth: int) -> Condition:
        if not self._take_kind("open"):
            return self._single()
        found = self._conditions(depth + 1)
        self._expect("close", "expected )")
        return found

    def _single(self) -> Single:
        self._count += 1
        if self._count > CONDITIONS_MAX:
            raise ExpressionError(f"has more than {CONDITIONS_MAX} conditions")
        name = self._advance()
        if name.kind != "word" or name.text in ("AND", "OR", "NOT"):
            self._fail(name, "expected a condition")
        if self._peek().kind == "open":
            function = self._functions.get(name.text)
            if function is None:
                self._fail(name, f"{name.text} is no function; there are {', '.join(self._functions)}")
            return function(name)
        if name.text in self._functions:
            self._fail(self._peek(), f"expected ( after {name.text}")
        return self._compared(name)

    def _compared(self, name: Token) -> Trait | Score:
        said = name.text
        if said == TRAIT_PREFIX and self._peek().kind == "string":
            said += text_of(self._advance())
        operator = self._operator(said, ":")
        sign: Operator = operator.text  # type: ignore[assignment] # the token's pattern allows no other
        value = self._advance()
        if value.kind not in ("string", "word"):
            self._fail(value, "expected a value")
        if sign == ":" and value.kind == "word" and value.text == "*":
            sign = ":*"
        places = {"name": name, "operator": operator, "value": value}
        found = None if sign == ":*" else value_of(value, typed=said not in TRAITS and SCORES.get(said) != "string")
        if said not in SCORES:
            typed = found if TRAITS.get(said) is not bool else {"true": True, "false": False}.get(value.text, found)
            return self._checked(Trait(said, sign, typed), places)
        return self._checked(Score(said, sign, found), places)

    def _events(self, name: Token) -> Events:
        self._expect("open", "expected (")
        event = self._text_argument("expected the name of an event")
        places = {"event": event}
        found: dict[str, object] = {}
        while self._take_kind("comma"):
            self._event_argument(found, places)
        places["close"] = self._expect("close", "expected , or )")
        operator = self._operator(name.text, "")
        value = self._advance()
        places |= {"operator": operator, "value": value}
        measure: Measure = name.text  # type: ignore[assignment] # looked up by it
        sign: Operator = operator.text  # type: ignore[assignment] # as above
        events = Events(measure, text_of(event), sign, self._number(value), **found)  # type: ignore[arg-type] # typed below
        return self._checked(events, places, missing=places["close"])

    def _event_argument(self, found: dict[str, object], places: dict[str, Token]) -> None:
        token = self._advance()
        window = _WINDOW.fullmatch(token.text) if token.kind == "word" else None
        part = "window" if window else token.text
        if part in found:
            self._fail(token, f"{part} is given twice")
        if window:
            found["window"] = Window(int(window[1]), "d" if window[2] == "d" else "h")
            places["window"] = token
            return
        if token.kind != "word" or part not in ("source", "currency", "amount"):
            self._fail(token, "expected a window such as 30d or 12h, or source, currency or amount with a value")
        operator = self._operator(part, "")
        if part == "amount":
            places[part] = value = self._advance()
            sign: Operator = operator.text  # type: ignore[assignment] # as above
            found[part] = Amount(sign, self._number(value))
            return
        if operator.text != "=":
            self._fail(operator, f"{part} takes =")
        places[part] = self._text_argument("expected a text")
        found[part] = text_of(places[part])
        if not found[part]:
            self._fail(places[part], "expected a text")

    def _consent(self, _: Token) -> Consent:
        self._expect("open", "expected (")
        purpose = self._text_argument("expected the name of a purpose")
        self._expect("comma", f"expected , and a channel: {', '.join(tree.CHANNELS)}")
        channel = self._text_argument(f"expected a channel: {', '.join(tree.CHANNELS)}")
        self._expect("close", "expected )")
        operator = self._operator("consent", "")
        if operator.text != "=":
            self._fail(operator, "consent takes =; put NOT before it for the opposite")
        state = self._text_argument(f"expected one of {', '.join(tree.CONSENT_STATES)}")
        named = text_of(purpose) if "/" in text_of(purpose) else f"purposes/{text_of(purpose)}"
        consent = Consent(named, text_of(channel).removeprefix("CHANNEL_"), text_of(state))
        return self._checked(consent, {"purpose": purpose, "channel": channel, "state": state})

    def _in_segment(self, _: Token) -> InSegment:
        self._expect("open", "expected (")
        segment = self._text_argument("expected the name of a segment")
        self._expect("close", "expected )")
        uid = text_of(segment).removeprefix("segments/")
        if not uid or "/" in uid:
            self._fail(segment, "name a segment, such as segments/regulars")
        return InSegment(uid)

    def _checked(self, single: T, places: Mapping[str, Token], missing: Token | None = None) -> T:
        if problem := problem_of(single):
            part, text = problem
            self._fail(places.get(part) or missing or next(iter(places.values())), text)
        return single

    def _operator(self, after: str, more: str) -> Token:
        token = self._advance()
        if token.kind != "operator" or (token.text == ":" and not more):
            self._fail(token, f"expected an operator after {after}")
        return token

    def _number(self, token: Token) -> float:
        number = value_of(token, typed=True) if token.kind == "word" else None
        if not isinstance(number, float):
            self._fail(token, "expected a number")
        return number

    def _text_argument(self, problem: str) -> Token:
        token = self._advance()
        if token.kind not in ("string", "word"):
            self._fail(token, problem)
        return token

    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _advance(self) -> Token:
        token = self._tokens[self._next]
        if token.kind != "end":
            self._next += 1
        return token

    def _expect(self, kind: str, problem: str) -> Token:
        token = self._advance()
        if token.kind != kind:
            self._fail(token, problem)
        return token

    def _take_kind(self, kind: str) -> bool:
        taken = self._peek().kind == kind
        self._next += taken
        return taken

    def _take_word(self, word: str) -> bool:
        taken = self._peek().kind == "word" and self._peek().text == word
        self._next += taken
        return taken

    def _fail(self, token: Token, problem: str) -> NoReturn:
        raise ExpressionError(f"is wrong at character {token.position + 1}: {problem}")
