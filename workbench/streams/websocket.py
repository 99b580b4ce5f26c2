"""A spout of what a server tells over a WebSocket."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import AuthenticationFailed, InvalidParameter, QueryFailed, Unreachable
from workbench.contract.secret import Secret
from workbench.streams.component import Outputs
from workbench.streams.configuration import seconds
from workbench.streams.receiving import (
    Broken,
    Parsing,
    Unreadable,
    checked_headers,
    checked_url,
    revealed,
    whole,
)
from workbench.streams.spooling import MOST_SPOOL, Spooled

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

__all__ = ["PASSING", "WebSocket"]

LARGEST = 1 << 20
OPEN_SECONDS = 10.0
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which it is worth while to come again."""


class WebSocket(Spooled):
    """The messages of a WebSocket, a row each: the field `message`, or `fields` of what JSON says.

    `send` is what is said after each connecting, a text or several (a subscription). A message of more than `largest`
    bytes is not taken in: the connection is cut, and made again. A server that does not answer a ping within `ping`
    seconds is cut off, too; so is one that sends no message for `stall` seconds, where that is said. A message that is
    no JSON is counted, logged and left out.

    **At least once from when it has come**: it is in a spool before it is given out, and what is not done when the
    process is killed is given by the worker that takes its place, or by the next run of the topology; when the power
    fails, what came in the last second may be lost. What a server sends while there is no connection is lost, for a
    WebSocket cannot be asked for it again; `reconnects` counts how often that was so.

    The spool has up to `spool` bytes (a GiB); while it is full, or `queue` rows wait, where that is said, nothing is
    received, so the server is held up. With `spool=0` there is none: up to 1,000 rows wait in memory, and what is not
    done when the process ends is lost.

    Redirects are not followed, so that headers go nowhere else. `headers` that are secrets are `env:NAME` or a Secret.
    Raises UrlRefused, InvalidParameter. A refusal for good (401, 403, 404 …) and a certificate that does not fit fail
    the run; for all else it comes again.
    """

    def __init__(
        self,
        url: str,
        parse: str = "text",
        fields: Sequence[str] = (),
        *,
        send: str | Sequence[str] = (),
        headers: Mapping[str, str | Secret] | None = None,
        ping: float | str = 20.0,
        stall: float | str | None = None,
        largest: int = LARGEST,
        queue: int | None = None,
        spool: int = MOST_SPOOL,
    ) -> None:
        self._parts, self._url = checked_url(url, ("ws", "wss")), url
        self._parsing, self._headers = Parsing(parse, fields), checked_headers(headers)
        self._send = [send] if isinstance(send, str) else list(send)
        if not all(isinstance(one, str) for one in self._send):
            raise InvalidParameter("send", "is a text or some texts, which are said after connecting.")
        self._ping = seconds(ping, "ping")
        self._stall = None if stall is None else seconds(stall, "stall")
        self._largest = whole(largest, "largest", 1, 64 << 20)
        self._kept(spool, queue)
        self._socket: socket.socket | None = None

    def declared_outputs(self) -> Outputs:
        return self._parsing.fields or ("message",)

    @property
    def _where(self) -> str:
        """Without the query, which may hold a token."""
        return f"{self._parts.scheme}://{self._parts.netloc}{self._parts.path}"

    def address(self) -> str:
        return f"{self._url} {self._parsing}"

    def unpack(self, body: bytes) -> Sequence[Any]:
        rows = self._parsing.values(body.decode())
        return rows if self._parsing.fields else [(row,) for row in rows]

    def receive(self) -> None:
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus
        from websockets.sync.client import connect

        parts = self._parts
        port = parts.port or (443 if parts.scheme == "wss" else 80)
        try:
            # With a socket of ours no redirect is followed, and `hang_up` can end whatever waits for it.
            self._socket = socket.create_connection((parts.hostname or "", port), OPEN_SECONDS)
            with connect(
                self._url,
                sock=self._socket,
                open_timeout=OPEN_SECONDS,
                close_timeout=1.0,
                ping_interval=self._ping,
                ping_timeout=self._ping,
                max_size=self._largest,
                max_queue=16,
                additional_headers={name: revealed(value) for name, value in self._headers.items()},
            ) as connection:
                self._messages(connection)
        except ConnectionClosed as error:
            sent = error.sent
            if sent is not None and sent.code == 1009 and not error.rcvd_then_sent:
                self.count("too_large")
                raise Broken(f"{self._where} sent a message of more than {self._largest:,} bytes") from None
            raise Broken(f"{self._where} has ended the connection") from None
        except InvalidStatus as error:
            raise self._refused(error.response.status_code) from None
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(self._where, f"its certificate does not fit: {error.verify_message}") from None
        except (InvalidHandshake, InvalidMessage, EOFError) as error:
            raise Broken(f"{self._where} answers with what is no WebSocket ({type(error).__name__})") from None
        except TimeoutError:
            raise Broken(f"{self._where} does not answer") from None
        except OSError as error:
            raise Broken(f"{self._where} cannot be reached: {error.strerror or type(error).__name__}") from None
        finally:
            if self._socket is not None:
                self._socket.close()

    def _refused(self, status: int) -> Exception:
        if status in PASSING:
            return Broken(f"{self._where} answers {status}")
        if status in (401, 403):
            return AuthenticationFailed("us", self._where, f"it answers {status}")
        return QueryFailed(f"{self._where} answers {status}, and opens no WebSocket", status)

    def _messages(self, connection: ClientConnection) -> None:
        for text in self._send:
            connection.send(text)
        self.connected()
        while True:
            try:
                message = connection.recv(self._stall)
            except TimeoutError:
                self.count("stalls")
                raise Broken(f"{self._where} has sent nothing for {self._stall:g} s") from None
            text = message if isinstance(message, str) else bytes(message).decode(errors="replace")
            body = text.encode()
            try:
                rows = self.unpack(body)
            except Unreadable as why:
                self.count("unreadable")
                self.collector.log(f"{why}; it is left out")
                continue
            if not self.hand_on(rows, len(message), body):
                return

    def hang_up(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
