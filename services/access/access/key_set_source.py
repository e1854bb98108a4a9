"""Fetches key sets from addresses that tenants enter, without letting them reach into the network we run in."""

import ipaddress
import socket
import ssl
import time
from urllib.parse import SplitResult, urlsplit

import urllib3

TIMEOUT_S = 3.0
MAX_BYTES = 256 * 1024
_MAX_URI_LENGTH = 2000
_MAX_ADDRESSES = 4
_CHUNK_BYTES = 16 * 1024

# Ranges that Python calls global but that translate to IPv4 addresses, private ones among them.
_TRANSLATED = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "2002::/16")))

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
        except (urllib3.exceptions.HTTPError, OSError) as error:
            failure = f"the connection fails ({type(error).__name__})"
    raise KeySetUnreachable(failure)


def _resolve(parts: SplitResult, *, loopback: bool) -> list[_Address]:
    assert parts.hostname is not None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise KeySetUnreachable("its host name cannot be resolved") from None
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not all(_allowed(address, loopback) for address in addresses):
        raise KeySetUnreachable("its host name leads to a private address")
    return list(dict.fromkeys(addresses))


def _get(parts: SplitResult, address: _Address, deadline: float) -> bytes:
    timeout = urllib3.Timeout(total=max(0.1, deadline - time.monotonic()))
    host = f"[{address}]" if address.version == 6 else str(address)
    pool: urllib3.HTTPConnectionPool
    if parts.scheme == "https":
        pool = urllib3.HTTPSConnectionPool(
            host,
            parts.port or 443,
            timeout=timeout,
            retries=False,
            ssl_context=ssl.create_default_context(),
            server_hostname=parts.hostname,
            assert_hostname=parts.hostname,
        )
    else:
        pool = urllib3.HTTPConnectionPool(host, parts.port or 80, timeout=timeout, retries=False)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Host": parts.netloc, "Accept": "application/jwk-set+json, application/json"}
    with pool:
        response = pool.request("GET", path, headers=headers, redirect=False, preload_content=False)
        try:
            if response.status != 200:
                raise KeySetUnreachable(f"it answers with status {response.status}")
            return _body(response, deadline)
        finally:
            response.close()


def _body(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """Reads piecewise: a server that sends byte after byte must not hold a thread past the deadline."""
    body = b""
    while chunk := response.read1(_CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_BYTES:
            raise KeySetUnreachable(f"it answers with more than {MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise KeySetUnreachable(f"it takes longer than {TIMEOUT_S:g} s")
    return body


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
        if any(address in network for network in _TRANSLATED):
            return False
    return (loopback and address.is_loopback) or (address.is_global and not address.is_multicast)
