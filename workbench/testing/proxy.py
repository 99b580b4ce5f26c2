"""A TCP proxy that harms what it forwards, for tests of what a connector does on a bad network.

with FaultProxy(("127.0.0.1", 3306), Fault(cut_after=1000)) as proxy:
    connect(*proxy.address)
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

__all__ = ["Fault", "FaultProxy", "free_port"]

_CHUNK = 65_536
_POLL = 0.05
_LOWEST = 11_000
_told: set[int] = set()


@dataclass(frozen=True)
class Fault:
    """What happens to one connection. The default forwards everything unharmed.

    delay: seconds before each piece is handed on. rate: bytes a second, each direction by itself.
    cut_after: after that many bytes in `direction` (`down` is to the client) the connection ends by `how`: `close`
    (an orderly end), `reset` (RST) or `half_open` (nothing is forwarded any more, both ends stay open).
    """

    delay: float = 0.0
    rate: float | None = None
    cut_after: int | None = None
    direction: Literal["down", "up"] = "down"
    how: Literal["close", "reset", "half_open"] = "close"


Faults = Fault | Mapping[int, Fault] | Callable[[int], Fault]


class FaultProxy:
    """Forwards 127.0.0.1:<free port> to `target`. `faults` apply to all connections, or by connection number from 0.

    A context manager: when it is left, all sockets are closed and all threads have ended.
    """

    def __init__(self, target: tuple[str, int], faults: Faults | None = None) -> None:
        self._target = target
        self._faults: Faults = faults if faults is not None else Fault()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._links: list[_Link] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_POLL)
        self._acceptor = threading.Thread(target=self._accept, name="fault-proxy", daemon=True)
        self._acceptor.start()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    @property
    def connections(self) -> int:
        """How many came so far."""
        with self._lock:
            return len(self._links)

    def forwarded(self, direction: Literal["down", "up"] = "down") -> int:
        """Bytes handed on in that direction, over all connections."""
        with self._lock:
            return sum(link.counts[direction] for link in self._links)

    def set(self, faults: Faults) -> None:
        """From now on: also for connections that are open, at their next piece."""
        with self._lock:
            self._faults = faults

    def cut(self, how: Literal["close", "reset", "half_open"] = "close") -> None:
        """Ends all open connections now."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.end(how)

    def close(self) -> None:
        """Idempotent."""
        self._stop.set()
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            links = list(self._links)
        for link in links:
            link.stop()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fault(self, number: int) -> Fault:
        with self._lock:
            faults = self._faults
        if isinstance(faults, Fault):
            return faults
        return faults.get(number, Fault()) if isinstance(faults, Mapping) else faults(number)

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            try:
                server = socket.create_connection(self._target, timeout=10)
            except OSError:
                client.close()  # as a server that is not there would look
                continue
            with self._lock:
                number = len(self._links)
                link = _Link(client, server, lambda number=number: self._fault(number), self._stop)  # type: ignore[misc]
                self._links.append(link)
            link.start()


class _Link:
    """One connection: a thread for each direction."""

    def __init__(
        self, client: socket.socket, server: socket.socket, fault: Callable[[], Fault], stop: threading.Event
    ) -> None:
        self._client, self._server, self._fault, self._stop = client, server, fault, stop
        for side in (client, server):
            side.settimeout(_POLL)
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.counts = {"down": 0, "up": 0}
        self._over = threading.Event()
        self._frozen = threading.Event()
        self._threads = [
            threading.Thread(target=self._pump, args=(server, client, "down"), name="fault-proxy-down", daemon=True),
            threading.Thread(target=self._pump, args=(client, server, "up"), name="fault-proxy-up", daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.end("close")
        for thread in self._threads:
            thread.join()

    def end(self, how: str) -> None:
        if how == "half_open":
            self._frozen.set()
            return
        self._over.set()
        for side in (self._client, self._server):
            if how == "reset":
                with contextlib.suppress(OSError):  # it may be closed already
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)
            side.close()

    def _done(self) -> bool:
        return self._stop.is_set() or self._over.is_set()

    def _pump(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        try:
            if self._cut_here(direction):
                return
            while not self._done():
                if self._frozen.is_set():
                    self._stop_or_over(_POLL)
                    continue
                try:
                    data = source.recv(_CHUNK)
                except TimeoutError:
                    if self._cut_here(direction):
                        return
                    continue
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                self._forward(data, sink, direction)
        except OSError:
            # One end went away: so does the other, as on a wire.
            if not self._done():
                self.end("close")

    def _forward(self, data: bytes, sink: socket.socket, direction: str) -> None:
        view = memoryview(data)
        while view and not self._done() and not self._frozen.is_set():
            fault = self._fault()
            piece = len(view)
            if fault.rate is not None:
                piece = min(piece, max(1, int(fault.rate / 20)))
            if fault.cut_after is not None and fault.direction == direction:
                piece = min(piece, max(0, fault.cut_after - self.counts[direction]))
            if fault.delay:
                self._stop_or_over(fault.delay)
            self._send(view[:piece], sink)
            self.counts[direction] += piece
            view = view[piece:]
            if self._cut_here(direction):
                return
            if fault.rate is not None:
                self._stop_or_over(piece / fault.rate)

    def _send(self, view: memoryview, sink: socket.socket) -> None:
        while view and not self._done() and not self._frozen.is_set():
            try:
                view = view[sink.send(view) :]
            except TimeoutError:
                continue

    def _cut_here(self, direction: str) -> bool:
        fault = self._fault()
        reached = fault.cut_after is not None and fault.direction == direction
        if reached and self.counts[direction] >= (fault.cut_after or 0):
            self.end(fault.how)
            return fault.how != "half_open"
        return False

    def _stop_or_over(self, seconds: float) -> None:
        # Two events can end the wait; the short steps only matter for waits that are ended early.
        left = seconds
        while left > 0 and not self._done():
            self._over.wait(min(left, _POLL))
            left -= _POLL


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens now, which this process was not told before. Below those that the system
    gives to outgoing connections, so that none of them has it when a server comes for it."""
    low = _outgoing()
    for port in random.SystemRandom().sample(range(_LOWEST, low), 200) if low > 2 * _LOWEST else [0] * 200:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found = int(probe.getsockname()[1])
        if found not in _told:
            _told.add(found)
            return found
    raise OSError("No free port of 127.0.0.1 was found in 200 tries")


def _outgoing() -> int:
    """The lowest port that an outgoing connection may have; where that cannot be read, what IANA says."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return 49_152
