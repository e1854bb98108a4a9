"""Erasing people: nothing that leads to them is left in any collection."""

from collections.abc import Iterator
from typing import Any

import pytest

from docstore.connection import database as connected
from docstore.scope import platform_scope
from sales.store import DOCUMENTS, Lead, Order, SalesRep
from sales.usecases.erasing import erase

SERVICE = "sales"
PLANTED = ("Planted", "planted@example.com", "+49301234567", "planted-number", "planted-message")


def texts(value: Any) -> Iterator[str]:
    """Every text in a stored value, keys and bytes included."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
    else:
        yield str(value)


def left(tenant: str, *planted: str) -> set[tuple[str, str]]:
    """(collection, text) of what is found of the planted strings. Unsent events are eventing's to erase."""
    found = set()
    with platform_scope():
        names = {document._get_collection_name() for document in DOCUMENTS} | {"requests"}
        for name in names - {"order_changes"}:
            for row in connected()[name].find({"tenant": tenant}, {"outbox": 0}):
                found |= {(name, text) for text in planted if any(text in each for each in texts(row))}
    return found


@pytest.fixture
def person(client) -> str:
    """Somebody who is everywhere."""
    client.settle_in()
    client.rep("anna")
    name = client.customer()
    told = {"customer": name, "display_name": "Planted Person", "email": "planted@example.com", "phone": "030 1234567"}
    client.CreateContact(contact=told | {"account": client.account().name, "job_title": "Planted boss"})
    client.lead(**told, message="Planted message")
    client.DisqualifyLead(name=client.lead(**told).name, reason="Planted reason")
    done = client.ConvertLead(name=client.lead(**told).name)
    client.LoseOpportunity(name=done.conversion.opportunity, lost_reason="Planted reason")
    client.CreateOpportunity(opportunity={
        "display_name": "Planted deal", "account": done.conversion.account, "contact": done.conversion.contact,
        "amount": {"currency_code": "EUR", "units": 70},
    })  # fmt: skip
    client.CreatePromise(promise={"customer": name, "text": "Planted promise", "due_time": {"seconds": 4_000_000_000}})
    client.CreateOrder(
        order={"customer": name, "order_number": "planted-number", "amount": {"currency_code": "EUR", "units": 5}}
    )
    client.track(
        client.bought(name, 1000, "planted-number-2", message_id="planted-message-1"),
        client.returned(name, 400, "planted-number-2", message_id="planted-message-2"),
        client.returned(name, 400, "planted-number-3", message_id="planted-message-3"),
    )
    return name


def test_nothing_of_the_erased_is_left_and_the_books_still_add_up(client, person) -> None:
    other = client.customer()
    client.merge(person, person)
    kept = client.lead(customer=other, display_name="Other")
    client.track(client.bought(other, 300, "other-number"))
    collections = {name for name, _ in left(client.tenant, person, *PLANTED)}
    assert collections == {
        "leads", "contacts", "accounts", "opportunities", "orders", "promises", "customer_aliases",
    }  # fmt: skip
    before = client.SummarizeOrders()
    with client.context():
        done = erase([person, client.customer()])
    assert done == {
        "leads": (3, 0), "contacts": (2, 0), "promises": (1, 0), "opportunities": (0, 2), "accounts": (0, 1),
        "orders": (0, 3), "customerAliases": (1, 0),
    }  # fmt: skip
    assert left(client.tenant, person, *PLANTED) == set()
    after = client.SummarizeOrders()
    assert (after.currencies, after.order_count) == (before.currencies, 3)
    assert (before.customer_count, after.customer_count) == (2, 1)
    assert [each.name for each in client.ListLeads().leads] == [kept.name]
    deals = client.ListOpportunities().opportunities
    assert sorted((each.display_name, each.amount.units, each.customer, each.contact) for each in deals) == [
        ("Erased", 0, "", ""), ("Erased", 70, "", ""),
    ]  # fmt: skip
    with client.context():
        assert Order.rows().count({"refunds.share": 400}) == 1
        assert SalesRep.rows().find_one({"uid": "anna"})["load"] == Lead.rows().count({"state": "STATE_OPEN"}) == 1
        assert erase([person]) == dict.fromkeys(done, (0, 0))
    assert client.GetOrder(name=client.ListOrders().orders[0].name).customer in ("", other)


def test_an_erasure_that_broke_off_is_finished_by_the_next(client, person, monkeypatch) -> None:
    from sales.usecases import erasing

    def broken(*_: object) -> int:
        raise ConnectionError

    with client.context(), monkeypatch.context() as patched:
        patched.setattr(erasing, "_anonymize_accounts", broken)
        with pytest.raises(ConnectionError):
            erase([person])
    assert left(client.tenant, *PLANTED)
    with client.context():
        erase([person])
    assert left(client.tenant, person, *PLANTED) == set()


def test_another_tenants_people_stay(client, client_of, person) -> None:
    with client_of().context():
        assert set(erase([person]).values()) == {(0, 0)}
    assert left(client.tenant, person)


def test_what_came_from_an_address_of_the_erased_is_theirs_too(client, person) -> None:
    by_address = {"display_name": "Planted Stranger", "email": "planted@example.com"}
    client.lead(**by_address)
    done = client.ConvertLead(name=client.lead(**by_address).name)
    other = client.lead(display_name="Other", email="other@example.com")
    renamed = client.account(display_name="Kept").name
    client.ConvertLead(name=client.lead(**by_address).name, account=renamed)
    with client.context():
        counts = erase([person])
    assert (counts["leads"], counts["contacts"], counts["accounts"]) == ((6, 0), (4, 0), (0, 2))
    assert left(client.tenant, person, *PLANTED) == set()
    assert client.GetAccount(name=done.conversion.account).display_name == "Erased"
    assert client.GetAccount(name=renamed).display_name == "Kept"
    assert [each.name for each in client.ListLeads().leads] == [other.name]
