import grpc
import pytest
from rapport.consent.v1 import purpose_pb2

from consent.store import Purpose
from docstore.explain import assert_indexed

SERVICE = "consent"


def test_a_purpose_is_created_once_and_reads_back(client, refused) -> None:
    made = client.purpose("news-mail")
    assert (made.name, made.uid) == ("purposes/news-mail", "news-mail")
    assert made.notice.version == 1
    assert [text.language_code for text in made.notice.texts] == ["en", "de"]
    assert client.GetPurpose(name=made.name) == made
    with refused("ALREADY_EXISTS", grpc.StatusCode.ALREADY_EXISTS):
        client.purpose("news-mail")


def test_a_repeated_request_creates_once(client, refused) -> None:
    purpose = purpose_pb2.Purpose(
        display_name="Profiling", legal_basis="LEGAL_BASIS_LEGITIMATE_INTERESTS", channels=["CHANNEL_NONE"]
    )
    request_id = "6f1ff3f5-3b1c-4b6e-8d7a-1f0e6b9f2c11"
    first = client.CreatePurpose(purpose=purpose, purpose_id="profiling", request_id=request_id)
    assert client.CreatePurpose(purpose=purpose, purpose_id="profiling", request_id=request_id) == first
    assert not first.HasField("notice")
    purpose.display_name = "Other"
    with refused("REQUEST_ID_REUSED", grpc.StatusCode.ALREADY_EXISTS):
        client.CreatePurpose(purpose=purpose, purpose_id="profiling", request_id=request_id)


@pytest.mark.parametrize(
    ("purpose_id", "fields", "reason", "field"),
    [
        ("N", {}, "INVALID_PURPOSE_ID", "purpose_id"),
        ("1news", {}, "INVALID_PURPOSE_ID", "purpose_id"),
        ("news", {"display_name": "x" * 201}, "INVALID_DISPLAY_NAME", "purpose.display_name"),
        ("news", {"channels": ["CHANNEL_EMAIL", "CHANNEL_EMAIL"]}, "INVALID_CHANNELS", "purpose.channels"),
        ("news", {"notice": None}, "NOTICE_REQUIRED", "purpose.notice.texts"),
        (
            "news",
            {"notice": {"texts": [{"language_code": "xx-Nowhere", "text": "?"}]}},
            "INVALID_LANGUAGE",
            "purpose.notice.texts[0].language_code",
        ),
        (
            "news",
            {"notice": {"texts": [{"language_code": "en", "text": "a"}, {"language_code": "en", "text": "b"}]}},
            "INVALID_NOTICE",
            "purpose.notice.texts[1].language_code",
        ),
    ],
)
def test_wrong_purposes_are_refused_by_field(client, refused, purpose_id, fields, reason, field) -> None:
    with refused(reason, grpc.StatusCode.INVALID_ARGUMENT) as error:
        client.purpose(purpose_id, **fields)
    assert next(iter(error.violations)) == field


def test_notices_are_added_under_the_etag_and_kept(client, refused) -> None:
    made = client.purpose()
    texts = [{"language_code": "pt-BR", "text": "Novo."}]
    second = client.AddNotice(name=made.name, notice={"texts": texts, "renewal_required": True}, etag=made.etag)
    assert (second.notice.version, second.notice.renewal_required) == (2, True)
    with refused("ETAG_MISMATCH", grpc.StatusCode.ABORTED):
        client.AddNotice(name=made.name, notice={"texts": texts}, etag=made.etag)
    assert client.GetNotice(name=made.name, version=1).texts == made.notice.texts
    assert client.GetNotice(name=made.name).texts[0].language_code == "pt-BR"
    with refused("NOTICE_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        client.GetNotice(name=made.name, version=3)


def test_update_follows_the_mask_and_never_the_basis(client, refused) -> None:
    made = client.purpose()
    changed = client.UpdatePurpose(
        purpose={"name": made.name, "display_name": "Letters", "channels": ["CHANNEL_POST"], "etag": made.etag},
        update_mask={"paths": ["display_name"]},
    )
    assert (changed.display_name, changed.channels) == ("Letters", made.channels)
    with refused("INVALID_UPDATE_MASK"):
        client.UpdatePurpose(
            purpose={"name": made.name, "legal_basis": "LEGAL_BASIS_CONTRACT"}, update_mask={"paths": ["legal_basis"]}
        )
    with refused("ETAG_MISMATCH"):
        client.UpdatePurpose(
            purpose={"name": made.name, "display_name": "X", "etag": made.etag}, update_mask={"paths": ["display_name"]}
        )


def test_purposes_are_listed_in_pages_of_the_own_tenant(client, channel) -> None:
    for number in range(5):
        client.purpose(f"purpose-{number}")
    type(client)(channel, "another", ("consent.*",)).purpose("foreign")
    first = client.ListPurposes(page_size=3)
    rest = client.ListPurposes(page_size=3, page_token=first.next_page_token)
    assert [each.uid for each in [*first.purposes, *rest.purposes]] == [f"purpose-{n}" for n in range(5)]
    assert all(each.notice.version == 1 for each in rest.purposes)
    assert rest.next_page_token == ""
    with client.context():
        assert_indexed(Purpose, {"delete_time": None}, [("create_time", 1), ("_id", 1)])


def test_permissions_are_checked(channel, client, refused) -> None:
    with refused("PERMISSION_MISSING", grpc.StatusCode.PERMISSION_DENIED):
        type(client)(channel, client.tenant, ("consent.purposes.list",)).purpose()
