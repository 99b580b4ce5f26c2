"""Thrift messages to and from HiveServer2, by each of its transports.

With SASL each message has its size in front of it. Without it there is no frame: the native core finds the end. Over
HTTP each message is a request, and its reply the answer.
"""

from __future__ import annotations

import base64
import ctypes
import functools
import re
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from workbench.contract.errors import ProtocolError
from workbench.contract.secret import Secret
from workbench.kit import native
from workbench_hive.faults import Faults
from workbench_hive.link import LARGEST, Check, Link

__all__ = ["Wire", "opened"]

_STARTED, _GOING_ON, _BAD, _ERROR, _DONE = 1, 2, 3, 4, 5
_PIECE = 1 << 18
_SCAN = 256
"""Words that the native core keeps its place in."""
_THRIFT = 0x80
"""How a message of Thrift's binary protocol begins."""
_HTTP = b"HTTP/1."
_MOST_HEAD = 1 << 16
"""Bytes of an HTTP answer's head, and of a line of it."""


def _nothing() -> None:
    return


class Wire(ABC):
    """One connection, logged in. Used by one thread at a time; `close` may be called from any."""

    def __init__(self, parameters: Mapping[str, Any], faults: Faults) -> None:
        self._faults = faults
        self.link = Link(parameters, faults)

    @property
    def received(self) -> int:
        return self.link.received

    def exchange(self, message: bytes, seconds: float, check: Check = _nothing) -> bytearray:
        """The whole reply to a message. Raises ConnectionLost where there is none within so many seconds."""
        self.send(message)
        return self._reply(time.monotonic() + seconds, check)

    @abstractmethod
    def send(self, message: bytes, seconds: float = 30.0) -> None:
        """Sends it, and waits for no answer."""

    def quiet(self) -> bool:
        return self.link.quiet()

    def close(self) -> None:
        self.link.close()

    @abstractmethod
    def _reply(self, deadline: float, check: Check) -> bytearray: ...

    def _broken(self, what: str) -> ProtocolError:
        return self._faults.broken(what)


class _Sasl(Wire):
    """Binary, with the mechanism PLAIN."""

    def send(self, message: bytes, seconds: float = 30.0) -> None:
        self.link.send(struct.pack(">i", len(message)) + message, seconds)

    def _reply(self, deadline: float, check: Check) -> bytearray:
        (size,) = struct.unpack(">i", self.link.read(4, deadline, check))
        if not 0 <= size <= LARGEST:
            raise self._broken(f"a reply of {size:,} bytes")
        return self.link.read(size, deadline, check)

    def log_in(self, user: str, password: str, deadline: float, check: Check) -> None:
        words = b"\0".join((b"", user.encode(), password.encode()))
        for status, content in ((_STARTED, b"PLAIN"), (_DONE, words)):
            self.link.send(struct.pack(">bi", status, len(content)) + content)
        while True:
            status, size = struct.unpack(">bi", self.link.read(5, deadline, check))
            if status not in (_STARTED, _GOING_ON, _BAD, _ERROR, _DONE) or not 0 <= size <= 1 << 20:
                raise self._broken("it does not speak SASL")
            said = self.link.read(size, deadline, check).decode("utf-8", "backslashreplace")
            if status in (_BAD, _ERROR):
                raise self._faults.no_entry(user, said)
            if status == _DONE:
                return


class _Bare(Wire):
    """Binary, without SASL."""

    def __init__(self, parameters: Mapping[str, Any], faults: Faults) -> None:
        super().__init__(parameters, faults)
        self._left = bytearray()

    def send(self, message: bytes, seconds: float = 30.0) -> None:
        self.link.send(message, seconds)

    def _reply(self, deadline: float, check: Check) -> bytearray:
        found, self._left = self._left, bytearray()
        state, answer, needed = (ctypes.c_uint64 * _SCAN)(), ctypes.c_int64(), 12
        while True:
            while len(found) < needed:
                found += self.link.some(_PIECE, deadline, check)
                if found[0] != _THRIFT:  # a few bytes of another protocol may be all that comes
                    raise self._broken(repr(bytes(found[:40])))
            _end()(_address(found), len(found), ctypes.addressof(state), ctypes.addressof(answer))
            if answer.value > 0:
                self._left = found[answer.value :]
                del found[answer.value :]
                return found
            if answer.value == 0:
                raise self._broken(repr(bytes(found[:40])))
            needed = -answer.value
            if needed > LARGEST:
                raise self._broken(f"a reply of {needed:,} bytes and more")


class _Http(Wire):
    """Requests to one path, over a connection that stays."""

    def __init__(self, parameters: Mapping[str, Any], faults: Faults, user: str, password: str) -> None:
        super().__init__(parameters, faults)
        self._user, self._left = user, bytearray()
        words = base64.b64encode(f"{user}:{password}".encode()).decode()
        path = "/" + str(parameters.get("http_path", "cliservice")).strip("/")
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {faults.where}\r\nAuthorization: Basic {words}\r\n"
            "Content-Type: application/x-thrift\r\nAccept: application/x-thrift\r\nX-XSRF-HEADER: true\r\n"
        )
        self._cookies: dict[str, str] = {}

    def send(self, message: bytes, seconds: float = 30.0) -> None:
        head = self._head
        if self._cookies:
            head += "Cookie: " + "; ".join(f"{name}={value}" for name, value in self._cookies.items()) + "\r\n"
        self.link.send(f"{head}Content-Length: {len(message)}\r\n\r\n".encode() + message, seconds)

    def _reply(self, deadline: float, check: Check) -> bytearray:
        while True:
            status, headers = self._heads(deadline, check)
            if status != 100:
                break
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = self._chunks(deadline, check)
        else:
            size = headers.get("content-length", "")
            if not re.fullmatch(r"[0-9]{1,10}", size) or int(size) > LARGEST:
                raise self._broken(f"an answer of {size[:40] or 'no'} bytes")
            body = self._exactly(int(size), deadline, check)
        if status in (401, 403):
            raise self._faults.no_entry(self._user, f"HTTP {status}")
        if status != 200:
            raise self._broken(f"HTTP {status}")
        return body

    def _heads(self, deadline: float, check: Check) -> tuple[int, dict[str, str]]:
        while len(self._left) < len(_HTTP):
            self._left += self.link.some(_PIECE, deadline, check)
        if not self._left.startswith(_HTTP):
            raise self._broken(repr(bytes(self._left[:40])))
        lines, size = [], 0
        while line := self._line(deadline, check):
            lines.append(line)
            size += len(line)
            if size > _MOST_HEAD:
                raise self._broken("an answer whose head does not end")
        words = re.fullmatch(r"HTTP/1\.[01] ([0-9]{3})(?: .*)?", lines[0] if lines else "")
        if words is None:
            raise self._broken(repr(lines[0][:40] if lines else ""))
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            if name.lower() == "set-cookie":
                cookie, _, content = value.partition(";")[0].strip().partition("=")
                self._cookies[cookie] = content
            else:
                headers[name.lower()] = value.strip()
        return int(words[1]), headers

    def _line(self, deadline: float, check: Check) -> str:
        while (end := self._left.find(b"\r\n")) < 0:
            if len(self._left) > _MOST_HEAD:
                raise self._broken("an answer whose head does not end")
            self._left += self.link.some(_PIECE, deadline, check)
        line = self._left[:end].decode("latin-1")
        del self._left[: end + 2]
        return line

    def _exactly(self, size: int, deadline: float, check: Check) -> bytearray:
        found = self._left[:size]
        del self._left[:size]
        return found + self.link.read(size - len(found), deadline, check)

    def _chunks(self, deadline: float, check: Check) -> bytearray:
        found = bytearray()
        while True:
            said = self._line(deadline, check).partition(";")[0].strip()
            if not re.fullmatch(r"[0-9A-Fa-f]{1,16}", said):
                raise self._broken("an answer in pieces without a size")
            size = int(said, 16)
            if size > LARGEST - len(found):
                raise self._broken(f"an answer of {size:,} bytes and more")
            found += self._exactly(size, deadline, check)
            end = self._line(deadline, check)
            if size == 0:
                while end:  # what may follow the last piece
                    end = self._line(deadline, check)
                return found
            if end:
                raise self._broken("an answer whose pieces do not end where they say")


def opened(parameters: Mapping[str, Any], password: Secret | None, faults: Faults, check: Check) -> Wire:
    """A connection by the parameters' transport, logged in where the transport has a log-in of its own."""
    user = str(parameters.get("user") or "") or "anonymous"
    # Servers without accounts want a password all the same.
    words = password.reveal() if password else user
    wire: Wire
    if parameters.get("transport", "binary") == "http":
        wire = _Http(parameters, faults, user, words)
    elif parameters.get("authentication", "plain") == "nosasl":
        wire = _Bare(parameters, faults)
    else:
        wire = sasl = _Sasl(parameters, faults)
        try:
            sasl.log_in(user, words, time.monotonic() + float(parameters.get("connect_timeout", 20)), check)
        except BaseException:
            wire.close()
            raise
    wire.link.inside = True
    return wire


@functools.cache
def _end() -> Callable[..., int]:
    function = native.library().workbench_thrift_end
    function.restype = ctypes.c_int32
    function.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
    found: Callable[..., int] = function
    return found


def _address(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
