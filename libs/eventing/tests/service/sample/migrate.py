import docstore
from eventing.records import RECORDS
from sample.store import Seen, Thing

MIGRATIONS = ()


def migrate(settings):
    docstore.migrate("sample", [Thing, Seen, *RECORDS], MIGRATIONS, settings)
