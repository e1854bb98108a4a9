"""Accounts."""

from google.protobuf.field_mask_pb2 import FieldMask
from rapport.sales.v1 import account_pb2

import docstore
from chassis import inputs as fields
from chassis.errors import NotFound
from docstore import masks
from sales import answers, inputs
from sales.store import Account
from sales.usecases.deletions import require_deleted


@docstore.command(Account)
def create(message: account_pb2.Account) -> Account:
    """Creates an account."""
    account = Account.new()
    _assign(account, message)
    return account.insert()


@docstore.command(Account)
def update(message: account_pb2.Account, mask: FieldMask) -> Account:
    """Changes what the mask names. Raises NotFound, Aborted, InvalidArgument."""
    account = Account.get(fields.uid(message.name))
    wanted = answers.account(account)
    if "display_name" in masks.apply(mask, message, wanted):
        account.person = None
    _assign(account, wanted)
    return account.save(message.etag or None)


@docstore.command(Account)
def delete(uid: str, etag: str) -> Account:
    """Hides an account for 30 days before it is removed. Raises NotFound, Aborted."""
    return Account.get(uid).soft_delete(etag or None)


@docstore.command(Account)
def undelete(uid: str, etag: str) -> Account:
    """Brings an account back. Raises NotFound, Aborted, FailedPrecondition NOT_DELETED."""
    account = Account.get(uid, deleted=True)
    require_deleted(account)
    return account.undelete(etag or None)


def _assign(account: Account, message: account_pb2.Account) -> None:
    account.display_name = fields.display_name(message.display_name, "account.display_name")
    account.website = inputs.website(message.website, "account.website") or None
    account.region_code = fields.region(message.region_code, "account.region_code") if message.region_code else None
    account.owner = inputs.principal(message.owner, "account.owner") or None


def known(name: str, field: str) -> Account:
    """The account of that name. Raises InvalidArgument ACCOUNT_UNKNOWN."""
    try:
        return Account.get(fields.uid(name))
    except NotFound:
        raise fields.refusal("ACCOUNT_UNKNOWN", field, "There is no such account.") from None
