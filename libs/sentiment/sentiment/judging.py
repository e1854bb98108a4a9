"""How a text sounds, told from its words; every verdict names them, and is withheld where they are too few."""

import re
from dataclasses import dataclass
from math import sqrt

from sentiment import languages
from sentiment.languages import LEXICONS
from sentiment.lexicon import Lexicon, Phrase, fold
from sentiment.signs import EMOTICON, sign_weight

MODEL = "lexicon/2"
NONE, POSITIVE, NEUTRAL = "LABEL_UNSPECIFIED", "LABEL_POSITIVE", "LABEL_NEUTRAL"
NEGATIVE, UNCERTAIN = "LABEL_NEGATIVE", "LABEL_UNCERTAIN"

_TEXT_MAX = 20_000
_REASONS_MAX = 5
_CUES_MOST = 4
_DECIDED = 0.25
"""Scores beyond it have a direction."""
_SPREAD = 6.0
"""How much evidence it takes for a score to come near 1."""
_NEUTRAL_WORDS = 4
"""Fewer words without any evidence are too few to call a text neutral."""
_TORN = 4.0
"""So much evidence on both sides together, and no direction, is a doubt and not indifference."""
_WINDOW = 3
_NEGATED, _BOOSTED, _DAMPENED, _SHOUTED = -0.7, 1.4, 0.6, 1.3
_BEFORE_CONTRAST, _AFTER_CONTRAST = 0.6, 1.4
_MISSED = -1.0
"""What is expected, and denied."""
_ASKED = 0.5

_ENDS = frozenset(".!?\n")
_TOKEN = re.compile(
    r"(?P<address>(?:https?://|www\.)\S+|@\w+)"
    rf"|(?P<emoticon>{EMOTICON})"
    r"|(?P<emoji>[\u2600-\u27bf\U0001f300-\U0001faff])"
    r"|(?P<word>[^\W\d_]+(?:['\u2019\-][^\W\d_]+)*)"
    r"|(?P<stop>[.!?;,:\n]+)"
)
_STRETCHED = re.compile(r"(\w)\1{2,}")


@dataclass(frozen=True, slots=True)
class Sentiment:
    """label: a name of the contract's Sentiment.Label. score: from -1 to 1. reasons: words, the weightiest first."""

    label: str
    score: float = 0.0
    reasons: tuple[str, ...] = ()
    model: str = MODEL


@dataclass(slots=True)
class _Token:
    text: str
    folded: str
    kind: str

    def weight(self, known: Lexicon) -> float:
        """Of the word, however much a letter of it is stretched: "sooo goood"."""
        if (weight := known.weight(self.folded)) or not _STRETCHED.search(self.text):
            return weight
        return known.weight(_STRETCHED.sub(r"\1\1", self.folded)) or known.weight(_STRETCHED.sub(r"\1", self.folded))


@dataclass(slots=True)
class _Evidence:
    """A word or a phrase at some place."""

    at: int
    weight: float
    words: str


def sentiment_of(text: str, language_code: str = "") -> Sentiment:
    """How the text sounds; of long texts the first 20,000 characters count.

    language_code: BCP 47, found from the words when empty. Texts in languages other than English and German are
    UNCERTAIN, unless emoji decide.
    """
    tokens = _tokens(text[:_TEXT_MAX])
    words = [token.folded for token in tokens if token.kind == "word"]
    if not tokens or not (words or any(token.kind.startswith("emo") for token in tokens)):
        return Sentiment(NONE)
    known = LEXICONS.get(language_of(words, language_code))
    evidence = [*_signs(tokens), *(_evidence(tokens, known) if known else ())]
    total = sum(each.weight for each in evidence) * _shouting(text)
    score = round(total / sqrt(total * total + _SPREAD), 3)
    strength = sum(abs(each.weight) for each in evidence)
    reasons = tuple(dict.fromkeys(each.words for each in sorted(evidence, key=lambda each: -abs(each.weight))))
    return Sentiment(_label(score, strength, len(words), known), score, reasons[:_REASONS_MAX])


def cues_of(found: Sentiment) -> tuple[str, ...]:
    """What a learned model can go by beside the words: the direction, up to four times as it is stronger.

    One cue says that no word or sign of the lexicon was met. Capitals, as no folded word has.
    """
    if not found.reasons:
        return ("LEXICON_SILENT",)
    direction = "LEXICON_GOOD" if found.score > 0 else "LEXICON_BAD"
    return (direction,) * round(abs(found.score) * _CUES_MOST)


def language_of(words: list[str], language_code: str = "") -> str:
    """The two-letter code of the stated language, else the one the folded words are in; empty when not clear."""
    if stated := language_code.split("-")[0].lower():
        return stated
    return (languages.language_of(words) or _language_of_mood(words)) if words else ""


def _language_of_mood(words: list[str]) -> str:
    """The language in which a few words say most: an exclamation has no function words."""
    weights = {code: [abs(known.weight(word)) for word in words] for code, known in LEXICONS.items()}
    first, second = sorted(weights, key=lambda code: -sum(weights[code]))[:2]
    enough = sum(weight > 0 for weight in weights[first]) * 3 >= len(words)
    return first if enough and sum(weights[first]) > sum(weights[second]) else ""


def words_of(text: str) -> list[str]:
    """The folded words of a text's first 20,000 characters."""
    return [token.folded for token in _tokens(text[:_TEXT_MAX]) if token.kind == "word"]


def _label(score: float, strength: float, word_count: int, known: Lexicon | None) -> str:
    if abs(score) >= _DECIDED:
        return POSITIVE if score > 0 else NEGATIVE
    if known is None or strength >= _TORN or (not strength and word_count < _NEUTRAL_WORDS):
        return UNCERTAIN
    return NEUTRAL


def _tokens(text: str) -> list[_Token]:
    return [_Token(match.group(), fold(match.group()), match.lastgroup or "") for match in _TOKEN.finditer(text)]


def _signs(tokens: list[_Token]) -> list[_Evidence]:
    found = []
    for at, token in enumerate(tokens):
        if token.kind.startswith("emo") and (weight := sign_weight(token.text)):
            found.append(_Evidence(at, weight, token.text))
    return found


def _evidence(tokens: list[_Token], known: Lexicon) -> list[_Evidence]:
    """What the words say, each in the light of those around it."""
    found, tokens = _phrases(tokens, known)
    for at, token in enumerate(tokens):
        if token.kind != "word" or _boosts(tokens, at, known):
            continue
        weight = token.weight(known)
        if not weight and token.folded not in known.expected:
            continue
        before, after = _around(tokens, at)
        words = [token.text]
        denying = [
            other
            for other in [*reversed(before), *(after if known.negates_before else ())]
            if known.negates(other.folded)
        ]
        if denying:
            if token.folded in known.expected:
                weight = _MISSED
            else:
                # What is bad and denied is seldom praise: "no problem", "nicht schlecht".
                weight = _NEGATED * (max(weight, 1.0) if weight > 0 else weight / 2)
            words = [denying[0].text, token.text] if denying[0] in before else [token.text, denying[0].text]
        if not weight:
            continue
        nearest = [other.folded for other in before[-2:]]
        if any(word in known.boosters for word in nearest):
            weight *= _BOOSTED
        elif any(word in known.dampeners for word in nearest):
            weight *= _DAMPENED
        if len(token.text) > 2 and token.text.isupper():
            weight *= _SHOUTED
        found.append(_Evidence(at, weight, " ".join(words)))
    return _contrasted(_asked(found, tokens), tokens, known)


def _phrases(tokens: list[_Token], known: Lexicon) -> tuple[list[_Evidence], list[_Token]]:
    """What phrases say; and the tokens, in which their words say nothing any more."""
    found, left = list[_Evidence](), list(tokens)
    at = 0
    while at < len(tokens):
        phrase = next((each for each in known.phrases.get(tokens[at].folded, ()) if _is_at(each, tokens, at)), None)
        if phrase is None:
            at += 1
            continue
        end = at + len(phrase.words)
        if weight := phrase.weight:
            words = " ".join(token.text for token in tokens[at:end])
            denying = next((other for other in reversed(_around(left, at)[0]) if known.negates(other.folded)), None)
            if weight > 0 and denying:
                weight, words = weight * _NEGATED, f"{denying.text} {words}"
            found.append(_Evidence(at, weight, words))
        left[at:end] = [_Token(token.text, "", token.kind) for token in tokens[at:end]]
        at = end
    return found, left


def _is_at(phrase: Phrase, tokens: list[_Token], at: int) -> bool:
    there = tuple(token.folded for token in tokens[at : at + len(phrase.words)])
    return there == phrase.words and (not phrase.opening or at == 0 or tokens[at - 1].kind != "word")


def _boosts(tokens: list[_Token], at: int, known: Lexicon) -> bool:
    """Whether the word only makes the next one stronger: "pretty good", "awfully kind"."""
    return (
        tokens[at].folded in known.boosters
        and at + 1 < len(tokens)
        and tokens[at + 1].kind == "word"
        and tokens[at + 1].weight(known) != 0
    )


def _around(tokens: list[_Token], at: int) -> tuple[list[_Token], list[_Token]]:
    """The words near one of them, within its part of the sentence."""
    before: list[_Token] = []
    for other in reversed(tokens[max(0, at - _WINDOW) : at]):
        if other.kind == "stop":
            break
        before.insert(0, other)
    after: list[_Token] = []
    for other in tokens[at + 1 : at + 1 + _WINDOW]:
        if other.kind == "stop":
            break
        after.append(other)
    return before, after


def _asked(found: list[_Evidence], tokens: list[_Token]) -> list[_Evidence]:
    """Lets praise in a question count for less: who asks whether something is good does not say so."""
    asked = False
    questions = set[int]()
    for at in range(len(tokens) - 1, -1, -1):
        if tokens[at].kind == "stop" and _ENDS & set(tokens[at].text):
            asked = "?" in tokens[at].text
        elif asked:
            questions.add(at)
    for each in found:
        if each.at in questions and each.weight > 0:
            each.weight *= _ASKED
    return found


def _contrasted(found: list[_Evidence], tokens: list[_Token], known: Lexicon) -> list[_Evidence]:
    """Lets what follows the last "but" of a sentence count for more than what it takes back."""
    sentence, turns, sentences = 0, {}, []
    for at, token in enumerate(tokens):
        sentences.append(sentence)
        if token.kind == "stop" and _ENDS & set(token.text):
            sentence += 1
        elif token.kind == "word" and token.folded in known.contrasts:
            turns[sentence] = at
    taken_back = {sentences[each.at] for each in found if each.at < turns.get(sentences[each.at], -1)}
    turned = {sentences[each.at] for each in found if each.at > turns.get(sentences[each.at], len(tokens))}
    both = taken_back & turned
    for each in found:
        if sentences[each.at] in both:
            each.weight *= _AFTER_CONTRAST if each.at > turns[sentences[each.at]] else _BEFORE_CONTRAST
    return found


def _shouting(text: str) -> float:
    """Exclamation marks make it stronger, up to three of them."""
    return 1.0 + 0.1 * min(3, text.count("!", 0, _TEXT_MAX))
