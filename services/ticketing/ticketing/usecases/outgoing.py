"""Answers that leave by e-mail."""

from ticketing.store import Ticket, TicketMessage


def queue_answer(ticket: Ticket, message: TicketMessage) -> None:
    """Leaves an agent's answer for sending, inside the caller's transaction; the message is stored after it."""
