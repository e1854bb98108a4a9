"""Documents of the sales service and the queries on them."""

from docstore.aliases import CustomerAlias
from sales.store.accounts import Account, Contact
from sales.store.leads import Conversion, ConversionEstimate, Lead, LeadAssignment, LeadDesk, LeadFacts, ScoreReason
from sales.store.opportunities import Opportunity, Pipeline, Stage
from sales.store.orders import Order, OrderChange, Refund
from sales.store.promises import Promise
from sales.store.sales_reps import SalesRep
from sales.store.tenants import TenantProfile

DOCUMENTS = (
    Account,
    Contact,
    Lead,
    LeadDesk,
    SalesRep,
    Pipeline,
    Opportunity,
    Order,
    OrderChange,
    Promise,
    TenantProfile,
    CustomerAlias,
)
"""Every collection of the service, for `docstore.migrate`."""

__all__ = [
    "DOCUMENTS",
    "Account",
    "Contact",
    "Conversion",
    "ConversionEstimate",
    "CustomerAlias",
    "Lead",
    "LeadAssignment",
    "LeadDesk",
    "LeadFacts",
    "Opportunity",
    "Order",
    "OrderChange",
    "Pipeline",
    "Promise",
    "Refund",
    "SalesRep",
    "ScoreReason",
    "Stage",
    "TenantProfile",
]
