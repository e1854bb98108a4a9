"""Accounts and the people who speak for them."""

from typing import Any, ClassVar

import mongoengine as me

from docstore.aggregate import Aggregate

PURGE_INDEX: dict[str, Any] = {"fields": ["purge_time"], "sparse": True, "platform": True}


class Account(Aggregate):
    """A company or household.

    person: the customer (resource name) whose own name is the account's, because a lead named no company.
    """

    resource = "accounts"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "accounts",
        "indexes": [
            ["tenant", "create_time", "id"],
            ["tenant", "owner", "create_time", "id"],
            ["tenant", "region_code", "create_time", "id"],
            ["tenant", "display_name", "create_time", "id"],
            {"fields": ["tenant", "person"], "partialFilterExpression": {"person": {"$exists": True}}},
            PURGE_INDEX,
        ],
    }
    display_name: Any = me.StringField(required=True)
    website: Any = me.StringField()
    region_code: Any = me.StringField()
    owner: Any = me.StringField()
    person: Any = me.StringField()


class Contact(Aggregate):
    """A person who speaks for an account. account, customer: resource names."""

    resource = "contacts"
    meta: ClassVar[dict[str, Any]] = {
        "collection": "contacts",
        "indexes": [
            ["tenant", "create_time", "id"],
            ["tenant", "account", "create_time", "id"],
            ["tenant", "customer", "create_time", "id"],
            ["tenant", "email", "create_time", "id"],
            PURGE_INDEX,
        ],
    }
    account: Any = me.StringField(required=True)
    customer: Any = me.StringField()
    display_name: Any = me.StringField(required=True)
    email: Any = me.StringField()
    phone: Any = me.StringField()
    job_title: Any = me.StringField()
