"""A spout of Server-Sent Events, as the HTML standard has them."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
from workbench.streams.websocket import LARGEST, OPEN_SECONDS, PASSING

__all__ = ["Event", "Events", "ServerSentEvents"]

LONGEST_ID = 1_024
LONGEST_RETRY = 3_600.0


@dataclass(frozen=True, slots=True)
class Event:
    """One that was dispatched. `too_large`: its data was more than is taken, and is left out."""

    kind: str
    data: str
    id: str
    size: int
    too_large: bool = False


class Events:
    """Makes events of bytes, by the rules of the HTML standard (§9.2.6), with bounded memory: of a line, and of an
    event's data, no more than `largest` bytes are kept. Plain code. `last` is the id of the last whole event, `retry`
    the seconds that the server has asked to wait before another connection, None where it has not."""

    def __init__(self, largest: int, id: str = "") -> None:  # noqa: A002
        self._largest, self.id, self.last = largest, id, id
        self.retry: float | None = None
        self._line = bytearray()
        self._long = self._after_return = False
        self._begun = False
        self._clear()

    def _clear(self) -> None:
        self._kind, self._data, self._size, self._too_large = "", list[str](), 0, False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that end in it."""
        at = 0
        while at < len(chunk):
            if self._after_return and chunk[at] == 10:  # \r\n is one end
                at += 1
                self._after_return = False
                continue
            self._after_return = False
            ends = [place for place in (chunk.find(b"\n", at), chunk.find(b"\r", at)) if place >= 0]
            end = min(ends, default=len(chunk))
            room = self._largest + 64 - len(self._line)
            self._long = self._long or end - at > room
            self._line += chunk[at : at + min(end - at, max(room, 0))]
            at = end + 1
            if ends:
                self._after_return = chunk[end] == 13
                if (event := self._ended()) is not None:
                    yield event

    def _ended(self) -> Event | None:
        line, long = bytes(self._line), self._long
        self._line.clear()
        self._long = False
        if not self._begun:
            self._begun, line = True, line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            return self._dispatched()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._size += len(value) + 1
            self._too_large = self._too_large or long or self._size - 1 > self._largest
            if self._too_large:
                self._data.clear()
            else:
                self._data.append(value.decode(errors="replace"))
        elif name == b"event" and not long:
            self._kind = value.decode(errors="replace")
        elif name == b"id" and b"\0" not in value and len(value) <= LONGEST_ID:
            self.id = value.decode(errors="replace")
        elif name == b"retry" and value.isdigit() and len(value) < 12:
            self.retry = min(int(value) / 1000, LONGEST_RETRY)
        return None

    def _dispatched(self) -> Event | None:
        event, self.last = None, self.id
        if self._size:
            event = Event(self._kind or "message", "\n".join(self._data), self.id, self._size, self._too_large)
        self._clear()
        return event


class ServerSentEvents(Spooled):
    """The events of a `text/event-stream`, a row each: `event` (its type), `data` and `id`; or `fields` of what the
    data says as JSON. With `events`, those of these types alone.

    After a cut the server is told the id of the last event that has come (`Last-Event-ID`), and a server that keeps
    events for that goes on behind it; `last` is the id to begin with. It comes again after what the server has asked
    for (`retry`), else after half a second, and twice as long each time, half a minute at most; an answer 204 is the
    end. A stream in which nothing comes for `stall` seconds, no comment either, is cut and asked for again. An event of
    more than `largest` bytes is left out, counted and logged, however long it is; so is one whose data is no JSON. An
    id that is smaller than the one before is taken as it is: the server alone knows what its ids mean.

    **At least once from when it has come**: it is in a spool before it is given out, with its id, and what is not done
    when the process is killed is given by the worker that takes its place, or by the next run of the topology, which
    then asks the server for what is behind the last id there. Over a cut it is as the server has it: where it goes on
    behind an id, nothing is lost, and where it has none, what was meanwhile is. `spool` and `queue` are those of
    `WebSocket`.

    Redirects are not followed, so that headers go nowhere else. `headers` that are secrets are `env:NAME` or a Secret.
    Raises UrlRefused, InvalidParameter. A refusal for good (401, 403, 404 …), an answer that is no event stream, and a
    certificate that does not fit fail the run.
    """

    def __init__(
        self,
        url: str,
        parse: str = "text",
        fields: Sequence[str] = (),
        *,
        events: Sequence[str] = (),
        last: str = "",
        headers: Mapping[str, str | Secret] | None = None,
        stall: float | str = 60.0,
        largest: int = LARGEST,
        queue: int | None = None,
        spool: int = MOST_SPOOL,
    ) -> None:
        self._parts, self._url = checked_url(url, ("http", "https")), url
        self._parsing, self._headers = Parsing(parse, fields), checked_headers(headers)
        if isinstance(events, str) or not all(isinstance(one, str) for one in events):
            raise InvalidParameter("events", f'are types of events, as ("order",), not {events!r}.')
        if not (isinstance(last, str) and len(last) <= LONGEST_ID and not set(last) & set("\0\r\n")):
            raise InvalidParameter("last", "is the id of an event, a text of one line.")
        self._kinds, self._last, self._stall = frozenset(events), last, seconds(stall, "stall")
        self._largest = whole(largest, "largest", 1, 64 << 20)
        self._kept(spool, queue)
        self._retry: float | None = None
        self._socket: Any = None

    def declared_outputs(self) -> Outputs:
        return self._parsing.fields or ("event", "data", "id")

    @property
    def _where(self) -> str:
        """Without the query, which may hold a token."""
        return f"{self._parts.scheme}://{self._parts.netloc}{self._parts.path}"

    def receive(self) -> None:
        import httpx

        timeout = httpx.Timeout(OPEN_SECONDS, read=self._stall)
        try:
            with (
                httpx.Client(timeout=timeout, headers=self._asking(), follow_redirects=False) as client,
                client.stream("GET", self._url) as response,
            ):
                if not self._answered(response):
                    return
                self._read(response)
        except httpx.ReadTimeout:
            self.count("stalls")
            raise Broken(f"{self._where} has sent nothing for {self._stall:g} s") from None
        except httpx.TimeoutException:
            raise Broken(f"{self._where} does not answer") from None
        except httpx.TransportError as error:
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
                cause = cause.__cause__ or cause.__context__
            if cause is not None:
                raise Unreachable(self._where, f"its certificate does not fit: {cause.verify_message}") from None
            raise Broken(f"{self._where} was lost or cannot be reached ({type(error).__name__})") from None
        finally:
            self._socket = None
        raise Broken(f"{self._where} has ended the stream")

    def _asking(self) -> dict[str, str]:
        # Not packed: a few bytes could be a great deal.
        asking = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-store"}
        asking |= {name: revealed(value) for name, value in self._headers.items()}
        return {**asking, "Last-Event-ID": self._last} if self._last else asking

    def _answered(self, response: Any) -> bool:
        """Whether there is a stream; False: there is nothing more, ever."""
        status = response.status_code
        if status == 204:
            return False
        if status in PASSING:
            raise Broken(f"{self._where} answers {status}")
        if status in (401, 403):
            raise AuthenticationFailed("us", self._where, f"it answers {status}")
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if status != 200 or kind != "text/event-stream":
            shown = "".join(sign for sign in kind if " " <= sign <= "~")[:80] or "of no type"
            raise QueryFailed(f"{self._where} answers {status} and {shown}, which is no stream of events", status)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise QueryFailed(f"{self._where} sends packed what was asked for as it is", status)
        self._socket = response.extensions["network_stream"].get_extra_info("socket")
        return True

    def _read(self, response: Any) -> None:
        events = Events(self._largest, self._last)
        self.connected()
        for chunk in response.iter_raw():
            for event in events.feed(chunk):
                if not self._taken(event):
                    return
                self._last = event.id
            self._last = events.last
            if events.retry is not None:
                self._retry = events.retry

    def _taken(self, event: Event) -> bool:
        """False: nobody takes any more."""
        if event.too_large:
            self.count("too_large")
            self.collector.log(f"An event of {self._where} has more than {self._largest:,} bytes; it is left out")
            return True
        if self._kinds and event.kind not in self._kinds:
            return True
        body = json.dumps([event.kind, event.data, event.id]).encode()
        try:
            rows = self.unpack(body)
        except Unreadable as why:
            self.count("unreadable")
            self.collector.log(f"{why}; it is left out")
            return True
        return self.hand_on(rows, event.size, body, event.id.encode())

    def address(self) -> str:
        return f"{self._url} {self._parsing}"

    def unpack(self, body: bytes) -> Sequence[Any]:
        kind, data, id = json.loads(body)  # noqa: A001
        values = self._parsing.values(data)
        return values if self._parsing.fields else [(kind, value, id) for value in values]

    def go_on_behind(self, newest: bytes | None, note: bytes) -> None:
        if newest is not None or note:
            self._last = note.decode() if newest is None else str(json.loads(newest)[2])

    def asked_pause(self) -> float | None:
        return self._retry

    def hang_up(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
