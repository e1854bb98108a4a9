"""Erasing people (GDPR article 17): what sales holds of them goes, or loses everything that leads to them."""

from collections import Counter

import docstore
from docstore import Row, aliases
from eventing.erasing import Items
from sales.store import Account, Contact, Lead, Opportunity, Order, Promise, leads, sales_reps

ERASED_NAME = "Erased"
_AT_ONCE = 500


def erase(customers: list[str]) -> Items:
    """Erases customers (resource names) in the current tenant; returns kind -> (removed, anonymized).

    Leads, contacts and promises are removed. Orders stay for the books, opportunities for the forecast, without
    anything that leads to the person; so do accounts that bear a person's own name. Idempotent, and whatever a crash
    leaves undone a repeat does; for `eventing.erasing`, outside transactions.
    """
    named = {"customer": {"$in": customers}}
    # Opportunities first: they are found by their contacts too, which are then removed.
    opportunities = _anonymize_opportunities(named)
    return {
        "leads": (_remove_leads(named), 0),
        "contacts": (Contact.rows().delete_many(named).deleted_count, 0),
        "promises": (Promise.rows().delete_many(named).deleted_count, 0),
        "opportunities": (0, opportunities),
        "accounts": (0, _anonymize_accounts(customers)),
        "orders": (0, _anonymize_orders(named)),
        "customerAliases": (aliases.forget(customers), 0),
    }


def _remove_leads(named: Row) -> int:
    """Open ones leave room at their sales reps, so these go in transactions that count it."""
    removed = 0
    while count := docstore.in_transaction(lambda: _remove_open(named)):
        removed += count
    return removed + Lead.rows().delete_many(named).deleted_count


def _remove_open(named: Row) -> int:
    wanted = {**named, "state": leads.OPEN}
    rows = list(Lead.rows().find(wanted, {"uid": 1, "assignment.sales_rep": 1}, limit=_AT_ONCE))
    if not rows:
        return 0
    taken = Counter(row["assignment"]["sales_rep"] for row in rows if row["assignment"].get("sales_rep"))
    sales_reps.give_room(taken)
    if taken:
        leads.call_desk()
    return Lead.rows().delete_many({"uid": {"$in": [row["uid"] for row in rows]}}).deleted_count


def _anonymize_opportunities(named: Row) -> int:
    contacts = [Contact.described(row["uid"]) for row in Contact.rows().find(named, {"uid": 1})]
    return (
        Opportunity.rows()
        .update_many(
            {"$or": [named, {"contact": {"$in": contacts}}]},
            {
                "$set": {"display_name": ERASED_NAME},
                "$unset": {"customer": "", "contact": "", "lead": "", "lost_reason": ""},
                "$inc": {"version": 1},
            },
        )
        .modified_count
    )


def _anonymize_accounts(customers: list[str]) -> int:
    return (
        Account.rows()
        .update_many(
            {"person": {"$in": customers}},
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
