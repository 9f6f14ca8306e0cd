"""Which addresses of the network sandboxed code may reach: public ones, and names that somebody allowed.

What is judged is the address a connection will be made to, never a name: whoever owns a name decides what it resolves
to, and may answer differently each time. Effects: none.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")  # NAT64: the last 32 bits are the IPv4 address that is reached
_SPECIAL: Final = (
    ip_network("168.63.129.16/32"),  # the host agent of Azure's machines
    ip_network("192.0.0.0/24"),  # protocol assignments; Oracle's metadata among them
    ip_network("192.88.99.0/24"),  # relays of 6to4
    ip_network("2001::/23"),  # protocol assignments; Teredo among them
    ip_network("2002::/16"),  # 6to4: an IPv4 address of anybody's
    ip_network("3fff::/20"),  # documentation
)
"""Public by their numbers, by some versions of Python's reckoning, and yet no place on the internet."""

BLOCKED_PORTS: Final = frozenset({
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110,
    111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532,
    540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061,
    6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
})  # fmt: skip
"""Those that the Fetch standard blocks: what listens there does not speak HTTP, and may take a request for orders."""


def is_public(text: str) -> bool:
    """True for an address that belongs to the internet at large, however it is written."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address):
        inner = _inside(address)
        if inner is not None:
            return is_public(str(inner))
        if address.scope_id is not None or address not in _GLOBAL_UNICAST:
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _SPECIAL)


def _inside(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFF_FFFF) if address in _TRANSLATED else None


class AllowedNames:
    """Names that are reached wherever they are: `host`, or `host:port`."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def __contains__(self, place: tuple[str, int]) -> bool:
        host, port = place
        host = host.lower().rstrip(".")
        written = f"[{host}]" if ":" in host else host
        return written in self._names or f"{written}:{port}" in self._names
