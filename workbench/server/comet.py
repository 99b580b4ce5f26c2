"""Topics for who has no WebSocket: Server-Sent Events, and long polling, which is a request that waits.

Both tell the frames that the WebSocket tells (`workbench.runs.topics`), and both hand out cursors: who was cut off asks
again with the last one, and gets what was since.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web
from tornado.iostream import StreamClosedError

from workbench.runs.topics import Frame
from workbench.server.handlers import Handler
from workbench.server.looking import STUCK_SECONDS, Looks
from workbench.server.watching import MOST_TOPICS, Watch

__all__ = ["HANDLERS", "Events", "Poll"]

BEAT_SECONDS = 15.0
"""So often a stream in which nothing happens says that it is alive: what lies between lets go of silent ones."""
LONGEST_WAIT = 55
LONGEST = 8_000
TICKETS, LONGEST_TICKETS = "X-Workbench-Tickets", 16_000
"""Not in the address, which is kept in logs and histories: with commas between, in the order of `topics`."""


class Topics(Looks, Handler):
    auth_resource = "workbench:live"

    def watch(self, cursors: str) -> Watch:
        """Of what `topics` names, with commas between; cursors likewise, and tickets in the header `TICKETS`."""
        topics = [one for one in (self.text("topics", LONGEST) or "").split(",") if one]
        if not 1 <= len(topics) <= MOST_TOPICS:
            raise web.HTTPError(400, f"`topics` must name 1 to {MOST_TOPICS} topics, with commas between them")
        tickets = [one.strip() for one in self.request.headers.get(TICKETS, "")[:LONGEST_TICKETS].split(",")]
        return Watch(self.hub, self.door(dict(zip(topics, tickets, strict=False))), topics, cursors.split(","))

    async def sent(self, written: Awaitable[None]) -> None:
        """Waits until it is on its way. Who does not read for long is dropped."""
        try:
            await asyncio.wait_for(written, STUCK_SECONDS)
        except TimeoutError:
            self.viewers.dropped[self.way] += 1
            connection: Any = self.request.connection
            connection.close()
            raise web.Finish from None

    async def next_frames(self, watch: Watch, seconds: float) -> list[Frame] | None:
        """What is new within so many seconds; None where nothing is. Raises Finish when nobody listens any more."""
        self._waits = waits = asyncio.ensure_future(watch.frames())
        # Not by a time-out around it: one that fires when frames have just been taken would lose them.
        await asyncio.wait({waits}, timeout=seconds)
        if not waits.done():
            waits.cancel()
            return None
        if waits.cancelled() and self.left:
            raise web.Finish
        return waits.result()


class Events(Topics):
    """A stream of Server-Sent Events: one for every frame, its `id` the cursors of all topics."""

    way = "events"

    @web.authenticated
    @authorized
    async def get(self) -> None:
        last = self.request.headers.get("Last-Event-ID", "")[:LONGEST]
        with self.viewers.place(self.viewer, self.way):
            await self.viewers.pace(self.viewer)
            await self._stream(last)

    async def _stream(self, last: str) -> None:
        async with self.watch(last) as watch:
            self.set_header("Content-Type", "text/event-stream; charset=utf-8")
            self.set_header("X-Accel-Buffering", "no")
            with contextlib.suppress(StreamClosedError):
                await self._send(watch)

    async def _send(self, watch: Watch) -> None:
        await self.sent(self.flush())
        while not self.left:
            frames = await self.next_frames(watch, BEAT_SECONDS)
            if frames is None:
                self.write(": nothing new\n\n")
            elif frames:
                *others, last = frames
                text = "".join(f"data: {frame.text}\n\n" for frame in others)
                self.write(f"{text}id: {','.join(watch.cursors)}\ndata: {last.text}\n\n")
            else:
                # A browser comes back after an end, unless it is told that there is nothing more.
                self.write("event: over\ndata: {}\n\n")
                await self.sent(self.flush())
                return
            await self.sent(self.flush())  # waits until it is on its way: meanwhile changes gather


class Poll(Topics):
    """Frames that are there, or the first that come within `wait` seconds, and the cursors to ask with again."""

    way = "poll"

    @web.authenticated
    @authorized
    async def get(self) -> None:
        wait = self.number("wait", 25, LONGEST_WAIT)
        with self.viewers.place(self.viewer, self.way):
            await self.viewers.pace(self.viewer)
            async with self.watch(self.text("cursors", LONGEST) or "") as watch:
                frames = await self.next_frames(watch, wait) or []
                said = ",".join(frame.text for frame in frames)
                cursors = json.dumps(",".join(watch.cursors))
            with contextlib.suppress(StreamClosedError):
                await self.sent(self.finish(f'{{"frames":[{said}],"cursors":{cursors}}}'))


HANDLERS = [("live/events", Events), ("live/poll", Poll)]
