"""Sessions, bounces, durations and unique visitors are those of brute force, whatever the events and the splits."""

from __future__ import annotations

import datetime
import pickle
import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from tests.reports.oracle import DAY, PASSIVE, TIMEOUT, Event, overview
from workbench.reports.buckets import buckets
from workbench.reports.overview_table import rows
from workbench.reports.periods import window
from workbench.reports.rules import RULES
from workbench.reports.traffic import TrafficFold
from workbench.reports.zones import Zone

NOW = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
ROLES = {name: name for name in ("user", "time", "event", "page", "source", "device")}
ZONES = ("UTC", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Asia/Kathmandu", "America/New_York")
# Around the change of the clock in Berlin and a day further; near the edges of the period and of the time-out.
PERIOD = "2026-10-24..2026-10-26"
INTERESTING = (0, 1, 999, 1000, 10_000, 10_001, TIMEOUT - 1, TIMEOUT, TIMEOUT + 1, 3_600_000, DAY, DAY + TIMEOUT)

Found = dict[str, dict[Any, tuple[int, ...]]]

gaps = st.one_of(st.sampled_from(INTERESTING), st.integers(0, 40 * 60_000), st.integers(0, 2 * DAY))
names = st.sampled_from(("page_view", "page_view", "scroll", "click", "purchase"))
texts = st.sampled_from((None, "", "a", "b", "ä"))


@st.composite
def visits(draw: st.DrawFn, users: st.SearchStrategy[Any]) -> list[Event]:
    zone = Zone("Europe/Berlin")
    whole = window(PERIOD, zone, NOW)
    made = []
    for _ in range(draw(st.integers(0, 6))):
        user = draw(users)
        at = draw(st.one_of(st.sampled_from((whole.start, whole.end)), st.integers(whole.start - DAY, whole.end + DAY)))
        at -= draw(st.sampled_from(INTERESTING))
        for _ in range(draw(st.integers(1, 6))):
            made.append(Event(user, at, draw(names), draw(texts), draw(texts), draw(texts)))
            at += draw(gaps)
    return made


def table(events: list[Event], kind: pa.DataType) -> pa.Table:
    columns: dict[str, pa.Array] = {"user": pa.array([event.user for event in events], kind)}
    columns["time"] = pa.array([event.ms for event in events], pa.int64()).cast(pa.timestamp("ms"))
    for name in ("event", "page", "source", "device"):
        columns[name] = pa.array([getattr(event, name) for event in events], pa.string())
    return pa.table(columns)


def folded(table: pa.Table, fold: TrafficFold, shuffle: random.Random) -> Any:
    """Rows dealt out to splits anyhow, parts merged in any order and grouping, each sent through a pickle."""
    order = list(range(table.num_rows))
    if shuffle.random() < 0.7:
        shuffle.shuffle(order)
    table = table.take(pa.array(order, pa.int64()))
    cuts = sorted(shuffle.sample(range(table.num_rows + 1), min(table.num_rows + 1, shuffle.randint(0, 4))))
    pieces = [table.slice(low, high - low) for low, high in zip([0, *cuts], [*cuts, table.num_rows], strict=True)]
    fold = pickle.loads(pickle.dumps(fold))
    parts = [pickle.loads(pickle.dumps(fold.each(at, piece.to_batches()))) for at, piece in enumerate(pieces)]
    shuffle.shuffle(parts)
    if len(parts) > 2:
        parts = [fold.merge(parts[:2]), *parts[2:]]
    return fold.finish(fold.merge(parts))


def computed(events: list[Event], kind: pa.DataType, definition: str, granularity: str, name: str, seed: int) -> Found:
    zone, rules = Zone(name), RULES[definition]
    whole = window(PERIOD, Zone("Europe/Berlin"), NOW)
    views = frozenset({"page_view"})
    key, cut, timeout = frozenset({"purchase"}), rules.midnight, rules.timeout
    fold = TrafficFold(ROLES, whole, name, granularity, cut, timeout, None, views, frozenset(PASSIVE), key)
    traffic = folded(table(events, kind), fold, random.Random(seed))
    found: Found = {"total": {}, "time": {}, "page": {}, "source": {}, "device": {}}
    for row in rows("current", traffic, buckets(whole, granularity, zone), zone, rules).to_pylist():
        measures = ("visitors", "sessions", "bounces", "page_views", "events", "duration_ms")
        values = tuple(row[measure] for measure in measures if row[measure] is not None)
        if row["breakdown"] != "time" or any(values):
            found[row["breakdown"]][row["value"]] = values
    return found


def expected(events: list[Event], definition: str, granularity: str, zone: str) -> Found:
    whole = window(PERIOD, Zone("Europe/Berlin"), NOW)
    return overview(events, whole.start, whole.end, definition, granularity, zone)


@pytest.mark.parametrize("definition", RULES)
@settings(max_examples=80, deadline=None)
@given(
    events=visits(st.one_of(st.none(), st.integers(0, 3))),
    granularity=st.sampled_from(("hour", "day", "week", "month", "quarter", "year")),
    zone=st.sampled_from(ZONES),
    seed=st.integers(0, 10_000),
)
def test_numbered_users(definition: str, events: list[Event], granularity: str, zone: str, seed: int) -> None:
    found = computed(events, pa.int32(), definition, granularity, zone, seed)
    assert found == expected(events, definition, granularity, zone)


@pytest.mark.parametrize("definition", RULES)
@settings(max_examples=40, deadline=None)
@given(
    events=visits(st.sampled_from(("u", "v", "", "ü", None))),
    granularity=st.sampled_from(("hour", "day", "week", "month", "quarter", "year")),
    zone=st.sampled_from(ZONES),
    seed=st.integers(0, 10_000),
)
def test_named_users(definition: str, events: list[Event], granularity: str, zone: str, seed: int) -> None:
    found = computed(events, pa.string(), definition, granularity, zone, seed)
    assert found == expected(events, definition, granularity, zone)


@settings(max_examples=40, deadline=None)
@given(events=visits(st.sampled_from((0, 2**62, -5, 7))), seed=st.integers(0, 10_000))
def test_users_of_any_size(events: list[Event], seed: int) -> None:
    found = computed(events, pa.int64(), "ga4", "day", "UTC", seed)
    assert found == expected(events, "ga4", "day", "UTC")


@pytest.mark.parametrize("seed", range(25))
def test_long_sessions_dealt_out_to_splits(seed: int) -> None:
    """Runs of one session that lie within each other, or overlap, in splits of their own."""
    dice = random.Random(seed)
    start = window(PERIOD, Zone("Europe/Berlin"), NOW).start
    events = []
    for user in range(3):
        at = start + dice.randint(-DAY, DAY)
        for _ in range(60):
            events.append(
                Event(user, at, dice.choice(("page_view", "scroll")), dice.choice("ab"), dice.choice(("", "c")))
            )
            at += dice.choice((0, 60_000, TIMEOUT // 2, TIMEOUT - 1, TIMEOUT)) if dice.random() < 0.97 else TIMEOUT + 1
    for definition in RULES:
        found = computed(events, pa.int64(), definition, "hour", "Europe/Berlin", seed)
        assert found == expected(events, definition, "hour", "Europe/Berlin")
