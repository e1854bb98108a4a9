"""Marketing pauses while a person waits for the answer to a complaint.

Every message of a journey counts as marketing, whatever its purpose rests on: journeys persuade. What somebody needs
because of a contract (an order's confirmation, the answer itself) does not go through journeys.
"""

from datetime import timedelta

from campaigns.store import complaints, messages
from chassis import clock
from docstore.aliases import profiles

PAUSED_FOR = timedelta(days=7)
"""How old a message may become while a complaint is open. An older one is given up: its occasion is over."""

LOOK_AGAIN = timedelta(minutes=15)
"""How often a paused message looks by itself; usually the end of the complaint wakes it."""


def pause(ticket: str, customer: str) -> None:
    """A ticket (uid) is a complaint: what waits to be sent to the person's profile waits on."""
    complaints.open_complaint(ticket, customer)
    _, members = profiles([customer])[customer]
    messages.defer(members, messages.COMPLAINT_OPEN, clock.now() + LOOK_AGAIN)


def resume(ticket: str, customer: str) -> None:
    """A ticket (uid) is no open complaint any more: what waited for that is looked at again."""
    complaints.close_complaint(ticket)
    _, members = profiles([customer])[customer]
    messages.wake(members, messages.COMPLAINT_OPEN, clock.now())
