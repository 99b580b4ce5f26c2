"""A socket that can be given up: it waits in short steps, and somebody looks at each whether to go on."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Callable

from workbench.contract.errors import ConnectionLost, ProtocolError, SourceTimeout, Unreachable
from workbench.kit.hosts import check_peer
from workbench.kit.tls import PLAIN, Encryption

__all__ = ["LARGEST", "Look", "Wire", "within"]

Look = Callable[[float], None]
"""Called with the seconds that one has waited for the server so far; raises when that is enough."""

LARGEST = 1 << 29
"""Bytes of a reply at most: the servers themselves stop at half of it."""
_STEP = 0.1
_FIRST, _KEPT = 1 << 16, 1 << 23


def within(seconds: float, what: str, others: Look | None = None) -> Look:
    """Patience for one call: SourceTimeout after so many seconds of waiting; `others` are asked first."""

    def look(waited: float) -> None:
        if others is not None:
            others(waited)
        if waited > seconds:
            raise SourceTimeout(what, seconds)

    return look


class Wire:
    """A connection. Raises Unreachable when it cannot be made, ConnectionLost when it ends, and what `look` raises;
    after any of these it is not used again. What is read lies in memory that the next reading uses again."""

    def __init__(self, host: str, port: int, timeout: float, tls: Encryption = PLAIN) -> None:
        self.where = f"{host}:{port}"
        self.received = 0
        self.broken = False
        """Whether a message was left in the middle: then nothing more can be read."""
        self._memory = bytearray(_FIRST)
        try:
            sock = socket.create_connection((host, port), timeout)
            try:
                check_peer(sock)
                self._sock = tls.around(sock, host)
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                self._sock.settimeout(0)
            except BaseException:
                sock.close()
                raise
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", "") or error.reason or error
            raise Unreachable(self.where, f"TLS was asked for and not agreed on ({why})") from None
        except (OSError, UnicodeError) as error:
            raise Unreachable(self.where, str(error) or type(error).__name__) from None

    def send(self, data: bytes | bytearray, look: Look) -> None:
        left, waited = memoryview(data), 0.0
        self.broken = True
        while left:
            try:
                left = left[self._sock.send(left) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                waited = self._wait(select.POLLOUT, waited, look)
            except ssl.SSLWantReadError:
                waited = self._wait(select.POLLIN, waited, look)
            except OSError as error:
                raise self._lost(str(error)) from None
        self.broken = False

    def read(self, size: int, look: Look) -> memoryview:
        """Just so many bytes. Memory grows with what comes, not with what was announced."""
        if not 0 <= size <= LARGEST:
            raise ProtocolError(f"{self.where} announced {size:,} bytes: that is not the protocol that was expected")
        have, waited = 0, 0.0
        while have < size:
            if have == len(self._memory):
                self._grow(min(size, 4 * have))
            with memoryview(self._memory) as memory:
                try:
                    count = self._sock.recv_into(memory[have:size])
                except (BlockingIOError, ssl.SSLWantReadError):
                    waited = self._wait(select.POLLIN, waited, look)
                    continue
                except ssl.SSLWantWriteError:
                    waited = self._wait(select.POLLOUT, waited, look)
                    continue
                except OSError as error:
                    raise self._lost(str(error)) from None
            if count == 0:
                raise self._lost("it closed the connection")
            have += count
            self.received += count
            self.broken = True
        self.broken = False
        return memoryview(self._memory)[:size]

    def some(self, memory: memoryview, look: Look) -> int:
        """At least one byte into `memory`; how many."""
        waited = 0.0
        while True:
            try:
                count = self._sock.recv_into(memory)
            except (BlockingIOError, ssl.SSLWantReadError):
                waited = self._wait(select.POLLIN, waited, look)
                continue
            except ssl.SSLWantWriteError:
                waited = self._wait(select.POLLOUT, waited, look)
                continue
            except OSError as error:
                raise self._lost(str(error)) from None
            if count == 0:
                raise self._lost("it closed the connection")
            self.received += count
            return count

    def quiet(self) -> bool:
        """Whether the connection is there and nothing waits to be read, as it is between two calls."""
        poll = select.poll()
        try:
            poll.register(self._sock, select.POLLIN)
            return not self.broken and not poll.poll(0)
        except (OSError, ValueError):
            return False

    def rest(self) -> None:
        """Nobody reads for a while, or looks at what was read: much memory is not kept for it."""
        if len(self._memory) > _KEPT:
            self._memory = bytearray(_FIRST)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.close()

    def _wait(self, event: int, waited: float, look: Look) -> float:
        look(waited)
        poll = select.poll()
        try:
            poll.register(self._sock, event)
            since = time.monotonic()
            poll.poll(_STEP * 1000)
        except (OSError, ValueError) as error:  # closed by another thread
            raise self._lost(str(error)) from None
        waited += time.monotonic() - since
        look(waited)
        return waited

    def _grow(self, size: int) -> None:
        grown = bytearray(size)
        grown[: len(self._memory)] = self._memory
        self._memory = grown

    def _lost(self, why: str) -> ConnectionLost:
        return ConnectionLost(f"The connection to {self.where} ended: {why}. Run the query again.")
