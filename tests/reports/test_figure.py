"""The figure's data: what is shown is what the table has, in both themes, and text is text."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from tests.query.support import World
from workbench.contract.errors import InvalidParameter
from workbench.reports import Events, Overview, Report
from workbench.reports.drawing import label

NOON = 1_767_268_800_000  # 2026-01-01 12:00 UTC


@pytest.fixture
def report(world: World) -> Report:
    rows = {
        "user": [f"u{at % 40}" for at in range(300)],
        "at": pa.array([NOON - 20 * 3_600_000 + at * 600_000 for at in range(300)]).cast(pa.timestamp("ms")),
        "page": [f"/page/{at % 12}" for at in range(300)],
        "land": [("DE", "US", None)[at % 3] for at in range(300)],
    }
    events = Events(pa.table(rows), user="user", time="at", page="page", country="land")
    return Overview(period="2026-01-01..2026-01-02", granularity="hour").on(events, session=world.session)


def bars(figure: Any) -> list[Any]:
    return [trace for trace in figure.data if trace.type == "bar"]


def test_series_are_the_buckets_of_both_periods(report: Report) -> None:
    lines = [trace for trace in report.figure().data if trace.type == "scatter" and trace.mode == "lines"]
    rows = [row for row in report.arrow().to_pylist() if row["breakdown"] == "time"]
    for measure in ("page_views", "visitors", "sessions"):
        now, before = (
            next(line for line in lines if line.legendgroup == measure and (line.line.dash == "dot") is dotted)
            for dotted in (False, True)
        )
        assert list(now.y) == [row[measure] for row in rows if row["period"] == "current"]
        assert list(before.y) == [row[measure] for row in rows if row["period"] == "previous"]
        assert len(now.x) == len(set(now.x)) == 48


def test_bars_are_the_first_of_each_breakdown(report: Report) -> None:
    figure = report.figure()
    pages, countries = bars(figure)
    rows = [row for row in report.arrow().to_pylist() if row["period"] == "current"]
    assert list(pages.x) == [row["page_views"] for row in rows if row["breakdown"] == "page"][:8]
    assert list(countries.x) == [row["sessions"] for row in rows if row["breakdown"] == "country"]
    headings = [note.text for note in figure.layout.annotations if "by page views" in note.text]
    assert "8 of 12" in headings[0]
    assert "(none)" in figure.layout.yaxis3.ticktext


def test_the_definition_is_in_the_figure(report: Report) -> None:
    text = " ".join(note.text for note in report.figure().layout.annotations).replace("<br>", " ")
    assert " ".join(report.statement.split()) in " ".join(text.split())


def test_in_a_dashboard_the_theme_is_the_page_s(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    assert report.figure().layout.paper_bgcolor == report.figure("page").layout.paper_bgcolor
    monkeypatch.setenv("WORKBENCH_THEME", "dark")
    assert report.figure().layout.paper_bgcolor == report.figure("dark").layout.paper_bgcolor
    assert report.figure("light").layout.paper_bgcolor == "#ffffff"


def test_light_and_dark(report: Report) -> None:
    light, dark = report.figure("light"), report.figure("dark")
    assert light.layout.paper_bgcolor != dark.layout.paper_bgcolor
    assert [list(trace.x) for trace in bars(light)] == [list(trace.x) for trace in bars(dark)]
    with pytest.raises(InvalidParameter, match="`page`, `light`, `dark`"):
        report.figure("sepia")


def test_more_places_than_can_be_drawn_are_refused_with_the_way_out(world: World) -> None:
    world.put("events", {"user": ["a"], "at": pa.array([NOON], pa.timestamp("ms"))})
    events = Events("shop.events", user="user", time="at")
    made = Overview(period="2026", granularity="minute", compare=False).on(events, session=world.session)
    assert made.arrow().num_rows > 500_000
    with pytest.raises(
        InvalidParameter, match=r"525,600 places on the line; 5,000 are drawn at most: take a longer one"
    ):
        made.figure()


def test_an_empty_period_is_a_figure_too(world: World) -> None:
    events = Events(pa.table({"u": ["a"], "t": [NOON]}), user="u", time="t", page="u", country="u")
    figure = Overview(period="2025-06-01..2025-06-02").on(events, session=world.session).figure()
    assert not bars(figure)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (None, "(none)"),
        ("/a", "/a"),
        ("<b>x</b>", "&lt;b&gt;x&lt;/b&gt;"),
        ("a&b", "a&amp;b"),
        ("\x1b[2J", "\\x1b[2J"),
        ("line\nfeed\u202e", "line\\nfeed\\u202e"),
        ("x" * 40, "x" * 12 + "…" + "x" * 12),
    ],
)
def test_labels(text: str | None, shown: str) -> None:
    assert label(text) == shown


def test_long_names_that_look_alike_stay_two_bars(world: World) -> None:
    names = [f"/{'a' * 60}/{at}/{'b' * 60}" for at in range(3)]
    rows = {"u": ["a"] * 3, "t": [NOON] * 3, "p": names}
    figure = Overview(period="2026-01-01").on(
        Events(pa.table(rows), user="u", time="t", page="p"), session=world.session
    )
    (pages,) = bars(figure.figure())
    assert len(pages.x) == len(set(pages.y)) == 3
