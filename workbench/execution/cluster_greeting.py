"""Whether somebody who listens is a scheduler of Dask, before Dask is left alone with him: it takes what another
protocol says for a length, and waits without end for who says nothing."""

from __future__ import annotations

import socket
import ssl
import struct
import time
import urllib.parse

from workbench.contract.errors import ClusterFailed

__all__ = ["must_greet"]

_SECONDS = 10.0
_MOST = 1 << 20
"""Bytes of a greeting at most; it has some hundred."""
_WAY_OUT = "Is the scheduler up, and the address right?"


def must_greet(address: str, context: ssl.SSLContext | None = None) -> None:
    """A scheduler speaks first: the length of its greeting, as eight bytes, and the greeting. Raises ClusterFailed."""
    try:
        where = urllib.parse.urlsplit(address)
        with socket.create_connection((where.hostname or "", where.port or 0), _SECONDS) as plain:
            link = context.wrap_socket(plain, server_hostname=where.hostname) if context is not None else plain
            with link:
                _listen(address, link)
    except TimeoutError:
        raise ClusterFailed(address, f"who is there says nothing within {_SECONDS:g} s. {_WAY_OUT}") from None
    except (OSError, ValueError) as error:  # ValueError: a port or a name that is none
        raise ClusterFailed(address, f"nobody could be reached there: {error}. {_WAY_OUT}") from None


def _listen(address: str, link: socket.socket) -> None:
    deadline, found, size = time.monotonic() + _SECONDS, b"", 8
    while len(found) < size:
        link.settimeout(max(0.001, deadline - time.monotonic()))
        piece = link.recv(size - len(found))
        if not piece:
            raise ConnectionResetError("it ended the connection")
        found += piece
        if len(found) == 8:
            (told,) = struct.unpack("<Q", found)
            if not 8 <= told <= _MOST:
                raise ClusterFailed(address, f"who is there speaks another protocol: {found!r}. {_WAY_OUT}")
            size += told
