"""One GET over HTTP, to a host that was named or allowed beforehand: no proxy, no redirect followed, no cookie."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from workbench.kit.hosts import check_peer, normal

__all__ = ["Address", "Trouble", "asked", "at_most", "spelled"]

Trouble = (OSError, http.client.HTTPException, ValueError)
"""What `asked` and reading from it raise."""
_ADDRESS = re.compile(r"(https?)://(\[[0-9A-Fa-f:.]+\]|[^\[\]/:@?#\s]{1,255}):([0-9]{1,5})/?")


@dataclass(frozen=True)
class Address:
    """`host` as it is compared: folded, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int

    @classmethod
    def read(cls, text: str) -> Address | None:
        """Of `http://host:port`; None where it is none."""
        found = _ADDRESS.fullmatch(text)
        if found is None or not 0 < int(found[3]) < 65536:
            return None
        return cls(found[1], spelled(found[2]), int(found[3]))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def spelled(host: str) -> str:
    return normal(host.strip("[]")).rstrip(".")


@contextlib.contextmanager
def asked(address: Address, target: str, seconds: float, tls: ssl.SSLContext) -> Iterator[http.client.HTTPResponse]:
    """The answer to a GET of `target` over a connection of its own; `seconds` for each wait. Raises `Trouble`, and
    UrlRefused for addresses that are never connected to."""
    link = http.client.HTTPConnection(address.host, address.port, timeout=seconds)
    try:
        plain = socket.create_connection((address.host, address.port), seconds)
        link.sock = plain
        check_peer(plain)
        if address.scheme == "https":
            link.sock = tls.wrap_socket(plain, server_hostname=address.host)
        link.request("GET", target, headers={"Accept-Encoding": "identity", "Connection": "close"})
        with link.getresponse() as answer:
            yield answer
    finally:
        link.close()


def at_most(answer: http.client.HTTPResponse, size: int) -> bytes:
    """All of it. Raises ValueError where it is more, and IncompleteRead where it was announced as more."""
    found = answer.read(size + 1)
    if len(found) > size:
        raise ValueError(f"more than {size:,} bytes of answer")
    if answer.length:
        raise http.client.IncompleteRead(found, answer.length)
    return found
