"""What counts as a purchase, and as a refund of one."""

ORDER_COMPLETED = "Order Completed"
ORDER_REFUNDED = "Order Refunded"
KIND_TRACK = "KIND_TRACK"


def is_purchase(event: str, kind: str, *, has_amount: bool) -> bool:
    """Whether a behavioural event is a purchase: `Order Completed` of Segment's commerce specification, with an amount.

    Two events with equal content are two purchases: shops do sell the same thing twice.
    """
    return event == ORDER_COMPLETED and kind == KIND_TRACK and has_amount


def is_refund(event: str, kind: str, *, has_amount: bool) -> bool:
    """Whether it is a refund: `Order Refunded` of the same specification, with an amount.

    It is kept beside the purchases, for as long as they are, as one of a negative amount, which is a refund as well.
    """
    return event == ORDER_REFUNDED and kind == KIND_TRACK and has_amount


def main_currency(purchases: dict[str, int]) -> str:
    """The currency most purchases are in, given their number by currency; ties go by the code."""
    return max(sorted(purchases), key=lambda currency: purchases[currency])
