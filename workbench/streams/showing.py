"""What viewers see of a run's streams: for each dashboard a topic `runs/<run>/views/<hash>`, however many look at it.

Its state: `run`, `name`, `state`, `error`, `views` (the definitions), `late/n` (rows that came too late at the view's
component), `static/n` (what does not change about its stream), and what `folding.py` says of each view; `next` is where
it goes on, when the run was started again. All that changed in a 20th of a second is one frame.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import UsageError, WorkbenchError
from workbench.runs.publisher import Publisher
from workbench.streams.far import Far
from workbench.streams.folding import Fold, fold
from workbench.streams.seeing import TEXT, encoded
from workbench.streams.tapping import Store, Tap, Taps
from workbench.streams.turns import looked_at
from workbench.streams.views import StreamView, definitions, of_spec

if TYPE_CHECKING:
    from workbench.runs.topics import Topic
    from workbench.streams.outline import Outline
    from workbench.streams.tuples import Row

__all__ = ["Views", "folds_of"]

_log = logging.getLogger(__name__)
PACE, UNWATCHED = 0.045, 1.0
"""Seconds from one frame to the next, while somebody looks and while nobody does: a little less than between what comes
20 times a second, which so finds us waiting for it."""
MOST_VIEWS = 24
MOST_DASHBOARDS = 32
"""Of one run, those that are looked at; of others the oldest are let go."""
PART = 1_000
"""Rows that go to another process at once."""
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
    """Those of one run, for which it stands (`id`, `shown`). Thread-safe. It has a thread while there is something to
    show, and none before. It knows nothing of the topology's code, and stays when that is gone."""

    def __init__(
        self,
        publisher: Publisher,
        run_id: str,
        outline: Outline,
        taps: Taps,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.id = run_id
        self._publisher, self._outline, self._taps, self._wall = publisher, outline, taps, wall
        self._lock = threading.RLock()
        self._some, self._over = threading.Event(), threading.Event()
        self._ended = False
        self._dashboards: dict[str, _Dashboard] = {}
        self._rows: dict[str, Store] = {}
        """What was taken from taps, for dashboards that are made later."""
        self._used: dict[str, Tap] = {}
        self._said: dict[str, Any] = {}
        self._lates: dict[str, int] = {}
        self._thread: threading.Thread | None = None

    def show(self, views: Sequence[StreamView]) -> Topic:
        """The topic of these views: the same one for the same definitions. It begins with what is kept of the streams.
        Raises UnknownComponent, UnknownStream, UnknownField, NotKept, UsageError."""
        views = [dataclasses.replace(one, run=self) for one in definitions(views)]  # the handle may go
        folds = folds_of(self._outline, self._taps, views)
        specs = [one.spec() for one in views]
        key = hashlib.sha256(json.dumps(specs, sort_keys=True).encode()).hexdigest()[:16]
        with self._lock:
            found = self._dashboards.get(key)
            if found is None:
                found = self._dashboards[key] = self._made(key, views, specs, folds)
                if self._ended:
                    found.topic.end()
            if self._thread is None and not self._over.is_set():
                self._thread = threading.Thread(target=self._main, name=f"workbench-views-{self.id}", daemon=True)
                self._thread.start()
        return found.topic

    def shown(self, specs: Any) -> str:
        """The same, of definitions as another process says them, and by the topic's name."""
        if not isinstance(specs, list):
            raise UsageError("Views are a list of definitions.")
        return self.show([of_spec(self, one) for one in specs]).name

    def about(self, said: Mapping[str, Any], lates: Mapping[str, int]) -> None:
        """What is known about the run by now; `lates` by component."""
        with self._lock:
            self._said, self._lates = dict(said), dict(lates)
        self._some.set()

    def stop(self) -> None:
        """The run has ended: what is left is told; topics stay until `end`."""
        with self._lock:
            self._over.set()
            self._some.set()
            self._turn()

    def end(self, following: Callable[[Sequence[StreamView]], Any] | None = None) -> None:
        """The topics' end; their last state, and others of what is kept, can still be looked at. `following` says of a
        dashboard where it goes on."""
        self.stop()
        with self._lock:
            self._ended = True
        for one in list(self._dashboards.values()):
            if following is not None and not one.topic.ended:
                try:
                    one.topic.change(next=following(one.views))
                except WorkbenchError as error:  # the others go on all the same
                    _log.warning("A dashboard of run %s does not go on with the next one: %s", self.id, error)
            one.topic.end()

    def forget(self) -> None:
        """Nobody can look at it any more."""
        self.end()
        for one in list(self._dashboards.values()):
            self._publisher.forget(one.topic.name)

    # --- when it is over

    @property
    def size(self) -> int:
        """Bytes of what is kept, about."""
        with self._lock:
            waiting = sum(one.size for one in self._taps.all.values())
            kept = sum(one.size for one in self._rows.values())
            return waiting + kept + sum(len(one.topic.snapshot.text) for one in self._dashboards.values())

    def lose(self) -> None:
        """Lets go of the rows. What is shown stays; what is made from now on says that they are gone."""
        with self._lock:
            for name, tap in self._taps.all.items():
                if name not in self._used:
                    self._use(tap)
                store = self._rows[name]
                self._rows[name] = Store(tap)
                self._rows[name].add([], store.gone + len(store.rows))

    def left(self) -> Iterator[dict[str, Any]]:
        """What is kept, in parts that `restore` takes, one after the other, in another process."""
        with self._lock:
            for key, one in self._dashboards.items():
                frame = one.topic.snapshot
                specs = [view.spec() for view in one.views]
                yield {"dashboard": key, "specs": specs, "state": frame["snapshot"], "keep": frame.get("keep", {})}
            for name, tap in self._taps.all.items():
                if name not in self._used:
                    self._use(tap)
                rows, gone = self._rows[name].rows, self._rows[name].gone
                for start in range(0, max(1, len(rows)), PART):
                    some = rows[start : start + PART]
                    values = encoded(some).decode(errors="surrogatepass")
                    yield {"tap": name, "rows": len(some), "gone": 0 if start else gone, "values": values}

    def restore(self, part: Mapping[str, Any]) -> None:
        if "dashboard" in part:
            views = [of_spec(self, one) for one in part["specs"]]
            topic = self._publisher.topic(f"runs/{self.id}/views/{part['dashboard']}", part["state"], part["keep"])
            self._dashboards[part["dashboard"]] = _Dashboard(topic, views, [])
        elif isinstance(tap := self._taps.all.get(part["tap"]), Far):
            tap.put(part["rows"], part["gone"], part["values"].encode(errors="surrogatepass"))

    # --- inside

    def _made(
        self,
        key: str,
        views: Sequence[StreamView],
        specs: list[dict[str, Any]],
        folds: Sequence[tuple[Tap, Fold]],
    ) -> _Dashboard:
        self._make_room()
        state: dict[str, Any] = {
            "run": self.id,
            "name": self._outline.name,
            "views": specs,
            "state": "",
            "error": "",
        }
        keep = dict[str, int]()
        for tap, one in folds:
            part = self._outline.nodes[tap.name.partition(".")[0]]
            static = {"stream": tap.name, "window": part.window, "early": part.early}
            state |= {**one.start(), f"static/{one.number}": static}
            keep |= one.keep
        now = 1000 * self._wall()
        for tap, one in folds:
            if tap.name not in self._used:
                self._use(tap)
            one.add(self._rows[tap.name].rows, now)
            one.skip(self._rows[tap.name].gone)
        topic = self._publisher.topic(f"runs/{self.id}/views/{key}", state, keep)
        dashboard = _Dashboard(topic, list(views), folds)
        dashboard.tell(self._status(dashboard))
        return dashboard

    def _make_room(self) -> None:
        for key, one in list(self._dashboards.items()):
            if len(self._dashboards) < MOST_DASHBOARDS:
                return
            if not one.topic.watched:
                del self._dashboards[key]
                self._publisher.forget(one.topic.name)
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
        looked = {tap.name for one in self._dashboards.values() if one.topic.watched for tap, _ in one.folds}
        for tap in self._used.values():
            tap.wake, tap.looked = self._some.set, tap.name in looked
            rows, skipped = self._drain(tap)
            if rows or skipped:
                for one in self._dashboards.values():
                    for mine, folded in one.folds:
                        if mine is tap:
                            folded.add(rows, now)
                            folded.skip(skipped)
        for one in self._dashboards.values():
            one.tell(self._status(one))

    def _use(self, tap: Tap) -> None:
        self._used[tap.name], self._rows[tap.name] = tap, Store(tap)
        self._drain(tap)

    def _drain(self, tap: Tap) -> tuple[list[Row], int]:
        rows, skipped = tap.drain()
        self._rows[tap.name].add(rows, skipped)
        return rows, skipped

    def _status(self, one: _Dashboard) -> dict[str, Any]:
        lates = {f"late/{folded.number}": self._lates.get(tap.name.partition(".")[0], 0) for tap, folded in one.folds}
        return {**self._said, **lates}


def folds_of(outline: Outline, taps: Taps, views: Sequence[StreamView]) -> list[tuple[Tap, Fold]]:
    """What works out these views. Raises UnknownComponent, UnknownStream, UnknownField, NotKept, UsageError."""
    views = definitions(views)
    if not 1 <= len(views) <= MOST_VIEWS:
        raise UsageError(f"A dashboard has 1 to {MOST_VIEWS} views of a run, and not {len(views)}.")
    found = [(taps.find(outline, view.stream), number, view) for number, view in enumerate(views)]
    folds = [(tap, fold(number, view, tap.fields)) for tap, number, view in found]
    _fits(views, folds)
    return folds


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
