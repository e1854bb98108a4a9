import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.domain.evidence import BadEvidence, Evidence, checked, mask_address


@given(st.ip_addresses(v=4))
def test_ipv4_keeps_24_bits(address: ipaddress.IPv4Address) -> None:
    network = ipaddress.ip_network(mask_address(str(address)))
    assert network.prefixlen == 24
    assert address in network


@given(st.ip_addresses(v=6))
def test_ipv6_keeps_48_bits(address: ipaddress.IPv6Address) -> None:
    network = ipaddress.ip_network(mask_address(str(address)))
    if address.ipv4_mapped:
        assert network.prefixlen == 24
        assert address.ipv4_mapped in network
    else:
        assert network.prefixlen == 48
        assert address in network


def test_mapped_and_zoned_addresses() -> None:
    assert mask_address("::ffff:192.0.2.77") == "192.0.2.0/24"
    assert mask_address("fe80::1%eth0") == "fe80::/48"
    assert mask_address("") == ""


@pytest.mark.parametrize(
    ("evidence", "field"),
    [
        (Evidence("METHOD_UNSPECIFIED"), "method"),
        (Evidence("METHOD_FORM", origin="x" * 501), "origin"),
        (Evidence("METHOD_FORM", user_agent="x" * 501), "user_agent"),
        (Evidence("METHOD_FORM", ip_address="192.0.2"), "ip_address"),
    ],
)
def test_bad_parts_are_named_without_their_value(evidence: Evidence, field: str) -> None:
    with pytest.raises(BadEvidence) as caught:
        checked(evidence)
    assert caught.value.field == field
    assert "192.0.2" not in str(caught.value)
