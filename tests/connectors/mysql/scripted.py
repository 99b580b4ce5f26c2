"""A MySQL server that says what a test tells it to: hostile, broken or slow ones, and replies of real ones again."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from tests.native.rows import length_encoded, packet
from workbench_mysql.channel import Connection

__all__ = ["EOF", "GREETING", "OK", "Script", "Scripted", "definition", "error", "prepared", "result"]

_CAPABILITIES = 0x0008_A685  # protocol 4.1, plugin log-in, no TLS
OK = b"\0\0\0\x02\0\0\0"
EOF = b"\xfe\0\0\x02\0"
GREETING = (
    b"\x0a9.9.9-scripted\0"
    + struct.pack("<I", 77)
    + b"12345678\0"
    + struct.pack("<HBHHB", _CAPABILITIES & 0xFFFF, 45, 2, _CAPABILITIES >> 16, 21)
    + bytes(10)
    + b"123456789012\0mysql_native_password\0"
)

Script = bytes | Callable[[socket.socket], None]
"""What to send after a command; or what to do with the socket."""


def definition(name: str, kind: int, length: int = 11, flags: int = 0, charset: int = 63, decimals: int = 0) -> bytes:
    """A column definition's payload."""
    texts = b"".join(length_encoded(len(text)) + text for text in (b"def", b"db", b"t", b"t", name.encode(), b"c"))
    return texts + b"\x0c" + struct.pack("<HIBHBH", charset, length, kind, flags, decimals, 0)


def error(code: int, text: str) -> bytes:
    return b"\xff" + struct.pack("<H", code) + b"#HY000" + text.encode()


def prepared(columns: Sequence[bytes], parameters: int = 0) -> bytes:
    """The whole reply to PREPARE."""
    head = struct.pack("<BIHHBH", 0, 1, len(columns), parameters, 0, 0)
    return _numbered([head, *columns, *([EOF] if columns else [])])


def result(columns: Sequence[bytes], rows: Sequence[bytes], end: bytes = EOF) -> bytes:
    """The whole reply to EXECUTE."""
    return _numbered([length_encoded(len(columns)), *columns, EOF, *rows, end])


def _numbered(payloads: Sequence[bytes]) -> bytes:
    return b"".join(packet(number, payload) for number, payload in enumerate(payloads, 1))


class Scripted:
    """Logs everybody in, then answers PREPARE and EXECUTE by script and all else with OK. One connection at a time.

    `heard` is every command that came.
    """

    def __init__(
        self, prepare: Script = b"", execute: Script = b"", query: Script = b"", greeting: Script = b""
    ) -> None:
        self.scripts = {0x16: prepare, 0x17: execute, 0x03: query}
        self.greeting: Script = greeting or packet(0, GREETING)
        self.heard = bytearray()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Scripted:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def connect(self, **options: object) -> Connection:
        plain = {"host": "127.0.0.1", "port": self.port, "user": "u", "charset": "utf8mb4", "autocommit": None}
        plain["ssl_disabled"] = True  # making a TLS context takes longer than most of these tests
        return Connection(**{**plain, **options})

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError):
                peer.settimeout(30)
                self._converse(peer)

    def _converse(self, peer: socket.socket) -> None:
        self._say(peer, self.greeting)
        with peer.makefile("rb") as stream:
            first = True
            while head := stream.read(4):
                payload = stream.read(int.from_bytes(head[:3], "little"))
                self.heard += payload  # before it is answered: who has the answer knows that it was heard
                if first:
                    peer.sendall(packet(2, OK))
                elif payload[0] in (0x01, 0x19):  # QUIT, and CLOSE which has no answer
                    pass
                elif payload[0] in self.scripts and self.scripts[payload[0]] and b"SET NAMES" not in payload:
                    self._say(peer, self.scripts[payload[0]])
                else:
                    peer.sendall(packet(1, OK))
                first = False

    def _say(self, peer: socket.socket, script: Script) -> None:
        if isinstance(script, bytes):
            peer.sendall(script)
        else:
            script(peer)
