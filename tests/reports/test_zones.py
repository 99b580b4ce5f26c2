"""Days and hours in zones, held against zoneinfo: 23 and 25 hours, an hour that is there twice, half hours."""

from __future__ import annotations

import datetime
import zoneinfo

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from workbench.contract.errors import InvalidParameter
from workbench.reports.buckets import buckets
from workbench.reports.periods import Window, window
from workbench.reports.zones import DAY, HOUR, Zone, day_number

ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "Asia/Beirut"),
    *("Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia", "Pacific/Kiritimati"),
)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
instants = st.integers(0, 4_000_000_000_000)


def local(at: int, zone: str) -> datetime.datetime:
    return (EPOCH + datetime.timedelta(milliseconds=at)).astimezone(zoneinfo.ZoneInfo(zone))


@settings(max_examples=200, deadline=None)
@given(st.lists(instants, max_size=20), st.sampled_from(ZONES))
def test_offsets(times: list[int], name: str) -> None:
    found = Zone(name).offsets(np.array(times, np.int64)).tolist()
    wanted = [local(at, name).utcoffset() for at in times]
    assert found == [delta.total_seconds() * 1000 for delta in wanted if delta is not None]


@settings(max_examples=100, deadline=None)
@given(instants, st.sampled_from(ZONES), st.integers(1, 5))
def test_days_tile_the_time(at: int, name: str, count: int) -> None:
    """Every instant is in the bucket that zoneinfo's date says, and buckets have no gap between them."""
    zone = Zone(name)
    first = zone.day_of(at)
    whole = Window(zone.day_start(first), zone.day_start(first + count), (first, first + count - 1))
    days = buckets(whole, "day", zone)
    edges = [*days.starts.tolist(), whole.end]
    assert edges == sorted(edges)
    for number, low in enumerate(days.starts.tolist()):
        for moment in {low, (low + edges[number + 1]) // 2, edges[number + 1] - 1}:
            if low < edges[number + 1]:
                assert local(moment, name).date() == datetime.date.fromisoformat(days.labels(zone)[number].as_py())


@settings(max_examples=100, deadline=None)
@given(instants, st.sampled_from(ZONES))
def test_hours_are_those_of_the_clock_on_the_wall(at: int, name: str) -> None:
    zone = Zone(name)
    whole = Window(at, at + 2 * DAY)
    hours = buckets(whole, "hour", zone)
    labels = hours.labels(zone).to_pylist()
    assert len(set(labels)) == len(labels)
    assert list(hours.starts) == sorted(hours.starts)
    for moment in range(at, at + 2 * DAY, 17 * 60_000):
        place = int(np.searchsorted(hours.starts, moment, side="right")) - 1
        wall = local(moment, name)
        assert labels[place][:13] == f"{wall:%Y-%m-%d %H}"


@pytest.mark.parametrize("name", ZONES)
def test_hours_around_every_change_of_two_years(name: str) -> None:
    """Half an hour at Lord Howe, at midnight in Havana and Beirut, a month apart in Casablanca."""
    zone = Zone(name)
    start = zone.day_start(day_number(datetime.date(2025, 1, 1)))
    for turn in zone.regimes(start, start + 730 * DAY)[0]:
        assert zone.offset(turn - 1) != zone.offset(turn)
        hours = buckets(Window(turn - 4 * HOUR, turn + 4 * HOUR), "hour", zone)
        labels = hours.labels(zone).to_pylist()
        assert len(set(labels)) == len(labels)
        for moment in range(turn - 4 * HOUR, turn + 4 * HOUR, 5 * 60_000):
            place = int(np.searchsorted(hours.starts, moment, side="right")) - 1
            assert labels[place][:13] == f"{local(moment, name):%Y-%m-%d %H}"


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-24", 24)])
def test_both_changes_of_the_clock(day: str, hours: int) -> None:
    zone = Zone("Europe/Berlin")
    whole = window(day, zone, EPOCH)
    assert whole.end - whole.start == hours * HOUR
    found = buckets(whole, "hour", zone)
    assert len(found.starts) == hours
    labels = found.labels(zone).to_pylist()
    if hours == 25:
        assert labels[2:4] == ["2026-10-25 02:00 +0200", "2026-10-25 02:00 +0100"]
    if hours == 23:
        assert labels[1:3] == ["2026-03-29 01:00 +0100", "2026-03-29 03:00 +0200"]


def test_a_midnight_that_is_not_there() -> None:
    """In Beirut the clock goes from 0 to 1 at midnight; the day begins at 1."""
    zone = Zone("Asia/Beirut")
    start = zone.day_start(day_number(datetime.date(2026, 3, 29)))
    assert local(start, "Asia/Beirut").isoformat() == "2026-03-29T01:00:00+03:00"


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "Europe"])
def test_what_is_no_zone(name: str) -> None:
    with pytest.raises(InvalidParameter, match="IANA"):
        Zone(name)
