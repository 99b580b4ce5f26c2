"""The hub: however many viewers watch a topic, its engine has one subscriber, this one.

A run is watched at its engine where that publishes, and in the register where it does not (any more), so that every
run can be watched, whoever started it. What runs at all is read from the register, once for all who look.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from workbench.contract.errors import DocumentError, SourceError, UnknownRun, WorkbenchError
from workbench.runs import Register, RunInfo
from workbench.runs.subscriber import frames
from workbench.runs.topics import Mailbox, Topic
from workbench.server.described import described
from workbench.server.pool import Busy

__all__ = ["ALL", "Hub", "run_of"]

_log = logging.getLogger(__name__)
Made = TypeVar("Made")
ALL = "runs"
"""The topic of what runs: `runs`, as `GET /runs` lists them, and `last`, the newest run that is over."""
POLL_SECONDS = 1.0
LIST_SECONDS = 0.5
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between the times that the register is asked again while it cannot be read."""
LINGER_SECONDS = 2.0
"""So long a topic without viewers is kept: a page that is loaded again comes back within it."""
_TOPIC = re.compile(r"runs/([a-z0-9]{12})/progress")


def run_of(topic: str) -> str | None:
    """The run that a topic is about; None for a topic that there cannot be."""
    found = _TOPIC.fullmatch(topic)
    return found[1] if found else None


class Hub:
    """The topics that this server's viewers watch. For one event loop; `blocking` runs what may wait elsewhere."""

    def __init__(self, register: Register, blocking: Callable[[Callable[[], Any]], Awaitable[Any]]) -> None:
        self._register, self._blocking = register, blocking
        self._topics: dict[str, Topic] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def subscribe(self, name: str, wake: Callable[[], object]) -> Mailbox:
        """A viewer's mailbox for the topic. Raises UnknownRun."""
        run_id = run_of(name) or ""
        if not run_id and name != ALL:
            raise UnknownRun(name, ())
        topic = self._topics.get(name)
        if topic is None:
            state = _state(await self._blocking(lambda: self._register.get(run_id))) if run_id else await self._all()
            topic = self._topics.get(name)  # another viewer may have been quicker
            if topic is None:
                topic = self._topics[name] = Topic(name, state)
                self._tasks[name] = asyncio.ensure_future(self._follow(topic, run_id))
        return topic.subscribe(wake)

    @property
    def topics(self) -> list[str]:
        """What is watched now."""
        return list(self._topics)

    async def close(self) -> None:
        """Lets go of every engine."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- a task a topic

    async def _follow(self, topic: Topic, run_id: str) -> None:
        why = ""
        following = asyncio.ensure_future(self._to_the_end(topic, run_id) if run_id else self._listing(topic))
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

    async def _listing(self, topic: Topic) -> None:
        while True:
            topic.change(**await self._patiently(self._all))
            await asyncio.sleep(LIST_SECONDS)

    async def _to_the_end(self, topic: Topic, run_id: str) -> None:
        while True:
            engine = await self._read(lambda: self._register.engine(run_id))
            if engine is not None and await self._from_engine(topic, engine):
                return
            info: RunInfo = await self._read(lambda: self._register.get(run_id))
            topic.change(**_state(info))
            if not info.active:
                return
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
            async for frame in frames(engine, topic.name):
                topic.change(**frame.get("snapshot", {}), **frame.get("change", {}))
                if "end" in frame:
                    return True
        except SourceError as error:  # it has ended, or is of another mind: the register knows how it goes on
            _log.debug("%s: %s", topic.name, error)
        return False


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
