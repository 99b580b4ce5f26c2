"""Which addresses are never talked to: those where a cloud machine hands out its own credentials.

`metadata` judges an address in any spelling that a resolver accepts; a connector calls `check_peer` on a socket right
after it is connected and before anything is sent, since a name may resolve differently from one moment to the next.
"""

from __future__ import annotations

import ipaddress
import socket
import unicodedata

from workbench.contract.errors import UrlRefused

__all__ = ["check_peer", "metadata", "normal", "numeric"]

_LINK_LOCAL = (ipaddress.ip_network("169.254.0.0/16"), ipaddress.ip_network("fe80::/10"))
_METADATA = (ipaddress.ip_address("fd00:ec2::254"),)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def check_peer(connected: socket.socket) -> None:
    """Raises UrlRefused, and sends nothing, when the socket's other end is a metadata address."""
    peer = connected.getpeername()
    if connected.family in (socket.AF_INET, socket.AF_INET6) and metadata(peer[0]):
        raise UrlRefused("the host", "it leads to a link-local or metadata address, which is never connected to.")


def metadata(host: str) -> bool:
    """Whether `host` is spelled as an address that is refused; False for every name."""
    address = numeric(host)
    return address is not None and any(_refused(one) for one in _meanings(address))


def normal(host: str) -> str:
    """The spelling that a resolver would make of it: compatibility forms such as `①` and `。` folded."""
    folded = unicodedata.normalize("NFKC", host)
    for dot in "。．｡":
        folded = folded.replace(dot, ".")
    return folded.lower()


def numeric(host: str) -> Address | None:
    """The address that a resolver reads in `host`: IPv6 with or without brackets and zone, IPv4 of one to four parts,
    each decimal, octal or hexadecimal. None for a name."""
    text = normal(host).strip("[]").partition("%")[0]
    text = text.removesuffix(".")
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return _ipv4(text.split("."))


def _ipv4(parts: list[str]) -> ipaddress.IPv4Address | None:
    if not 1 <= len(parts) <= 4:
        return None
    numbers = []
    for part in parts:
        number = _number(part)
        if number is None:
            return None
        numbers.append(number)
    *first, last = numbers
    room = 256 ** (4 - len(first))
    if any(number > 255 for number in first) or last >= room:
        return None
    value = last
    for place, number in enumerate(first):
        value += number << (8 * (3 - place))
    return ipaddress.IPv4Address(value)


def _number(part: str) -> int | None:
    if not part.isascii() or not part.isalnum() or len(part) > 64:
        return None
    try:
        if part.startswith("0x"):
            return int(part[2:] or "0", 16)
        return int(part, 8) if part.startswith("0") else int(part)
    except ValueError:
        return None


def _meanings(address: Address) -> list[Address]:
    """The address, and the IPv4 addresses that are packed into it and that a gateway or the kernel would unpack."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    packed: list[Address] = [address]
    low = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.ipv4_mapped or address in _NAT64 or int(address) >> 32 == 0:
        packed.append(low)
    if address.sixtofour:
        packed.append(address.sixtofour)
    return packed


def _refused(address: Address) -> bool:
    return address in _METADATA or any(
        address.version == network.version and address in network for network in _LINK_LOCAL
    )
