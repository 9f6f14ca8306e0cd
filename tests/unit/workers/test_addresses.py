"""Which addresses are public, in every way there is to write one."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.workers._addresses import BLOCKED_PORTS, AllowedNames, is_public

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001:80e::200e", "::ffff:8.8.8.8",
          "64:ff9b::808:808"]  # fmt: skip
PRIVATE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "100.64.0.1", "100.100.100.200", "169.254.169.254", "168.63.129.16", "192.0.0.192", "192.0.2.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a00:1::",
    "2001:0:7f00:1::", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "100::1",
    "2001:db8::1", "3fff::1", "5f00::1",
]  # fmt: skip


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    assert is_public(text)


@pytest.mark.parametrize(
    "text", [*PRIVATE, "", "localhost", "example.com", "127.1", "0x7f000001", "2130706433", "1.1.1.1:80"]
)
def test_not_public(text: str) -> None:
    assert not is_public(text)


@given(st.ip_addresses(v=4))
def test_an_address_inside_another_is_judged_as_it_is(inner: IPv4Address) -> None:
    assert is_public(f"::ffff:{inner}") == is_public(str(inner)) == is_public(f"64:ff9b::{inner}")


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_outside_of_global_unicast_is_public_but_as_an_ipv4_one(address: IPv6Address) -> None:
    if is_public(str(address)) and address.ipv4_mapped is None and not str(address).startswith("64:ff9b::"):
        assert int(address) >> 125 == 1


@pytest.mark.parametrize(
    ("names", "place", "allowed"),
    [
        (["localhost"], ("localhost", 80), True),
        (["localhost"], ("LOCALHOST.", 8080), True),
        (["localhost:8080"], ("localhost", 8080), True),
        (["localhost:8080"], ("localhost", 80), False),
        (["[::1]:8080"], ("::1", 8080), True),
        (["[::1]"], ("::1", 1), True),
        (["localhost"], ("notlocalhost", 80), False),
        (["localhost"], ("localhost.evil.example", 80), False),
        ([], ("localhost", 80), False),
    ],
)
def test_allowed_names(names: list[str], place: tuple[str, int], *, allowed: bool) -> None:
    assert (place in AllowedNames(names)) == allowed


def test_ports_that_do_not_speak_http_are_blocked() -> None:
    assert {22, 25, 53, 6667} <= BLOCKED_PORTS
    assert not {80, 443, 8000, 8080, 8443} & BLOCKED_PORTS
