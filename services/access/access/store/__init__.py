"""What the access service keeps. Tenants belong to the tenant `platform`, everything else to its own tenant."""

from access.store.issuers import Issuer
from access.store.keys import Key
from access.store.principals import Principal
from access.store.roles import Role
from access.store.tenants import Tenant

DOCUMENTS = (Tenant, Role, Principal, Key, Issuer)

__all__ = ["DOCUMENTS", "Issuer", "Key", "Principal", "Role", "Tenant"]
