"""People who speak for accounts."""

from google.protobuf.field_mask_pb2 import FieldMask
from rapport.sales.v1 import contact_pb2

import docstore
from chassis import inputs as fields
from docstore import masks
from sales import answers, inputs
from sales.store import Account, Contact, tenants
from sales.usecases import accounts, people
from sales.usecases.deletions import require_deleted


@docstore.command(Contact)
def create(message: contact_pb2.Contact) -> Contact:
    """Creates a contact. Raises InvalidArgument, FailedPrecondition CUSTOMER_ERASED."""
    contact = Contact.new()
    _assign(contact, message)
    return contact.insert()


@docstore.command(Contact)
def update(message: contact_pb2.Contact, mask: FieldMask) -> Contact:
    """Changes what the mask names. Raises NotFound, Aborted and what `create` raises."""
    contact = Contact.get(fields.uid(message.name))
    wanted = answers.contact(contact)
    masks.apply(mask, message, wanted)
    _assign(contact, wanted)
    return contact.save(message.etag or None)


@docstore.command(Contact)
def delete(uid: str, etag: str) -> Contact:
    """Hides a contact for 30 days before it is removed. Raises NotFound, Aborted."""
    return Contact.get(uid).soft_delete(etag or None)


@docstore.command(Contact)
def undelete(uid: str, etag: str) -> Contact:
    """Brings a contact back. Raises NotFound, Aborted, FailedPrecondition NOT_DELETED, CUSTOMER_ERASED."""
    contact = Contact.get(uid, deleted=True)
    require_deleted(contact)
    people.customer(contact.customer or "", "customer")
    return contact.undelete(etag or None)


def email(address: str, field: str) -> str:
    """An address, or nothing. Raises InvalidArgument INVALID_EMAIL."""
    # Nothing is sent from here, so reserved domains do no harm.
    return fields.email(address, field, test_environment=True) if address else ""


def phone(number: str, field: str, region: str) -> str:
    """A number as E.164, or nothing; read in `region`, else the tenant's. Raises InvalidArgument INVALID_PHONE."""
    return fields.phone(number, field, region or tenants.region()) if number else ""


def _assign(contact: Contact, message: contact_pb2.Contact) -> None:
    if contact.account != message.account or not contact.version:
        contact.account = accounts.known(message.account, "contact.account").name
    contact.customer = people.customer(message.customer, "contact.customer") or None
    contact.display_name = fields.display_name(message.display_name, "contact.display_name")
    contact.email = email(message.email, "contact.email") or None
    if message.phone != (contact.phone or ""):
        contact.phone = phone(message.phone, "contact.phone", _region(contact.account)) or None
    contact.job_title = inputs.text(message.job_title, "contact.job_title", inputs.NAME_MAX) or None


def _region(account: str) -> str:
    uid = fields.uid(account)
    found = Account.get_many([uid], deleted=True)
    return (found[uid].region_code or "") if found else ""
