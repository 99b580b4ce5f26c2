"""The engine's side of live views: one loopback socket a process, bound when there is something worth watching, and
written into the register, so that every server of this user finds it there.

What goes over it is a line of JSON each way: the subscriber's `{"token", "topic"}`, then the topic's frames until its
end; `{"token", "run", "ask"}`, which asks a run for something and is answered by `{"done": true}`, with the `run` that
goes on where it is another one, or by `{"ask"}`, the address of an engine with the same token that does it; `{"token",
"run", "show"}`, which has a topic made of what `show` says, and is answered by its name; or `{"token", "run", "text"}`,
which asks for a text, and is answered by its parts. Who does not know the token, which only the user's own register
has, gets nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.contract.errors import WorkbenchError
from workbench.runs.register import Register
from workbench.runs.topics import Frame, Topic

__all__ = ["LINE", "Elsewhere", "Publisher"]

_log = logging.getLogger(__name__)
LINE = 1 << 20
"""Bytes of the longest line, either way."""
ASKING = 1 << 15
"""Bytes of what is asked."""
PART = LINE // 8
"""Characters of a text that go in one line: so many bytes have they at most, as JSON writes them."""
PATIENCE = 5.0
"""Seconds that a subscriber has to say what it wants."""
MOST = 1_000
"""Subscribers at once: hubs subscribe, for each topic that is watched, and not their viewers."""
KNOCKING = 64
"""Connections at once that have not said yet what they want."""
PACE = 0.04
"""Seconds between two changes of a topic that a subscriber is sent."""
LEAVING = 50
"""Hundredths of a second that subscribers have to take the end of their topics."""
KEPT_ENDED = 100
"""Topics that have ended and can still be asked for, besides those that are kept on purpose."""


class FrameTooLong(ValueError):  # it never leaves the module: the subscriber is told
    """A topic that has outgrown the line."""


class Elsewhere(str):
    """The address of another engine that knows the same token, and does what was asked."""

    __slots__ = ()


_sharing = threading.RLock()  # what is collected as garbage releases, wherever that happens
_shared: dict[Path, Publisher] = {}


class Publisher:
    """The topics of this process. Thread-safe; in a forked child it starts anew."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._lock = threading.RLock()
        self._topics: dict[str, Topic] = {}
        self._kept = set[str]()
        self._controls: dict[str, Callable[[str], str | None]] = {}
        self._shows: dict[str, Callable[[Any], str]] = {}
        self._texts: dict[str, Callable[[str], str]] = {}
        self._token, self._address, self._made_by = secrets.token_hex(16), "", os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: asyncio.Server | None = None
        self._pid = 0
        self._subscribers = self._knocking = self._users = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread: threading.Thread | None = None

    @property
    def token(self) -> str:
        """What who subscribes has to know."""
        return self._token

    @property
    def address(self) -> str:
        """Where it is, once it is open."""
        return self._address

    @property
    def serving(self) -> bool:
        """Whether its thread lives; for a while after `close`, too: subscribers are told the ends of their topics."""
        return self._thread is not None and self._thread.is_alive()

    @classmethod
    def of(cls, register: Register, token: str = "") -> Publisher:
        """The one of this process for that register's file: its address has one place there. Each `of` is followed by
        a `release`, and the last of them closes it. `token`, of the first `of`, is another engine's: tickets of one
        are good at both."""
        with _sharing:
            found = _shared.get(register.path)
            if found is None:
                found = _shared[register.path] = cls(register)
                found._token = token or found._token
            found._users += 1
            return found

    def release(self) -> None:
        """Whoever had it from `of` needs it no more."""
        with _sharing:
            self._users -= 1
            last = self._users == 0
            if last and _shared.get(self._register.path) is self:
                del _shared[self._register.path]
        if last:
            self.close()

    def topic(self, name: str, state: Mapping[str, Any], keep: Mapping[str, int] | None = None) -> Topic:
        """A new topic of that name; in place of an older one, which is ended."""
        topic = Topic(name, state, keep)
        with self._lock:
            before = self._topics.pop(name, None)
            self._topics[name] = topic
            over = [key for key, one in self._topics.items() if one.ended and _run(key) not in self._kept]
            for key in over[: max(0, len(over) - KEPT_ENDED)]:
                del self._topics[key]
        if before is not None:
            before.end()
        return topic

    def keep(self, run_id: str, kept: bool = True) -> None:
        """Whether the topics of that run can be asked for until they are forgotten, however many end after them."""
        with self._lock:
            (self._kept.add if kept else self._kept.discard)(run_id)

    def forget(self, name: str) -> None:
        """Nobody can ask for that topic any more; who watches it is told its end."""
        with self._lock:
            topic = self._topics.pop(name, None)
        if topic is not None:
            topic.end()

    def control(self, run_id: str, do: Callable[[str], str | None] | None) -> None:
        """`do` is told what others ask of the run, in a thread of its own, and raises WorkbenchError for what it does
        not do; it says which run goes on, where that is another one. None: nothing is asked of it any more."""
        with self._lock:
            if do is None:
                self._controls.pop(run_id, None)
            else:
                self._controls[run_id] = do

    def show(self, run_id: str, make: Callable[[Any], str] | None) -> None:
        """`make` is given what another process wants to see of the run, and says the topic; as `control`."""
        with self._lock:
            if make is None:
                self._shows.pop(run_id, None)
            else:
                self._shows[run_id] = make

    def text(self, run_id: str, make: Callable[[str], str] | None) -> None:
        """`make` gives the text of that name (`metrics`), for other processes of the user; as `control`."""
        with self._lock:
            if make is None:
                self._texts.pop(run_id, None)
            else:
                self._texts[run_id] = make

    def open(self) -> None:
        """Binds the socket and writes its address down, if that is not done yet. Returns when it is."""
        with self._lock:
            if self._loop is not None and self._pid == os.getpid():
                return
            if self._made_by != os.getpid():  # a forked child is an engine of its own
                self._token, self._made_by = secrets.token_hex(16), os.getpid()
            ready, self._pid = threading.Event(), os.getpid()
            failed: list[BaseException] = []
            loop = self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._serve, args=(loop, ready, failed), name="workbench-publisher", daemon=True
            )
            self._thread.start()
            ready.wait()
            if failed:
                self._loop = None
                raise failed[0]

    def close(self, silent: bool = False) -> None:
        """Ends every topic, and lets go of the socket. `silent`: topics have no end, for another engine has them by
        now. Idempotent."""
        with self._lock:
            topics, self._topics = list(self._topics.values()), {}
            loop, self._loop = self._loop, None
        for topic in () if silent else topics:
            topic.end()
        if loop is not None and self._pid == os.getpid():
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                asyncio.run_coroutine_threadsafe(self._leave(loop, self._server, 0 if silent else LEAVING), loop)

    # --- in its own thread

    def _serve(self, loop: asyncio.AbstractEventLoop, ready: threading.Event, failed: list[BaseException]) -> None:
        asyncio.set_event_loop(loop)
        try:
            self._server = server = loop.run_until_complete(
                asyncio.start_server(self._connected, "127.0.0.1", 0, limit=ASKING)
            )
            self._address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            self._register.engine_started(self._address, self._token)
        except BaseException as error:  # noqa: BLE001  # raised in the thread that asked
            failed.append(error)
            loop.close()
            return
        finally:
            ready.set()
        try:
            loop.run_forever()
        finally:
            server.close()
            loop.run_until_complete(_settled(asyncio.all_tasks(loop)))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def _leave(self, loop: asyncio.AbstractEventLoop, server: asyncio.Server | None, turns: int) -> None:
        """Once subscribers have had the ends of their topics, or a moment for it."""
        if server is not None:
            # asyncio loses a connection that it has accepted, but not made yet, when its server is closed.
            with contextlib.suppress(NotImplementedError):
                for listening in server.sockets:
                    loop.remove_reader(listening.fileno())
            for _ in range(5):
                await asyncio.sleep(0)
            server.close()
        for _ in range(turns):
            await asyncio.sleep(0.01)
            if not self._subscribers:
                break
        loop.stop()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not by a coroutine of asyncio's: one that is cancelled before its first step closes nothing.
        self._writers.add(writer)
        task = asyncio.get_running_loop().create_task(self._subscriber(reader, writer))
        task.add_done_callback(lambda _: self._gone(writer))

    def _gone(self, writer: asyncio.StreamWriter) -> None:
        writer.close()
        self._writers.discard(writer)

    async def _subscriber(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._knocking >= KNOCKING:  # whoever they are, they keep nobody out who has the token and is quick
            return
        try:
            asked = await self._known(reader)
            if asked is not None and "ask" in asked:
                await self._do(self._controls, "run", asked, str(asked["ask"]), writer)
            elif asked is not None and "show" in asked:
                await self._do(self._shows, "topic", asked, asked["show"], writer)
            elif asked is not None and "text" in asked:
                await self._give(str(asked.get("run")), str(asked["text"]), writer)
            elif asked is not None:
                await self._subscribed(str(asked.get("topic")), reader, writer)
        except (OSError, asyncio.CancelledError):  # it has gone, or we have
            pass
        except Exception:  # noqa: BLE001  # the others are to be served all the same
            _log.exception("A subscriber could not be served")

    async def _known(self, reader: asyncio.StreamReader) -> dict[str, Any] | None:
        """What it asks for, if it knows the token."""
        self._knocking += 1
        try:
            asked = json.loads(await asyncio.wait_for(reader.readline(), PATIENCE))
            known = hmac.compare_digest(str(asked["token"]).encode(), self._token.encode())
        except (ValueError, KeyError, TypeError, RecursionError, TimeoutError):
            return None
        finally:
            self._knocking -= 1
        return asked if known else None

    async def _subscribed(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._subscribers += 1
        try:
            topic = self._topics.get(name)
            if self._subscribers > MOST:
                await _refuse(writer, f"there are {MOST} subscribers by now")
            elif topic is None:
                await _refuse(writer, f"there is no topic `{name[:200]}`")
            else:
                await self._send(topic, reader, writer)
        except FrameTooLong as error:
            await _refuse(writer, str(error))
        finally:
            self._subscribers -= 1

    async def _do(
        self,
        doing: Mapping[str, Callable[[Any], str | None]],
        name: str,
        asked: Mapping[str, Any],
        what: Any,
        writer: asyncio.StreamWriter,
    ) -> None:
        run_id = str(asked.get("run"))
        do = doing.get(run_id)
        if do is None:
            await _refuse(writer, f"nothing can be asked of run `{run_id[:20]}`")
            return
        try:
            said = await asyncio.to_thread(do, what)
        except WorkbenchError as error:
            await _refuse(writer, str(error).rstrip("."))
            return
        if isinstance(said, Elsewhere):
            writer.write(_line(Frame(ask=str(said))))
        else:
            writer.write(_line(Frame(done=True, **({name: said} if said else {}))))
        await writer.drain()

    async def _give(self, run_id: str, what: str, writer: asyncio.StreamWriter) -> None:
        make = self._texts.get(run_id)
        if make is None:
            await _refuse(writer, f"run `{run_id[:20]}` tells no `{what[:20]}`")
            return
        try:
            text = await asyncio.to_thread(make, what)
        except WorkbenchError as error:
            await _refuse(writer, str(error).rstrip("."))
            return
        for start in range(0, len(text), PART):
            writer.write(_line(Frame(text=text[start : start + PART])))
            await writer.drain()
        writer.write(_line(Frame(done=True)))
        await writer.drain()

    async def _send(self, topic: Topic, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop, some = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # closed meanwhile
                loop.call_soon_threadsafe(some.set)

        mailbox = topic.subscribe(wake)
        gone = asyncio.ensure_future(reader.read(1))  # a subscriber says nothing more: this ends when it goes
        some.set()
        try:
            while True:
                waiting = asyncio.ensure_future(some.wait())
                await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if gone.done():
                    return
                some.clear()
                for frame in mailbox.take():
                    writer.write(_line(frame))
                    await writer.drain()
                    if "end" in frame:
                        return
                await asyncio.wait((gone,), timeout=PACE)  # what comes meanwhile goes as one change
        finally:
            gone.cancel()
            mailbox.close()


def _run(topic: str) -> str:
    return topic.split("/")[1] if "/" in topic else ""


async def _settled(tasks: set[asyncio.Task[Any]]) -> None:
    """Ends them, and lets their sockets be closed, which the loop does some turns later."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.01)


def _line(frame: Frame) -> bytes:
    line = frame.text.encode() + b"\n"
    if len(line) > LINE:
        raise FrameTooLong(f"a frame of `{frame.get('topic')}` has {len(line):,} bytes, and {LINE:,} are the most")
    return line


async def _refuse(writer: asyncio.StreamWriter, why: str) -> None:
    writer.write(_line(Frame(error=why)))
    await writer.drain()
