"""Whether an event is about somebody who was erased, so that what comes late does not bring them back."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from identity.domain.identifiers import Identifier, Kind
from identity.domain.resolution import Evidence


class Mark(NamedTuple):
    """What is known of an erased person's identifier. claimed: it is a device's, and a named person was tied to it."""

    erase_time: datetime
    claimed: bool = False


def about_erased(evidence: Evidence, receive_time: datetime, marks: Mapping[Identifier, Mark]) -> bool:
    """The rule (GDPR article 17): an event is dropped when it carries an erased person's identifier and happened, or
    was received, not later than the erasure. Who comes back later is a new customer.

    A device is no person: an event that names somebody else by a strong identifier is theirs, though the device had
    been the erased person's. Only where nobody was known to own the device does it stand for the erased visitor.
    """
    told = min(evidence.event_time, receive_time)
    strong, weak = list(evidence.strong), list(evidence.weak)
    if evidence.previous:
        source = evidence.strong[0].source
        strong.append(Identifier(Kind.USER_ID, source, evidence.previous))
        weak.append(Identifier(Kind.ANONYMOUS_ID, source, evidence.previous))

    def counts(identifier: Identifier) -> bool:
        return identifier in marks and told <= marks[identifier].erase_time

    return any(map(counts, strong)) or any(
        counts(device) and not (evidence.strong and marks[device].claimed) for device in weak
    )
