"""What a report shows, and how it behaves: once, whole, stopped."""

from __future__ import annotations

import datetime
import threading

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.query.support import World, eventually
from tests.reports.oracle import DAY, Event, overview
from tests.reports.test_oracle import PERIOD, table, visits
from workbench.contract.errors import Cancelled, ConnectionLost, InvalidParameter, UnknownConnection
from workbench.reports import Events, Expr, Overview, Report
from workbench.reports.periods import window
from workbench.reports.rules import RULES
from workbench.reports.zones import Zone

NOON = 1_767_268_800_000  # 2026-01-01 12:00 UTC
MINUTE = 60_000


def shop(*events: tuple[str, int, str]) -> Events:
    """Events by user, minutes after noon, and name."""
    users, times, names = zip(*events, strict=True)
    at = pa.array([NOON + minute * MINUTE for minute in times]).cast(pa.timestamp("ms"))
    return Events(pa.table({"u": users, "t": at, "e": names}), user="u", time="t", event="e")


EVENTS = shop(
    ("a", 0, "page_view"), ("a", 5, "page_view"), ("b", 0, "page_view"), ("a", 60, "page_view"), ("a", 60, "click"),
    ("c", -24 * 60, "page_view"), ("c", -24 * 60 + 2, "scroll"),
)  # fmt: skip


@pytest.fixture
def report(world: World) -> Report:
    return Overview(period="2026-01-01", definition="plausible").on(EVENTS, session=world.session)


def test_the_numbers_stand_with_their_definition(report: Report) -> None:
    text = repr(report)
    assert [line.split() for line in text.splitlines()[1:8]] == [
        ["2026-01-01", "2025-12-31", "change"],
        ["Visitors", "2", "1", "+100.0%"],
        ["Sessions", "3", "1", "+200.0%"],
        ["Page", "views", "4", "1", "+300.0%"],
        ["Page", "views", "per", "session", "1.33", "1.00", "+33.3%"],
        ["Bounce", "rate", "33.3%", "100.0%", "-66.7", "points"],
        ["Mean", "duration", "of", "a", "session", "1", "min", "40", "s", "0.0", "s", "no", "base"],
    ]
    for shown in (text.replace("\n", " "), report._repr_html_()):
        for words in ("As Plausible:", "no interactive event bounced", "bounces count as 0 seconds"):
            assert words in shown


def test_every_definition_says_what_it_does() -> None:
    for name, rules in RULES.items():
        statement = Overview(definition=name).statement
        assert statement == rules.statement
        assert "30 minutes" in statement
        assert ("none over midnight" in statement) == (name == "matomo")
    assert "10 seconds" in RULES["ga4"].statement


def test_the_tidy_table_has_one_schema(world: World, report: Report) -> None:
    bare = Events(EVENTS.table, user="u", time="t")
    other = Overview(period="all", zone="Asia/Kathmandu", granularity="month").on(bare, session=world.session)
    assert report.arrow().schema == other.arrow().schema == Overview.schema
    assert report.polars().height == report.arrow().num_rows
    assert pa.table(report).equals(report.arrow())  # it is a table for whatever reads Arrow
    text = "select sum(visitors) as n from r where breakdown = 'total'"
    found = world.session.sql(text, variables=lambda name: report.arrow())
    assert found.arrow().to_pylist() == [{"n": 3}]


def test_it_runs_once_and_again_when_asked(world: World, report: Report) -> None:
    assert report.arrow() is report.arrow()
    assert set(report.results) == {"current", "previous", "timeless"}
    again = report.rerun(now=datetime.datetime(2026, 1, 5, tzinfo=datetime.UTC))
    assert again.arrow().equals(report.arrow())
    assert again.arrow() is not report.arrow()


def test_what_is_wrong_with_a_definition_is_said_when_it_is_made() -> None:
    for parameters, words in (
        ({"definition": "ga3"}, "Did you mean `ga4`"),
        ({"definition": 4}, "`ga4`, `matomo` and `plausible`"),
        ({"granularity": "second"}, "`minute`"),
        ({"period": "soon"}, "none of"),
        ({"period": 28}, "is text"),
        ({"zone": "Berlin"}, "IANA"),
        ({"compare": "yes"}, "True or False"),
        ({"key_events": [1]}, "list of events"),
    ):
        with pytest.raises(InvalidParameter, match=words):
            Overview(**parameters)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameter, match="no zone"):
        Overview().on(EVENTS, now=datetime.datetime(2026, 1, 1))


def test_no_event_is_a_page_view(world: World) -> None:
    events = shop(("a", 0, "screen"), ("a", 1, "tap"), ("b", 1, "screen"))
    report = Overview(period="2026-01-01").on(events, session=world.session)
    assert any("There are `screen`, `tap`: say which" in note for note in report.notes)
    mended = Events(events.table, user="u", time="t", event="e", page_views=["screen"], passive=["tap"])
    numbers = Overview(period="2026-01-01", definition="plausible").on(mended, session=world.session)
    assert numbers.arrow().to_pylist()[0]["page_views"] == 2
    assert numbers.arrow().to_pylist()[0]["bounces"] == 2


def test_the_period_is_counted_from_now(world: World) -> None:
    now = datetime.datetime(2026, 1, 2, 8, tzinfo=datetime.UTC)
    report = Overview(period="yesterday").on(EVENTS, now=now, session=world.session)
    assert report.arrow().to_pylist()[0]["visitors"] == 2


def test_an_error_of_the_source_is_the_report_s(world: World) -> None:
    world.put("events", EVENTS.table)
    world.catalog.add("bad", world.source, events={"batch_rows": 1, "fail_after": 2})
    report = Overview(period="2026-01-01").on(Events("bad.events", user="u", time=Expr("t")), session=world.session)
    with pytest.raises(ConnectionLost):
        report.arrow()
    eventually(world.quiet)
    assert set(report.results) == {"current"}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=visits(st.one_of(st.none(), st.sampled_from("uv"))),
    definition=st.sampled_from(list(RULES)),
    zone=st.sampled_from(("Europe/Berlin", "America/Havana")),
)
def test_from_the_table_to_the_numbers(world: World, events: list[Event], definition: str, zone: str) -> None:
    """All the way, the statement's conditions included: what lies around the period is there too."""
    berlin = Zone("Europe/Berlin")
    whole = window(PERIOD, berlin, datetime.datetime.now(datetime.UTC))
    far = [Event("far", whole.start - 3 * DAY), Event("far", whole.end + 3 * DAY)]
    mapped = Events(
        table([*events, *far], pa.string()), user="user", time="time", event="event", page="page", source="source",
        device="device", passive=("scroll", "session_start"),
    )  # fmt: skip
    moments = [berlin.moment(at).isoformat() for at in (whole.start, whole.end)]
    found = Overview(period="..".join(moments), zone=zone, definition=definition, granularity="hour", compare=False)
    rows = found.on(mapped, session=world.session).arrow().to_pylist()
    wanted = overview(events, whole.start, whole.end, definition, "hour", zone)
    names = ("visitors", "sessions", "bounces", "page_views", "events", "duration_ms")
    for breakdown in ("total", "time", "source", "device"):
        mine = {row["value"]: tuple(row[name] for name in names) for row in rows if row["breakdown"] == breakdown}
        assert {value: numbers for value, numbers in mine.items() if any(numbers)} == {
            value: numbers for value, numbers in wanted[breakdown].items() if any(numbers)
        }


def test_stop_ends_the_report_and_the_source(world: World) -> None:
    """From any process, through the register: whoever waits for the numbers is told, nothing is left running."""
    world.put("events", EVENTS.table)
    world.catalog.add("slow", world.source, events={"batch_rows": 1, "hold_after": 2})
    report = Overview(period="2026-01-01").on(Events("slow.events", user="u", time="t"), session=world.session)
    outcome: list[BaseException] = []

    def run() -> None:
        try:
            report.arrow()
        except Cancelled as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    eventually(lambda: bool(world.source.running()))
    for one in world.register.runs(active=True):
        world.register.request_stop(one.id)
    thread.join(20)
    assert [type(error) for error in outcome] == [Cancelled]
    eventually(world.quiet)


def test_a_report_is_one_line_of_the_history(world: World, report: Report) -> None:
    report.arrow()
    (line,) = world.register.history()
    assert (line.kind, line.state) == ("report", "done")
    assert line.title == "report: overview of a Table, 2026-01-01"
    assert line.rows >= 7  # each period is read with the hours before and behind it
    report.polars()
    assert len(world.register.history()) == 1


def test_a_report_that_fails_says_why_in_the_history(world: World) -> None:
    events = Events("nowhere.events", user="u", time="t")
    with pytest.raises(UnknownConnection):
        Overview(period="2026-01-01").on(events, session=world.session).arrow()
    (line,) = world.register.history()
    assert (line.state, line.title) == ("failed", "report: overview of nowhere.events, 2026-01-01")
    assert "nowhere" in line.error
