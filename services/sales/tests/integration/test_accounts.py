"""Accounts and contacts through the API, and what every resource has in common."""

import uuid

import grpc
import pytest

from eventing import tombstones
from sales.store import Account, Contact
from sales.usecases import deletions

SERVICE = "sales"


def test_an_account_is_created_changed_listed_deleted_and_brought_back(client, refused) -> None:
    made = client.account(website="https://acme.example/", region_code="de", owner="principals/anna")
    assert (made.region_code, made.uid, made.etag) == ("DE", made.name.partition("/")[2], '"1"')
    changed = client.UpdateAccount(account={"name": made.name, "display_name": "Acme AG", "etag": made.etag})
    assert (changed.display_name, changed.website, changed.owner) == ("Acme AG", made.website, made.owner)
    with refused("ETAG_MISMATCH", grpc.StatusCode.ABORTED):
        client.UpdateAccount(account={"name": made.name, "display_name": "X", "etag": made.etag})
    cleared = client.UpdateAccount(account={"name": made.name}, update_mask={"paths": ["website", "region_code"]})
    assert (cleared.website, cleared.region_code, cleared.display_name) == ("", "", "Acme AG")
    with refused("INVALID_UPDATE_MASK"):
        client.UpdateAccount(account={"name": made.name}, update_mask={"paths": ["create_time"]})
    with refused("NOT_DELETED", grpc.StatusCode.FAILED_PRECONDITION):
        client.UndeleteAccount(name=made.name)
    gone = client.DeleteAccount(name=made.name)
    assert (gone.purge_time.ToDatetime() - gone.delete_time.ToDatetime()).days == 30
    assert list(client.ListAccounts().accounts) == []
    assert [each.name for each in client.ListAccounts(show_deleted=True).accounts] == [made.name]
    assert client.GetAccount(name=made.name).HasField("delete_time")
    assert not client.UndeleteAccount(name=made.name).HasField("delete_time")
    assert [each.name for each in client.ListAccounts().accounts] == [made.name]


def test_what_is_deleted_goes_for_good_after_30_days(client, travel, refused) -> None:
    account = client.account()
    contact = client.CreateContact(contact={"account": account.name, "display_name": "Ann"})
    kept = client.account(display_name="Kept")
    client.DeleteContact(name=contact.name)
    client.DeleteAccount(name=account.name)
    travel(days=29)
    deletions.purge_due()
    assert client.GetContact(name=contact.name).HasField("delete_time")
    travel(days=2)
    assert deletions.purge_due() >= 2
    for get, name in ((client.GetContact, contact.name), (client.GetAccount, account.name)):
        with refused("NOT_FOUND", grpc.StatusCode.NOT_FOUND):
            get(name=name)
    with client.context():
        assert Contact.rows().count({"uid": contact.uid, "display_name": "Ann"}) == 0
        assert Account.rows().count({"display_name": "Kept"}) == 1
    assert [each.name for each in client.ListAccounts(show_deleted=True).accounts] == [kept.name]


def test_a_contact_belongs_to_an_account_and_its_phone_is_read_there(client, refused) -> None:
    client.settle_in(region="DE")
    account = client.account(region_code="FR")
    person = client.customer()
    values = {"account": account.name, "display_name": "Zoé", "email": "Zoe@Example.com", "phone": "01 23 45 67 89"}
    made = client.CreateContact(contact=values | {"customer": person, "job_title": "Buyer"})
    assert (made.phone, made.email, made.customer) == ("+33123456789", "Zoe@example.com", person)
    home = client.account(display_name="Home")
    assert client.CreateContact(contact=values | {"account": home.name, "phone": "030 1234567"}).phone == "+49301234567"
    with refused("ACCOUNT_UNKNOWN") as error:
        client.CreateContact(contact=values | {"account": f"accounts/{uuid.uuid4()}"})
    assert list(error.violations) == ["contact.account"]
    with refused("INVALID_PHONE") as error:
        client.CreateContact(contact=values | {"phone": "12"})
    assert list(error.violations) == ["contact.phone"]
    changed = client.UpdateContact(contact={"name": made.name, "account": home.name})
    assert (changed.account, changed.phone) == (home.name, "+33123456789")
    listed = client.ListContacts(filter=f'account = "{home.name}"')
    assert {each.name for each in listed.contacts} >= {made.name}


@pytest.mark.parametrize(
    ("method", "fields", "reason", "field"),
    [
        ("CreateAccount", {"account": {"display_name": " "}}, "INVALID_DISPLAY_NAME", "account.display_name"),
        ("CreateAccount", {"account": {"display_name": "A", "website": "acme"}}, "INVALID_WEBSITE", "account.website"),
        ("CreateAccount", {"account": {"display_name": "A", "region_code": "XX"}}, "INVALID_REGION",
         "account.region_code"),
        ("CreateAccount", {"account": {"display_name": "A", "owner": "anna"}}, "INVALID_OWNER", "account.owner"),
        ("CreateLead", {"lead": {"display_name": "A", "source": 1, "email": "nobody"}}, "INVALID_EMAIL", "lead.email"),
        ("CreateLead", {"lead": {"display_name": "A", "source": 1, "language_code": "??"}}, "INVALID_LANGUAGE",
         "lead.language_code"),
        ("CreateLead", {"lead": {"display_name": "A", "source": 1, "message": "x" * 5001}}, "INVALID_MESSAGE",
         "lead.message"),
        ("CreateLead", {"lead": {"display_name": "A", "source": 1, "employee_count": -1}}, "INVALID_EMPLOYEE_COUNT",
         "lead.employee_count"),
        ("CreateLead", {"lead": {"display_name": "A", "source": 1, "budget": {"currency_code": "EURO"}}},
         "CURRENCY_UNKNOWN", "lead.budget.currency_code"),
        ("CreateLead", {"lead": {"display_name": "A", "source": 1, "required_skills": ["No"]}}, "INVALID_SKILLS",
         "lead.required_skills"),
        ("CreateLead", {"lead": {"display_name": "A", "source": 1, "customer": "customers/ann"}}, "INVALID_CUSTOMER",
         "lead.customer"),
        ("CreateSalesRep", {"sales_rep_id": "ann", "sales_rep": {"principal": "ann", "display_name": "A"}},
         "INVALID_PRINCIPAL", "sales_rep.principal"),
        ("CreateSalesRep",
         {"sales_rep_id": "ann",
          "sales_rep": {"principal": "principals/a", "display_name": "A", "region_codes": ["DE", "Q"]}},
         "INVALID_REGION", "sales_rep.region_codes[1]"),
        ("CreateSalesRep",
         {"sales_rep_id": "ann", "sales_rep": {"principal": "principals/a", "display_name": "A", "capacity": 10_001}},
         "INVALID_CAPACITY", "sales_rep.capacity"),
        ("CreatePipeline",
         {"pipeline_id": "b2b",
          "pipeline": {"display_name": "B", "stages": [{"id": "X", "display_name": "X"}]}},
         "PIPELINE_INVALID", "pipeline.stages[0].id"),
        ("ListLeads", {"order_by": "name"}, "INVALID_ORDER_BY", "order_by"),
        ("ListOrders", {"filter": "amount = 3"}, "INVALID_FILTER", "filter"),
        ("ListOrders", {"page_token": "nonsense"}, "INVALID_PAGE_TOKEN", "page_token"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_by_field(client, refused, method, fields, reason, field) -> None:
    with refused(reason, grpc.StatusCode.INVALID_ARGUMENT) as error:
        getattr(client, method)(**fields)
    assert field in error.violations


def test_a_request_is_carried_out_once(client, refused) -> None:
    client.rep("anna", capacity=100)
    account = client.account()
    person = client.customer()
    money = {"currency_code": "EUR", "units": 5}
    due = {"seconds": 4_000_000_000}
    requests = [
        (client.CreateAccount, {"account": {"display_name": "A"}}),
        (client.CreateContact, {"contact": {"display_name": "A", "account": account.name}}),
        (client.CreateLead, {"lead": {"display_name": "A", "source": 1}}),
        (client.CreateOpportunity, {"opportunity": {"display_name": "A", "account": account.name}}),
        (client.CreateOrder, {"order": {"customer": person, "amount": money}}),
        (client.CreatePromise, {"promise": {"customer": person, "text": "A", "due_time": due}}),
    ]
    for call, fields in requests:
        request_id = str(uuid.uuid4())
        first = call(**fields, request_id=request_id)
        assert call(**fields, request_id=request_id) == first
        (resource,) = fields
        with refused("REQUEST_ID_REUSED", grpc.StatusCode.ALREADY_EXISTS):
            call(**{resource: fields[resource] | {"etag": "other"}}, request_id=request_id)
    assert client.GetSalesRep(name="salesReps/anna").load == 1
    lead = client.lead()
    for call, fields in (
        (client.DisqualifyLead, {"name": lead.name, "reason": "no"}),
        (client.DeleteAccount, {"name": account.name}),
    ):
        request_id = str(uuid.uuid4())
        assert call(**fields, request_id=request_id) == call(**fields, request_id=request_id)


def test_pages_hold_everything_once(client) -> None:
    person = client.customer()
    for number in range(7):
        client.account(display_name=f"A{number}")
        client.track(client.bought(person, number, f"n{number}"))
    for list_, field in ((client.ListAccounts, "accounts"), (client.ListOrders, "orders")):
        found, token = [], ""
        while True:
            page = list_(page_size=3, page_token=token)
            found += [each.name for each in getattr(page, field)]
            if not (token := page.next_page_token):
                break
        assert len(found) == len(set(found)) == 7


def test_a_tenant_sees_nothing_of_another(client, client_of, refused) -> None:
    other = client_of()
    person = client.customer()
    order = client.CreateOrder(order={"customer": person, "amount": {"currency_code": "EUR", "units": 1}})
    lead = client.lead(customer=person)
    assert list(other.ListOrders(filter=f'customer = "{person}"').orders) == []
    assert other.SummarizeOrders().order_count == 0
    with refused("NOT_FOUND"):
        other.GetOrder(name=order.name)
    with refused("NOT_FOUND"):
        other.ConvertLead(name=lead.name)


def test_permissions_are_those_of_the_contract(client_of, refused) -> None:
    reader = client_of(permissions=("sales.orders.list",))
    reader.ListOrders()
    with refused("PERMISSION_MISSING", grpc.StatusCode.PERMISSION_DENIED):
        reader.account()


def test_nothing_is_written_about_the_erased(client, refused) -> None:
    person = client.customer()
    account = client.account()
    deal = client.CreateOpportunity(opportunity={"display_name": "Deal", "account": account.name})
    with client.context():
        tombstones.erase([person])
    money = {"currency_code": "EUR", "units": 5}
    for call, fields in (
        (client.CreateContact, {"contact": {"display_name": "A", "account": account.name, "customer": person}}),
        (client.CreateLead, {"lead": {"display_name": "A", "source": 1, "customer": person}}),
        (client.CreateOpportunity,
         {"opportunity": {"display_name": "A", "account": account.name, "customer": person}}),
        (client.UpdateOpportunity, {"opportunity": {"name": deal.name, "customer": person}}),
        (client.CreateOrder, {"order": {"customer": person, "amount": money}}),
        (client.CreatePromise, {"promise": {"customer": person, "text": "A", "due_time": {"seconds": 4_000_000_000}}}),
    ):  # fmt: skip
        with refused("CUSTOMER_ERASED", grpc.StatusCode.FAILED_PRECONDITION):
            call(**fields)
    client.track(client.bought(person, 100, "1"), client.bought(client.customer(), 200, "2"))
    assert [each.order_number for each in client.ListOrders().orders] == ["2"]
