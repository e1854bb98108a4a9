"""What is left of purchases after the refunds of their orders: one rule for features, values and scores.

Of an order, among what one customer bought, refunds reduce the oldest purchase first, then the next, none below 0. What
they exceed is lost. `features.row.left` computes the same of one customer.
"""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def left(customer: Ints, refund: NDArray[np.bool_], time: Ints, amount: Ints, order: Ints) -> Ints:
    """What is left of each row's amount; 0 of refunds.

    customer: codes from 0. refund: which rows are refunds; the others are purchases. time: of any unit; between equal
    ones the smaller amount counts as older. amount: not below 0. order: a number that stands for it, 0 for none.
    """
    rest = np.where(refund, 0, amount)
    refunding = refund & (order != 0)
    if not refunding.any():
        return rest
    who = np.zeros(int(customer.max()) + 1, dtype=bool)
    who[customer[refunding]] = True
    places = np.flatnonzero(who[customer] & (order != 0))
    # Mostly few orders are refunded: what is sorted below is what can matter.
    orders = np.append(np.sort(order[refunding]), np.iinfo(np.int64).max)
    places = places[orders[np.searchsorted(orders, order[places])] == order[places]]
    places = places[np.lexsort((amount[places], time[places], order[places], customer[places]))]
    of, number = customer[places], order[places]
    starts = np.flatnonzero(np.append(True, (of[1:] != of[:-1]) | (number[1:] != number[:-1])))
    group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(places)))
    refunded = np.add.reduceat(np.where(refund[places], amount[places], 0), starts)[group]
    paid = rest[places]
    before = np.cumsum(paid) - paid
    paid_so_far = before - before[starts][group] + paid
    rest[places] = np.minimum(paid, np.maximum(paid_so_far - refunded, 0))
    return rest
