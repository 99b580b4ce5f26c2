"""Threads for what may wait: a source, a disk, a keyring. The event loop never does."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Literal, TypeVar

__all__ = ["Busy", "Places", "Pool"]

T = TypeVar("T")

SOURCES, PER_SOURCE, OWN = 24, 4, 8
"""Calls that are under way at once: to sources, to any one of them, and to what lies on this machine."""
OTHERS = 8
"""Calls at once that stop something at its source; as many that read results; as many for other work that may wait."""
Places = Literal["sources", "stops", "results", "work"]
WAITING = 64
"""Calls that wait for their turn at one source, and as many for what lies on this machine."""


class Busy(Exception):  # it never leaves the room: the handler answers 503
    """More calls wait for the same than will be served."""

    def __str__(self) -> str:
        return "Too many requests wait for their sources: try again soon."


class Pool:
    """Calls in threads, so many at once. A source that hangs holds up itself alone, and sources that all hang hold up
    no Stop and no result. Used from one event loop.

    The threads are daemons, for a source that never answers must not keep the server from ending, and are used again:
    starting one makes the loop wait for it.
    """

    def __init__(self, sources: int = SOURCES, per_source: int = PER_SOURCE, own: int = OWN, waiting: int = WAITING):
        self._per_source, self._most = per_source, waiting
        self._places = {"sources": asyncio.Semaphore(sources), "own": asyncio.Semaphore(own)}
        self._places |= {name: asyncio.Semaphore(OTHERS) for name in ("stops", "results", "work")}
        self._waiting: dict[str, int] = {}
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads = self._running = 0
        self._sources: dict[str, asyncio.Semaphore] = {}
        self._users: dict[str, int] = {}

    async def run(self, call: Callable[[], T], source: str = "", begun: bool = False, among: Places = "sources") -> T:
        """What the call returns or raises; `source` is the connection, or whatever else, that it may wait for, `among`
        others of its kind. Raises Busy, unless the
        call goes on with something that has `begun`. When the caller is cancelled, a call that waits is not made; one
        that is under way goes on, and keeps its place until it ends."""
        if not begun and self._waiting.get(source, 0) >= self._most:
            raise Busy
        leave = await self._place(source, among if source else "own")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def ended(value: Any, error: BaseException | None) -> None:
            self._running -= 1
            leave()
            if future.cancelled():
                return
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

        self._running += 1
        self._calls.put(lambda: _work(loop, call, ended))
        if self._running > self._threads:
            self._threads += 1
            threading.Thread(target=_serve, args=(self._calls,), name="workbench-server", daemon=True).start()
        value: T = await future
        return value

    async def _place(self, source: str, among: str) -> Callable[[], None]:
        """Waits for a place; what gives it back."""
        taken: list[Callable[[], None]] = []
        self._waiting[source] = self._waiting.get(source, 0) + 1
        try:
            if source:
                one = self._sources.setdefault(source, asyncio.Semaphore(self._per_source))
                self._users[source] = self._users.get(source, 0) + 1
                taken.append(lambda: self._forget(source))
                await one.acquire()
                taken.append(one.release)
            await (places := self._places[among]).acquire()
            taken.append(places.release)
        except BaseException:
            for give in reversed(taken):
                give()
            raise
        finally:
            self._waiting[source] -= 1
            if not self._waiting[source]:
                del self._waiting[source]

        def leave() -> None:
            for give in reversed(taken):
                give()

        return leave

    def _forget(self, source: str) -> None:
        self._users[source] -= 1
        if not self._users[source]:
            del self._users[source], self._sources[source]


def _serve(calls: queue.SimpleQueue[Callable[[], None]]) -> None:
    while True:
        calls.get()()


def _work(
    loop: asyncio.AbstractEventLoop, call: Callable[[], object], ended: Callable[[Any, BaseException | None], None]
) -> None:
    value, error = None, None
    try:
        value = call()
    except BaseException as raised:  # noqa: BLE001 - it is raised again where it is waited for
        # A future cannot raise StopIteration, which would end a coroutine without a word.
        error = RuntimeError("the call ended its iteration") if isinstance(raised, StopIteration) else raised
    try:
        loop.call_soon_threadsafe(ended, value, error)
    except RuntimeError:  # the loop has ended meanwhile, so nobody waits
        return
