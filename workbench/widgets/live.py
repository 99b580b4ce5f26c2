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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from workbench.contract.errors import ConnectionLost, SourceError, Unreachable, WorkbenchError
from workbench.runs import tickets
from workbench.runs.register import Engine
from workbench.runs.subscriber import frames
from workbench.runs.topics import Topic

__all__ = ["LiveView", "newest", "script"]

PUBLISHED = "WORKBENCH_DASHBOARD"
"""Set in the kernels of pages that viewers look at, `WORKBENCH_PAGE` with it: the `page` that tickets are for."""
PACE = 0.05
"""Seconds between two messages of a comm, of which a page takes some hundred a second in all."""
AGAIN, TIMES = 0.5, 10
"""Seconds between the times that it is looked where a topic is whose engine is lost, and how often."""


def script(name: str) -> Path:
    """The built script of `extensions/widgets/src/<name>.ts`."""
    return Path(__file__).with_name("static") / f"{name}.js"


def newest(running: Any, following: Mapping[str, Any] | None = None) -> Any:
    """The last of the runs that it was started again as; `following` is what its topic says of the next one, of whom
    nothing else is known here."""
    if following and hasattr(running, "next"):
        return running.next(str(following["run"]))
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
        self._following: dict[str, Any] | None = None
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

    def follow(self, following: Mapping[str, Any] | None) -> None:
        """The page goes on with the run that this one was started again as: `watched` says which that is. `following`
        is what the topic has said of it, and not the page, which may be a stranger's."""

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
        try:
            self._do(message)
        except WorkbenchError as error:
            self.send({"frame": {"topic": self._named, "error": str(error)}})

    def _do(self, message: Mapping[str, Any]) -> None:
        if "watch" in message or "follow" in message:
            self._let_go()
        if message.get("follow"):
            following, self._following = self._following, None
            self.follow(following)
        if message.get("watch") or message.get("follow"):
            self._sending = _Sending(self._watched, self.place, self._told)
            self._sending.start()
        if isinstance(message.get("control"), str) and self.controls:
            self.control(message["control"])

    @property
    def _named(self) -> str:
        return self._watched if isinstance(self._watched, str) else self._watched.name

    def _told(self, frame: Mapping[str, Any]) -> None:
        for part in ("snapshot", "change"):
            self._following = frame.get(part, {}).get("next") or self._following
        self.send({"frame": frame})

    def _let_go(self) -> None:
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.end()


class _Sending:
    """Frames of a topic, from a thread. An engine that is lost is looked for again: its topics may be another's now."""

    def __init__(
        self, topic: Topic | str, place: Callable[[], Engine | None], send: Callable[[Mapping[str, Any]], object]
    ) -> None:
        self._topic, self._place, self._send = topic, place, send
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._main, name="workbench-view", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over.set()

    def _main(self) -> None:
        if isinstance(self._topic, Topic):
            self._own(self._topic)
            return
        try:
            self._elsewhere(self._topic)
        except WorkbenchError as error:
            self._send({"topic": self._topic, "error": str(error)})

    def _own(self, topic: Topic) -> None:
        some = threading.Event()
        mailbox = topic.subscribe(some.set)
        try:
            some.set()
            while not self._over.wait(PACE):
                some.wait(1.0)
                some.clear()
                for frame in mailbox.take():
                    self._send(json.loads(frame.text))
                    if "end" in frame:
                        return
        finally:
            mailbox.close()

    def _elsewhere(self, topic: str) -> None:
        why: SourceError | None = None
        lost, left = None, TIMES
        while left and not self._over.is_set():
            engine = self._place()
            if engine is not None and engine != lost:
                try:
                    asyncio.run(self._others(topic, engine))
                    return
                except (ConnectionLost, Unreachable) as error:
                    lost, left, why = engine, TIMES, error
            left -= 1
            self._over.wait(AGAIN)
        if not self._over.is_set():
            self._send({"topic": topic, "error": str(why or "It is over.")})

    async def _others(self, topic: str, engine: Engine) -> None:
        async with contextlib.aclosing(frames(engine, topic)) as coming:
            async for frame in coming:
                self._send(json.loads(frame.text))
                if self._over.is_set():
                    return
