"""Periods in words; the clock is passed in."""

from __future__ import annotations

import datetime
import zoneinfo

import pytest

from workbench.contract.errors import InvalidParameter
from workbench.reports.buckets import buckets, chosen
from workbench.reports.periods import Window, window
from workbench.reports.zones import DAY, HOUR, Zone

BERLIN = Zone("Europe/Berlin")
# A Wednesday, 00:30 in Berlin, still Tuesday in UTC.
NOW = datetime.datetime(2026, 11, 17, 23, 30, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("period", "shown"),
    [
        ("today", "2026-11-18"),
        ("yesterday", "2026-11-17"),
        ("last 28 days", "2026-10-21 to 2026-11-17"),
        ("Last  1 day", "2026-11-17"),
        ("last 2 weeks", "2026-11-04 to 2026-11-17"),
        ("last 3 months", "2026-08-01 to 2026-10-31"),
        ("this week", "2026-11-16 to 2026-11-18"),
        ("last week", "2026-11-09 to 2026-11-15"),
        ("this month", "2026-11-01 to 2026-11-18"),
        ("last month", "2026-10-01 to 2026-10-31"),
        ("this quarter", "2026-10-01 to 2026-11-18"),
        ("last quarter", "2026-07-01 to 2026-09-30"),
        ("last year", "2025-01-01 to 2025-12-31"),
        ("2026-01-01..2026-01-31", "2026-01-01 to 2026-01-31"),
        ("2026-02", "2026-02-01 to 2026-02-28"),
        ("2026-01 .. 2026-02", "2026-01-01 to 2026-02-28"),
        ("2024", "2024-01-01 to 2024-12-31"),
        ("2026-11-18", "2026-11-18"),
    ],
)
def test_words(period: str, shown: str) -> None:
    assert window(period, BERLIN, NOW).shown(BERLIN) == shown


def test_hours_end_with_the_minute() -> None:
    found = window("last 24 hours", BERLIN, NOW + datetime.timedelta(seconds=42))
    assert found.end == round(NOW.timestamp() * 1000)
    assert found.end - found.start == 24 * HOUR


def test_instants_are_local_unless_they_say_otherwise() -> None:
    found = window("2026-07-01T10:00..2026-07-01T10:00:00+00:00", BERLIN, NOW)
    assert found.end - found.start == 2 * HOUR


@pytest.mark.parametrize(
    "period",
    [
        *(
            "",
            "soon",
            "last days",
            "last 0 days",
            "last -1 days",
            "2026-02-30",
            "2026-13",
            "0000",
            "2026-02-01..2026-01-01",
        ),
        *("2026-01-01..", "..", "last 99999 months", "9999", "last 28 days; drop table x"),
    ],
)
def test_what_is_no_period_is_refused_with_what_is(period: str) -> None:
    with pytest.raises(InvalidParameter, match="period"):
        window(period, BERLIN, NOW)


def test_the_previous_period_has_as_many_days() -> None:
    """Over a change of the clock too: days, not hours, are counted."""
    found = window("2026-10-25..2026-10-31", BERLIN, NOW)
    before = found.previous(BERLIN)
    assert before.shown(BERLIN) == "2026-10-18 to 2026-10-24"
    assert before.end == found.start
    assert (found.end - found.start) - (before.end - before.start) == HOUR
    exact = Window(5 * DAY + 1, 6 * DAY)
    assert exact.previous(BERLIN) == Window(4 * DAY + 2, 5 * DAY + 1)


@pytest.mark.parametrize(
    ("period", "granularity"),
    [
        ("today", "hour"),
        ("last 28 days", "day"),
        ("last quarter", "day"),
        ("last year", "week"),
        ("2020..2026", "month"),
    ],
)
def test_auto(period: str, granularity: str) -> None:
    assert chosen("auto", window(period, BERLIN, NOW)) == granularity
    assert chosen("minute", window(period, BERLIN, NOW)) == "minute"


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    whole = window("2025-12-30..2026-02-01", BERLIN, NOW)
    assert buckets(whole, "week", BERLIN).labels(BERLIN).to_pylist() == [
        *("2025-12-29", "2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26"),
    ]
    assert buckets(whole, "month", BERLIN).labels(BERLIN).to_pylist() == ["2025-12", "2026-01", "2026-02"]
    assert buckets(whole, "month", BERLIN).starts[0] == whole.start


def test_too_many_buckets_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="granularity"):
        buckets(window("2010..2026", BERLIN, NOW), "minute", BERLIN)


def test_zoneinfo_agrees_on_the_first_instant_of_a_period() -> None:
    start = window("2026-10-26", BERLIN, NOW).start
    moment = datetime.datetime(2026, 10, 26, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    assert start == moment.timestamp() * 1000
