"""The hub: however many viewers watch a topic, its engine has one subscriber, this one.

A run is watched at its engine where that publishes, and in the register where it does not (any more), so that every
run can be watched, whoever started it. What runs at all is read from the register, once for all who look.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

from workbench.contract.errors import DocumentError, ProtocolError, SourceError, UnknownRun, WorkbenchError
from workbench.runs import Register, RunInfo
from workbench.runs.register import Engine
from workbench.runs.subscriber import frames
from workbench.runs.topics import Frame, Mailbox, Topic
from workbench.server.described import described
from workbench.server.pool import Busy

__all__ = ["ALL", "Hub", "is_about_runs", "run_of"]

_log = logging.getLogger(__name__)
Made = TypeVar("Made")
ALL = "runs"
"""The topic of what runs: `runs`, as `GET /runs` lists them, and `last`, the newest run that is over."""
POLL_SECONDS = 1.0
LIST_SECONDS = 0.5
REFUSALS = 3
"""After so many of an engine its topic has ended."""
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between the times that the register is asked again while it cannot be read."""
LINGER_SECONDS = 2.0
"""So long a topic without viewers is kept: a page that is loaded again comes back within it."""
KNOWN_BEFORE, LONGEST_LINE = 1_000, 20
"""Of so many topics that others went on as it is known which that were, and so many steps back."""
PROGRESS = "progress"
_PART = r"[a-z0-9][a-z0-9_-]{0,63}"
_TOPIC = re.compile(rf"runs/([a-z0-9]{{12}})/({_PART}(?:/{_PART})?)")


def run_of(topic: str) -> str | None:
    """The run that a topic is about; None for a topic that there cannot be. `runs/<run>/progress` has every run; what
    else there is, its engine says."""
    found = _TOPIC.fullmatch(topic)
    return found[1] if found else None


def _is_progress(topic: str) -> bool:
    return topic.rpartition("/")[2] == PROGRESS


def is_about_runs(topic: str) -> bool:
    """Whether it tells what `GET runs` tells: what runs, and how far it is."""
    return topic == ALL or _is_progress(topic)


class Hub:
    """The topics that this server's viewers watch. For one event loop; `blocking` runs what may wait elsewhere."""

    def __init__(self, register: Register, blocking: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        self._register, self._blocking = register, blocking
        self._topics: dict[str, Topic] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._beginning: dict[str, asyncio.Future[Topic]] = {}
        self._before: dict[str, str] = {}

    def line(self, name: str) -> Iterator[str]:
        """The topic, and those that it goes on for, the last one first, as their engines have said: who may see one
        may see what it went on as."""
        for _ in range(LONGEST_LINE):
            yield name
            if name not in self._before:
                return
            name = self._before[name]

    async def subscribe(self, name: str, wake: Callable[[], object], cursor: str = "") -> Mailbox:
        """A viewer's mailbox for the topic; what was since, for one who comes back with a `cursor`. Raises
        UnknownRun."""
        run_id = run_of(name) or ""
        if not run_id and name != ALL:
            raise UnknownRun(name, ())
        topic = self._topics.get(name)
        if topic is None:
            beginning = self._beginning.get(name)
            if beginning is None:  # however many come at once, the register is asked once
                beginning = self._beginning[name] = asyncio.ensure_future(self._made(name, run_id))
                beginning.add_done_callback(lambda done: self._begun(name, done))
            topic = await asyncio.shield(beginning)
        return topic.subscribe(wake, cursor)

    def _begun(self, name: str, done: asyncio.Future[Topic]) -> None:
        self._beginning.pop(name, None)
        if not done.cancelled():
            done.exception()  # whoever waits is told; where all have gone, nobody is

    async def _made(self, name: str, run_id: str) -> Topic:
        state = await self._begin(name, run_id) if run_id else await self._all()
        topic = self._topics[name] = Topic(name, state)
        self._tasks[name] = asyncio.ensure_future(self._follow(topic, run_id))
        return topic

    @property
    def topics(self) -> list[str]:
        """What is watched now."""
        return list(self._topics)

    async def close(self) -> None:
        """Lets go of every engine."""
        for beginning in list(self._beginning.values()):
            beginning.cancel()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- a task a topic

    async def _follow(self, topic: Topic, run_id: str) -> None:
        why = ""
        follow = self._listing if not run_id else self._to_the_end if _is_progress(topic.name) else self._published
        following = asyncio.ensure_future(follow(topic, run_id))
        try:
            while not following.done():
                await asyncio.wait((following,), timeout=LINGER_SECONDS)
                if not topic.watched:
                    await asyncio.sleep(LINGER_SECONDS)
                    if not topic.watched:
                        return
            if (error := following.exception()) is not None:
                _log.error("Topic %s cannot be followed", topic.name, exc_info=error)
                said = isinstance(error, (WorkbenchError, Busy))
                why = str(error) if said else "The server has failed; its log says how."
        finally:
            following.cancel()
            del self._topics[topic.name], self._tasks[topic.name]
            topic.end(why)

    async def _all(self) -> dict[str, Any]:
        def read() -> dict[str, Any]:
            over = self._register.history(1)
            return {"runs": [described(one) for one in self._register.runs()], "last": over[0].id if over else ""}

        state: dict[str, Any] = await self._blocking(read)
        return state

    async def _begin(self, name: str, run_id: str) -> dict[str, Any]:
        info = await self._blocking(lambda: self._register.get(run_id))
        return _state(info) if _is_progress(name) else {"run": run_id}

    async def _listing(self, topic: Topic, _: str) -> None:
        while True:
            topic.change(**await self._patiently(self._all))
            await asyncio.sleep(LIST_SECONDS)

    async def _to_the_end(self, topic: Topic, run_id: str) -> None:
        while True:
            engine = await self._read(lambda: self._register.engine(run_id))
            try:
                if engine is not None and await self._from_engine(topic, engine):
                    return
            except ProtocolError as error:  # the register knows how it goes on
                _log.debug("%s: %s", topic.name, error)
            info: RunInfo = await self._read(lambda: self._register.get(run_id))
            topic.change(**_state(info))
            if not info.active:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _published(self, topic: Topic, run_id: str) -> None:
        """What nobody knows but the engine. One that is lost is looked for again while its run goes on, and once more
        after that: what has ended may be another engine's by then. One that refuses is asked some times, for it may
        have just begun."""
        refused, over = 0, False
        lost: Engine | None = None
        while True:
            engine = await self._read(lambda: self._register.engine(run_id))
            try:
                if engine is not None and engine != lost:
                    if await self._from_engine(topic, engine):
                        return
                    lost = engine
                    continue
            except ProtocolError as error:
                refused += 1
                if refused == REFUSALS:
                    topic.end(str(error))
                    return
            info: RunInfo = await self._read(lambda: self._register.get(run_id))
            if not info.active and over:
                how = f"{info.state}: {info.error}" if info.error else info.state
                topic.end(f"`{info.title}` has ended ({how.rstrip('.')}), and its process with it: nothing more comes.")
                return
            over, lost = not info.active, None
            await asyncio.sleep(POLL_SECONDS)

    async def _read(self, work: Callable[[], Any]) -> Any:
        return await self._patiently(lambda: self._blocking(work))

    async def _patiently(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """What the register says. One that cannot be read just now is asked again, for some seconds."""
        for pause in PAUSES:
            try:
                return await ask()
            except (DocumentError, Busy) as error:
                _log.debug("The register is asked again: %s", error)
            await asyncio.sleep(pause)
        return await ask()

    async def _from_engine(self, topic: Topic, engine: Any) -> bool:
        """Whether the topic has come to its end there."""
        try:
            async with contextlib.aclosing(frames(engine, topic.name)) as coming:
                async for frame in coming:
                    if "snapshot" in frame:
                        topic.restore(frame["snapshot"], frame.get("keep", {}))
                    else:
                        topic.tell(frame.get("change"), frame.get("append"), frame.get("keep"))
                    self._note(topic.name, frame)
                    if "end" in frame:
                        return True
        except ProtocolError:
            raise
        except SourceError as error:  # it has ended, or is of another mind: the register knows how it goes on
            _log.debug("%s: %s", topic.name, error)
        return False

    def _note(self, name: str, frame: Frame) -> None:
        goes_on = (frame.get("change") or frame.get("snapshot") or {}).get("next")
        then = goes_on.get("topic") if isinstance(goes_on, dict) else None
        if isinstance(then, str) and run_of(then) and then not in self._before:
            self._before[then] = name
            while len(self._before) > KNOWN_BEFORE:
                del self._before[next(iter(self._before))]


def _state(info: RunInfo) -> dict[str, Any]:
    return {
        "run": info.id,
        "title": info.title,
        "state": info.state,
        "rows": info.rows,
        "bytes": info.bytes,
        "fraction": info.fraction,
        "error": info.error,
    }
