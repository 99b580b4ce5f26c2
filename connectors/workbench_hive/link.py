"""A socket to HiveServer2 that can be given up while it waits."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

from workbench.contract.errors import SourceError, Unreachable
from workbench.kit.hosts import check_peer
from workbench.kit.tls import Encryption
from workbench_hive.faults import Faults, spoken

__all__ = ["LARGEST", "Check", "Link", "encryption"]

Check = Callable[[], None]
"""Called at least every 50 ms while waiting; raises what ends the wait."""
LARGEST = 1 << 30
"""Bytes of a reply at most."""
_LOOK = 0.05
_SEND = 30.0
_CHUNK = 1 << 18


class Link:
    """Used by one thread at a time; `close` from any. Until it is `inside`, and something came, what is lost is the
    log-in."""

    def __init__(self, parameters: Mapping[str, Any], faults: Faults) -> None:
        self.inside = False
        self.received = 0
        self._faults = faults
        self._socket = _reached(parameters, faults)

    def send(self, content: bytes, seconds: float = _SEND) -> None:
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(content)
        except (OSError, ValueError) as error:
            raise self._lost(spoken(error)) from None

    def some(self, most: int, deadline: float, check: Check) -> bytes:
        """What comes next, one byte at least."""
        while True:
            check()
            if time.monotonic() > deadline:  # also where it comes drop by drop
                raise self._lost("no answer came in time")
            try:
                self._socket.settimeout(_LOOK)
                found = self._socket.recv(min(most, _CHUNK))
            except TimeoutError:
                continue
            except (OSError, ValueError) as error:
                raise self._lost(spoken(error)) from None
            if not found:
                raise self._lost("the server ended it")
            self.received += len(found)
            return found

    def read(self, size: int, deadline: float, check: Check) -> bytearray:
        """So many bytes. Memory is taken as they come, whatever was claimed."""
        found = bytearray()
        while (missing := size - len(found)) > 0:
            found += self.some(missing, deadline, check)
        return found

    def quiet(self) -> bool:
        """Whether it rests as it should: open, and with nothing said unasked."""
        try:
            self._socket.settimeout(0.0)
            self._socket.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except (OSError, ValueError):
            return False
        return False

    def close(self) -> None:
        """Lets go who waits here, too."""
        with contextlib.suppress(OSError, ValueError):  # it was not open any more
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _lost(self, why: str) -> SourceError:
        if self.inside and self.received:
            return self._faults.lost(why)
        told = (
            f"it does not let us log in ({why}), as where transport, authentication or tls are others than the server's"
        )
        return Unreachable(self._faults.where, told, self._faults.connection)


def encryption(parameters: Mapping[str, Any]) -> Encryption:
    """Certificates are looked at by WebHDFS over https:// too, whatever HiveServer2's connection is."""
    return Encryption.asked(parameters, also=str(parameters.get("webhdfs", "")).startswith("https:"))


def _reached(parameters: Mapping[str, Any], faults: Faults) -> socket.socket:
    host, port = parameters["host"], int(parameters.get("port", 10000))
    try:
        plain = socket.create_connection((host, port), float(parameters.get("connect_timeout", 20)))
    except (OSError, UnicodeError) as error:
        why = "the name is unknown" if isinstance(error, socket.gaierror | UnicodeError) else spoken(error)
        raise Unreachable(faults.where, why, faults.connection) from None
    try:
        check_peer(plain)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return encryption(parameters).around(plain, host)
    except (OSError, ValueError) as error:
        plain.close()
        why = f"no TLS could be agreed on ({getattr(error, 'reason', None) or error})"
        raise Unreachable(faults.where, why, faults.connection) from None
    except BaseException:
        plain.close()
        raise
