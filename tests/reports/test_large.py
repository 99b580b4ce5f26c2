"""Sizes and shapes that break what was made for the usual ones."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.query.support import World
from workbench.contract.errors import LimitExceeded
from workbench.reports import Events, Overview, traffic

START = 1_767_225_600_000  # 2026-01-01
DAY = "2026-01-01"


def total(world: World, rows: pa.Table, **parameters: str) -> dict[str, int]:
    overview = Overview(**{"period": DAY, "compare": False, **parameters})  # type: ignore[arg-type]
    return overview.on(Events(rows, user="user", time="at"), session=world.session).arrow().to_pylist()[0]


def events(users: np.ndarray, times: np.ndarray) -> pa.Table:
    return pa.table({"user": users, "at": pa.array(times).cast(pa.timestamp("ms"))})


def test_one_user_with_five_million_events(world: World) -> None:
    """In the order of no clock: every split has events of the whole day, and all of them are one session."""
    count = 5_000_000
    times = START + np.random.default_rng(7).permutation(count) * 17
    found = total(world, events(np.full(count, 42), times), granularity="minute")
    assert (found["visitors"], found["sessions"], found["events"]) == (1, 1, count)
    assert found["duration_ms"] == (count - 1) * 17


def test_all_ties(world: World) -> None:
    """A million events of thirty users at one moment: thirty sessions of no length, none of them a bounce."""
    count = 1_000_000
    found = total(world, events(np.arange(count) % 30, np.full(count, START)))
    assert (found["visitors"], found["sessions"], found["bounces"], found["duration_ms"]) == (30, 30, 0, 0)


def test_every_event_a_user(world: World) -> None:
    count = 1_200_000
    found = total(world, events(np.arange(count) * 2**40, np.full(count, START) + np.arange(count) % 86_400_000))
    assert (found["visitors"], found["sessions"], found["bounces"]) == (count, count, count)


def test_times_of_many_years(world: World) -> None:
    """Broken clocks: events from 1970 to 2200 among those of today."""
    times = START + (np.arange(1000) - 300) * 8_640_000_000
    rows = events(np.arange(1000) % 3, times)
    found = total(world, rows, period="all", granularity="month")
    assert (found["events"], found["visitors"], found["sessions"]) == (1000, 3, 1000)


def test_more_events_than_are_taken_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "MOST_EVENTS", 99)
    rows = events(np.arange(100), np.full(100, START))
    with pytest.raises(LimitExceeded, match="shorter period"):
        total(world, rows)
