"""What one stretch of events comes down to: runs of events by user, and counts by bucket and page.

Events become packed numbers of 8 bytes (user, time, flags), sorted once. A run begins where the gap is longer than the
time-out; the visitors of a bucket are the changes of (user, bucket).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from workbench.reports.buckets import coarser
from workbench.reports.columns import Codes, Ints, changes, codes
from workbench.reports.zones import DAY, HOUR, MINUTE

__all__ = ["ACTIVE", "KEY", "NEVER", "SPAN", "VIEW", "Part", "Runs", "Stretch", "part_of"]

SPAN = 1 << 39
"""A stretch is shorter, in ms (17 years): so its times, 2**20 users and the flags fit into 63 bits."""
VIEW, ACTIVE, KEY = 1, 2, 4
NEVER = np.iinfo(np.int64).max
_STEPS = {"minute": MINUTE, "hour": HOUR}


def _empty() -> Ints:
    return np.zeros(0, np.int64)


@dataclass
class Runs:
    """Runs of one user's events, in the order of user and first time. `marks` are by dimension when it was first
    told, and as what: `(time - low) << 24 | code`, NEVER for not at all; and the names of the codes, in order."""

    user: Ints = field(default_factory=_empty)
    first: Ints = field(default_factory=_empty)
    last: Ints = field(default_factory=_empty)
    events: Ints = field(default_factory=_empty)
    views: Ints = field(default_factory=_empty)
    active: Ints = field(default_factory=_empty)
    key: Ints = field(default_factory=_empty)
    marks: dict[str, tuple[Ints, pa.Array]] = field(default_factory=dict)


@dataclass
class Part:
    """Of events between `low` and `high`, of one offset of the zone, all within the period or all outside. Users are
    numbers themselves where `users` is None, else codes into it. `pairs` are the distinct `user * width + bucket`;
    `pages` are names, page views of each, and the distinct `user * len(names) + page`."""

    low: int
    high: int
    inside: bool
    users: pa.Array | None = None
    runs: Runs = field(default_factory=Runs)
    ids: Ints = field(default_factory=_empty)
    events: Ints = field(default_factory=_empty)
    views: Ints = field(default_factory=_empty)
    pairs: Ints = field(default_factory=_empty)
    width: int = 1
    pages: tuple[pa.Array, Ints, Ints] | None = None
    userless: int = 0


@dataclass(frozen=True)
class Stretch:
    """Between two edges, in one offset, and what is asked about it."""

    low: int
    high: int
    offset: int
    inside: bool
    granularity: str
    midnight: bool
    timeout: int


def part_of(times: Ints, users: pa.Array, columns: Mapping[str, Codes], at: Stretch) -> Part:
    """At most 2**20 events. `columns` may have `flags` (one number an event), `page`, and dimensions."""
    made = Part(at.low, at.high, at.inside)
    flags = columns["flags"].codes if "flags" in columns else None
    step = _STEPS.get(at.granularity, DAY)
    base = (at.low + at.offset) // DAY * DAY  # a local midnight, as local time
    since = times + (at.offset - base)
    place = _count_buckets(made, since // step, flags, base, step, at) if at.inside else None
    told = None if users.null_count == 0 else users.is_valid().to_numpy(zero_copy_only=False)
    if told is not None:
        made.userless = int(len(told) - told.sum()) if at.inside else 0
        since, users = since[told], users.filter(pa.array(told))
    numbers, made.users = _numbered(users, (at.high - at.low + 4 * DAY + at.timeout) * 8)
    if at.inside and "page" in columns:
        made.pages = _pages(columns["page"], flags, told, numbers)
    if len(since):
        whole = DAY if at.midnight else step
        stride = ((at.high + at.offset - base) // whole + 1 + -(-at.timeout // whole)) * whole
        dimensions = {name: one for name, one in columns.items() if name not in ("flags", "page")}
        kept = flags if told is None or flags is None else flags[told]
        picked = dimensions if told is None else {n: Codes(c.codes[told], c.values) for n, c in dimensions.items()}
        key = _runs(made, numbers * stride + since, kept, picked, stride, base, at)
        if at.inside:
            _visitors(made, key, stride // step, step, place)
    return made


def _numbered(users: pa.Array, width: int) -> tuple[Ints, pa.Array | None]:
    """Users as whole numbers below 2**62 / width: themselves where they are, else codes into what is returned."""
    if pa.types.is_integer(users.type) and users.type != pa.uint64():
        numbers = users.to_numpy(zero_copy_only=False).astype(np.int64)
        if not len(numbers) or (numbers.min() >= 0 and (int(numbers.max()) + 1) * width < 2**62):
            return numbers, None
    found = codes(users)
    return found.codes, found.values


def _count_buckets(made: Part, bucket: Ints, flags: Ints | None, base: int, step: int, at: Stretch) -> Ints | None:
    """Events and page views by bucket. Days become weeks or months here; then what each day became is returned."""
    count = int(bucket.max()) + 1
    made.events = np.bincount(bucket, minlength=count)
    made.views = made.events if flags is None else np.bincount(bucket[(flags & VIEW) > 0], minlength=count)
    if step != DAY:
        made.ids = base - at.offset + np.arange(count) * step
        return None
    made.ids = base // DAY + np.arange(count)
    if at.granularity == "day":
        return None
    longer = np.array(coarser(made.ids.tolist(), at.granularity), np.int64)
    made.ids, place = np.unique(longer, return_inverse=True)
    made.events, made.views = (np.bincount(place, one).astype(np.int64) for one in (made.events, made.views))
    return place


def _runs(
    made: Part,
    key: Ints,
    flags: Ints | None,
    dimensions: Mapping[str, Codes],
    stride: int,
    base: int,
    at: Stretch,
) -> Ints:
    """Fills in the runs; gives the sorted keys."""
    if flags is not None:
        key = key * 8 + flags
    if dimensions:
        order = np.argsort(key)
        key = key[order]
    else:
        key.sort()
    if flags is not None:
        flags, key = key & 7, key >> 3
    begins = np.empty(len(key) + 1, np.bool_)
    begins[0] = begins[-1] = True
    np.greater(key[1:] - key[:-1], at.timeout, out=begins[1:-1])
    if at.midnight:
        day = key // DAY
        begins[1:-1] |= day[1:] != day[:-1]
    edges = np.flatnonzero(begins)
    starts = edges[:-1]
    first, last = key[starts], key[edges[1:] - 1]
    user = first // stride
    back = base - at.offset - user * stride
    runs = made.runs = Runs(user, first + back, last + back, np.diff(edges))
    if flags is None:
        runs.views, runs.active = runs.events, np.zeros(len(user), np.int64)
        runs.key = runs.active
    else:
        runs.views, runs.active, runs.key = (
            np.add.reduceat((flags & bit) // bit, starts) for bit in (VIEW, ACTIVE, KEY)
        )
    for name, one in dimensions.items():
        code = one.codes[order]
        when = key % stride + (base - at.offset - at.low)
        mark = np.where(code >= 0, (when << 24) | code, NEVER)
        runs.marks[name] = np.minimum.reduceat(mark, starts), one.values
    return key


def _visitors(made: Part, key: Ints, stride: int, step: int, place: Ints | None) -> None:
    """The distinct pairs of user and bucket, from the sorted keys."""
    made.pairs, made.width = changes(key // step), stride
    if place is not None:
        user = made.pairs // stride
        bucket = place[made.pairs - user * stride]
        made.pairs, made.width = changes(user * len(made.ids) + bucket), len(made.ids)


def _pages(page: Codes, flags: Ints | None, told: NDArray[np.bool_] | None, users: Ints) -> tuple[pa.Array, Ints, Ints]:
    count = max(1, len(page.values))
    seen = page.codes >= 0 if flags is None else (page.codes >= 0) & ((flags & VIEW) > 0)
    views = np.bincount(page.codes[seen], minlength=count)
    with_user, pages = (seen, page.codes) if told is None else (seen[told], page.codes[told])
    pairs = users[with_user] * count + pages[with_user]
    pairs.sort()
    return page.values, views, changes(pairs)
