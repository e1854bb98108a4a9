"""Creating, reading, changing, deleting customers."""

import threading
import uuid
from datetime import timedelta

import grpc
import pytest

from chassis import clock
from chassis.errors import NotFound
from identity import messages
from identity.store import Customer, Facet, IdentifierRow, TimelineEntry, agent_view
from identity.store.agent_view import Kind
from identity.usecases import timeline
from identity.usecases.purging import purge_due

SERVICE = "identity"

ADA = {
    "display_name": "  Ada   Lovelace ",
    "email": "Ada@EXAMPLE.com",
    "phone": "030 901820",
    "region_code": "de",
    "language_code": "de_de",
    "time_zone": "Europe/Berlin",
    "traits": {"plan": "gold", "visits": 3, "tags": ["a", {"b": None}], "$odd.name": True},
}


def test_a_customer_is_created_normalised_and_read_back(client):
    made = client.create(**ADA)
    assert made.name == f"customers/{made.uid}"
    assert made.display_name == "Ada Lovelace"
    assert made.email == "Ada@example.com"
    assert made.phone == "+4930901820"
    assert (made.region_code, made.language_code, made.time_zone) == ("DE", "de-DE", "Europe/Berlin")
    assert made.traits["visits"] == 3
    assert made.traits["$odd.name"] is True
    assert [(i.kind, i.value, i.customer) for i in made.identifiers] == [
        (2, "ada@example.com", made.name),
        (3, "+4930901820", made.name),
    ]
    assert client.GetCustomer(name=made.name) == made
    assert client.lookup("KIND_EMAIL", " aDA@example.com") == made
    assert client.lookup("KIND_PHONE", "+49 (30) 901820") == made
    assert client.events() == [("CustomerCreated", made.name, [1, 0])]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "ada at example"),
        ("email", "noreply@example.com"),
        ("phone", "12"),
        ("region_code", "XX"),
        ("language_code", "klingon"),
        ("time_zone", "Mars/Base"),
        ("display_name", "x" * 300),
        ("traits", {f"t{n}": n for n in range(101)}),
        ("traits", {"long": "x" * 17000}),
    ],
)
def test_bad_values_are_refused_with_field_and_cure_but_without_the_value(client, field, value):
    refused = client.refused("CreateCustomer", customer={field: value})
    assert (refused.code, refused.reason) == ("INVALID_ARGUMENT", "INVALID_CUSTOMER")
    (named,) = refused.violations
    assert named == f"customer.{field}"
    assert str(value) not in refused.message + refused.violations[named]
    assert client.ListCustomers().customers == []


def test_all_that_is_wrong_is_said_at_once(client):
    refused = client.refused("CreateCustomer", customer={"email": "x", "time_zone": "y", "region_code": "zz"})
    assert set(refused.violations) == {"customer.email", "customer.time_zone", "customer.region_code"}


def test_an_address_that_is_taken_names_its_customer(client):
    made = client.create(email="ada@example.com")
    refused = client.refused("CreateCustomer", customer={"email": "ADA@example.com"})
    assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "IDENTIFIER_TAKEN")
    assert refused.metadata["resource"] == made.name
    assert "ada@" not in refused.message.casefold()
    other = client.create(phone="+493012345")
    refused = client.refused("UpdateCustomer", customer={"name": other.name, "email": "ada@example.com"})
    assert refused.metadata["resource"] == made.name


def test_the_same_address_at_the_same_time_makes_one_customer(client):
    outcomes = []

    def create():
        try:
            outcomes.append(client.create(email="once@example.com").name)
        except grpc.RpcError as error:
            outcomes.append(error.code().name)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("ALREADY_EXISTS") == 7, outcomes
    assert len(client.ListCustomers().customers) == 1


def test_a_repeated_request_does_nothing_again(client):
    request_id = str(uuid.uuid4())
    made = client.CreateCustomer(customer={"email": "ada@example.com"}, request_id=request_id)
    assert client.CreateCustomer(customer={"email": "ada@example.com"}, request_id=request_id) == made
    refused = client.refused("CreateCustomer", customer={"email": "bob@example.com"}, request_id=request_id)
    assert (refused.code, refused.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    assert len(client.events()) == 1


def test_an_update_changes_what_the_mask_names(client):
    made = client.create(**ADA)
    changed = client.UpdateCustomer(
        customer={"name": made.name, "given_name": "Ada", "email": "ada@lovelace.example", "phone": "ignored"},
        update_mask={"paths": ["given_name", "email", "time_zone"]},
    )
    assert (changed.given_name, changed.email, changed.time_zone) == ("Ada", "ada@lovelace.example", "")
    assert changed.phone == made.phone
    assert changed.traits == made.traits
    assert changed.etag != made.etag
    assert client.lookup("KIND_EMAIL", "ada@lovelace.example").name == made.name
    assert client.refused("LookupCustomer", kind="KIND_EMAIL", value=made.email).code == "NOT_FOUND"
    assert client.create(email=made.email).name != made.name, "the former address is free"


def test_an_update_without_a_mask_changes_what_is_set(client):
    made = client.create(**ADA)
    changed = client.UpdateCustomer(customer={"name": made.name, "traits": {"plan": "silver"}})
    assert dict(changed.traits) == {"plan": "silver"}
    assert changed.email == made.email
    same = client.UpdateCustomer(customer={"name": made.name, "traits": {"plan": "silver"}})
    assert same.etag == changed.etag, "nothing changed"


@pytest.mark.parametrize("path", ["shoe_size", "identifiers", "uid", "create_time"])
def test_a_mask_of_unknown_or_output_only_fields_is_refused(client, path):
    made = client.create(email="ada@example.com")
    refused = client.refused("UpdateCustomer", customer={"name": made.name}, update_mask={"paths": [path]})
    assert refused.reason == "INVALID_UPDATE_MASK"


def test_a_stale_etag_is_aborted(client):
    made = client.create(email="ada@example.com")
    client.UpdateCustomer(customer={"name": made.name, "given_name": "Ada", "etag": made.etag})
    refused = client.refused("UpdateCustomer", customer={"name": made.name, "given_name": "B", "etag": made.etag})
    assert (refused.code, refused.reason) == ("ABORTED", "ETAG_MISMATCH")
    assert client.refused("DeleteCustomer", name=made.name, etag=made.etag).reason == "ETAG_MISMATCH"


def test_concurrent_changes_of_different_fields_all_stay(client):
    made = client.create(email="ada@example.com")
    values = {"given_name": "Ada", "family_name": "L", "display_name": "AL", "region_code": "GB", "language_code": "en"}
    threads = [
        threading.Thread(target=client.UpdateCustomer, kwargs={"customer": {"name": made.name, field: value}})
        for field, value in values.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = client.GetCustomer(name=made.name)
    assert {field: getattr(found, field) for field in values} == values


def test_a_deleted_customer_is_hidden_and_comes_back(client):
    made = client.create(email="ada@example.com")
    gone = client.DeleteCustomer(name=made.name)
    assert gone.purge_time.ToDatetime() - gone.delete_time.ToDatetime() == timedelta(days=30)
    assert client.ListCustomers().customers == []
    assert [one.name for one in client.ListCustomers(show_deleted=True).customers] == [made.name]
    assert client.GetCustomer(name=made.name).HasField("delete_time")
    assert client.refused("DeleteCustomer", name=made.name).code == "NOT_FOUND"
    assert (
        client.refused("UpdateCustomer", customer={"name": made.name, "given_name": "A"}).reason == "CUSTOMER_DELETED"
    )
    refused = client.refused("CreateCustomer", customer={"email": "ada@example.com"})
    assert "undelete" in refused.message
    back = client.UndeleteCustomer(name=made.name)
    assert not back.HasField("delete_time")
    assert client.refused("UndeleteCustomer", name=made.name).code == "ALREADY_EXISTS"
    assert [kind for kind, _, _ in client.events()] == ["CustomerCreated", "CustomerDeleted", "CustomerUpdated"]


def test_after_thirty_days_nothing_is_left(client, monkeypatch):
    made = client.create(email="ada@example.com", phone="+493012345")
    kept = client.create(email="bob@example.com")
    with client.context():
        now = clock.now()
        timeline.add_entries(
            TimelineEntry.new(
                customer=customer.uid, event="Called", source="x", message_id="m", event_time=now, create_time=now
            )
            for customer in (made, kept)
        )
        for customer in (made, kept):
            agent_view.put(Kind.TICKET, f"tickets/{customer.uid}", {"customer": customer.uid, "told": now})
    client.DeleteCustomer(name=made.name)
    purge_due()
    assert client.GetCustomer(name=made.name).email
    later = clock.now() + timedelta(days=31)
    monkeypatch.setattr(clock, "now", lambda: later)
    assert purge_due() >= 1
    assert client.refused("GetCustomer", name=made.name).code == "NOT_FOUND"
    with client.context():
        for cls in (IdentifierRow, TimelineEntry, Facet):
            assert {row["customer"] for row in cls.rows().find({})} == {kept.uid}
        (tombstone,) = Customer.rows().find({"purged": True})
    assert "email" not in tombstone
    assert client.GetCustomer(name=kept.name) == kept


def test_lists_come_in_pages_and_filtered(client):
    made = [client.create(email=f"p{n}@example.com", region_code="DE" if n % 2 else "FR") for n in range(7)]
    names, token = [], ""
    while True:
        page = client.ListCustomers(page_size=3, page_token=token)
        names += [one.name for one in page.customers]
        token = page.next_page_token
        if not token:
            break
    assert names == [one.name for one in made]
    german = client.ListCustomers(filter='region_code = "DE"')
    assert [one.name for one in german.customers] == [one.name for one in made[1::2]]
    token = client.ListCustomers(page_size=3).next_page_token
    assert client.refused("ListCustomers", page_token=token, filter='region_code = "DE"').reason == "INVALID_PAGE_TOKEN"
    broken = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    assert client.refused("ListCustomers", page_token=broken).reason == "INVALID_PAGE_TOKEN"
    assert client.refused("ListCustomers", filter="shoe_size = 4").reason == "INVALID_FILTER"


def test_who_goes_while_customers_are_read_is_left_out(client):
    stays, goes, merged = (client.create(display_name=name) for name in ("Stays", "Goes", "Merged"))
    with client.context():
        read = Customer.get_many([one.uid for one in (stays, goes, merged)])
    client.MergeCustomer(name=stays.name, merged_customer=merged.name)
    with client.context():
        Customer.rows().delete_one({"uid": goes.uid})
        assert [one.name for one in messages.customers(list(read.values()))] == [stays.name]
        assert messages.customer(read[merged.uid]).name == stays.name
        with pytest.raises(NotFound):
            messages.customer(read[goes.uid])


def test_tenants_see_nothing_of_each_other(client, client_of):
    other = client_of()
    made = client.create(email="ada@example.com")
    assert other.refused("GetCustomer", name=made.name).code == "NOT_FOUND"
    assert other.refused("LookupCustomer", kind="KIND_EMAIL", value="ada@example.com").code == "NOT_FOUND"
    assert other.refused("UpdateCustomer", customer={"name": made.name, "given_name": "X"}).code == "NOT_FOUND"
    assert other.refused("DeleteCustomer", name=made.name).code == "NOT_FOUND"
    assert other.refused("MergeCustomer", name=made.name, merged_customer=other.create().name).code == "NOT_FOUND"
    assert other.create(email="ada@example.com").name != made.name
    token = client.ListCustomers(page_size=1).next_page_token or "x"
    assert other.refused("ListCustomers", page_token=token).reason == "INVALID_PAGE_TOKEN"


def test_every_method_asks_for_its_permission(client_of):
    nobody = client_of(permissions={"identity.merges.get"})
    for method, fields in [
        ("ListCustomers", {}),
        ("IngestEvents", {"source": "shop"}),
        ("MergeCustomer", {"name": "customers/a", "merged_customer": "customers/b"}),
        ("SummarizeTimeline", {"event": "x"}),
    ]:
        assert nobody.refused(method, **fields).code == "PERMISSION_DENIED"


def test_lookups_say_what_they_miss(client):
    refused = client.refused("LookupCustomer", kind="KIND_USER_ID", value="u1")
    assert set(refused.violations) == {"source"}
    assert set(client.refused("LookupCustomer", kind="KIND_EMAIL", value="nope").violations) == {"value"}
    missing = client.refused("LookupCustomer", kind="KIND_EMAIL", value="ghost@example.com")
    assert missing.code == "NOT_FOUND"
    assert "ghost" not in missing.message
