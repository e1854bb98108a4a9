import docstore
from eventing.records import RECORDS
from sample.store import Seen, Thing


def migrate(settings):
    docstore.migrate("sample", [Thing, Seen, *RECORDS], [], settings)
