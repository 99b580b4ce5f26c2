"""A spout of what is posted to it: an HTTP server of its own, on this machine only."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import InvalidParameter
from workbench.contract.secret import Secret
from workbench.streams.component import Collector, Context, Outputs
from workbench.streams.configuration import seconds
from workbench.streams.receiving import ENVIRONMENT, Parsing, Unreadable, revealed, whole
from workbench.streams.spooling import MOST_SPOOL, Spooled
from workbench.streams.websocket import LARGEST

if TYPE_CHECKING:
    from tornado.web import Application

__all__ = ["SIGNATURE", "UNKNOWN_SECONDS", "Webhook", "answer"]

HOST = "127.0.0.1"
AT_ONCE = 64
"""Requests whose bodies are read, or that wait for an answer; as many times `largest` is what they take."""
UNKNOWN = 16
"""Of these, those whose signature is not looked at yet, for their body is still to come: strangers take no more."""
CONNECTIONS = 256
"""Open at once, with a request or without: another one is closed, so that files are left for all else."""
BODY_SECONDS, UNKNOWN_SECONDS, IDLE_SECONDS = 30.0, 5.0, 10.0
"""For a body; for one whose signature is still to be looked at; and for a connection that says nothing."""
SIGNATURE = "X-Hub-Signature-256"
_PATH = re.compile(r"/[A-Za-z0-9/_.-]{0,200}")


class Posted:
    """A request that waits for its rows. In the server's thread, but for `settle`."""

    def __init__(self, rows: int, loop: asyncio.AbstractEventLoop) -> None:
        self._left, self._dead, self._loop = rows, 0, loop
        self.done: asyncio.Future[int] = loop.create_future()
        """How many of its rows were given up."""

    def settle(self, acked: bool) -> None:
        """One of its rows is acked, or given up. In the runner's thread."""
        self._left -= 1
        self._dead += not acked
        if self._left == 0:
            with contextlib.suppress(RuntimeError):  # the server has ended
                self._loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(self._dead)


class Webhook(Spooled):
    """What is posted to `http://127.0.0.1:<port><path>`, a row each: the field `body`, or `fields` of what JSON says
    (a list of objects gives a row each). `port=0` takes a free one: it is in the run's log, and among its counts.

    Who posts knows the `secret` (`env:NAME` or a Secret), and sends `Authorization: Bearer <secret>`, or signs the
    body: `X-Hub-Signature-256: sha256=<HMAC-SHA256 of the body, in hex>`. With `signed=True` only the latter will do.
    Only this machine reaches it; a web page, which says where it is from (`Origin`), and another `Host` are refused.

    | answer | means |
    |---|---|
    | 202 | the rows are in the spool, on the disk: they are given out, whatever happens to this process |
    | 200 | with `reply="acked"`: all of the rows' trees are done |
    | 400, 413 | no JSON, or none with `fields`; or more than `largest` bytes |
    | 401, 403, 404, 405 | no or another secret; a page or another host; another path; not POST |
    | 429 | so many rows wait as `queue` says, none of these is taken: send again after `Retry-After` |
    | 500 | with `reply="acked"`: some rows were given up, and are dead letters |
    | 503 | the spool or its disk is full, or so many requests wait by now, or it is stopped: send again |
    | 504 | with `reply="acked"`: not done within `wait`; it may be yet, so who sends again may send twice |

    So it is **at least once** from a 202 on, also when this process is killed or the power fails: what is not done then
    is given by the worker that takes its place, or by the next run of the topology. A sender that gets no answer cannot
    know, sends again, and its rows are there twice. The spool has up to `spool` bytes (a GiB); with `spool=0` there is
    none: up to 1,000 rows wait in memory, and a 202 holds as long as the process lives. Raises InvalidParameter, also
    for a port that is taken, which fails the run.
    """

    def __init__(
        self,
        port: int = 0,
        path: str = "/",
        *,
        secret: str | Secret,
        signed: bool = False,
        parse: str = "json",
        fields: Sequence[str] = (),
        reply: str = "queued",
        wait: float | str = 30.0,
        largest: int = LARGEST,
        queue: int | None = None,
        spool: int = MOST_SPOOL,
    ) -> None:
        if not isinstance(secret, Secret) and not (isinstance(secret, str) and ENVIRONMENT.fullmatch(secret)):
            raise InvalidParameter("secret", "is `env:NAME`, a variable of the environment, or Secret('…').")
        if not (isinstance(path, str) and _PATH.fullmatch(path)):
            raise InvalidParameter("path", f"is {path!r}; it is one as /orders, of letters, digits and / _ . -")
        if reply not in ("queued", "acked"):
            raise InvalidParameter("reply", f"is {reply!r}; it is 'queued' or 'acked'.")
        self._port, self._path, self._secret, self._signed = whole(port, "port", 0, 65_535), path, secret, signed
        self._parsing, self._waits, self._wait = Parsing(parse, fields), reply == "acked", seconds(wait, "wait")
        self.largest = whole(largest, "largest", 1, 64 << 20)
        self._kept(spool, queue)
        self._posted: dict[int, Posted] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    durable = True

    def declared_outputs(self) -> Outputs:
        return self._parsing.fields or ("body",)

    def open(self, config: Mapping[str, Any], context: Context, collector: Collector) -> None:
        self._key = revealed(self._secret).encode()
        self._busy = self._unknown = 0
        super().open(config, context, collector)
        self._counted |= {"refused": 0, "full": 0, "port": 0}
        self._acking = bool(config["acking"])

    def address(self) -> str:
        return f"{self._path} {self._parsing}"

    def unpack(self, body: bytes) -> Sequence[Any]:
        try:
            values = self._parsing.values(body.decode())
        except UnicodeDecodeError:
            raise Unreadable("the body is not UTF-8") from None
        return values if self._parsing.fields else [(value,) for value in values]

    def rows(self) -> Iterator[Any]:
        if self._depot is not None:
            yield from super().rows()
            return
        for taken in super().rows():
            if taken is None:
                yield None
                continue
            values, posted = taken
            if posted is not None:
                if self._acking:
                    self._posted[self._replay.last + 1] = posted  # the number that this row is given next
                else:
                    posted.settle(True)
            yield values

    def settled(self, message_ids: Sequence[int], acked: bool) -> None:
        super().settled(message_ids, acked)
        for message_id in message_ids if self._posted else ():
            if (posted := self._posted.pop(message_id, None)) is not None:
                posted.settle(acked)

    # --- in the thread

    def receive(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        from workbench.streams.webhook_handler import Bounded

        server = Bounded(
            self._application(),
            max_header_size=16 << 10,
            max_body_size=self.largest,
            body_timeout=BODY_SECONDS,
            idle_connection_timeout=IDLE_SECONDS,
        )
        try:
            listening = socket.create_server((HOST, self._port))
        except OSError as error:
            why = f"{self._port} cannot be had: {error.strerror}. Say another one, or 0 for a free one."
            raise InvalidParameter("port", why) from None
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        listening.setblocking(False)
        server.add_sockets([listening])
        port = listening.getsockname()[1]
        self._hosts = {f"{HOST}:{port}", f"localhost:{port}"}
        self._counted["port"] = port
        try:
            self.connected()
            self.collector.log(f"It takes what is posted to http://{HOST}:{port}{self._path}")
            await self._ending.wait()
        finally:
            server.stop()
            for _ in range(100):  # so that who waits gets an answer
                if not self._busy:
                    break
                await asyncio.sleep(0.01)
            await server.close_all_connections()

    def _application(self) -> Application:
        from tornado.web import Application

        from workbench.streams.webhook_handler import Post

        return Application([(".*", Post, {"hook": self})], log_function=lambda handler: None)

    def hang_up(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._ending.set)

    # --- for the handler

    def refusal(self, headers: Mapping[str, str], verb: str, path: str) -> tuple[int, str] | None:
        """Why a request is not taken, before its body is read; None where it is."""
        status = None
        if headers.get("Host", "").lower() not in self._hosts or "Origin" in headers:
            status = 403, "only programs of this machine post here"
        elif path != self._path:
            status = 404, "there is nothing at this path"
        elif verb != "POST":
            status = 405, "it takes POST"
        elif SIGNATURE not in headers and (self._signed or not self._bearer(headers)):
            status = 401, f"say Authorization: Bearer …, or {SIGNATURE}" if not self._signed else f"say {SIGNATURE}"
        elif self._busy >= AT_ONCE or (SIGNATURE in headers and self._unknown >= UNKNOWN):
            return 503, f"{AT_ONCE} requests wait by now, or {UNKNOWN} whose signature is still to be looked at"
        if status is not None:
            self.count("refused")
        return status

    def _bearer(self, headers: Mapping[str, str]) -> bool:
        kind, _, given = headers.get("Authorization", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._key)

    def fits(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether the signature is that of the body, where there is one."""
        if SIGNATURE not in headers:
            return True
        made = "sha256=" + hmac.new(self._key, body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(headers[SIGNATURE].strip().lower().encode(), made.encode())

    def began(self, known: bool) -> None:
        self._busy += 1
        self._unknown += not known

    def identified(self, known: bool) -> None:
        """Its signature was looked at, or it has gone before that."""
        self._unknown -= 1
        if not known:
            self.count("refused")

    def ended(self) -> None:
        self._busy -= 1

    async def take(self, body: bytes) -> tuple[int, str]:
        """The answer."""
        if self._ending.is_set():
            return 503, "the topology is stopped"
        try:
            rows = self.unpack(body)
        except Unreadable as why:
            self.count("unreadable")
            return 400, str(why)
        if 0 < self.queue < len(rows):
            return 413, f"{len(rows):,} rows are more than the queue of {self.queue:,} holds"
        posted = Posted(len(rows), asyncio.get_running_loop()) if self._waits else None
        if full := await self._taken(body, rows, posted):
            self.count("full")
            return full
        self.count("received")
        self.count("bytes", len(body))
        return (202, "queued") if posted is None else await self._settled(posted)

    async def _taken(self, body: bytes, rows: Sequence[Any], posted: Posted | None) -> tuple[int, str] | None:
        """What is answered where there is no room."""
        if self._depot is None:
            took = self._incoming.offer_all([(row, posted) for row in rows], len(body))
            return None if took else (429, "the queue is full")
        loop = asyncio.get_running_loop()
        kept: asyncio.Future[bool] = loop.create_future()

        def stored(first: int | None) -> None:
            if first is not None and posted is not None:  # before anybody can ack them
                self._posted.update(dict.fromkeys(range(first + 1, first + 1 + len(rows)), posted))
            with contextlib.suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(_answered, kept, first is not None)

        if full := self._depot.hand_in(body, len(rows), stored):
            return {
                "queue": (429, "the queue is full"),
                "spool": (503, "the spool is full"),
                "closed": (503, "the topology is stopped"),
            }[full]
        return None if await kept else (503, f"it cannot be kept: {self._depot.why}")

    async def _settled(self, posted: Posted) -> tuple[int, str]:
        over = asyncio.ensure_future(self._ending.wait())
        await asyncio.wait((posted.done, over), timeout=self._wait, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if posted.done.done():
            dead = posted.done.result()
            return (500, f"{dead:,} rows were given up") if dead else (200, "acked")
        return (503, "the topology is stopped") if self._ending.is_set() else (504, f"not done within {self._wait:g} s")


def _answered(future: asyncio.Future[bool], value: bool) -> None:
    if not future.done():  # whoever has asked may be gone
        future.set_result(value)


def answer(text: str) -> str:
    return json.dumps({"message": text})
