"""How a text sounds, told from its words; every verdict names them, and is withheld where they are too few."""

import re
from dataclasses import dataclass
from math import sqrt

from sentiment import lexicon
from sentiment.lexicon import LEXICONS, Lexicon, fold

MODEL = "lexicon/1"
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

_ENDS = frozenset(".!?\n")
_TOKEN = re.compile(
    r"(?P<emoticon>>:\(|:'\(|[:;]-?[()D/](?=\s|$|[.,!?])|<3)"
    r"|(?P<emoji>[\u2600-\u27bf\U0001f300-\U0001faff])"
    r"|(?P<word>[^\W\d_]+(?:['\u2019\-][^\W\d_]+)*)"
    r"|(?P<stop>[.!?;,:\n]+)"
)


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


@dataclass(slots=True)
class _Evidence:
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
    return (lexicon.language_of(words) or _language_of_mood(words)) if words else ""


def _language_of_mood(words: list[str]) -> str:
    """The language that knows most of a few words: an exclamation has no function words."""
    hits = {code: sum(_weight(word, known) != 0 for word in words) for code, known in LEXICONS.items()}
    first, second = sorted(hits, key=lambda code: -hits[code])[:2]
    return first if hits[first] > hits[second] and hits[first] * 3 >= len(words) else ""


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
        weights = {"emoji": lexicon.EMOJI, "emoticon": lexicon.EMOTICONS}.get(token.kind, {})
        if weight := weights.get(token.text, 0.0):
            found.append(_Evidence(at, weight, token.text))
    return found


def _evidence(tokens: list[_Token], known: Lexicon) -> list[_Evidence]:
    """What the words say, each in the light of those around it."""
    courteous = _courteous(tokens, known)
    found = []
    for at, token in enumerate(tokens):
        if token.kind != "word" or at in courteous or not (weight := _weight(token.folded, known)):
            continue
        before, after = _around(tokens, at)
        words = [token.text]
        if any(_negates(other.folded, known) for other in before) or (
            known.negates_before and any(_negates(other.folded, known) for other in after)
        ):
            negation = next(other for other in [*reversed(before), *after] if _negates(other.folded, known))
            # What is bad and denied is seldom praise: "no problem", "nicht schlecht".
            weight *= _NEGATED if weight > 0 else _NEGATED / 2
            words = [negation.text, token.text] if negation in before else [token.text, negation.text]
        nearest = [other.folded for other in before[-2:]]
        if any(word in known.boosters for word in nearest):
            weight *= _BOOSTED
        elif any(word in known.dampeners for word in nearest):
            weight *= _DAMPENED
        if len(token.text) > 2 and token.text.isupper():
            weight *= _SHOUTED
        found.append(_Evidence(at, weight, " ".join(words)))
    return _contrasted(found, tokens, known)


def _weight(word: str, known: Lexicon) -> float:
    if word in known.words:
        return known.words[word]
    for length in range(len(word), 2, -1):
        if (weight := known.stems.get(word[:length])) is not None:
            return weight
    return 0.0


def _negates(word: str, known: Lexicon) -> bool:
    return word in known.negations or word.endswith("n't")


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


def _courteous(tokens: list[_Token], known: Lexicon) -> set[int]:
    """Places of words that belong to a phrase of courtesy."""
    words = [(at, token.folded) for at, token in enumerate(tokens) if token.kind == "word"]
    text = " " + " ".join(word for _, word in words) + " "
    starts: dict[int, int] = {}
    position = 1
    for number, (_, word) in enumerate(words):
        starts[position] = number
        position += len(word) + 1
    places: set[int] = set()
    for phrase in known.courtesies:
        at = text.find(f" {phrase} ")
        while at >= 0:
            first = starts[at + 1]
            places.update(words[number][0] for number in range(first, first + phrase.count(" ") + 1))
            at = text.find(f" {phrase} ", at + 1)
    return places


def _shouting(text: str) -> float:
    """Exclamation marks make it stronger, up to three of them."""
    return 1.0 + 0.1 * min(3, text.count("!", 0, _TEXT_MAX))
