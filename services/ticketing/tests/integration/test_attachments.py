"""Files that came with messages are given out, to whoever may see them."""

import hashlib
import uuid
from types import SimpleNamespace

import grpc
import pytest
from rapport.options.v1 import options_pb2

import docstore
from docstore import blobs
from ticketing.store.messages import Attachment
from ticketing.usecases import messages
from ticketing.usecases.erasing import erase
from ticketing.usecases.opening import Said

SERVICE = "ticketing"
CONTENT = b"a picture"


@pytest.fixture
def sent(client, settings) -> SimpleNamespace:
    """A ticket with a message of two attachments, one of which is not kept."""
    ticket = client.ticket(customer=client.customer())
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    kept = Attachment(filename="a.png", content_type="image/png", size_bytes=len(CONTENT), sha256=sha256)
    bomb = Attachment(filename="b.zip", content_type="application/zip", size_bytes=9, refusal="ARCHIVE_BOMB")
    said = Said("See.", "AUTHOR_CUSTOMER", "CHANNEL_EMAIL", uid=str(uuid.uuid4()), attachments=[kept, bomb])
    with client.context():
        blobs.store(settings).put(ticket.name, sha256, CONTENT)
        docstore.in_transaction(lambda: messages.post(ticket.uid, said))
    (message,) = client.ListTicketMessages(parent=ticket.name).ticket_messages
    return SimpleNamespace(ticket=ticket, message=message, name=message.attachments[0].name)


def test_a_file_comes_out_as_it_came_in(client, sent) -> None:
    file = client.DownloadAttachment(name=sent.name)
    assert (file.data, file.content_type) == (CONTENT, "image/png")
    told = options_pb2.File()
    assert file.extensions[0].Unpack(told)
    assert told.filename == "a.png"
    assert sent.message.attachments[1].name == ""


def test_what_is_not_there_is_not_found(client, sent, settings) -> None:
    other = client.ticket()
    _, uid, _, message, _, sha256 = sent.name.split("/")
    for name in (
        f"tickets/{uid}/messages/{message}/attachments/{'0' * 64}",
        f"tickets/{uid}/messages/{uuid.uuid4()}/attachments/{sha256}",
        f"tickets/{other.uid}/messages/{message}/attachments/{sha256}",
    ):
        assert refusal(client, name) is grpc.StatusCode.NOT_FOUND
    with client.context():
        erase([sent.ticket.customer], blobs=blobs.store(settings))
    assert refusal(client, sent.name) is grpc.StatusCode.NOT_FOUND


def test_neither_another_tenant_nor_who_may_not_gets_it(client, sent, channel) -> None:
    stranger = type(client)(channel, f"t{uuid.uuid4().hex[:12]}")
    assert refusal(stranger, sent.name) is grpc.StatusCode.NOT_FOUND
    client.permissions = ("ticketing.tickets.*", "ticketing.ticketMessages.*")
    assert refusal(client, sent.name) is grpc.StatusCode.PERMISSION_DENIED
    client.permissions = ("ticketing.attachments.get",)
    assert client.DownloadAttachment(name=sent.name).data == CONTENT


def refusal(client, name: str) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as error:
        client.DownloadAttachment(name=name)
    return error.value.code()
