"""Erasing people (GDPR article 17).

Messages stay without the person, for sums over a journey; everything else of them goes. A suppressed address stays
suppressed: its keyed fingerprint is all that is kept, and the person asked for it (recital 65 and article 17(3)(b)).
No command takes a customer's name from a caller, so nobody can bring one back; late events stop at the tombstones.
"""

from campaigns.store import Complaint, Contact, JourneyEntry, Unsubscribe, messages
from campaigns.store.contacts import contacts
from campaigns.store.suppressions import forget_requests
from chassis.errors import Unavailable
from chassis.inputs import uid
from docstore import aliases
from eventing.erasing import Items


def erase(customers: list[str]) -> Items:
    """Erases everything of these customers (resource names); for `eventing.erasing`.

    Raises Unavailable SEND_UNDER_WAY while the mail server is being given a message to one of them: all else is erased
    then, and whoever asks again finds the message ended.
    """
    of_them = {"customer": {"$in": customers}}
    anonymized, under_way = messages.erase(customers)
    entries = JourneyEntry.rows().delete_many(of_them).deleted_count
    unsubscribes = Unsubscribe.rows().delete_many(of_them).deleted_count
    complaints = Complaint.rows().delete_many(of_them).deleted_count
    forget_requests([contact["email"] for contact in contacts(customers).values() if contact.get("email")])
    known = Contact.rows().delete_many({"uid": {"$in": [uid(customer) for customer in customers]}}).deleted_count
    if under_way:
        raise Unavailable("SEND_UNDER_WAY", "A message is with the mail server at this instant.", retry_after_s=1.0)
    return {
        "messages": (0, anonymized),
        "journeyEntries": (entries, 0),
        "unsubscribes": (unsubscribes, 0),
        "complaints": (complaints, 0),
        "contacts": (known, 0),
        "customerAliases": (aliases.forget(customers), 0),
    }
