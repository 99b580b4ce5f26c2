"""What viewers see of a run's streams: for each dashboard a topic `runs/<run>/views/<hash>`, however many look at it.

Its state: `run`, `name`, `state`, `error`, `views` (the definitions), `late/n` (rows that came too late at the view's
component), `static/n` (what does not change about its stream), and what `folding.py` says of each view; `next` is where
it goes on, when the run was started again. All that changed in a 20th of a second is one frame.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import UsageError
from workbench.runs.publisher import Publisher
from workbench.streams.folding import TEXT, Fold, fold
from workbench.streams.tapping import Tap, Taps
from workbench.streams.turns import looked_at
from workbench.streams.views import StreamView

if TYPE_CHECKING:
    from workbench.runs.topics import Topic
    from workbench.streams.topology import Topology
    from workbench.streams.tuples import Row

__all__ = ["Views"]

PACE, UNWATCHED = 0.045, 1.0
"""Seconds from one frame to the next, while somebody looks and while nobody does: a little less than between what comes
20 times a second, which so finds us waiting for it."""
MOST_VIEWS = 24
MOST_DASHBOARDS = 32
"""Of one run, those that are looked at; of others the oldest are let go."""
LARGEST = 900_000
"""Bytes of a dashboard's state: less than the line between two processes."""


class _Dashboard:
    def __init__(self, topic: Topic, views: Sequence[StreamView], folds: Sequence[tuple[Tap, Fold]]) -> None:
        self.topic, self.views, self.folds = topic, views, folds

    def tell(self, said: Mapping[str, Any]) -> None:
        values, appended = dict(said), dict[str, list[Any]]()
        for _, one in self.folds:
            changed, points = one.changes()
            values |= changed
            appended |= points
        self.topic.tell(values, appended)


class Views:
    """Those of one run. Thread-safe. It has a thread while there is something to show, and none before."""

    def __init__(
        self,
        publisher: Publisher,
        run_id: str,
        topology: Topology,
        taps: Taps | None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._publisher, self._run, self._topology, self._taps, self._wall = publisher, run_id, topology, taps, wall
        self._lock = threading.RLock()
        self._some, self._over = threading.Event(), threading.Event()
        self._dashboards: dict[str, _Dashboard] = {}
        self._rows: dict[str, deque[Row]] = {}
        """What was taken from taps, for dashboards that are made later."""
        self._used: dict[str, Tap] = {}
        self._skipped: dict[str, int] = {}
        self._said: dict[str, Any] = {}
        self._lates: dict[str, int] = {}
        self._thread: threading.Thread | None = None

    def show(self, views: Sequence[StreamView]) -> Topic:
        """The topic of these views: the same one for the same definitions. It begins with what is kept of the streams.
        Raises UnknownComponent, UnknownStream, UnknownField, NotKept, UsageError."""
        if self._taps is None:
            raise UsageError(
                "Streams of this run are in other processes, and not kept for views. Those of a topology that runs "
                'inline are: t.run("inline").'
            )
        if not 1 <= len(views) <= MOST_VIEWS:
            raise UsageError(f"A dashboard has 1 to {MOST_VIEWS} views of a run, and not {len(views)}.")
        specs = [one.spec() for one in views]
        key = hashlib.sha256(json.dumps(specs, sort_keys=True).encode()).hexdigest()[:16]
        with self._lock:
            found = self._dashboards.get(key)
            if found is None:
                found = self._dashboards[key] = self._made(key, views, specs)
            if self._thread is None and not self._over.is_set():
                self._thread = threading.Thread(target=self._main, name=f"workbench-views-{self._run}", daemon=True)
                self._thread.start()
        return found.topic

    def about(self, said: Mapping[str, Any], lates: Mapping[str, int]) -> None:
        """What is known about the run by now; `lates` by component."""
        with self._lock:
            self._said, self._lates = dict(said), dict(lates)
        self._some.set()

    @property
    def shown(self) -> list[Sequence[StreamView]]:
        """Dashboards that there are."""
        with self._lock:
            return [one.views for one in self._dashboards.values()]

    def stop(self) -> None:
        """The run has ended: what is left is told; topics stay until `end`."""
        with self._lock:
            self._over.set()
            self._some.set()
            self._turn()

    def end(self, following: Callable[[Sequence[StreamView]], Any] | None = None) -> None:
        """The topics' end. `following` says of a dashboard where it goes on."""
        self.stop()
        for one in list(self._dashboards.values()):
            if following is not None:
                one.topic.change(next=following(one.views))
            one.topic.end()

    # --- inside

    def _made(self, key: str, views: Sequence[StreamView], specs: list[dict[str, Any]]) -> _Dashboard:
        assert self._taps is not None
        self._make_room()
        state: dict[str, Any] = {
            "run": self._run,
            "name": self._topology.name,
            "views": specs,
            "state": "",
            "error": "",
        }
        folds, keep = list[tuple[Tap, Fold]](), dict[str, int]()
        for number, view in enumerate(views):
            tap = self._taps.find(self._topology, view.stream)
            one = fold(number, view, tap.fields)
            component = tap.name.partition(".")[0]
            window = self._topology.nodes[component].window
            static: dict[str, Any] = {"stream": tap.name, "window": str(window) if window else ""}
            static["early"] = window is not None and bool(window.early)
            state |= {**one.start(), f"static/{number}": static}
            keep |= one.keep
            folds.append((tap, one))
        _fits(views, folds)
        now = 1000 * self._wall()
        for tap, one in folds:
            if tap.name not in self._used:
                self._used[tap.name], self._rows[tap.name] = tap, deque(maxlen=tap.keep)
                self._skipped[tap.name] = 0
                self._drain(tap, now)
            one.add(list(self._rows[tap.name]), now)
            one.skip(self._skipped[tap.name])
        topic = self._publisher.topic(f"runs/{self._run}/views/{key}", state, keep)
        dashboard = _Dashboard(topic, list(views), folds)
        dashboard.tell(self._status(dashboard))
        return dashboard

    def _make_room(self) -> None:
        for key, one in list(self._dashboards.items()):
            if len(self._dashboards) < MOST_DASHBOARDS:
                return
            if not one.topic.watched:
                del self._dashboards[key]
                one.topic.end()
        if len(self._dashboards) >= MOST_DASHBOARDS:
            raise UsageError(
                f"{MOST_DASHBOARDS} dashboards of this run are looked at by now; show several views in one."
            )

    def _main(self) -> None:
        try:
            self._tell_all()
        finally:
            looked_at(self, False)

    def _tell_all(self) -> None:
        while not self._over.is_set():
            self._some.wait(UNWATCHED)
            self._some.clear()
            began = time.monotonic()
            with self._lock:
                if not self._over.is_set():
                    self._turn()
                watched = any(one.topic.watched for one in self._dashboards.values())
            looked_at(self, watched)
            self._over.wait(max(0.0, (PACE if watched else UNWATCHED) + began - time.monotonic()))

    def _turn(self) -> None:
        now = 1000 * self._wall()
        for tap in self._used.values():
            tap.wake = self._some.set
            rows, skipped = self._drain(tap, now)
            if rows or skipped:
                for one in self._dashboards.values():
                    for mine, folded in one.folds:
                        if mine is tap:
                            folded.add(rows, now)
                            folded.skip(skipped)
        for one in self._dashboards.values():
            one.tell(self._status(one))

    def _drain(self, tap: Tap, now: float) -> tuple[list[Row], int]:
        kept = self._rows[tap.name]
        rows, skipped = tap.drain()
        gone = max(0, len(kept) + len(rows) - tap.keep)  # dashboards that are made later do not see these
        self._skipped[tap.name] += skipped + gone
        kept.extend(rows)
        return rows, skipped

    def _status(self, one: _Dashboard) -> dict[str, Any]:
        lates = {f"late/{folded.number}": self._lates.get(tap.name.partition(".")[0], 0) for tap, folded in one.folds}
        return {**self._said, **lates}


def _fits(views: Sequence[StreamView], folds: Sequence[tuple[Tap, Fold]]) -> None:
    """Raises UsageError for what would be too much for one message."""
    size = 0
    for view, (_, one) in zip(views, folds, strict=True):
        for name, most in one.keep.items():
            columns = len(one.start().get(f"columns/{one.number}", ()))
            size += most * (columns * TEXT if name.startswith("rows/") else 14 + 10 * (1 + getattr(view, "lines", 0)))
    if size > LARGEST:
        raise UsageError(
            f"These views may have {size:,} bytes, and {LARGEST:,} are the most of one dashboard of a run. Show fewer "
            "points, lines or columns (keep=, lines=, columns=), or two dashboards."
        )
