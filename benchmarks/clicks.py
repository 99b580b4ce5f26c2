"""The click stream that the benchmarks of reports read: a Parquet file a day, rows in the order of time, in the cache.

Seeded. Users are few that come often and many that come once, visits have a geometric number of events with gaps of
seconds to minutes and now and then one of more than half an hour; one event in a hundred has the time of the one
before it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.services.process import cache

__all__ = ["DAYS", "FIRST_DAY", "clicks"]

FORM = 1  # grows when other rows come out of the same seed
FIRST_DAY, DAYS = "2026-03-02", 91
DAY = 86_400_000
MEAN_VISIT = 5.35
NAMES = ("page_view", "view_item", "add_to_cart")
DEVICES, COUNTRIES = ("mobile", "desktop", "tablet"), ("US", "DE", "GB", "FR", "IN", "BR", "JP", "IT")


def clicks(events: int) -> Path:
    """The folder of about so many events; made on first use."""
    folder = cache() / "clicks" / f"{events}-{FORM}"
    if not (folder / "ready").exists():
        print(f"making about {events:,} events", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _make(folder, events)
        (folder / "ready").touch()
    return folder


def _make(folder: Path, events: int) -> None:
    dice = np.random.default_rng(7)
    users = events // 18
    often = np.cumsum((np.arange(users) + 60.0) ** -0.72)
    number = dice.permutation(users).astype(np.uint32) + 1
    pages = pa.array(["/", *(f"/c/{at}" for at in range(400)), *(f"/p/{at}" for at in range(max(1000, events // 300)))])
    names, devices, countries = (pa.array(list(one)) for one in (NAMES, DEVICES, COUNTRIES))
    start = int(np.datetime64(FIRST_DAY, "ms").astype(np.int64))
    late: list[np.ndarray] = []
    for day in range(DAYS):
        visits = int(events / DAYS / MEAN_VISIT * (1 + 0.3 * (day - DAYS / 2) / DAYS))
        who = number[np.searchsorted(often, dice.random(visits) * often[-1])]
        length = np.minimum(np.where(dice.random(visits) < 0.38, 1, 2 + dice.geometric(1 / 6.0, visits)), 80)
        first = np.cumsum(length) - length
        gap = (np.exp(dice.normal(3.1, 1.1, int(length.sum()))) * 1000).astype(np.int64)
        kind = dice.random(len(gap))
        gap[kind > 0.99] = 0
        gap[kind < 0.004] += 1_900_000
        gap[first] = 0
        since = np.cumsum(gap)
        begun = start + day * DAY + dice.integers(0, DAY, visits)
        time = np.repeat(begun - since[first], length) + since
        page = np.minimum(len(pages) - 1, dice.zipf(1.3, len(gap)) - 1)
        rows = np.stack([time, np.repeat(who, length).astype(np.int64), page, dice.integers(0, len(NAMES), len(gap))])
        rows = np.concatenate([*late, rows], axis=1)
        rows = rows[:, np.argsort(rows[0], kind="stable")]
        here = int(np.searchsorted(rows[0], start + (day + 1) * DAY))
        late = [rows[:, here:]]
        time, user, page, name = rows[:, :here]
        table = pa.table(
            {
                "ts": pa.array(time).cast(pa.timestamp("ms")),
                "user_id": user.astype(np.uint32),
                "event": names.take(pa.array(name)),
                "page": pages.take(pa.array(page)),
                "device": devices.take(pa.array(user % len(DEVICES))),
                "country": countries.take(pa.array(user * 7 % len(COUNTRIES))),
            }
        )
        pq.write_table(table, folder / f"day-{day:03d}.parquet", row_group_size=500_000)
