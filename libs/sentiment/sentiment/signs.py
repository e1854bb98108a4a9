"""Emoji and emoticons, which say the same in every language."""

import re
from collections.abc import Mapping

EMOJI: Mapping[str, float] = {
    mark: weight
    for weight, marks in {
        2.0: "😀😃😄😁😍🥰😘🤩👍🎉💯🙌👏💖🥳😻",
        1.5: "🙂😊😉☺😎🙏💪✅😇❤",
        -1.0: "😕🙁☹😐😟😔😬🤔",
        -2.0: "😢😭😞😠😤👎😩😫😒💔😖",
        -3.0: "😡🤬🤮🤢💩🖕",
    }.items()
    for mark in marks
}
EMOTICON = (
    r">:\(|[:;=]'?[-o^]?(?:[)(\]\[D/\\|]+|(?<!\w[:;=])(?:[PpcC3]|[-o^]\*))(?=\s|$|[.,!?])"
    r"|<3+|</3|\^[_.-]?\^|(?<!\w)-_+-(?!\w)|(?<!\w)[xX]D+(?!\w)"
)
"""As they are written: other eyes, with and without a nose, with more mouths."""
_EYES_AND_MOUTH = {
    ":)": 1.5, ":D": 2.0, ";)": 1.0, ";D": 1.5, ":]": 1.5, ":P": 1.0, ";P": 1.0, ":3": 1.0, ":*": 1.5, "<3": 2.0,
    "^^": 1.5, "XD": 2.0, ":(": -1.5, ":[": -1.5, ":'(": -2.0, ":'[": -2.0, ":/": -1.0, ":\\": -1.0, ":|": -0.5,
    ":C": -1.5, ">:(": -2.5, "</3": -2.0, "--": -1.0, ";(": -1.5, ":')": 1.5,
}  # fmt: skip
_NOSE = re.compile(r"(?<=[:;=])('?)[-o^]")
_MORE = re.compile(r"(.)\1+$")


def sign_weight(sign: str) -> float:
    """Of an emoji, or an emoticon however it is drawn; 0 when it is not known."""
    if sign in EMOJI:
        return EMOJI[sign]
    if sign[0] in "^-":
        return _EYES_AND_MOUTH[sign[0] + sign[-1]]
    bare = _MORE.sub(r"\1", _NOSE.sub(r"\1", sign)).upper().replace("=", ":")
    return _EYES_AND_MOUTH.get(bare, 0.0)
