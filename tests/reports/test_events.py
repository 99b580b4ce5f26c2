"""From a table to numbers: times of every kind, columns of every kind, and what is wrong with them said plainly."""

from __future__ import annotations

import datetime
import decimal
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.query.support import World
from workbench.contract.errors import DocumentError, InvalidParameter, UnknownColumn, UnknownTable, UsageError
from workbench.reports import Events, Expr, Overview, load

NOON = 1_767_268_800  # 2026-01-01 12:00 UTC
DAY = "2026-01-01"


def numbers(world: World, events: Events, **parameters: Any) -> dict[str, Any]:
    report = Overview(**{"period": DAY, "compare": False, **parameters}).on(events, session=world.session)
    return report.arrow().to_pylist()[0]


def visits(times: list[Any] | pa.Array, users: list[Any] | None = None) -> pa.Table:
    return pa.table({"user": users or ["a"] * len(times), "at": times})


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_whole_numbers_are_of_the_unit_that_fits_their_size(world: World, unit: str) -> None:
    per = {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9}[unit]
    world.put("events", visits([NOON * per, (NOON + 60) * per, (NOON + 86_400) * per]))
    for given in (None, unit):
        found = numbers(world, Events("shop.events", user="user", time="at", unit=given))
        assert (found["events"], found["sessions"], found["duration_ms"]) == (2, 1, 60_000)


def test_numbers_of_two_units_are_refused_with_what_they_look_like(world: World) -> None:
    world.put("events", visits([NOON, NOON * 1000, NOON * 1000 + 1, NOON * 10**6]))
    events = Events("shop.events", user="user", time="at")
    with pytest.raises(InvalidParameter, match=r"1 look like s, 2 look like ms, 1 look like us.*unit="):
        numbers(world, events)
    world.put("events", visits([NOON, 17]))
    with pytest.raises(InvalidParameter, match="1 look like s, 1 are too small to tell"):
        numbers(world, Events("shop.events", user="user", time="at"))
    mended = Events("shop.events", user="user", time=Expr('case when "at" < 100 then null else "at" end'), unit="s")
    assert numbers(world, mended)["events"] == 1


@pytest.mark.parametrize(
    "times",
    [
        pa.array([NOON * 1000], pa.timestamp("ms")),
        pa.array([NOON], pa.timestamp("s", "America/New_York")),
        pa.array([NOON * 10**9 + 7], pa.timestamp("ns")),
        pa.array([datetime.date(2026, 1, 1)]),
        pa.array([NOON + 0.25]),
        pa.array([decimal.Decimal("1767268800.125")]),
        pa.array(["2026-01-01 12:00:00"]),
        pa.array(["2026-01-01T23:30:00-00:15"]),
        pa.array(["2026-01-01T00:30:00Z"]),
    ],
    ids=str,
)
def test_times_of_every_kind(world: World, times: pa.Array) -> None:
    world.put("events", visits(times))
    assert numbers(world, Events("shop.events", user="user", time="at"))["events"] == 1


def test_times_without_zone_are_in_the_one_that_is_given(world: World) -> None:
    """Half past midnight in Berlin is the day before in UTC, also as text; text that has an offset keeps it."""
    wall = datetime.datetime(2026, 1, 1, 0, 30)
    for times in (pa.array([wall]), pa.array(["2026-01-01 00:30:00"]), pa.array(["2025-12-31T23:30:00+00:00"])):
        berlin = Events(visits(times), user="user", time="at", zone="Europe/Berlin")
        assert numbers(world, berlin, period="2025-12-31")["events"] == 1
        assert numbers(world, berlin, zone="Europe/Berlin")["events"] == 1
    world.put("events", visits(pa.array(["2026-01-01 00:30:00"])))
    assert numbers(world, Events("shop.events", user="user", time="at"))["events"] == 1


def test_a_local_time_that_was_there_twice_is_the_second(world: World) -> None:
    events = Events(visits(["2026-10-25 02:30:00"]), user="user", time="at", zone="Europe/Berlin")
    report = Overview(period="2026-10-25", zone="Europe/Berlin", granularity="hour").on(events, session=world.session)
    found = [row["value"] for row in report.arrow().to_pylist() if row["breakdown"] == "time" and row["events"]]
    assert found == ["2026-10-25 02:00 +0100"]


def test_text_that_is_no_time_is_counted_and_shown(world: World) -> None:
    world.put("events", visits(["2026-01-01", "soon", None, "2026-13-01"]))
    with pytest.raises(InvalidParameter, match="2 of 4 are no time, '2026-13-01' for one"):
        numbers(world, Events("shop.events", user="user", time="at"))


def test_a_column_that_is_no_time(world: World) -> None:
    world.put("events", visits(pa.array([b"x"])))
    with pytest.raises(InvalidParameter, match="which is no time"):
        numbers(world, Events("shop.events", user="user", time="at"))


def test_events_without_user_or_time(world: World) -> None:
    rows = visits(pa.array([NOON, NOON + 1, NOON + 2, None], pa.timestamp("s")), ["a", None, None, "b"])
    world.put("events", rows)
    events = Events("shop.events", user="user", time="at")
    report = Overview(period="all").on(events, session=world.session)
    found = report.arrow().to_pylist()[0]
    assert (found["events"], found["page_views"], found["visitors"], found["sessions"]) == (3, 3, 1, 1)
    assert any("2 of 3 events have no user" in note for note in report.notes)
    for period in ("all", DAY):
        report = Overview(period=period).on(events, session=world.session)
        assert any("1 event has no time" in note for note in report.notes), period
    world.put("others", visits([NOON, NOON + 1], [None, None]).cast(pa.schema([("user", "string"), ("at", "int64")])))
    nobody = numbers(world, Events("shop.others", user="user", time="at"), granularity="week")
    assert (nobody["events"], nobody["visitors"], nobody["sessions"], nobody["bounce_rate"]) == (2, 0, 0, None)


def test_days_are_those_of_the_zone_that_is_given(world: World) -> None:
    """A date begins at midnight there, which in New York is five hours into the day in UTC."""
    day = pa.array([datetime.date(2026, 1, 15)])
    for zone in ("America/New_York", "Asia/Tokyo", "UTC"):
        there = Events(visits(day), user="user", time="at", zone=zone)
        for period, events in (("2026-01-14", 0), ("2026-01-15", 1), ("2026-01-16", 0)):
            assert numbers(world, there, period=period, zone=zone)["events"] == events, (zone, period)


def test_the_machine_has_no_say_in_what_a_day_is() -> None:
    """Text of a date alone ends like an offset; and a day of a time with a zone is UTC's."""
    code = """if True:
        import datetime, pyarrow as pa, workbench as wb
        from workbench.reports import Events, Overview
        rows = pa.table({"user": ["a"], "at": ["2026-01-15"]})
        events = Events(rows, user="user", time="at", zone="Europe/Berlin")
        report = Overview(period="2026-01-15", zone="Europe/Berlin", granularity="hour", compare=False).on(events)
        print([row["value"] for row in report.arrow().to_pylist() if row["breakdown"] == "time" and row["events"]])
        print(wb.sql("select cast(timestamptz '2026-01-15 23:30:00+00' as date) as d").arrow()["d"].to_pylist())
    """
    said = set()
    for zone in ("America/New_York", "Asia/Tokyo"):
        with tempfile.TemporaryDirectory() as home:
            run = subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "TZ": zone, "WORKBENCH_HOME": home},
                capture_output=True,
                text=True,
                check=True,
            )
        said.add(run.stdout)
    assert said == {"['2026-01-15 00:00 +0100']\n[datetime.date(2026, 1, 15)]\n"}


@pytest.mark.parametrize(
    "times",
    [
        pa.array([NOON, 9_000_000_000_000], pa.timestamp("s")),
        pa.array([-(2**31), 2**31 - 1], pa.int32()).cast(pa.date32()),
        pa.array([2**64 - 1], pa.uint64()),
    ],
    ids=str,
)
def test_times_beyond_the_calendar_are_said(world: World, times: pa.Array) -> None:
    events = Events(visits(times), user="user", time="at")
    with pytest.raises(InvalidParameter):
        numbers(world, events, period="all")


def test_times_that_are_no_numbers_are_no_times(world: World) -> None:
    times = pa.array([float("nan"), float("inf"), -float("inf")])
    assert numbers(world, Events(visits(times), user="user", time="at"), period="all")["events"] == 0


@pytest.mark.parametrize("period", ["all", "2026"])
def test_times_that_are_no_number_are_none_beside_those_that_are(world: World, period: str) -> None:
    world.put("events", visits(pa.array([float(NOON), float("nan"), float("inf"), -float("inf")])))
    events = Events("shop.events", user="user", time="at", unit="s")
    report = Overview(period=period, compare=False).on(events, session=world.session)
    assert report.polars().row(0, named=True)["visitors"] == 1
    assert any("3 events have no time" in note for note in report.notes)
    assert "1970" not in report.statement


def test_an_empty_period(world: World) -> None:
    world.put("events", visits([NOON]))
    report = Overview(period="2026-06-01..2026-06-03").on(
        Events("shop.events", user="user", time="at"), session=world.session
    )
    rows = report.arrow().to_pylist()
    assert [row["value"] for row in rows if row["period"] == "current" and row["breakdown"] == "time"] == [
        *("2026-06-01", "2026-06-02", "2026-06-03"),
    ]
    assert rows[0]["visitors"] == 0
    assert rows[0]["mean_duration"] is None
    text = repr(report)
    assert "no events in this period" in text
    assert "no base" in text


def test_no_events_at_all(world: World) -> None:
    world.put("events", visits(pa.array([], pa.timestamp("ms")), pa.array([], pa.string())))  # type: ignore[arg-type]
    assert numbers(world, Events("shop.events", user="user", time="at"), period="all")["events"] == 0


def test_frames_paths_and_results(world: World, tmp_path: Path) -> None:
    rows = pa.table({"user": ["a", "b"], "at": pa.array([NOON, NOON], pa.timestamp("s"))})
    pq.write_table(rows, tmp_path / "one.parquet")
    (tmp_path / "folder").mkdir()
    pq.write_table(rows, tmp_path / "folder" / "two.parquet")
    world.put("events", rows)
    result = world.session.sql("select * from shop.events")
    sources: list[Any] = [rows, polars.from_arrow(rows), result, tmp_path / "one.parquet", str(tmp_path / "folder")]
    for table in [*sources, str(tmp_path / "*.parquet"), "shop.events", '"shop"."events"']:
        assert numbers(world, Events(table, user="user", time="at"))["visitors"] == 2, table


def test_struct_fields_and_expressions(world: World) -> None:
    rows = pa.table(
        {
            "user_pseudo_id": ["a", "a"],
            "event_timestamp": [NOON * 10**6, (NOON + 5) * 10**6],
            "event_name": ["page_view", "purchase"],
            "event_params": [
                [{"key": "page_location", "value": {"string_value": "/x"}}],
                [{"key": "page_location", "value": {"string_value": "/y"}}],
            ],
            "traffic_source": [{"source": "google"}, {"source": "google"}],
            "device": [{"category": "mobile"}, {"category": "mobile"}],
            "geo": [{"country": "DE"}, {"country": "DE"}],
        }
    )
    report = Overview(period=DAY, compare=False).on(Events(rows, preset="ga4"), session=world.session)
    found = {(row["breakdown"], row["value"]): row["visitors"] for row in report.arrow().to_pylist()}
    keys = {("page", "/x"), ("source", "google"), ("device", "mobile"), ("country", "DE")}
    assert keys <= set(found)
    assert ("page", "/y") not in found


def test_one_column_may_have_two_roles(world: World) -> None:
    world.put("events", pa.table({"user": ["a"], "at": [NOON], "c": ["x"]}))
    events = Events("shop.events", user="user", time="at", device="c", country="c")
    report = Overview(period=DAY, compare=False).on(events, session=world.session)
    values = {row["breakdown"] for row in report.arrow().to_pylist() if row["value"] == "x"}
    assert values == {"device", "country"}


def test_names_that_are_in_the_way(world: World) -> None:
    """Columns called like roles but meaning something else, quotes in names, names in other case."""
    rows = pa.table({"time": ["/x"], "user": [NOON], 'a "b"': ["u"], "Page": ["desktop"]})
    events = Events(rows, user='a "b"', time=Expr('"user"'), page="time", device="page", unit="s")
    report = Overview(period=DAY, compare=False).on(events, session=world.session)
    found = {row["breakdown"]: row["value"] for row in report.arrow().to_pylist() if row["breakdown"] != "time"}
    assert found == {"total": None, "page": "/x", "device": "desktop"}


def test_only_events_of_a_segment(world: World) -> None:
    world.put("events", pa.table({"user": ["a", "b", "c"], "at": [NOON] * 3, "land": ["DE", "it's", None]}))
    events = Events("shop.events", user="user", time="at", country="land")
    for where, count in (({"country": "DE"}, 1), ({"country": ["DE", "it's"]}, 2), ({"country": [None, "DE"]}, 2)):
        assert numbers(world, events, where=where)["visitors"] == count
    shown = Overview(period=DAY, where={"country": ["DE", None]}).on(events, session=world.session)
    for text in (repr(shown), shown._repr_html_(), str(shown.figure("light").to_plotly_json())):
        assert "only country DE, none" in text, "it is said where the numbers are"
    for where in ({"country": []}, {"country": None}):
        assert numbers(world, events, where=where)["visitors"] == 1
    with pytest.raises(InvalidParameter, match="names `planet`"):
        numbers(world, events, where={"planet": "Mars"})
    with pytest.raises(InvalidParameter, match="compares with"):
        Overview(where={"country": 1.5})


def test_the_period_is_asked_of_the_source(world: World) -> None:
    world.put("events", visits(pa.array([NOON, NOON - 86_400 * 30], pa.timestamp("s"))))
    report = Overview(period=DAY, compare=False).on(
        Events("shop.events", user="user", time="at"), session=world.session
    )
    assert "\"at\" >= timestamp '2025-12-31 23:30:00.000'" in report.sql()
    assert report.arrow().to_pylist()[0]["events"] == 1
    assert "30" not in str(report.results["current"].rows)


@pytest.mark.parametrize("table", ["shop.events; drop table x", "", "a.b.c.d", "select 1", "shop..events"])
def test_what_is_no_table(world: World, table: str) -> None:
    with pytest.raises((UsageError, UnknownTable)):
        numbers(world, Events(table, user="user", time="at"))


def test_wrong_names_are_said(world: World) -> None:
    world.put("events", visits([NOON]))
    with pytest.raises(UnknownColumn, match="Did you mean `user`"):
        numbers(world, Events("shop.events", user="usr", time="at"))
    with pytest.raises(InvalidParameter, match="`user` is missing"):
        Events("shop.events", time="at")
    with pytest.raises(InvalidParameter, match="Did you mean `ga4`"):
        Events("shop.events", preset="ga")
    with pytest.raises(InvalidParameter, match="unit"):
        Events("shop.events", user="user", time="at", unit="h")
    rows = pa.table({"user": [{"a": 1}], "at": [NOON]})
    with pytest.raises(InvalidParameter, match="of type struct"):
        numbers(world, Events(rows, user="user", time="at"))


def test_saved_and_loaded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = Events(
        "web.events", preset="shop", page=Expr("lower(page)"), sites=["www.Shop.example"], zone="Europe/Berlin"
    )
    events.save("web")
    again = Events.load("web")
    assert again.body() == events.body()
    assert again.columns["page"] == Expr("lower(page)")
    assert again.sites == {"shop.example"}
    overview = Overview(
        period="last 7 days", definition="plausible", where={"country": ["DE", None]}, key_events=["buy"]
    )
    overview.save("weekly")
    assert load("weekly") == overview
    monkeypatch.chdir(home.parent)
    assert Events("clicks/*.parquet", user="u", time="t").body()["table"] == str(home.parent / "clicks" / "*.parquet")
    with pytest.raises(DocumentError, match="of this process"):
        Events(pa.table({"u": [1], "t": [1]}), user="u", time="t").save("frame")
    with pytest.raises(DocumentError, match="is not there"):
        load("nothing")


def test_documents_that_are_not_whole(home: Path) -> None:
    from workbench.reports.saving import store

    for body in ({}, {"columns": {"planet": "x"}, "table": "a.b"}, {"columns": {"user": "u", "time": "t"}}):
        store().save("events", "broken", body)
        with pytest.raises(DocumentError, match="save it again"):
            Events.load("broken")
    store().save("reports", "other", {"report": "telepathy"})
    with pytest.raises(DocumentError, match="telepathy"):
        load("other")
    store().save("reports", "more", {"report": "overview", "colour": "red"})
    with pytest.raises(DocumentError, match="colour"):
        load("more")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
