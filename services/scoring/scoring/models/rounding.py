"""Figures without digits that nobody reads, and that processors compute differently."""


def rounded(value: float) -> float:
    """To 7 significant digits."""
    return float(f"{value:.6e}")


def shortened(value: float) -> float:
    """To 6 significant digits."""
    return float(f"{value:.6g}")
