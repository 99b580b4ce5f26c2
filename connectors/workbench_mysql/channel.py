"""The bytes between us and a MySQL server.

pymysql opens the connection and logs in; `Channel` then speaks on its socket for the length of one command, because
pymysql's own reading is a hundred times too slow for rows, cannot be interrupted, and believes every length.

Used of pymysql's insides (held to by `pymysql<2` and by tests): `_sock`, `_force_close`, and in the subclass
`_read_bytes`, `_read_query_result` and `_current_timeout`, all of which it has had for years.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pymysql.connections
from pymysql.constants import CLIENT, CR

from workbench.contract.errors import Cancelled, ConnectionLost, ProtocolError, QueryFailed, SourceTimeout

if TYPE_CHECKING:
    from workbench.contract.scan import Control

__all__ = ["Channel", "Connection", "Errors", "refused"]

Errors = Callable[[int, str, str], Exception]
"""Makes the error to raise from the server's code, SQL state and text."""

FULL = 0xFF_FFFF
"""Payload length of a packet that goes on in the next one."""
SLICE = 0.1
"""Seconds between two looks at whether we were stopped."""
_LOGIN_BYTES = 1 << 20
_CURSOR_PACKET = 8 << 20
_SMALLEST, _USUAL = 1 << 16, 1 << 20
_LONGEST_ROW = (1 << 30) + (1 << 20)
"""`max_allowed_packet` ends at 1 GiB."""
_BULK_AFTER = 1 << 20
_BULK_WAKE = 1 << 17
_BULK_PAUSE = 0.01
_GRACE = 10.0
_MALFORMED = (struct.error, IndexError, ValueError, KeyError, TypeError, AttributeError, AssertionError)


def refused(text: str) -> Errors:
    """The plain way to make an error: QueryFailed with the statement."""
    return lambda code, state, message: QueryFailed(message, code, text)


class Connection(pymysql.connections.Connection):  # type: ignore[misc]
    """pymysql's connection, made safe against a server that is slow, broken or hostile.

    Logging in takes at most `connect_timeout` seconds and 1 MiB in all; a packet that a cursor reads has less than
    8 MiB; a reply that is not MySQL's protocol raises ProtocolError, and a server that asks for a local file gets
    nothing but that. What pymysql raises otherwise (its `err.*`) is for the caller to map.
    """

    farewell = b""
    """Commands without a reply, sent together with the next one: a packet of their own would cost as much as it."""
    spare: bytearray | None = None
    """Memory that the last command received into, for the next one."""
    _deadline: float | None = None
    _allowed = 0

    def connect(self, sock: Any = None) -> None:
        self._deadline = time.monotonic() + (self.connect_timeout or 10)
        self._allowed = _LOGIN_BYTES
        try:
            super().connect(sock)
        except _MALFORMED as error:
            raise ProtocolError("The server's greeting is not MySQL's protocol") from error
        finally:
            self._deadline = None
        self._sock.settimeout(self._read_timeout)
        self._current_timeout = self._read_timeout
        _keep_alive(self._sock)

    def _read_bytes(self, num_bytes: int) -> bytes:
        if self._deadline is None:
            if num_bytes >= _CURSOR_PACKET:
                self._force_close()
                raise ProtocolError(f"The server announced a packet of {num_bytes:,} bytes where none is expected")
            data: bytes = super()._read_bytes(num_bytes)
            return data
        self._allowed -= num_bytes
        if self._allowed < 0:
            self._force_close()
            raise ProtocolError("The server sent more than 1 MiB before the log-in was done")
        return self._read_in_time(num_bytes, self._deadline)

    def _read_in_time(self, size: int, deadline: float) -> bytes:
        parts, missing = [], size
        while missing:
            left = deadline - time.monotonic()
            try:
                if left <= 0:
                    raise TimeoutError("timed out")
                self._sock.settimeout(left)
                part = self._rfile.read1(missing)
            except OSError as error:
                self._force_close()
                raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, f"The log-in broke off ({error})") from error
            if not part:
                self._force_close()
                raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, "The server closed the connection at log-in")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _read_query_result(self, unbuffered: bool = False) -> int:
        try:
            affected: int = super()._read_query_result(unbuffered)
        except RuntimeError as error:  # pymysql's answer to LOCAL INFILE when it is off
            self._force_close()
            raise ProtocolError("The server asked for a local file, and got nothing") from error
        except _MALFORMED as error:
            self._force_close()
            raise ProtocolError("The server's reply is not MySQL's protocol") from error
        return affected


def _keep_alive(sock: socket.socket) -> None:
    """A peer that vanished without a word is noticed within about a minute."""
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            with contextlib.suppress(OSError):  # a Unix socket has none
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


class Channel:
    """The socket of an idle, logged-in connection, for one command and its reply.

    Raises ConnectionLost when the connection ends, ProtocolError when the server breaks the protocol (the connection
    is closed in both cases), Cancelled when the control or `abandon` says so, SourceTimeout when the server is silent
    for longer than the control's guard and ten seconds.
    """

    def __init__(self, connection: Connection, control: Control | None = None) -> None:
        sock = connection._sock
        if sock is None:
            raise ConnectionLost("The connection to the server is closed")
        self.connection = connection
        self.received = 0
        self.sequence = 0
        capabilities = connection.client_flag & connection.server_capabilities
        self.deprecate_eof = bool(capabilities & CLIENT.DEPRECATE_EOF)
        self._sock: socket.socket = sock
        self._control = control
        self._abandoned = False
        self._timeout = sock.gettimeout()
        self._memory = connection.spare or bytearray(_SMALLEST)
        connection.spare = None
        self.view = memoryview(self._memory)
        self.start = self.end = 0
        self._bulk = False
        self._wake = 1
        sock.settimeout(0)

    # -- sending ---------------------------------------------------------------------------------------------------

    def send(self, command: int, body: bytes) -> None:
        """Sends a command; its reply begins with packet 1."""
        if self.end != self.start:
            raise self.broken("it sent more than the reply")
        payload = bytes((command,)) + body
        frames = bytearray(self.connection.farewell)
        self.connection.farewell = b""
        self.sequence = 0
        for at in range(0, len(payload) + 1, FULL):
            part = payload[at : at + FULL]
            frames += len(part).to_bytes(3, "little") + bytes((self.sequence,)) + part
            self.sequence = (self.sequence + 1) & 0xFF
        left = memoryview(frames)
        while left:
            try:
                left = left[self._sock.send(left) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(select.POLLOUT, SLICE)
            except ssl.SSLWantReadError:
                self._wait(select.POLLIN, SLICE)
            except OSError as error:
                raise self.lost(str(error)) from error

    # -- receiving -------------------------------------------------------------------------------------------------

    def fill(self, patient: bool = True) -> bool:
        """Gets at least one more byte. Not `patient`: False when nothing came in a tenth of a second."""
        self._make_room()
        waited = 0.0
        while True:
            self._check()
            try:
                count = self._sock.recv_into(self.view[self.end :])
            except (BlockingIOError, ssl.SSLWantReadError):
                waited += self._wait_for_bytes()
                if waited >= SLICE and not patient:
                    return False
                self._check_silence(waited)
                continue
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT, SLICE)
                continue
            except OSError as error:
                self._check()
                raise self.lost(str(error)) from error
            self._check()  # what another thread's `abandon` left in the socket is nothing
            if count == 0:
                raise self.lost("it closed the connection")
            self.end += count
            self.received += count
            return True

    def packet(self, limit: int = _USUAL) -> bytes:
        """The next packet's payload, of at most `limit` bytes."""
        self._need(4)
        length = int.from_bytes(self.view[self.start : self.start + 3], "little")
        if self.view[self.start + 3] != self.sequence:
            raise self.broken(f"packet {self.view[self.start + 3]} came where {self.sequence} was due")
        if length > limit or length == FULL:
            raise self.broken(f"it announced a packet of {length:,} bytes where none is expected")
        self._need(4 + length)
        payload = bytes(self.view[self.start + 4 : self.start + 4 + length])
        self.start += 4 + length
        self.sequence = (self.sequence + 1) & 0xFF
        return payload

    def upcoming(self) -> bytes:
        """The next packet with its header, if all of it has been received; else nothing."""
        size = 4 + int.from_bytes(self.view[self.start : min(self.start + 3, self.end)], "little")
        return bytes(self.view[self.start : self.start + size]) if self.start + size <= self.end else b""

    def skip(self, block: bytes, packets: int) -> bool:
        """Passes over so many packets, if they have been received and are just these bytes, headers included."""
        end = self.start + len(block)
        if end > self.end or block[3] != self.sequence or bytes(self.view[self.start : end]) != block:
            return False
        self.start = end
        self.sequence = (self.sequence + packets) & 0xFF
        return True

    def long_packet(self) -> bytearray:
        """The next packet with all its continuations. Memory grows with what came, not with what was announced."""
        payload = bytearray()
        while True:
            self._need(4)
            left = length = int.from_bytes(self.view[self.start : self.start + 3], "little")
            if self.view[self.start + 3] != self.sequence:
                raise self.broken(f"packet {self.view[self.start + 3]} came where {self.sequence} was due")
            if len(payload) + length > _LONGEST_ROW:
                raise self.broken(f"it sent a row of more than {_LONGEST_ROW:,} bytes")
            self.start += 4
            self.sequence = (self.sequence + 1) & 0xFF
            while left:
                if self.start == self.end:
                    self.fill()
                part = self.view[self.start : min(self.end, self.start + left)]
                payload += part
                self.start += len(part)
                left -= len(part)
            if length < FULL:
                return payload

    def error(self, payload: bytes, errors: Errors) -> Exception:
        """What to raise for an ERR packet."""
        if len(payload) < 3:
            return self.broken("its error message is cut short")
        code, at, state = int.from_bytes(payload[1:3], "little"), 3, ""
        if payload[3:4] == b"#":
            state, at = payload[4:9].decode("ascii", "replace"), 9
        return errors(code, state, payload[at:].decode("utf-8", "replace"))

    # -- ending ----------------------------------------------------------------------------------------------------

    def release(self) -> None:
        """Gives the connection back, at the end of a reply."""
        if self.end != self.start:
            raise self.broken("it sent more than the reply")
        self._wake_at(1)
        if len(self._memory) == _SMALLEST:
            self.connection.spare = self._memory
        with contextlib.suppress(OSError):  # closed meanwhile
            self._sock.settimeout(self._timeout)

    def abandon(self) -> None:
        """From any thread: whoever waits here is let go with Cancelled. The connection is of no use afterwards."""
        self._abandoned = True
        with contextlib.suppress(OSError):
            # Of the plain socket: the TLS one would go on reading, without its cipher.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def lost(self, why: str) -> ConnectionLost:
        self.connection._force_close()
        return ConnectionLost(f"The connection to the server was lost before its reply was complete: {why}")

    def broken(self, what: str) -> ProtocolError:
        self.connection._force_close()
        return ProtocolError(f"The server breaks MySQL's protocol: {what}")

    # -- inside ----------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._abandoned or (self._control is not None and self._control.cancelled()):
            raise Cancelled

    def _check_silence(self, waited: float) -> None:
        guard = None if self._control is None else self._control.guard
        if guard is not None and waited > guard + _GRACE:
            self.connection._force_close()
            raise SourceTimeout("The server's answer", guard)

    def _need(self, count: int) -> None:
        while self.end - self.start < count:
            self.fill()

    def _make_room(self) -> None:
        """Moves what is not done with to the front, and grows when that is not enough."""
        if self.start == self.end:
            self.start = self.end = 0
        size = len(self._memory)
        if size - self.end >= size // 4:
            return
        rest = self.end - self.start
        if rest > size // 2 or (size < _USUAL and self.received >= size):
            memory = bytearray(size * 2)
            view = memoryview(memory)
            view[:rest] = self.view[self.start : self.end]
            self._memory, self.view = memory, view
        else:
            self.view[:rest] = self.view[self.start : self.end]
        self.start, self.end = 0, rest

    def _wait(self, event: int, seconds: float) -> bool:
        self._check()
        poll = select.poll()
        try:
            poll.register(self._sock, event)
        except ValueError as error:  # no file descriptor any more
            raise self.lost("it was closed on our side") from error
        return bool(poll.poll(max(1, int(seconds * 1000))))

    def _wait_for_bytes(self) -> float:
        """Waits at most `SLICE` for something to read; gives the seconds that passed in vain.

        Where much comes, the socket wakes us at 128 KiB, not at each of the 16 KiB that a server writes at once:
        a quarter of the CPU of a read is being woken. What is less than that is fetched after 10 ms.
        """
        if not self._bulk and self.received >= _BULK_AFTER and not isinstance(self._sock, ssl.SSLSocket):
            self._bulk = True
        if self._bulk:
            self._wake_at(_BULK_WAKE)
            if self._wait(select.POLLIN, _BULK_PAUSE) or self._readable_below():
                return 0.0
            self._wake_at(1)
        before = time.monotonic()
        return 0.0 if self._wait(select.POLLIN, SLICE) else time.monotonic() - before

    def _readable_below(self) -> bool:
        """Whether something is there, though less than the socket wakes us for."""
        try:
            return bool(self._sock.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        except OSError:
            return True  # the next read says it

    def _wake_at(self, count: int) -> None:
        if count != self._wake and hasattr(socket, "SO_RCVLOWAT"):
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
            self._wake = count
