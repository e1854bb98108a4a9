"""How words and signs count in the light of those around them."""

import pytest

from sentiment import NEGATIVE, NEUTRAL, POSITIVE, sentiment_of


@pytest.mark.parametrize(
    ("text", "label", "reasons"),
    [
        # A phrase counts as one, whatever its words say.
        ("I can't wait to try it", POSITIVE, ("can't wait",)),
        ("You really let me down", NEGATIVE, ("let me down",)),
        ("It was not worth the money", NEGATIVE, ("not worth",)),
        ("I am not really a big fan of it", NEGATIVE, ("not big fan",)),
        ("Stop. I like. Wait, for the rest", POSITIVE, ("I like", "Wait")),
        # What works says little; what should work and does not says much.
        ("The app opens after that", NEUTRAL, ()),
        ("The app will not open after that", NEGATIVE, ("not open",)),
        ("Nobody answered my mail", NEGATIVE, ("Nobody answered",)),
        # A word that only makes the next one stronger says nothing itself.
        ("The staff was awfully nice to us", POSITIVE, ("nice",)),
        ("The staff was awful to us", NEGATIVE, ("awful",)),
        # The more a letter is stretched the more it is the same word.
        ("It is soooo goooood", POSITIVE, ("goooood",)),
        # Greetings stand where a sentence begins.
        ("Good day, where is the invoice", NEUTRAL, ()),
        ("It has not been a good day", NEGATIVE, ("not good",)),
        # Addresses and links are names, not words.
        ("@awful please look at this page https://great.example/love", NEUTRAL, ()),
        ("Is this one good for the garden?", NEUTRAL, ("good",)),
    ],
)
def test_words_count_as_they_are_meant(text: str, label: str, reasons: tuple[str, ...]) -> None:
    found = sentiment_of(text, "en")
    assert (found.label, found.reasons) == (label, reasons)


@pytest.mark.parametrize(
    ("text", "label"),
    [("Party toll", POSITIVE), ("Fans begeistert", POSITIVE), ("Party Deko fehlt", NEGATIVE), ("fun party", POSITIVE)],
)
def test_a_few_words_are_in_the_language_that_says_more_with_them(text: str, label: str) -> None:
    assert sentiment_of(text).label == label


@pytest.mark.parametrize(
    ("sign", "good"),
    [
        *((sign, True) for sign in (":)", ":-)", "=))", ":D", ";-)", ":P", "xD", "<3", "^_^", ":')", "👍")),
        *((sign, False) for sign in (":(", ":-((", "=(", ":'(", ":/", ">:(", "</3", "-_-", "💔")),
    ],
)
def test_signs_say_the_same_however_they_are_drawn(sign: str, good: bool) -> None:
    found = sentiment_of(f"The parcel is here {sign}", "en")
    assert (found.score > 0, found.reasons) == (good, (sign,))


@pytest.mark.parametrize(
    "text", ["The bus at 4:30 goes there", "a ratio of 1:3 is there", "see https://a.example/D here"]
)
def test_what_only_looks_like_a_sign_is_none(text: str) -> None:
    assert sentiment_of(text, "en").reasons == ()
