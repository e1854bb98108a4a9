"""The links in messages: followed, counted, unsubscribed from."""

import pytest
from rapport.campaigns.v1 import campaigns_service_pb2 as pb

from chassis.errors import FailedPrecondition, InvalidArgument, Unavailable

TOKEN = "k1.AbC-_123"


@pytest.fixture(autouse=True)
def campaigns(services):
    about = {"sender_display_name": "Shop <b>", "masked_email": "a***@example.com", "unsubscribed": False}

    def unsubscribe(_):
        about["unsubscribed"] = True
        return pb.Unsubscription(**about)

    services.answers |= {
        "FollowLink": lambda _: pb.FollowLinkResponse(target_url="https://shop.example/sale?x=1&y=%20"),
        "ViewUnsubscribe": lambda _: pb.Unsubscription(**about),
        "Unsubscribe": unsubscribe,
    }


def test_a_link_leads_on_and_is_counted_once(client, services):
    answer = client.get(f"/l/{TOKEN}")
    assert (answer.status_code, answer.headers["Location"]) == (302, "https://shop.example/sale?x=1&y=%20")
    assert answer.headers["Cache-Control"] == "no-store"
    for method in ("HEAD", "POST", "PUT"):
        assert client.open(f"/l/{TOKEN}", method=method).status_code == 405
    assert [request.token for request in services.requests("FollowLink")] == [TOKEN]


def test_a_picture_is_shown_whatever_happens(client, services):
    def refuse(_):
        raise InvalidArgument("LINK_INVALID", "x")

    for _ in range(2):
        answer = client.get(f"/o/{TOKEN}")
        assert (answer.status_code, answer.content_type, answer.data[:3]) == (200, "image/gif", b"GIF")
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        services.answers["RecordOpen"] = refuse
    assert len(services.requests("RecordOpen")) == 2


def test_looking_changes_nothing_and_the_button_or_one_click_unsubscribes(client, services):
    for method in ("GET", "HEAD"):
        page = client.open(f"/u/{TOKEN}", method=method)
        assert page.status_code == 200
    page = client.get(f"/u/{TOKEN}")
    assert 'method="post"' in page.text
    assert "a***@example.com" in page.text
    assert "Shop &lt;b&gt;" in page.text
    assert "script-src" not in page.headers["Content-Security-Policy"]
    assert services.requests("Unsubscribe") == []
    done = client.post(f"/u/{TOKEN}", data={"List-Unsubscribe": "One-Click"})
    assert done.status_code == 200
    assert "You are unsubscribed" in done.text
    assert "<form" not in done.text
    assert len(services.requests("Unsubscribe")) == 1
    assert "Sie sind abgemeldet" in client.get(f"/u/{TOKEN}", headers={"Accept-Language": "de"}).text
    assert client.put(f"/u/{TOKEN}").status_code == 405


@pytest.mark.parametrize(("method", "path"), [("GET", "l"), ("GET", "u"), ("POST", "u")])
@pytest.mark.parametrize(
    ("raised", "status", "words"),
    [
        (FailedPrecondition("LINK_EXPIRED", "x"), 410, "not work any more"),
        (InvalidArgument("LINK_INVALID", "x"), 404, "not work any more"),
        (Unavailable("DATABASE_UNAVAILABLE", "x", retry_after_s=3), 503, "did not work just now"),
    ],
)
def test_explains_links_that_do_not_work(client, services, method, path, raised, status, words):
    def refuse(_):
        raise raised

    services.answers |= dict.fromkeys(("FollowLink", "ViewUnsubscribe", "Unsubscribe"), refuse)
    page = client.open(f"/{path}/{TOKEN}", method=method)
    assert page.status_code == status
    assert words in page.text
    assert "Location" not in page.headers
    assert "<form" not in page.text
