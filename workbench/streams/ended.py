"""Topologies that have ended, in this process: their last state stays to be looked at by pages that are opened later,
as long as somebody has the handle, and of others the last 20; of their rows 64 MiB in all.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.runs.publisher import Publisher
    from workbench.runs.topics import Topic
    from workbench.streams.running import Running
    from workbench.streams.showing import Views
    from workbench.streams.views import StreamView

__all__ = ["BYTES", "KEPT", "Last", "retain"]

_log = logging.getLogger(__name__)
KEPT = 20
BYTES = 64 << 20


class Last:
    """What can be seen of one run, with the place where it is published: `Publisher.of` was asked for that."""

    def __init__(self, publisher: Publisher, topic: Topic, views: Views) -> None:
        self.publisher, self.topic, self.views = publisher, topic, views
        publisher.keep(views.id)
        publisher.show(views.id, views.shown)
        _begin()

    def end(self) -> None:
        """There will be no more."""
        self.publisher.control(self.views.id, None)
        self.publisher.text(self.views.id, None)
        self.views.end()
        self.topic.change(replayable=False)
        self.topic.end()

    def replaced(self, following: Running) -> None:
        """It was started again: whoever looks goes on there."""
        _ = following.engine  # viewers find it from now on

        def where(topic: Topic | str | None) -> dict[str, str]:
            name = topic if isinstance(topic, str) or topic is None else topic.name
            return {"run": following.id, "topic": name or ""}

        def dashboard(views: Sequence[StreamView]) -> dict[str, str]:
            return where(following.shown(views))

        self.topic.change(next=where(following.topic))
        self.topic.end()
        self.views.end(dashboard)
        self.publisher.control(self.views.id, None)

    def let_go(self) -> None:
        """Nobody can look at it any more."""
        self.end()
        self.publisher.show(self.views.id, None)
        self.publisher.keep(self.views.id, False)
        self.views.forget()
        self.publisher.forget(self.topic.name)
        self.publisher.release()


_waiting: SimpleQueue[Last] = SimpleQueue()
_kept: list[Last] = []
_lock = threading.Lock()
_thread: threading.Thread | None = None
_leaving = False


def retain(last: Last) -> None:
    """Nobody has its handle any more. Called wherever garbage is collected, so that it waits for nothing; but when the
    process ends."""
    if _leaving:
        last.let_go()
    else:
        _waiting.put(last)


def _begin() -> None:
    global _thread
    with _lock:
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_main, name="workbench-ended", daemon=True)
            _thread.start()


def _main() -> None:
    while True:
        try:
            _retained(_waiting.get())
        except Exception:  # noqa: BLE001  # the others are to be kept all the same
            _log.exception("The last state of a topology could not be kept")


def _retained(last: Last) -> None:
    last.end()
    with _lock:
        _kept.append(last)
        gone = _kept[:-KEPT]
        del _kept[:-KEPT]
        left = list(_kept)
    for one in gone:
        one.let_go()
    size = 0
    for one in reversed(left):
        size += one.views.size
        if size > BYTES:
            one.views.lose()


def _leave() -> None:
    """The process ends: whoever still looks is told."""
    global _leaving
    _leaving = True
    with _lock:
        gone = list(_kept)
    while not _waiting.empty():
        gone.append(_waiting.get())
    for one in gone:
        one.let_go()


atexit.register(_leave)
