"""What live views share: the script that draws one, the topic that it watches, and the way there without a hub.

A page finds the topic at the server's hub, so that it moves on while a cell keeps the kernel busy, however many look.
Where there is no hub (in an editor that is no Jupyter page), the kernel sends the same frames over the view's comm.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from workbench.contract.errors import SourceError
from workbench.runs import tickets
from workbench.runs.register import Engine
from workbench.runs.subscriber import frames
from workbench.runs.topics import Topic

__all__ = ["LiveView", "newest", "script"]

PUBLISHED = "WORKBENCH_DASHBOARD"
"""Set in the kernels of pages that viewers look at, `WORKBENCH_PAGE` with it: the `page` that tickets are for."""
PACE = 0.05
"""Seconds between two messages of a comm, of which a page takes some hundred a second in all."""


def script(name: str) -> Path:
    """The built script of `extensions/widgets/src/<name>.ts`."""
    return Path(__file__).with_name("static") / f"{name}.js"


def newest(running: Any) -> Any:
    """The last of the runs that it was started again as."""
    while getattr(running, "following", None) is not None:
        running = running.following
    return running


class LiveView(anywidget.AnyWidget):
    """A view of a topic: of this process' own, or of another's `engine`. It reads, and nothing else: what it controls,
    the server is asked for. In a published dashboard it controls nothing."""

    topic = traitlets.Unicode().tag(sync=True)
    ticket = traitlets.Unicode().tag(sync=True)
    run = traitlets.Unicode().tag(sync=True)
    controls = traitlets.Bool(True).tag(sync=True)

    def __init__(self, topic: Topic | str, run: str, engine: Engine | None, controls: bool = True) -> None:
        self._watched, self._engine = topic, engine
        self._sending: _Sending | None = None
        name = topic if isinstance(topic, str) else topic.name
        published = PUBLISHED in os.environ
        page = os.environ.get("WORKBENCH_PAGE", "") if published else ""
        shown = tickets.ticket(engine, name, page) if page and engine is not None else ""
        super().__init__(topic=name, ticket=shown, run=run, controls=controls and not published)
        self.on_msg(self._heard)

    def close(self) -> None:
        self._let_go()
        super().close()

    def watched(self, topic: Topic | str, engine: Engine | None) -> None:
        """What the comm tells from now on."""
        self._let_go()
        self._watched, self._engine = topic, engine

    def follow(self) -> None:
        """The page goes on with the run that this one was started again as: `watched` says which that is."""

    def place(self) -> Engine | None:
        """Where the topic is now: what has ended may be kept by another process."""
        return self._engine

    def control(self, what: str) -> None:
        """`stop`, `pause`, … as the page asks where it has no server to ask."""

    # --- for pages without a hub

    def _heard(self, _: Any, message: Any, __: Any) -> None:
        """A page has no hub, or has missed a frame: it gets a snapshot, and what comes then, until it says that it is
        gone."""
        if not isinstance(message, dict):
            return
        if "watch" in message or "follow" in message:
            self._let_go()
        if message.get("follow"):
            self.follow()
        if message.get("watch") or message.get("follow"):
            self._sending = _Sending(self._watched, self.place(), self.send)
            self._sending.start()
        if isinstance(message.get("control"), str) and self.controls:
            self.control(message["control"])

    def _let_go(self) -> None:
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.end()


class _Sending:
    """Frames of a topic, from a thread."""

    def __init__(self, topic: Topic | str, engine: Engine | None, send: Callable[[dict[str, Any]], object]) -> None:
        self._topic, self._engine, self._send = topic, engine, send
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._main, name="workbench-view", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()

    def _main(self) -> None:
        if isinstance(self._topic, Topic):
            self._own(self._topic)
        elif self._engine is not None:
            asyncio.run(self._others(self._topic, self._engine))
        else:
            self._send({"frame": {"topic": self._topic, "error": "It is over."}})

    def _own(self, topic: Topic) -> None:
        some = threading.Event()
        mailbox = topic.subscribe(some.set)
        try:
            some.set()
            while not self._over.wait(PACE):
                some.wait(1.0)
                some.clear()
                for frame in mailbox.take():
                    self._send({"frame": json.loads(frame.text)})
                    if "end" in frame:
                        return
        finally:
            mailbox.close()

    async def _others(self, topic: str, engine: Engine) -> None:
        try:
            async with contextlib.aclosing(frames(engine, topic)) as coming:
                async for frame in coming:
                    self._send({"frame": json.loads(frame.text)})
                    if self._over.is_set():
                        return
        except SourceError as error:
            self._send({"frame": {"topic": topic, "error": str(error)}})
