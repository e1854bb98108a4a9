"""Fetches key sets from addresses that tenants enter, without letting them reach into the network we run in."""

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import ExitStack, suppress
from urllib.parse import SplitResult, urlsplit

TIMEOUT_S = 3.0
MAX_BYTES = 256 * 1024
_MAX_URI_LENGTH = 2000
_MAX_ADDRESSES = 4

# Ranges that Python calls global but that translate to IPv4 addresses, private ones among them (RFC 6052, RFC 8215,
# RFC 3056, RFC 4291), and the former site-local one (RFC 3879).
_INSIDE = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "::/96", "fec0::/10")))

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class KeySetUnreachable(Exception):  # noqa: N818
    """The key set could not be fetched; the text says why and holds nothing of the answer."""


def address_problem(uri: str, *, loopback: bool) -> str | None:
    """What is wrong with the address of a key set or an issuer, None when nothing is.

    With `loopback` (platforms marked test) http to this machine is fine, too.
    """
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "Not a URL."
    if len(uri) > _MAX_URI_LENGTH or not uri.isascii() or not uri.isprintable() or " " in uri:
        return f"Must be printable ASCII of {_MAX_URI_LENGTH} characters at most."
    if not host or parts.username or parts.password or parts.fragment:
        return "Must be a URL with a host and without user, password and fragment."
    literal = _literal(host)
    if parts.scheme == "http" and loopback and literal is not None and literal.is_loopback:
        return None
    if parts.scheme != "https":
        return "Must be an https URL."
    if literal is not None and not _allowed(literal, loopback):
        return "Must be a public address."
    return None


def fetch(uri: str, *, loopback: bool) -> bytes:
    """The document at `uri`: within 3 seconds, 256 KiB at most, no redirects. Raises KeySetUnreachable.

    The name is resolved once, every address it has must be public, and the connection goes to the address that was
    checked: a name that changes its answer in between (DNS rebinding) gains nothing.
    """
    problem = address_problem(uri, loopback=loopback)
    if problem:
        raise KeySetUnreachable(problem)
    parts = urlsplit(uri)
    deadline = time.monotonic() + TIMEOUT_S
    failure = "no address answers"
    for address in _resolve(parts, loopback=loopback)[:_MAX_ADDRESSES]:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            break
        try:
            return _get(parts, address, deadline)
        except (http.client.HTTPException, OSError) as error:
            failure = f"the connection fails ({type(error).__name__})"
    raise KeySetUnreachable(failure)


def _resolve(parts: SplitResult, *, loopback: bool) -> list[_Address]:
    assert parts.hostname is not None
    try:
        found = socket.getaddrinfo(parts.hostname, _port(parts), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise KeySetUnreachable("its host name cannot be resolved") from None
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not all(_allowed(address, loopback) for address in addresses):
        raise KeySetUnreachable("its host name leads to a private address")
    return list(dict.fromkeys(addresses))


def _get(parts: SplitResult, address: _Address, deadline: float) -> bytes:
    remaining = max(0.1, deadline - time.monotonic())
    port = _port(parts)
    with ExitStack() as stack:
        line = stack.enter_context(socket.create_connection((str(address), port), timeout=remaining))
        # A socket's timeout starts anew with every byte. What ends a server that sends byte after byte is this timer:
        # it cuts the line, through a duplicate because TLS takes the socket over.
        cut = threading.Timer(remaining, _shut, [stack.enter_context(line.dup())])
        cut.start()
        stack.callback(cut.cancel)
        if parts.scheme == "https":
            context = ssl.create_default_context()
            line = stack.enter_context(context.wrap_socket(line, server_hostname=parts.hostname))
        connection = http.client.HTTPConnection(str(parts.hostname), port)
        connection.sock = line
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        accept = "application/jwk-set+json, application/json"
        connection.request("GET", path, headers={"Host": parts.netloc, "Accept": accept, "Connection": "close"})
        response = connection.getresponse()
        if response.status != 200:
            raise KeySetUnreachable(f"it answers with status {response.status}")
        body = response.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise KeySetUnreachable(f"it answers with more than {MAX_BYTES} bytes")
    if time.monotonic() > deadline:
        raise KeySetUnreachable(f"it takes longer than {TIMEOUT_S:g} s")
    return body


def _shut(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _literal(host: str) -> _Address | None:
    if host == "localhost":
        return ipaddress.ip_address("127.0.0.1")
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _allowed(address: _Address, loopback: bool) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return _allowed(address.ipv4_mapped, loopback)
        if any(address in network for network in _INSIDE):
            return loopback and address.is_loopback
    return (loopback and address.is_loopback) or (address.is_global and not address.is_multicast)
