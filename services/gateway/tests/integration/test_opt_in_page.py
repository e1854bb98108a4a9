"""The page behind a confirmation link."""

from html.parser import HTMLParser

import pytest
from rapport.consent.v1 import consent_pb2, consent_service_pb2

from chassis.errors import FailedPrecondition, InvalidArgument, Unavailable

TOKEN = "k1.AbC-_123"


@pytest.fixture(autouse=True)
def consent(services):
    state = {"state": consent_pb2.Consent.STATE_PENDING}

    def view(_):
        return consent_service_pb2.OptIn(
            purpose_display_name="News <b>",
            notice_text="Wir schreiben Ihnen.\n<script>alert(1)</script>",
            language_code="de",
            masked_email="a***@example.com",
            state=state["state"],
        )

    def confirm(request):
        state["state"] = consent_pb2.Consent.STATE_GRANTED
        return view(request)

    services.answers |= {"ViewOptIn": view, "ConfirmOptIn": confirm}


class Elements(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def named(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def test_looking_changes_nothing_and_the_button_confirms(client, services):
    for method in ("GET", "HEAD"):
        page = client.open(f"/c/{TOKEN}", method=method)
        assert page.status_code == 200
    assert services.requests("ConfirmOptIn") == []
    page = client.get(f"/c/{TOKEN}")
    elements = Elements(page.text)
    assert elements.named("html") == [{"lang": "en"}]
    assert elements.named("form") == [{"method": "post"}]
    assert elements.named("blockquote") == [{"lang": "de"}]
    assert elements.named("script") == []
    assert "News &lt;b&gt;" in page.text
    assert "a***@example.com" in page.text
    done = client.post(f"/c/{TOKEN}", headers={"User-Agent": "Reader/1"}, environ_base={"REMOTE_ADDR": "203.0.113.77"})
    assert done.status_code == 200
    assert "that is confirmed" in done.text
    assert Elements(done.text).named("form") == []
    (request,) = services.requests("ConfirmOptIn")
    assert (request.token, request.ip_address, request.user_agent) == (TOKEN, "203.0.113.0", "Reader/1")
    assert "that is confirmed" in client.get(f"/c/{TOKEN}").text


def test_speaks_the_readers_language(client):
    german = client.get(f"/c/{TOKEN}", headers={"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"})
    assert "Bitte bestätigen" in german.text
    assert german.headers["Content-Language"] == "de"
    assert german.headers["Vary"] == "Accept-Language"
    assert "Please confirm" in client.get(f"/c/{TOKEN}", headers={"Accept-Language": "fr"}).text


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("raised", "status", "words"),
    [
        (FailedPrecondition("LINK_EXPIRED", "x"), 410, "has run out"),
        (FailedPrecondition("LINK_SUPERSEDED", "x"), 410, "no longer counts"),
        (InvalidArgument("LINK_INVALID", "x"), 404, "does not work"),
        (InvalidArgument("ANYTHING", "x"), 404, "does not work"),
        (Unavailable("DATABASE_UNAVAILABLE", "x", retry_after_s=3), 503, "did not work just now"),
        (KeyError("secret"), 500, "did not work just now"),
    ],
)
def test_explains_links_that_do_not_work(client, services, method, raised, status, words):
    def refuse(_):
        raise raised

    services.answers |= {"ViewOptIn": refuse, "ConfirmOptIn": refuse}
    page = client.open(f"/c/{TOKEN}", method=method)
    assert page.status_code == status
    assert words in page.text
    assert "secret" not in page.text
    assert page.content_type.startswith("text/html")
    assert Elements(page.text).named("form") == []


def test_is_closed_to_everything_else(client):
    page = client.get(f"/c/{TOKEN}")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "form-action 'self'" in policy
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert "noindex" in page.headers["X-Robots-Tag"]
    assert client.put(f"/c/{TOKEN}").status_code == 405
    assert client.get("/c/").status_code == 404
