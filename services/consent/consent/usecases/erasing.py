"""Consent's own part of an erasure: what it holds of people that is more than a pseudonymous name."""

from collections.abc import Collection

from consent.store import Consent, ConsentRecord, OptInMail
from docstore import aliases


def erase(customers: Collection[str]) -> dict[str, tuple[int, int]]:
    """Erases the customers (resource names); kind -> (removed, anonymized). May be repeated.

    Statements stay as pseudonymous proof (GDPR article 17 (3) (e)): without salt and evidence nobody can tell who made
    them, and the chain, which holds commitments only, stays verifiable. Decisions hold nothing but names.
    """
    people = list(customers)
    consents = Consent.rows()
    of_people = {"customer": {"$in": people}}
    asked = [row["uid"] for row in consents.find(of_people, {"uid": 1})]
    # With the version, so that whoever read a consent before cannot write it back.
    stripped = consents.update_many(
        {**of_people, "erased": {"$ne": True}},
        {"$set": {"erased": True}, "$unset": {"opt_in": ""}, "$inc": {"version": 1}},
    )
    records = ConsentRecord.rows().update_many(
        {**of_people, "salt": {"$exists": True}}, {"$unset": {"salt": "", "evidence": ""}}
    )
    mails = OptInMail.rows().delete_many({"consent": {"$in": asked}})
    return {
        "consents": (0, stripped.modified_count),
        "consentRecords": (0, records.modified_count),
        "optInMails": (mails.deleted_count, 0),
        "customerAliases": (aliases.forget(people), 0),
    }
