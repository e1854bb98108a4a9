"""Languages: those with a lexicon, and the words by which a language is known."""

from collections.abc import Mapping

from sentiment.english import ENGLISH
from sentiment.german import GERMAN
from sentiment.lexicon import Lexicon, words

LEXICONS: Mapping[str, Lexicon] = {"en": ENGLISH, "de": GERMAN}

_FUNCTION_WORDS: Mapping[str, frozenset[str]] = {
    "en": words(
        "the and is are was were i you my your it this that have has had not with for from of to on at be been can "
        "could would will do does did how what when where why which we they me an please there but or if just as "
        "all so any by our it's i'm don't can't doesn't didn't after am he she his her its since still get got "
        "thanks thank hi hello dear now out up no yes want need one very too never"
    ),
    "de": words(
        "der die das und ist sind war ich sie mein meine meinen mir mich es dies diese dieser nicht mit fuer von zu "
        "auf bei habe hat haben hatte kann koennen wird werden wie was wann wo warum welche wir ein eine einen einem "
        "einer bitte aber oder wenn nur auch noch schon im am zum zur den dem des ihr ihre ihren ihnen sich bin wurde "
        "dass seit nach aus immer sehr kein keine vom er uns als so ja nein dann hier alles vielen danke mal gibt "
        "geht jetzt ab da man mehr wieder bereits seine meiner unser unsere beim wegen"
    ),
    "fr": words("le la les et est je vous mon ma pas avec pour des une un du que qui dans sur ne bonjour"),
    "es": words("el la los las y es yo mi no con para por una un del que en se su hola pero muy lo"),
    "it": words("il lo la gli e sono io mio non con per una un del che in si ciao ma molto ho della"),
    "nl": words("de het een en is ik mijn niet met voor van dat wat te op zijn heb maar ook dit naar"),
    "pl": words("i w na nie jest z do to sie jak moje ale za dla czy mam prosze od"),
    "tr": words("ve bir bu ben icin degil ile cok ama var yok ne da de mi"),
}


def language_of(words: list[str]) -> str:
    """The language most of the folded words' function words belong to, such as `en`; empty when that is not clear."""
    counts = {code: sum(word in known for word in words) for code, known in _FUNCTION_WORDS.items()}
    (first, hits), (_, second) = sorted(counts.items(), key=lambda item: -item[1])[:2]
    enough = hits >= 2 or (hits == 1 and len(words) <= 4)
    return first if enough and hits > second and hits / len(words) >= 0.12 else ""
