"""The engine's side of live views: one loopback socket a process, bound when there is something worth watching, and
written into the register, so that every server of this user finds it there.

What goes over it is a line of JSON each way: the subscriber's `{"token", "topic"}`, then the topic's frames until its
end. Who does not know the token, which only the user's own register has, gets nothing.
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
from collections.abc import Mapping
from typing import Any

from workbench.runs.register import Register
from workbench.runs.topics import Topic

__all__ = ["LINE", "Publisher"]

_log = logging.getLogger(__name__)
LINE = 1 << 20
"""Bytes of the longest line, either way."""
ASKING = 4_096
PATIENCE = 5.0
"""Seconds that a subscriber has to say what it wants."""
MOST = 64
"""Subscribers at once: hubs subscribe, one a server, and not their viewers."""
KEPT_ENDED = 100
"""Topics that have ended and can still be asked for."""


class Publisher:
    """The topics of this process. Thread-safe; in a forked child it starts anew."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._lock = threading.Lock()
        self._topics: dict[str, Topic] = {}
        self._token = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._subscribers = 0

    def topic(self, name: str, state: Mapping[str, Any]) -> Topic:
        """A new topic of that name; in place of an older one, which is ended."""
        topic = Topic(name, state)
        with self._lock:
            before = self._topics.pop(name, None)
            self._topics[name] = topic
            over = [key for key, one in self._topics.items() if one.ended]
            for key in over[: max(0, len(over) - KEPT_ENDED)]:
                del self._topics[key]
        if before is not None:
            before.end()
        return topic

    def open(self) -> None:
        """Binds the socket and writes its address down, if that is not done yet. Returns when it is."""
        with self._lock:
            if self._loop is not None and self._pid == os.getpid():
                return
            ready, self._pid, self._token = threading.Event(), os.getpid(), secrets.token_hex(16)
            failed: list[BaseException] = []
            loop = self._loop = asyncio.new_event_loop()
            threading.Thread(
                target=self._serve, args=(loop, ready, failed), name="workbench-publisher", daemon=True
            ).start()
            ready.wait()
            if failed:
                self._loop = None
                raise failed[0]

    def close(self) -> None:
        """Ends every topic, and lets go of the socket. Idempotent."""
        with self._lock:
            topics, self._topics = list(self._topics.values()), {}
            loop, self._loop = self._loop, None
        for topic in topics:
            topic.end()
        if loop is not None and self._pid == os.getpid():
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(loop.stop)

    # --- in its own thread

    def _serve(self, loop: asyncio.AbstractEventLoop, ready: threading.Event, failed: list[BaseException]) -> None:
        asyncio.set_event_loop(loop)
        try:
            server = loop.run_until_complete(asyncio.start_server(self._subscriber, "127.0.0.1", 0, limit=ASKING))
            self._register.engine_started(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", self._token)
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
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()

    async def _subscriber(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._subscribers += 1
        try:
            topic = await self._asked(reader, writer)
            if topic is not None:
                await self._send(topic, reader, writer)
        except (OSError, asyncio.CancelledError):  # it has gone, or we have
            pass
        except Exception:  # noqa: BLE001  # the others are to be served all the same
            _log.exception("A subscriber could not be served")
        finally:
            self._subscribers -= 1
            writer.close()

    async def _asked(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Topic | None:
        try:
            asked = json.loads(await asyncio.wait_for(reader.readline(), PATIENCE))
            token, name = str(asked["token"]), str(asked["topic"])
        except (ValueError, KeyError, TypeError, RecursionError, TimeoutError):
            return None
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            return None
        if self._subscribers > MOST:
            await _refuse(writer, f"there are {MOST} subscribers by now")
            return None
        topic = self._topics.get(name)
        if topic is None:
            await _refuse(writer, f"there is no topic `{name[:200]}`")
        return topic

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
        finally:
            gone.cancel()
            mailbox.close()


def _line(frame: Mapping[str, Any]) -> bytes:
    line = json.dumps(frame, separators=(",", ":")).encode() + b"\n"
    if len(line) > LINE:
        raise ValueError(f"A frame of topic {frame.get('topic')!r} has {len(line):,} bytes; {LINE:,} is the most.")
    return line


async def _refuse(writer: asyncio.StreamWriter, why: str) -> None:
    writer.write(_line({"error": why}))
    await writer.drain()
