"""What a learned model can go by beside the words."""

import pytest

from sentiment import cues_of, sentiment_of


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        ("Excellent, wonderful, I love it!!!", ("LEXICON_GOOD",) * 4),
        ("It is good", ("LEXICON_GOOD",) * 2),
        ("Terrible and useless", ("LEXICON_BAD",) * 4),
        ("Where is my parcel", ("LEXICON_SILENT",)),
        ("", ("LEXICON_SILENT",)),
    ],
)
def test_the_stronger_the_lexicon_s_word_the_more_cues(text: str, cues: tuple[str, ...]) -> None:
    assert cues_of(sentiment_of(text, "en")) == cues
