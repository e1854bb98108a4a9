"""Fetching from real servers on loopback, plain and with TLS."""

import datetime
import ipaddress
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from access import key_set_source
from access.key_set_source import MAX_BYTES, KeySetUnreachable, address_problem, fetch


class Server:
    """Answers one path in one way; remembers what it was asked."""

    def __init__(self, answer, context=None):
        self.asked = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.asked.append((self.path, self.headers["Host"]))
                answer(self)

            def log_message(self, format, *args):
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve():
    made = []

    def make(answer, context=None):
        made.append(Server(answer, context))
        return made[-1]

    yield make
    for server in made:
        server.close()


def say(body=b"{}", status=200, **headers):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def test_a_document_is_fetched_as_it_is(serve):
    server = serve(say(b'{"keys": []}'))
    assert fetch(f"http://127.0.0.1:{server.port}/jwks?v=1", loopback=True) == b'{"keys": []}'
    assert server.asked == [("/jwks?v=1", f"127.0.0.1:{server.port}")]


def test_redirects_are_not_followed(serve):
    target = serve(say(b"secret"))
    server = serve(say(status=302, Location=f"http://127.0.0.1:{target.port}/"))
    with pytest.raises(KeySetUnreachable, match="302"):
        fetch(f"http://127.0.0.1:{server.port}/", loopback=True)
    assert target.asked == []


def test_large_documents_are_cut_off(serve):
    assert len(fetch(f"http://127.0.0.1:{serve(say(b' ' * MAX_BYTES)).port}/", loopback=True)) == MAX_BYTES
    server = serve(say(b" " * (MAX_BYTES + 1)))
    with pytest.raises(KeySetUnreachable, match="more than"):
        fetch(f"http://127.0.0.1:{server.port}/", loopback=True)


@pytest.mark.parametrize("first", [b"", b"HTTP/1.0 200 OK\r\nX: ", b"HTTP/1.0 200 OK\r\n\r\n"])
def test_slow_servers_hold_nobody_up(serve, monkeypatch, first):
    monkeypatch.setattr(key_set_source, "TIMEOUT_S", 0.5)
    ended = threading.Event()

    def drip(handler):
        handler.wfile.write(first)
        while not ended.wait(0.05):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return

    server = serve(drip)
    start = time.monotonic()
    with pytest.raises(KeySetUnreachable):
        fetch(f"http://127.0.0.1:{server.port}/", loopback=True)
    ended.set()
    assert time.monotonic() - start < 10


def test_nobody_listening(serve):
    server = serve(say())
    server.close()
    with pytest.raises(KeySetUnreachable, match="connection fails"):
        fetch(f"http://127.0.0.1:{server.port}/", loopback=True)


@pytest.mark.parametrize("host", ["127.1", "0x7f000001", "2130706433", "0177.0.0.1"])
def test_names_that_lead_to_private_addresses_are_refused_in_production(serve, host):
    """No address to a strict reader, this machine to the system's resolver."""
    server = serve(say())
    assert address_problem(f"https://{host}/", loopback=False) is None
    with pytest.raises(KeySetUnreachable, match="private"):
        fetch(f"https://{host}:{server.port}/", loopback=False)
    assert server.asked == []


def test_names_that_lead_nowhere():
    with pytest.raises(KeySetUnreachable, match="resolved"):
        fetch("https://no-such-host.invalid/", loopback=False)


@pytest.fixture
def tls(tmp_path, monkeypatch):
    """Makes server contexts whose certificates this process trusts."""

    def make(name):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / "key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        monkeypatch.setenv("SSL_CERT_FILE", str(folder / "cert.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        return context

    return make


def test_a_certificate_must_be_trusted_and_for_the_host(serve, tls, monkeypatch):
    server = serve(say(b"{}"), tls(x509.DNSName("localhost")))
    assert fetch(f"https://localhost:{server.port}/jwks", loopback=True) == b"{}"
    assert server.asked == [("/jwks", f"localhost:{server.port}")]
    # The connection goes to the address that was checked; the certificate is still that of the name.
    with pytest.raises(KeySetUnreachable):
        fetch(f"https://127.0.0.1:{server.port}/jwks", loopback=True)
    other = serve(say(b"{}"), tls(x509.DNSName("other.example.com")))
    with pytest.raises(KeySetUnreachable):
        fetch(f"https://localhost:{other.port}/jwks", loopback=True)
    literal = serve(say(b"{}"), tls(x509.IPAddress(ipaddress.ip_address("127.0.0.1"))))
    assert fetch(f"https://127.0.0.1:{literal.port}/", loopback=True) == b"{}"
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(KeySetUnreachable):
        fetch(f"https://127.0.0.1:{literal.port}/", loopback=True)
