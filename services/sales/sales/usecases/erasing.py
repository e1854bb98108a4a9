"""Erasing people (GDPR article 17): what sales holds of them goes, or loses everything that leads to them."""

from collections import Counter

from rapport.sales.v1 import events_pb2

import docstore
from chassis.inputs import uid
from docstore import Row, aliases
from eventing.erasing import Items
from sales.store import Account, Contact, Lead, Opportunity, Order, Promise, leads, orders, sales_reps

ERASED_NAME = "Erased"
_AT_ONCE = 500


def erase(customers: list[str]) -> Items:
    """Erases customers (resource names) in the current tenant; returns kind -> (removed, anonymized).

    Leads, contacts and promises are removed. Orders stay for the books, opportunities for the forecast, without
    anything that leads to the person; so do accounts that bear a person's own name. Leads and contacts of no customer
    that have an e-mail address of theirs are theirs. Idempotent, and whatever a crash leaves undone a repeat does; for
    `eventing.erasing`, outside transactions.
    """
    named = {"customer": {"$in": customers}}
    counts: Counter[str] = Counter()
    # Those known by address alone first: the addresses are found at the others.
    for theirs in ({"customer": None, "email": {"$in": _emails(named)}}, named):
        # Opportunities and accounts first: they are found by contacts and leads too, which are then removed.
        counts["opportunities"] += _anonymize_opportunities({"contact": {"$in": _contacts(theirs)}})
        counts["accounts"] += _anonymize_accounts_of_leads(theirs)
        counts["leads"] += _remove_leads(theirs)
        counts["contacts"] += Contact.rows().delete_many(theirs).deleted_count
    return {
        "leads": (counts["leads"], 0),
        "contacts": (counts["contacts"], 0),
        "promises": (Promise.rows().delete_many(named).deleted_count, 0),
        "opportunities": (0, counts["opportunities"] + _anonymize_opportunities(named)),
        "accounts": (0, counts["accounts"] + _anonymize_accounts({"person": {"$in": customers}})),
        "orders": (0, _anonymize_orders(named)),
        "customerAliases": (aliases.forget(customers), 0),
    }


def _emails(named: Row) -> list[str]:
    """The addresses that leads and contacts of the people have."""
    known = {**named, "email": {"$type": "string"}}
    return sorted({*Lead.rows().distinct("email", known), *Contact.rows().distinct("email", known)})


def _remove_leads(named: Row) -> int:
    removed = 0
    while count := docstore.in_transaction(lambda: _remove_some(named)):
        removed += count
    return removed


def _remove_some(named: Row) -> int:
    """Open ones leave room at their sales reps. Who keeps more of leads is told: some name no customer."""
    rows = list(Lead.rows().find(named, {"uid": 1, "state": 1, "assignment.sales_rep": 1}, limit=_AT_ONCE))
    if not rows:
        return 0
    given = [row["assignment"].get("sales_rep") for row in rows if row["state"] == leads.OPEN]
    taken = Counter(rep for rep in given if rep)
    sales_reps.give_room(taken)
    if taken:
        leads.call_desk()
    carrier = orders.change()
    carrier.emit(events_pb2.LeadsErased(leads=[Lead.described(row["uid"]) for row in rows]))
    carrier.insert()
    return Lead.rows().delete_many({"uid": {"$in": [row["uid"] for row in rows]}}).deleted_count


def _contacts(people: Row) -> list[str]:
    return [Contact.described(row["uid"]) for row in Contact.rows().find(people, {"uid": 1})]


def _anonymize_opportunities(which: Row) -> int:
    return (
        Opportunity.rows()
        .update_many(
            which,
            {
                "$set": {"display_name": ERASED_NAME},
                "$unset": {"customer": "", "contact": "", "lead": "", "lost_reason": ""},
                "$inc": {"version": 1},
            },
        )
        .modified_count
    )


def _anonymize_accounts_of_leads(people: Row) -> int:
    """Accounts that were made of the people's leads and have a person's name, since the lead named no company."""
    made = Lead.rows().find(
        {**people, "state": leads.CONVERTED, "company_name": None}, {"conversion.account": 1, "display_name": 1}
    )
    uids: dict[str, set[str]] = {}
    for row in made:
        uids.setdefault(row["display_name"], set()).add(uid(row["conversion"]["account"]))
    return sum(
        _anonymize_accounts({"uid": {"$in": sorted(accounts)}, "display_name": name}) for name, accounts in uids.items()
    )


def _anonymize_accounts(which: Row) -> int:
    return (
        Account.rows()
        .update_many(
            which,
            {"$set": {"display_name": ERASED_NAME}, "$unset": {"person": "", "website": ""}, "$inc": {"version": 1}},
        )
        .modified_count
    )


def _anonymize_orders(named: Row) -> int:
    """Awaited ones are known by refunds alone: nothing was bought that the books must keep."""
    rows = Order.rows()
    awaited = rows.delete_many({**named, "awaited": True}).deleted_count
    rows.update_many({**named, "refunds.0": {"$exists": True}}, {"$unset": {"refunds.$[].key": ""}})
    lost = {"customer": "", "order_number": "", "message_id": ""}
    kept = rows.update_many(named, {"$unset": lost, "$inc": {"version": 1}}).modified_count
    return awaited + kept
