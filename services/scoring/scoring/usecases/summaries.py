"""Sums, to reconcile scoring with other books."""

from collections import Counter

from scoring.store.features import manifest_files, staged_totals


def known_purchases() -> dict[str, tuple[int, int]]:
    """The purchases in files and on the stage: currency -> (number, minor units after refunds)."""
    numbers: Counter[str] = Counter()
    amounts: Counter[str] = Counter()
    # The stage first: what moves into a file between the two reads is counted twice for a moment, never lost.
    for code, (number, amount) in staged_totals().items():
        numbers[code] += number
        amounts[code] += amount
    for file in manifest_files():
        for code, total in file["currencies"].items():
            numbers[code] += total["rows"]
            amounts[code] += total["amount_minor"]
    return {code: (numbers[code], amounts[code]) for code in sorted(numbers)}
