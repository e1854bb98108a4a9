"""Files that came with messages."""

from chassis.errors import NotFound
from docstore.blobs import BlobStore
from ticketing.store import TicketMessage
from ticketing.store.messages import Attachment


def content_of(name: str, files: BlobStore) -> tuple[Attachment, bytes]:
    """What is known of an attachment (resource name), and its bytes. Raises NotFound."""
    _, ticket, _, message, _, sha256 = name.split("/")
    said = TicketMessage.get_many([message]).get(message)
    kept = said.attachments if said is not None and said.ticket == ticket else ()
    found = next((each for each in kept if each.sha256 == sha256), None)
    if found is None:
        raise NotFound("NOT_FOUND", f"There is no attachment {name}.", metadata={"resource": name})
    return found, files.get(f"tickets/{ticket}", sha256)
