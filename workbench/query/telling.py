"""What the viewers of a run see of it while it goes on: the topic `runs/<id>/progress`."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.query.execution import Job, Progress
    from workbench.runs import Run
    from workbench.runs.publisher import Publisher
    from workbench.runs.topics import Topic

__all__ = ["Telling"]

_log = logging.getLogger(__name__)
EVERY = 0.2
"""Seconds between two changes, and before the first: what is over sooner has no viewers."""


class Telling:
    """Publishes the progress of one execution. Thread-safe. A socket that cannot be bound is logged, and the query
    goes on: the register has its progress all the same."""

    def __init__(self, publisher: Publisher, run: Run, job: Job) -> None:
        self._publisher, self._run, self._job = publisher, run, job
        self._lock = threading.Lock()
        self._topic: Topic | None = None
        self._told = time.monotonic()
        self._over = False

    def tell(self, progress: Progress) -> None:
        now = time.monotonic()
        with self._lock:
            if self._over or now - self._told < EVERY:
                return
            self._told = now
            topic, first = self._topic, self._topic is None
            if topic is None:
                title = self._run.kept(self._job.title)
                topic = self._topic = self._publisher.topic(
                    f"runs/{self._run.id}/progress", {"run": self._run.id, "title": title, "error": ""}
                )
        topic.change(state="running", **self._figures(progress))
        if first:
            try:
                self._publisher.open()
            except (OSError, WorkbenchError) as error:
                _log.warning("Nobody can watch run %s live: %s", self._run.id, error)

    def end(self, state: str, error: str, progress: Progress) -> None:
        """The last change: how it ended."""
        with self._lock:
            topic, self._over = self._topic, True
        if topic is not None:
            topic.change(state=state, error=self._run.kept(error), **self._figures(progress))
            topic.end()

    def _figures(self, progress: Progress) -> dict[str, Any]:
        return {
            "rows": progress.rows,
            "bytes": progress.bytes,
            "fraction": progress.fraction,
            "seconds": round(progress.seconds, 1),
            "said": self._run.kept(progress.said),
            "sources": [
                {"connection": one.connection, "table": one.table, "moved": one.rows_moved, "kept": one.rows_kept}
                for one in self._job.reports()
            ],
        }
