"""Choosing a text by language."""

from collections.abc import Sequence


def best(wanted: str, available: Sequence[str]) -> int:
    """Index of the best of the available languages (BCP 47 codes, not empty) for the wanted one.

    The same code, else the wanted code cut from its end (lookup of RFC 4647, section 3.4), else one of the same
    language, else the first.
    """
    codes = [code.lower() for code in available]
    subtags = wanted.lower().split("-")
    for length in range(len(subtags), 0, -1):
        cut = "-".join(subtags[:length])
        if cut in codes:
            return codes.index(cut)
    for index, code in enumerate(codes):
        if code.split("-")[0] == subtags[0]:
            return index
    return 0
