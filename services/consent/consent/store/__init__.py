"""Documents of the consent service and the queries on them."""

from consent.store.chain import ChainHead, Seal
from consent.store.consents import Consent, OptIn
from consent.store.decisions import Decision
from consent.store.erasures import ErasureRequest
from consent.store.mails import OptInMail
from consent.store.purposes import Notice, NoticeText, Purpose
from consent.store.records import ConsentRecord, Evidence
from docstore.aliases import CustomerAlias

DOCUMENTS = (
    Purpose,
    Notice,
    Consent,
    ConsentRecord,
    Seal,
    ChainHead,
    OptInMail,
    Decision,
    CustomerAlias,
    ErasureRequest,
)
"""Every collection of the service, for `docstore.migrate`."""

__all__ = [
    "DOCUMENTS",
    "ChainHead",
    "Consent",
    "ConsentRecord",
    "Decision",
    "ErasureRequest",
    "Evidence",
    "Notice",
    "NoticeText",
    "OptIn",
    "OptInMail",
    "Purpose",
    "Seal",
]
