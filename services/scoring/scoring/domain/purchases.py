"""What counts as a purchase."""

ORDER_COMPLETED = "Order Completed"
KIND_TRACK = "KIND_TRACK"


def is_purchase(event: str, kind: str, *, has_amount: bool) -> bool:
    """Whether a behavioural event is a purchase: `Order Completed` of Segment's commerce specification, with an amount.

    Two events with equal content are two purchases: shops do sell the same thing twice.
    """
    return event == ORDER_COMPLETED and kind == KIND_TRACK and has_amount


def main_currency(purchases: dict[str, int]) -> str:
    """The currency most purchases are in, given their number by currency; ties go by the code."""
    return max(sorted(purchases), key=lambda currency: purchases[currency])
