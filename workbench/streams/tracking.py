"""What is on its way in one process. A chain of bolts that ack on return is done when its call returns, so its root
needs no ledger; edges to whoever acks later are in Storm's ledger (`acker.py`). Both give the same verdicts.

Plain code in one thread: chance is passed in, and time is what calls `rotate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from workbench.streams.acker import Acker, RotatingMap, Verdict
from workbench.streams.counting import Out
from workbench.streams.tuples import Held, told

__all__ = ["LOST", "TIMED_OUT", "Anchor", "Entry", "Hold", "Source", "Tracking", "Why"]

Why = tuple[str, str]
"""The component where something failed, and the error."""
TIMED_OUT: Why = ("", "its tree was not done within the message time-out")
LOST: Why = ("", "a worker process that had some of it has ended")


class Anchor:
    """The root that a spout's task emits just now. `edges` has its root's id once it needs one, for the ledger. As long
    as all that has happened to it is that one row lies in a window's pane, its hold is the `group` of all such rows in
    that `pane`; or that one row goes to another worker, that row is the newest of its `flight`."""

    __slots__ = ("busy", "edges", "emitted", "failed", "flight", "group", "hold", "pane", "why")

    def __init__(self) -> None:
        self.busy = False
        """Whether anything else than being done has happened to it."""
        self.hold: Hold | None = None
        self.group: Hold | None = None
        self.pane: list[tuple[float, Any, Any]] = []
        self.flight: Any = None
        self.edges: dict[int, int] | None = None
        self.emitted = 0
        self.failed = False
        self.why: Why = ("", "")


class Hold:
    """Rows of one root, or of one batch, that are in windows: `left` of them. As long as windows alone hold it, the
    root needs no ledger: it is done when the last row has left. `edges` are there once the ledger knows it.

    With `ids` it is a group: the hold of all roots of which nothing but one row is anywhere, and that row in the same
    pane. They go together, so they have one verdict; `left` is not counted."""

    # Defaults of the class, and no `__init__`: one is made for every row that goes into a window.
    anchor: Anchor | None = None
    edges: dict[int, int] | None = None
    emitted = 0
    left = 0
    done = False
    source: Source | None = None
    message_id: Any = None
    ids: list[Any] | None = None
    rows = 1
    started = 0.0
    out: Out | None = None

    @classmethod
    def group(cls) -> Hold:
        made = cls()
        made.ids, made.left = [], 1
        return made


class Entry:
    """A root that waits for the ledger's verdict. It can time out while somebody `elsewhere` than in windows has some
    of its tree; `windowed` says that it does not count against `max_spout_pending`."""

    __slots__ = ("elsewhere", "ids", "message_id", "out", "rows", "started", "windowed")

    def __init__(
        self, message_id: Any, out: Out, rows: int, started: float, windowed: bool, ids: list[Any] | None = None
    ) -> None:
        self.message_id, self.out, self.rows, self.started, self.ids = message_id, out, rows, started, ids
        self.windowed, self.elsewhere = windowed, not windowed


class Source:
    """A spout's task, as far as its roots are concerned. `acks` and `fails` are verdicts to be told to the spout."""

    __slots__ = ("acks", "anchor", "anchors", "calls", "fails", "held", "limit", "pending", "place", "waiting")

    def __init__(self, place: int, limit: int) -> None:
        self.place, self.limit = place, limit
        self.anchor = Anchor()
        self.anchors = (self.anchor,)
        self.pending: RotatingMap[int, Entry] = RotatingMap(2)
        self.waiting = 0
        """Roots that are pending."""
        self.calls = 0
        """Of `emit`, so that it can be seen whether one did."""
        self.held = 0
        """Of the pending roots those that wait in windows: they do not count against `max_spout_pending`, for more
        tuples must come before a window lets them go."""
        self.acks: list[Any] = []
        self.fails: list[tuple[Any, Why]] = []

    def full(self) -> bool:
        """Whether as many are pending as may be (`max_spout_pending`)."""
        return bool(self.waiting) and self.waiting - self.held >= self.limit


class Tracking:
    """The anchors that hold just now, the ledger, and what rows wait for batch bolts."""

    def __init__(self, random: Random, clock: Callable[[], float]) -> None:
        self.anchors: tuple[Any, ...] = ()
        self.sources: list[Source] = []
        self.dirty = False
        self.flush: Callable[[], None] = lambda: None
        self.raises = 0
        """What has raised while anchors held, so that whoever made them hold can tell."""
        self.undo: Callable[[Source, Any, Hold | None, bool], None] | None = None
        """Takes back what a root has done whose call has returned and which has failed; the last one says whether all
        of its tree was in that call."""
        self._clock = clock
        self._acker = Acker()
        self._why: RotatingMap[int, Why] = RotatingMap(3)
        self._bits = random.getrandbits
        self._root = 0
        self._elsewhere: dict[int, int] = {}
        """How many edges of a root are with bolts that ack by themselves; the others are with windows."""

    # --- edges

    def edges(self, in_window: bool = False) -> dict[int, int]:
        """The edges, by root, of a tuple that is anchored to what holds just now and will be acked later."""
        made: dict[int, int] = {}
        for anchor in self.anchors:
            roots = anchor.edges
            if anchor.__class__ is Anchor:
                if anchor.group is not None:
                    self._part(anchor)
                anchor.busy = True
                roots = anchor.edges = roots or self._new_root()
            elif roots is None:
                if anchor.done:
                    continue
                roots = self._known(anchor)
            edge = self._bits(64)
            anchor.emitted ^= edge
            for root in roots:
                made[root] = made.get(root, 0) ^ edge
        if not in_window:
            for root in made:
                self._elsewhere[root] = number = self._elsewhere.get(root, 0) + 1
                if number == 1 and self.anchors[0].__class__ is Hold:  # of others, it is not pending yet
                    self._set_elsewhere(root, True)
        return made

    def held(self) -> Hold | None:
        """What a window holds of what is anchored just now; None when that is not tracked."""
        if not self.anchors:
            return None
        anchor = self.anchors[0]
        if anchor.__class__ is not Anchor:
            hold = Hold()
            hold.edges = self.edges(True)
        else:
            if anchor.group is not None:
                self._part(anchor)
            found = anchor.hold
            if found is None or found.done:
                found = anchor.hold = Hold()
                found.anchor = anchor
                anchor.busy = True
            hold = found
        hold.left += 1
        return hold

    @staticmethod
    def _part(anchor: Anchor) -> None:
        """More has happened to this root than to those of its group: it gets a hold of its own."""
        entries, group = anchor.pane, anchor.group
        anchor.group, anchor.hold = None, Hold()
        anchor.hold.anchor, anchor.hold.left = anchor, 1
        for place in range(len(entries) - 1, -1, -1):  # its row is the last of them, for the others are done with
            at, item, hold = entries[place]
            if hold is group:
                entries[place] = (at, item, anchor.hold)
                return

    def part(self) -> None:
        """To be called before rows of groups are handed out: a root that is emitted just now is not counted there."""
        for source in self.sources:
            if source.anchor.group is not None:
                self._part(source.anchor)

    def _new_root(self) -> dict[int, int]:
        self._root += 1  # a key of this process alone, so it need not be drawn
        return {self._root: 0}

    def _set_elsewhere(self, root: int, elsewhere: bool) -> None:
        """A bolt that acks by itself has got some of what windows alone had, or has acked what only it and windows had.
        Then more tuples must come before it can be done, so it counts as pending no more."""
        for source in self.sources:
            entry = source.pending.get(root)
            if entry is not None:
                entry.elsewhere = elsewhere
                if not elsewhere and not entry.windowed:
                    entry.windowed = True
                    source.held += 1

    def _known(self, hold: Hold) -> dict[int, int]:
        """Has the ledger know a root that windows alone have held; its hold is an edge from now on."""
        edge, source = self._bits(64), hold.source
        if source is None:  # its spout is emitting it just now
            assert hold.anchor is not None
            hold.anchor.edges = hold.anchor.edges or self._new_root()
            hold.anchor.emitted ^= edge
            hold.edges = dict.fromkeys(hold.anchor.edges, edge)
            return hold.edges
        (root,) = self._new_root()
        assert hold.out is not None
        source.pending.put(root, Entry(hold.message_id, hold.out, hold.rows, hold.started, True, hold.ids))
        hold.edges = {root: edge}
        self._acker.init(root, edge, source.place)
        return hold.edges

    def with_anchors(self, anchors: tuple[Any, ...], call: Callable[..., None], *given: Any) -> None:
        """Calls while other anchors hold. Rows that wait are anchored to the ones before, so they go first."""
        if self.dirty:
            self.flush()
        before, self.anchors = self.anchors, anchors
        try:
            call(*given)
            if self.dirty:
                self.flush()
        finally:
            self.anchors = before

    # --- what happens to them

    def raised(self, component: str, error: BaseException) -> None:
        """A bolt that acks on return has raised: what holds just now fails."""
        why = (component, told(error))
        self.raises += 1
        for anchor in self.anchors:
            if anchor.__class__ is Anchor:
                anchor.busy = anchor.failed = True
                anchor.why = why
            elif anchor.edges is not None:
                self.fail(anchor.edges, why)
            else:
                self._fail_hold(anchor, why)

    def ack(self, held: Any) -> None:
        """Of what a bolt has that acks by itself, or of what windows have had."""
        for root, edge in held.edges.items():
            verdict = self._acker.ack(root, edge ^ held.emitted)
            if held.__class__ is not Hold and (left := self._elsewhere.get(root)) is not None:
                if left > 1:
                    self._elsewhere[root] = left - 1
                else:
                    del self._elsewhere[root]
                    if verdict is None:
                        self._set_elsewhere(root, False)
            self._judge(verdict)

    def let_go(self, holds: Iterable[Hold | None]) -> None:
        """Rows have left their last window: a hold is done with the last one of its rows."""
        group = None
        for hold in holds:
            if hold is None or hold is group:
                continue
            if hold.ids is not None:
                group = hold
            hold.left = left = hold.left - 1
            if left or hold.done:
                continue
            if hold.edges is not None:
                hold.done = True
                self.ack(hold)
            elif (source := hold.source) is not None:  # as _settle_hold, for it is called for every row
                hold.done = True
                source.waiting -= 1
                source.held -= 1
                out, rows = hold.out, hold.rows
                if hold.started or hold is group or out is None:
                    self._count(source, hold, None)
                    continue
                out.pending -= rows
                out.settled += rows
                source.acks.append(hold.message_id)

    def _fail_hold(self, hold: Hold, why: Why) -> None:
        if hold.done:
            return
        hold.done = True
        if hold.source is not None:
            self._settle_hold(hold.source, hold, why)
        elif hold.anchor is not None:  # its spout is emitting it just now
            hold.anchor.failed, hold.anchor.why = True, why

    def _settle_hold(self, source: Source, hold: Hold, why: Why | None) -> None:
        source.waiting -= 1
        source.held -= 1
        self._count(source, hold, why)

    def fail(self, roots: Iterable[int], why: Why) -> None:
        for root in roots:
            self._why.put(root, why)
            self._judge(self._acker.fail(root))

    def reset_timeout(self, held: Held) -> None:
        for root in held.edges:
            self._acker.reset_timeout(root)
            for source in self.sources:
                entry = source.pending.remove(root)
                if entry is not None:
                    source.pending.put(root, entry)

    def settled(self, source: Source, message_id: Any, out: Out, rows: int, started: float) -> None:
        """A root whose chain has returned, and with which something was: it has failed, or it waits for windows or
        for the ledger. Its anchor is made ready for the next one."""
        anchor = source.anchor
        if anchor.group is not None:
            if self._joined(source, message_id, out, rows, started):
                return
            self._part(anchor)
        hold = anchor.hold
        if hold is not None and anchor.edges is None and not anchor.failed and hold.left and not hold.done:
            anchor.hold, anchor.busy = None, False  # as _keep, for it is called for every row that goes into a window
            hold.source, hold.message_id, hold.out = source, message_id, out
            if rows != 1 or started:
                hold.rows, hold.started = rows, started
            out.pending += rows
            source.waiting += 1
            source.held += 1
            return
        hold, failed, why = anchor.hold, anchor.failed, anchor.why
        edges, value = anchor.edges, anchor.emitted
        anchor.hold = anchor.edges = None
        anchor.busy = anchor.failed = False
        anchor.emitted = 0
        if failed and self.undo is not None:
            self.undo(source, message_id, hold, edges is None)
        if edges is None:
            self._wait(source, hold, message_id, out, rows, started, why if failed else None)
            return
        out.pending += rows
        source.waiting += 1
        (root,) = edges
        if hold is not None and hold.edges is None and not hold.done and hold.left:
            edge = self._bits(64)
            value ^= edge
            hold.edges = {root: edge}
        windowed = root not in self._elsewhere
        source.pending.put(root, Entry(message_id, out, rows, started, windowed))
        source.held += windowed
        if failed:
            self.fail((root,), why)
        self._judge(self._acker.init(root, value, source.place))

    @staticmethod
    def _joined(source: Source, message_id: Any, out: Out, rows: int, started: float) -> bool:
        """Whether a root is one of a group from now on."""
        anchor = source.anchor
        group = anchor.group
        assert group is not None
        assert group.ids is not None
        if anchor.failed or group.done or (group.out or out) is not out or rows != 1 or started:
            return False
        if group.out is None:
            group.source, group.out = source, out
            source.waiting += 1
            source.held += 1
        group.ids.append(message_id)
        out.pending += 1
        anchor.group, anchor.busy = None, False
        return True

    def _wait(
        self, source: Source, hold: Hold | None, message_id: Any, out: Out, rows: int, started: float, why: Why | None
    ) -> None:
        """Nobody but windows, if anybody, holds it."""
        if hold is None:
            hold = Hold()
        self._keep(source, hold, message_id, out, rows, started)
        if why is not None or not hold.left:
            hold.done = True
            self._settle_hold(source, hold, why)

    @staticmethod
    def _keep(source: Source, hold: Hold, message_id: Any, out: Out, rows: int, started: float) -> None:
        hold.source, hold.message_id, hold.out, hold.rows, hold.started = source, message_id, out, rows, started
        out.pending += rows
        source.waiting += 1
        source.held += 1

    def rotate(self) -> None:
        """A message time-out has passed: what is older than that fails. What windows alone hold does not: nothing of
        it can be lost in one process, and it would be in the window beside the one that is sent again."""
        self._acker.rotate()
        self._why.rotate()
        for source in self.sources:
            for root, entry in source.pending.rotate().items():
                if entry.elsewhere:
                    self._elsewhere.pop(root, None)
                    self._settle(source, entry, self._why.remove(root) or TIMED_OUT)
                else:
                    source.pending.put(root, entry)
                    self._acker.reset_timeout(root)

    def _judge(self, verdict: Verdict | None) -> None:
        if verdict is None:
            return
        self._elsewhere.pop(verdict.root, None)
        source = self.sources[verdict.task]
        entry = source.pending.remove(verdict.root)
        if entry is not None:
            self._settle(source, entry, None if verdict.acked else self._why.remove(verdict.root) or TIMED_OUT)

    def _settle(self, source: Source, entry: Entry, why: Why | None) -> None:
        source.waiting -= 1
        source.held -= entry.windowed
        self._count(source, entry, why)

    def _count(self, source: Source, entry: Entry | Hold, why: Why | None) -> None:
        out, ids = entry.out, entry.ids
        assert out is not None
        rows = entry.rows if ids is None else len(ids)
        out.pending -= rows
        if why is None:
            out.settled += rows
            source.acks += (entry.message_id,) if ids is None else ids
            if entry.started:
                out.complete.add(self._clock() - entry.started)
        else:
            out.failed += rows
            source.fails += [(message_id, why) for message_id in ((entry.message_id,) if ids is None else ids)]
