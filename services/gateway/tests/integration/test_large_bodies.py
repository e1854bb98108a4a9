"""Requests and answers larger than usual: which methods take and give them, and how many at a time."""

import base64
import gzip
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.api.httpbody_pb2 import HttpBody
from rapport.options.v1 import options_pb2
from rapport.ticketing.v1 import inbound_mail_pb2

from chassis.errors import NotFound

LIMIT = 14 * 1024 * 1024
UUID = "0195d0a4-7b1e-7c3a-9f52-1f0e6b9f2c11"
FILE = f"/v1/tickets/{UUID}/messages/{UUID}/attachments/{'a' * 64}:download"


def mail(size: int) -> bytes:
    return json.dumps({"raw": base64.b64encode(b"x" * size).decode()}).encode()


def post(client, auth, body: bytes, path: str = "/v1/inboundMails", **headers: str):
    return client.post(path, data=body, content_type="application/json", headers=auth | headers)


def refusal(response) -> tuple[int, str]:
    return response.status_code, response.json["error"]["details"][0]["reason"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_mail_of_10_mib_passes_and_a_larger_body_is_refused_with_the_limit(client, services, auth, pack):
    packing = {"Content-Encoding": "gzip"} if pack is gzip.compress else {}
    assert post(client, auth, pack(mail(10 << 20)), **packing).status_code == 200
    assert len(services.requests("CreateInboundMail")[0].inbound_mail.raw) == 10 << 20
    refused = post(client, auth, pack(mail(11 << 20)), **packing)
    assert refusal(refused) == (413, "BODY_TOO_LARGE")
    assert refused.json["error"]["details"][0]["metadata"] == {"max_bytes": str(LIMIT)}
    assert str(LIMIT) in refused.json["error"]["message"]
    assert len(services.requests("CreateInboundMail")) == 1


def test_other_methods_keep_their_limit(client, services, auth):
    body = json.dumps({"subject": "x" * (1 << 20)}).encode()
    refused = post(client, auth, body, "/v1/tickets")
    assert refusal(refused) == (413, "BODY_TOO_LARGE")
    assert refused.json["error"]["details"][0]["metadata"] == {"max_bytes": str(1 << 20)}
    assert services.requests("CreateTicket") == []


def test_a_body_over_the_limit_that_hides_its_length_is_cut_off(client, auth):
    chunked = {"wsgi.input": io.BytesIO(b" " * (LIMIT + 1)), "wsgi.input_terminated": True}
    headers = auth | {"Transfer-Encoding": "chunked"}
    sent = client.post("/v1/inboundMails", content_type="application/json", headers=headers, environ_overrides=chunked)
    assert refusal(sent) == (413, "BODY_TOO_LARGE")


def test_few_large_bodies_are_in_hand_at_once(make_app, services, auth):
    """The others are told when to come again; small ones pass, and a place is free again whatever became of it."""
    app = make_app(large_bodies=2)
    arrived, ended = threading.Semaphore(0), threading.Event()

    def hold(request):
        if len(request.inbound_mail.raw) > 1000:
            arrived.release()
            ended.wait(20)
        return inbound_mail_pb2.InboundMail()

    services.answers["CreateInboundMail"] = hold
    large = mail(2 << 20)
    with ThreadPoolExecutor(2) as pool:
        try:
            running = [pool.submit(post, app.test_client(), auth, large) for _ in range(2)]
            assert all(arrived.acquire(timeout=10) for _ in running)
            refused = post(app.test_client(), auth, large)
            assert refusal(refused) == (503, "TOO_MANY_LARGE_BODIES")
            assert refused.headers["Retry-After"] == "1"
            assert post(app.test_client(), auth, mail(1000)).status_code == 200
        finally:
            ended.set()
        assert [call.result(20).status_code for call in running] == [200, 200]
    for _ in range(3):
        assert post(app.test_client(), auth, b"{" * (2 << 20)).status_code == 400
    assert post(app.test_client(), auth, large).status_code == 200


def answer_with(services, content: bytes, content_type: str, filename: str = "") -> None:
    body = HttpBody(content_type=content_type, data=content)
    if filename:
        body.extensions.add().Pack(options_pb2.File(filename=filename))
    services.answers["DownloadAttachment"] = lambda _: body


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ("image/png", "image/png"),
        ("Application/PDF; name=x", "application/pdf"),
        ("text/html", "application/octet-stream"),
        ("image/svg+xml", "application/octet-stream"),
        ("text/javascript", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("image/png\r\nSet-Cookie: a=b", "application/octet-stream"),
    ],
)
def test_a_file_is_a_download_of_a_type_that_nothing_executes(client, services, auth, stated, told):
    answer_with(services, b"<script>alert(1)</script>", stated, "a.png")
    answer = client.get(FILE, headers=auth)
    assert (answer.status_code, answer.data) == (200, b"<script>alert(1)</script>")
    headers = answer.headers
    assert headers["Content-Type"] == told
    assert headers["Content-Disposition"] == "attachment; filename=a.png"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "sandbox" in headers["Content-Security-Policy"]
    assert "Set-Cookie" not in headers
    (request,) = services.requests("DownloadAttachment")
    assert request.name == f"tickets/{UUID}/messages/{UUID}/attachments/{'a' * 64}"


def test_only_a_page_of_the_contract_is_shown_and_can_run_nothing(client, services, auth):
    page = HttpBody(content_type="text/html", data=b"<p>Card</p>")
    services.answers["GetModelCard"] = lambda _: page
    answer = client.get(f"/v1/models/{UUID}:card", headers=auth)
    headers = answer.headers
    assert (answer.status_code, answer.data) == (200, b"<p>Card</p>")
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Disposition"].startswith("inline;")
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert policy.endswith("sandbox")
    assert "script-src" not in policy
    page.content_type = "image/svg+xml"
    headers = client.get(f"/v1/models/{UUID}:card", headers=auth).headers
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"].startswith("attachment;")


@pytest.mark.parametrize(
    ("filename", "told"),
    [
        ("", "attachment; filename=file"),
        ('a"; filename="b.exe', 'attachment; filename="a_; filename=_b.exe"'),
        ("../../etc/passwd\r\nX: y", 'attachment; filename=".._.._etc_passwdX: y"'),
        ("Größe.pdf", "attachment; filename=Groe.pdf; filename*=UTF-8''Gr%C3%B6%C3%9Fe.pdf"),
    ],
)
def test_no_file_name_breaks_out_of_its_header(client, services, auth, filename, told):
    answer_with(services, b"x", "text/plain", filename)
    assert client.get(FILE, headers=auth).headers["Content-Disposition"] == told


def test_a_file_of_8_mib_passes_and_its_place_is_free_once_it_has_left(make_app, services, auth):
    client = make_app(large_bodies=1).test_client()
    answer_with(services, b"x" * (8 << 20), "video/mp4")
    for _ in range(3):
        assert len(client.get(FILE, headers=auth, buffered=True).data) == 8 << 20
    client.get(FILE, headers=auth).close()  # As when a client goes in the middle.
    assert client.head(FILE, headers=auth, buffered=True).content_length == 8 << 20
    assert client.get(FILE, headers=auth, buffered=True).status_code == 200


def test_downloads_wait_for_a_place_rather_than_fail(make_app, services, auth):
    app = make_app(large_bodies=1)
    answer_with(services, b"x" * (2 << 20), "video/mp4")
    with ThreadPoolExecutor(4) as pool:
        answers = [
            pool.submit(lambda: len(app.test_client().get(FILE, headers=auth, buffered=True).data)) for _ in range(8)
        ]
        assert [answer.result(20) for answer in answers] == [2 << 20] * 8


def test_what_is_not_there_is_refused_as_json(client, services, auth):
    def refuse(_):
        raise NotFound("NOT_FOUND", "No such attachment.")

    services.answers["DownloadAttachment"] = refuse
    answer = client.get(FILE, headers=auth)
    assert refusal(answer) == (404, "NOT_FOUND")
    assert answer.headers["Content-Type"] == "application/json"


def test_the_description_states_limits_and_files(client):
    paths = client.get("/openapi.json").json["paths"]
    assert str(LIMIT) in paths["/v1/inboundMails"]["post"]["requestBody"]["description"]
    assert "description" not in paths["/v1/tickets"]["post"]["requestBody"]
    (path,) = (path for path in paths if path.endswith(":download"))
    good = paths[path]["get"]["responses"]["200"]
    assert {"application/pdf", "application/octet-stream"} <= set(good["content"])
    assert "Content-Disposition" in good["headers"]
