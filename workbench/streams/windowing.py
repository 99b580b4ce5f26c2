"""A window bolt's task in one process: rows are held until they leave their last window, the bolt is called with whole
windows, and what it emits is anchored to every row of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import InvalidParameter
from workbench.streams.counting import Link
from workbench.streams.delivering import Deliver, failing
from workbench.streams.pane_state import discarded, from_body, to_body
from workbench.streams.panes import Entry, Fired, Panes, Sessions, manager
from workbench.streams.task import Task
from workbench.streams.tracking import Anchor, Hold, Tracking
from workbench.streams.tuples import Batch, Row, Tuple, shown
from workbench.streams.window import Chunk, Window, rows_in, rows_of
from workbench.streams.windows import WindowSpec

if TYPE_CHECKING:
    from workbench.streams.keeping import Keeper

__all__ = ["Window", "WindowTask"]

EARLIEST, LATEST = -(2.0**63), 2.0**63
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
_UNITS = {"s": 0.001, "ms": 1.0, "us": 1e3, "ns": 1e6}
"""Of Arrow's timestamps, in a millisecond."""
"""Milliseconds, exclusive. What is not between them (NaN, infinite) would hold the windows of all other rows back."""


_NO_ROOT = -1
"""Windows are to be handed out before any row comes: a run that was stopped has left them."""


class WindowTask:
    """Windows of one task, over all streams that it takes. The watermark is the least of the streams' latest times,
    minus the lag; a stream that is silent for `idle_timeout` is left out. It moves when a row moves it, so the same
    rows in the same order give the same windows, however fast they come. `wall` gives seconds of the epoch."""

    shares = True
    """Whether roots that go together may have one hold, whose rows cannot be told apart."""

    def __init__(
        self,
        task: Task,
        spec: WindowSpec,
        tracking: Tracking,
        streams: Sequence[tuple[str, str]],
        idle_timeout: float,
        wall: Callable[[], float],
        late: Callable[[str, str, Row], None],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._stopping, self._leaves = stopping, True
        self.task, self.spec, self.manager = task, spec, manager(spec)
        self.late, self.watermark = 0, -math.inf
        self._tracking, self._wall, self._late = tracking, wall, late
        self._latest = dict.fromkeys(streams, -math.inf)
        self._heard = dict.fromkeys(streams, wall())
        self._counts: dict[tuple[str, str], tuple[Callable[[], int], int]] = {}
        self._idle_timeout = idle_timeout
        self._shared = False
        """Whether a hold may be that of several rows."""
        self._groups: list[dict[Anchor, dict[int, Hold]]] = []
        """By stream, root in the making, and pane: the hold of all such roots."""
        self._within = 0
        """Windows that are handed out just now, one within another."""
        self.keeper: Keeper | None = None
        self._handed_out: int | None = None
        """The root in whose call a window was handed out that has some of it."""
        self._late_with = (-1, 0)
        """A root, and how many of its rows were late."""
        self._passed = -math.inf
        """The watermark that the manager knows."""
        self._early_at = wall() + spec.early / 1000
        self._early_seen: dict[Any, int] = {}
        self._due: int | None = None
        """The root with which it was time to hand out windows; they are when it is over."""
        self._link: Link | None = None
        self._fields: tuple[str, ...] = ()
        self._aligned = isinstance(self.manager, Panes) and self.manager.length % self.manager.every == 0

    def deliver(self, link: Link, fields: tuple[str, ...]) -> Deliver:
        """Of one stream."""
        self._link, self._fields = link, fields
        link.whole = True
        failed = failing(self.task, link, self._tracking)
        stream = (link.component, link.stream)
        stamp, key = self._stamp(fields), _key(fields, self.spec.by)
        place = fields.index(self.spec.time) if self.spec.time else 0
        stamped = not self.spec.time
        tracking, add, latest = self._tracking, self.manager.add, self._latest
        # The quick way, of tumbling windows by a field with the time: a row whose pane is there.
        apart = isinstance(self.manager, Panes) and self.manager.length == self.manager.every and not stamped
        panes: dict[int, list[Entry]] | None = self.manager.panes if apart else None  # type: ignore[attr-defined]
        groups: dict[Anchor, dict[int, Hold]] = {}
        self._groups.append(groups)
        shares = self.shares
        every, lag, ceil, next_end = float(self.spec.every), self.spec.lag, math.ceil, self.manager.next_end
        executed, top, counted, single = 0, -math.inf, self.spec.counted, len(latest) == 1
        due = -math.inf
        """Where only this stream moves the watermark: what it must reach until there is anything to hand out."""

        def grouped(anchor: Anchor, number: int) -> Hold:
            self._shared = True
            made = groups.setdefault(anchor, {})[number] = Hold.group()
            return made

        def row(given: Tuple) -> None:
            nonlocal executed, top, due
            executed += 1
            if tracking.dirty:
                tracking.flush()  # rows that wait above may come here, and must not while a window is handed out
            try:
                at = given[place]
                kind, pane = at.__class__, None
                if panes is not None and (kind is int or kind is float):
                    try:
                        pane = panes.get(number := ceil(at / every))
                    except (ValueError, OverflowError):  # NaN, infinite: refused below
                        pane = None
                if pane is not None:  # as add(): the pane is handed out whole, so a row for it is not late
                    anchors = tracking.anchors
                    if anchors and shares and anchors[0].__class__ is Anchor and not anchors[0].busy:
                        anchor = anchors[0]
                        try:
                            hold: Hold | None = groups[anchor][number]
                        except KeyError:
                            hold = grouped(anchor, number)
                        anchor.busy, anchor.group, anchor.pane = True, hold, pane
                    else:
                        hold = tracking.held()
                        self._shared = self._shared or (hold is not None and hold.left > 1)
                    pane.append((at, given, hold))
                    if at <= top:
                        return
                    top = at
                    if single and at - lag < due:
                        if at > latest[stream]:
                            latest[stream], self.watermark = at, at - lag
                        return
                else:
                    if stamped or (kind is not int and kind is not float) or not EARLIEST < at < LATEST:
                        at = stamp(given)
                    if self.watermark > self._passed:
                        self._pass_by()
                    hold = tracking.held()
                    self._shared = self._shared or (hold is not None and hold.left > 1)
                    if not (add(at, given, hold, key(given)) if key else add(at, given, hold)):
                        self._too_late(stream, given, hold)
                    due = -math.inf
            except Exception as error:  # noqa: BLE001  # a time that is none
                failed(error, given)
                return
            if at > latest[stream] or counted:
                latest[stream] = max(at, latest[stream])
                self.move()
            if panes is not None:
                top, due = latest[stream], next_end()

        def batch(rows: Batch, make: type[Tuple]) -> None:
            nonlocal executed
            if not len(rows):
                return
            executed += len(rows)
            if tracking.dirty:
                tracking.flush()
            try:
                last = self._add_batch(stream, rows, make, stamp, key)
            except Exception as error:  # noqa: BLE001
                failed(error, rows)
                link.failed += len(rows) - 1
                return
            if last > latest[stream] or self.spec.counted:
                latest[stream] = max(last, latest[stream])
                self.move()

        link.counts.append(lambda: executed)
        self._counts[stream] = (lambda: executed), 0
        if self.keeper is not None:
            return Deliver(self._after(row), self._after(batch), self.task, link)
        return Deliver(row, batch, self.task, link)

    def keep(self, keeper: Keeper) -> None:
        """It is a run with state: windows are handed out when the root is over that has ended them. So what fails can
        be taken out of them again."""
        self.keeper, self.shares, self._leaves = keeper, False, False

        def move() -> None:
            self._due = keeper.units.root

        self.move = move  # type: ignore[method-assign]

    def _after(self, call: Callable[..., None]) -> Callable[..., None]:
        assert self.keeper is not None
        units = self.keeper.units

        def called(*given: Any) -> None:
            if self._due is not None and self._due != units.root:
                self._catch_up()
            call(*given)

        return called

    def _catch_up(self, leaves: bool = False) -> None:
        """`leaves`: some may be left for the next run when this one is stopping, for no row comes behind them."""
        restored, self._due, self._leaves = self._due == _NO_ROOT, None, leaves
        WindowTask.move(self)
        if restored and not self.spec.counted:
            self._advance(self.watermark)
        self._leaves = False

    # --- rows

    def _add_batch(self, stream: tuple[str, str], rows: Batch, make: Any, stamp: Any, key: Any) -> float:
        parts = self._chunks(rows, make) if rows.columnar and self._aligned and self.spec.time and not key else None
        entries: list[tuple[float, Any, Any]] = (
            [(stamp(row), made, key(row) if key else ()) for row in rows.rows for made in (make(row),)]
            if parts is None
            else [(at, chunk, ()) for at, chunk in parts]
        )
        hash(tuple(of for _, _, of in entries))  # one that is no key raises here, before any row is in a window
        if self.watermark > self._passed:
            self._pass_by()
        hold = self._tracking.held()
        if hold is not None:
            hold.left += len(entries)
            self._shared = True
        for at, item, of in entries:
            if self.manager.add(at, item, hold, of):
                continue
            for row in rows_of([(at, item, hold)]):
                self._too_late(stream, row, None)
            self._tracking.let_go((hold,))
        self._tracking.let_go((hold,))
        return max(at for at, _, _ in entries)

    def _chunks(self, rows: Batch, make: type[Tuple]) -> list[tuple[float, Chunk]]:
        """The table cut into panes, each with its latest time."""
        import numpy as np

        table = rows.table
        column = table.column(rows.fields.index(self.spec.time))
        kind = str(column.type)
        unit = _UNITS.get(kind.removeprefix("timestamp[").partition(",")[0].rstrip("]"), 0.0)
        if column.null_count or not (unit or kind in ("int64", "int32", "double", "float")):
            return [
                (_milliseconds(at), Chunk(table.slice(place, 1), make)) for place, at in enumerate(column.to_pylist())
            ]
        times = column.cast("int64").to_numpy() / unit if unit else column.to_numpy()
        ordinary = (times > EARLIEST) & (times < LATEST)
        if not ordinary.all():
            _milliseconds(times[int(np.argmin(ordinary))].item())  # raises, and says which
        panes = np.ceil(times / self.spec.every).astype(np.int64)
        order = np.argsort(panes, kind="stable")
        sorted_panes = panes[order]
        cuts = [0, *(np.flatnonzero(np.diff(sorted_panes)) + 1).tolist(), len(order)]
        found = []
        for start, end in itertools.pairwise(cuts):
            places = order[start:end]
            whole = len(places) == int(places[-1]) - int(places[0]) + 1
            part = table.slice(int(places[0]), len(places)) if whole else table.take(places)
            found.append((float(times[places].max()), Chunk(part, make)))
        return found

    def _pass_by(self) -> None:
        """Has the manager know of the watermark also when it has passed windows without rows alone: what belongs to
        them is late."""
        self._passed = self.watermark
        if isinstance(self.manager, Panes | Sessions):
            self._advance(self.watermark)

    def _too_late(self, stream: tuple[str, str], row: Row, hold: Any) -> None:
        self.late += 1
        if self.keeper is not None:
            root = self.keeper.units.root
            self._late_with = (root, self._late_with[1] + 1 if self._late_with[0] == root else 1)
        self._late(*stream, tuple(row))
        self._tracking.let_go((hold,))

    def _stamp(self, fields: tuple[str, ...]) -> Callable[[Row], float]:
        if not self.spec.time:
            return lambda row: self._wall() * 1000
        place = fields.index(self.spec.time)

        return lambda row: _milliseconds(row[place])

    # --- time

    @property
    def behind(self) -> float:
        """Seconds from the watermark until now; infinite where there is none yet."""
        return self._wall() - self.watermark / 1000

    def move(self) -> None:
        """Hands out the windows that end by now."""
        if self.spec.counted:
            self._advance(math.inf)
            return
        mark = min(self._latest.values()) - self.spec.lag
        if mark > self.watermark:
            self.watermark = mark
            if mark >= self.manager.next_end():
                self._advance(mark)

    def tick(self) -> None:
        """Some times a second: time passes, and streams may be silent."""
        self._passes()
        if self._due is not None:
            self._catch_up(leaves=True)
        if self.spec.early and self._wall() >= self._early_at:
            self._early_at = self._wall() + self.spec.early / 1000
            assert isinstance(self.manager, Panes | Sessions)
            for fired in list(self.manager.early(self._early_seen)):
                if self._stopping():
                    return
                self._execute_early(Window(fired, self._fields, final=False))

    def _execute_early(self, window: Window) -> None:
        """What it emits is anchored to nothing, and what it raises fails no row: the whole window comes yet."""
        unit = self.keeper.units.begin() if self.keeper is not None else 0
        raises = self._tracking.raises
        try:
            self._tracking.with_anchors((), self._call_early, window)
            if self.keeper is not None and self._tracking.raises > raises:
                self.keeper.window_failed(unit, self.task, ())
        finally:
            if self.keeper is not None:
                self.keeper.units.end()

    def _call_early(self, window: Window) -> None:
        link = self._link
        assert link is not None
        try:
            self.task.timed(link, self.task.instance.execute, window)
        except Exception as error:  # noqa: BLE001  # it is shown
            self.task.raised(error, f"an early window of {len(window):,} rows that ends at {window.end}")
            self._tracking.raises += 1

    def _passes(self) -> None:
        now = self._wall()
        if not self.spec.time:
            if not self.spec.counted:
                self._latest.update(dict.fromkeys(self._latest, now * 1000))
                self.move()
            return
        if len(self._latest) == 1:
            return
        active = []
        for stream, (count, before) in self._counts.items():
            if count() != before:
                self._heard[stream], self._counts[stream] = now, (count, count())
            if now - self._heard[stream] < self._idle_timeout:
                active.append(self._latest[stream])
        if active and (mark := min(active) - self.spec.lag) > self.watermark:
            self.watermark = mark
            self._advance(mark)

    def finish(self) -> bool:
        """The spouts will give no more: hands out what is left; whether that was anything."""
        if self._due is not None:
            self._catch_up()
        some = bool(self.manager.rows)
        self._ungroup()
        for fired in self.manager.finish():
            self._execute(fired)
            if self._stopping():
                break
        self._evict()
        return some

    def _advance(self, mark: float) -> None:
        self._ungroup()
        for fired in self.manager.advance(mark):
            self._execute(fired)
            self._evict()
            if self._leaves and self._stopping():  # the manager goes on from here
                self._due = None if self.keeper is None else _NO_ROOT
                return
        self._evict()

    def _ungroup(self) -> None:
        """What comes from now on is in another group: those that there are may be handed out."""
        self._tracking.part()
        for groups in self._groups:
            groups.clear()

    def _evict(self) -> None:
        evicted = self.manager.evicted
        if evicted and not self._within:
            gone = evicted[:]
            evicted.clear()
            self._tracking.let_go(gone)

    def _execute(self, fired: Fired) -> None:
        holds = [entry[2] for entry in fired.entries if entry[2] is not None]
        if self._shared:
            holds = list(dict.fromkeys(holds))
        # What the bolt emits may bring rows here before it has returned. They may end other windows, but what is handed
        # out just now is let go when its bolt is done: until then it is an anchor.
        tracking, window = self._tracking, Window(fired, self._fields)
        self._within += 1
        try:
            if self.keeper is None:
                tracking.with_anchors(tuple(holds), self._call, window)
            else:
                self._execute_kept(self.keeper, tuple(holds), window)
        finally:
            self._within -= 1

    def _execute_kept(self, keeper: Keeper, holds: tuple[Any, ...], window: Window) -> None:
        """In a run with state: as one unit, which is taken back when it fails."""
        tracking = self._tracking
        if tracking.dirty:
            tracking.flush()  # what waits is of the unit around this one
        if any(hold.source is None and hold.anchor is not None for hold in holds):
            self._handed_out = keeper.units.root
        unit, before, tracking.raises = keeper.units.begin(), tracking.raises, 0
        try:
            tracking.with_anchors(holds, self._call, window)
            if tracking.raises:
                own = [entry for entry in window._fired.new if entry[2] is None]
                keeper.window_failed(unit, self.task, map(tuple, rows_of(own)))
        finally:
            keeper.units.end()
            tracking.raises = before

    def _call(self, window: Window) -> None:
        link = self._link
        assert link is not None
        try:
            self.task.timed(link, self.task.instance.execute, window)
        except Exception as error:  # noqa: BLE001  # all its rows fail
            # As `executed`, in rows, each once: those that were in windows before were counted by them.
            link.failed += rows_in(window._fired.new)
            self.task.raised(error, f"a window of {len(window):,} rows that ends at {window.end}")
            self._tracking.raised(self.task.component, error)

    # --- snapshots

    def kept(self) -> dict[str, Any]:
        """JSON of what it holds, at a quiet moment. Raises NotPlain."""
        latest = [[*stream, _or_none(at)] for stream, at in self._latest.items()]
        body = {"watermark": _or_none(self.watermark), "late": self.late, "latest": latest}
        return {**body, "rows": to_body(self.manager)}

    def restore(self, body: dict[str, Any]) -> None:
        """Before anything comes. Raises ValueError, KeyError, TypeError where it is damaged."""
        self.watermark, self.late = _or_never(body["watermark"]), int(body["late"])
        for component, stream, at in body["latest"]:
            if (component, stream) in self._latest:
                self._latest[component, stream] = _or_never(at)
        from_body(self.manager, body["rows"], Chunk)
        self._due = _NO_ROOT

    def undo(self, unit: int, hold: Hold | None) -> bool:
        """Takes a failed root's rows out. False: they may have been in a window that is out."""
        if self._late_with[0] == unit:
            self.late -= self._late_with[1]
            self._late_with = (-1, 0)
        if hold is not None:
            discarded(self.manager, hold)
        return self._handed_out != unit


def _or_none(at: float) -> float | None:
    return at if math.isfinite(at) else None


def _or_never(at: float | None) -> float:
    return -math.inf if at is None else float(at)


def _key(fields: tuple[str, ...], by: tuple[str, ...]) -> Callable[[Row], tuple[Any, ...]] | None:
    places = [fields.index(name) for name in by]
    return (lambda row: tuple(row[place] for place in places)) if places else None


def _milliseconds(at: Any) -> float:
    """Of a number or a datetime; one without a zone is UTC, so that windows are the same on every machine."""
    found = at
    try:
        if isinstance(at, datetime):
            found = ((at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH) / _MILLISECOND
        elif not isinstance(at, int | float) and hasattr(at, "__index__"):
            found = at.__index__()  # of numpy
    except (OverflowError, TypeError, ValueError):
        found = None
    if isinstance(found, int | float) and EARLIEST < found < LATEST:
        return found
    raise InvalidParameter("time", f"is {shown(at, 200)}; an event's time is milliseconds or a datetime.")
