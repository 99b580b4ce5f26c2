"""Sessions, visitors and page views as a fold. What is kept of a split are the runs of events that belong together in
it, which the end stitches where splits touch each other: they may come in any order and hold any rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.contract.errors import LimitExceeded
from workbench.reports.columns import Codes, Ints, codes, host_of, milliseconds, ranked
from workbench.reports.parts import ACTIVE, KEY, SPAN, VIEW, Part, Stretch, part_of
from workbench.reports.periods import Window
from workbench.reports.stitching import Traffic, stitched
from workbench.reports.zones import DAY, Zone

__all__ = ["DIMENSIONS", "MOST_EVENTS", "Parts", "TrafficFold"]

DIMENSIONS = ("source", "device", "country")
"""Of a session: the first value that is there; of several at one moment the first of the alphabet."""
MOST_EVENTS = 500_000_000
SLICE = 1 << 20
AFTER = DAY
"""A session is followed so far beyond the end of the period."""
MOST_NAMES = 1000


@dataclass
class Parts:
    """What came of splits, and what was left out: `timeless` events have no time; `userless` ones are counted, but
    belong to no visitor and no session. `names` counts events by name, of the first thousand names."""

    parts: list[Part] = field(default_factory=list)
    timeless: int = 0
    userless: int = 0
    names: dict[str, int] = field(default_factory=dict)

    def add(self, other: Parts) -> None:
        self.parts += other.parts
        self.timeless += other.timeless
        self.userless += other.userless
        for name, count in other.names.items():
            if name in self.names or len(self.names) < MOST_NAMES:
                self.names[name] = self.names.get(name, 0) + count


@dataclass(frozen=True)
class TrafficFold:
    """`roles` says which column of the batches is what: `time` and `user`, and as they are there `event`, `page`,
    `referrer`, `source`, `device`, `country`. `unit` is that of plain numbers as times. `views` are the names of page
    views, `passive` those of events that are no interaction; without `event`, every event is a page view. `sites` are
    hosts whose referrers count as none.

    It holds about 60 bytes a run of events (a session, cut where splits touch), 16 more a dimension, and 8 a visitor
    and bucket; and while it works about 100 bytes an event of the splits under way. Raises LimitExceeded beyond
    500 million events."""

    roles: Mapping[str, str]
    window: Window
    zone: str
    granularity: str
    midnight: bool
    timeout: int
    unit: str | None = None
    views: frozenset[str] = frozenset()
    passive: frozenset[str] = frozenset()
    key_events: frozenset[str] = frozenset()
    sites: frozenset[str] = frozenset()

    def each(self, split: int, batches: Sequence[pa.RecordBatch]) -> Parts:
        made = Parts()
        for group in self._groups(batches):
            table = pa.Table.from_batches(group)
            for at in range(0, table.num_rows, SLICE):
                self._slice(table.slice(at, SLICE), made)
        return made

    def merge(self, parts: Sequence[Parts]) -> Parts:
        whole = Parts()
        for one in parts:
            whole.add(one)
        if sum(int(part.runs.events.sum()) for part in whole.parts) > MOST_EVENTS:
            hint = "Take a shorter period, or ask for fewer events by `where=`."
            raise LimitExceeded("events of a report", f"{MOST_EVENTS:,}", hint)
        return whole

    def finish(self, whole: Parts) -> Traffic:
        traffic = stitched(whole.parts, self.window, Zone(self.zone), self.timeout, self.midnight)
        traffic.timeless, traffic.userless, traffic.names = whole.timeless, whole.userless, whole.names
        return traffic

    # --- inside

    def _groups(self, batches: Sequence[pa.RecordBatch]) -> list[list[pa.RecordBatch]]:
        """Batches that are near each other in time. A source that is read in several places at once hands them on
        mixed; apart, they make parts that touch few others."""
        spans: list[tuple[int, int, int]] = []
        for number, batch in enumerate(batches):
            ends = pc.min_max(batch[self.roles["time"]])
            edges = pa.array([ends["min"], ends["max"]], batch[self.roles["time"]].type)
            (low, high), missing = milliseconds(edges, self.unit)
            spans.append((0, 0, number) if missing is not None else (int(low), int(high), number))
        groups: list[list[pa.RecordBatch]] = []
        reached = 0
        for low, high, number in sorted(spans):
            if not groups or low > reached + self.timeout:
                groups.append([])
                reached = high
            groups[-1].append(batches[number])
            reached = max(reached, high)
        return groups

    def _slice(self, table: pa.Table, made: Parts) -> None:
        times, valid = milliseconds(_one(table, self.roles["time"]), self.unit)
        if valid is not None:
            made.timeless += int(len(valid) - valid.sum())
        low, high = self.window.start - self.timeout, self.window.end + AFTER
        if valid is not None or not len(times) or times.min() < low or times.max() >= high:
            wanted = (times >= low) & (times < high)
            kept = np.flatnonzero(wanted if valid is None else wanted & valid)
            times, table = times[kept], table.take(pa.array(kept))
        if not len(times):
            return
        users = _one(table, self.roles["user"])
        columns = self._columns(table, made)
        for rows, stretch in self._stretches(times):
            if rows is None:
                part = part_of(times, users, columns, stretch)
            else:
                mine = {name: Codes(one.codes[rows], one.values) for name, one in columns.items()}
                part = part_of(times[rows], users.take(pa.array(rows)), mine, stretch)
            made.parts.append(part)
            made.userless += part.userless

    def _columns(self, table: pa.Table, made: Parts) -> dict[str, Codes]:
        found = {}
        if "event" in self.roles:
            found["flags"] = self._flags(codes(_one(table, self.roles["event"])), made)
        if "page" in self.roles:
            found["page"] = codes(_one(table, self.roles["page"]))
        for name in DIMENSIONS:
            if name in self.roles:
                found[name] = ranked(codes(_one(table, self.roles[name])))
            elif name == "source" and "referrer" in self.roles:
                found[name] = ranked(codes(_one(table, self.roles["referrer"])), self._host)
        return found

    def _host(self, url: str) -> str | None:
        return host_of(url, self.sites)

    def _flags(self, events: Codes, made: Parts) -> Codes:
        names = [str(name) for name in events.values.to_pylist()]
        counts = np.bincount(events.codes[events.codes >= 0], minlength=len(names)).tolist()
        made.add(Parts(names=dict(zip(names, counts, strict=False))))
        flags = [
            (VIEW if name in self.views else 0 if name in self.passive else ACTIVE)
            | (KEY if name in self.key_events else 0)
            for name in names
        ]
        return Codes(np.array([*flags, 0], np.int64)[events.codes], events.values)

    def _stretches(self, times: Ints) -> Iterator[tuple[Ints | None, Stretch]]:
        """The rows (None: all) between the edges of the period and the changes of the clock."""
        low, high = int(times.min()), int(times.max())
        changes, _ = Zone(self.zone).regimes(low, high)
        edges = (self.window.start, self.window.end, *changes, *range(low + SPAN - 1, high, SPAN - 1))
        cuts = sorted({cut for cut in edges if low < cut <= high})
        if not cuts:
            yield None, self._stretch(low, high)
            return
        region = np.searchsorted(np.array(cuts, np.int64), times, side="right")
        for number in range(len(cuts) + 1):
            rows = np.flatnonzero(region == number)
            if len(rows):
                yield rows, self._stretch(int(times[rows].min()), int(times[rows].max()))

    def _stretch(self, low: int, high: int) -> Stretch:
        inside = self.window.start <= low < self.window.end
        offset = Zone(self.zone).offset(low)
        return Stretch(low, high, offset, inside, self.granularity, self.midnight, self.timeout)


def _one(table: pa.Table, name: str) -> pa.Array:
    column = table[name].combine_chunks()
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
