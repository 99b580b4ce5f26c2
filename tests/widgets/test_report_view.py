"""A report with its parameters as controls: changed, it is another one; what does not go is said."""

from __future__ import annotations

import datetime
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench
from tests.query.support import World, eventually
from workbench.contract.errors import InvalidParameter, UsageError
from workbench.reports import Events, Overview
from workbench.runs.register import PART
from workbench.widgets.finding import VIEWS
from workbench.widgets.report import ReportView

NOW = datetime.datetime(2026, 3, 10, 12, tzinfo=datetime.UTC)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.put(
        "clicks",
        {
            "who": ["a", "a", "b", "c"],
            "at": [NOW - datetime.timedelta(days=days) for days in (1, 2, 2, 20)],
            "page": ["/", "/x", "/", "/"],
        },
    )
    yield world
    world.session.close()
    world.register.close()


@pytest.fixture
def view(world: World) -> ReportView:
    events = Events("shop.clicks", user="who", time="at", page="page")
    made = workbench.view(Overview(period="last 7 days", compare=False).on(events, now=NOW, session=world.session))
    assert isinstance(made, ReportView)
    assert made.wait(60)
    return made


def _said(view: ReportView) -> str:
    return str(view._status.value)


def _figure(view: ReportView) -> dict[str, Any]:
    (output,) = view._figure.outputs
    figure: dict[str, Any] = output["data"]["application/vnd.plotly.v1+json"]
    return figure


def test_it_shows_the_figure_and_a_control_for_each_choice(view: ReportView) -> None:
    assert _figure(view)["data"]
    assert "Computing" not in _said(view)
    assert set(view._controls) == {"period", "zone", "definition", "granularity", "compare"}
    assert set(view._controls["definition"].options) == {"ga4", "matomo", "plausible"}
    assert view._stop.disabled


def test_a_change_computes_it_anew(view: ReportView) -> None:
    before = view.report.polars().filter(breakdown="total")["visitors"].item()
    view._controls["period"].value = "last 28 days"
    assert view.wait(60)
    assert view.report.definition.period == "last 28 days"
    assert view.report.polars().filter(breakdown="total")["visitors"].item() == before + 1
    view._controls["definition"].value = "matomo"
    assert view.wait(60)
    assert (view.report.definition.period, view.report.definition.definition) == ("last 28 days", "matomo")


def test_what_does_not_go_is_said_and_the_figure_stays(view: ReportView) -> None:
    before = _figure(view)
    view._controls["period"].value = "next <b>week</b>"
    assert 'role="alert"' in _said(view)
    assert "<b>" not in _said(view)
    assert _figure(view) == before
    view._controls["period"].value = "last 7 days"
    assert view.wait(60)


def test_an_error_of_the_source_is_said(world: World) -> None:
    events = Events("shop.nothing", user="who", time="at")
    view = workbench.view(Overview(period="last 7 days").on(events, now=NOW, session=world.session))
    assert view.wait(60)
    assert "shop.nothing" in _said(view)
    assert view._figure.outputs == ()


def test_stop_ends_it_and_the_source_too(world: World) -> None:
    world.catalog.add("slow", world.source, clicks={"pause": 0.5, "batch_rows": 1, "splits": 1})
    events = Events("slow.clicks", user="who", time="at", page="page")
    view = workbench.view(Overview(period="all").on(events, now=NOW, session=world.session))
    eventually(lambda: bool(world.register.runs()), 20)
    view._stop.click()
    assert view.wait(20)
    assert "Stopped" in _said(view)
    eventually(world.quiet)
    eventually(lambda: not world.register.runs(), 20)


def test_stop_does_not_wait_for_a_silent_source(world: World) -> None:
    world.catalog.add("silent", world.source, clicks={"pause": 600, "splits": 1})
    events = Events("silent.clicks", user="who", time="at", page="page")
    view = workbench.view(Overview(period="all").on(events, now=NOW, session=world.session))
    eventually(lambda: bool(world.register.runs()), 20)
    view._stop.click()
    assert view.wait(20)
    assert "Stopped" in _said(view)
    eventually(lambda: not world.register.runs(), 20)


def test_another_definition_asks_nothing_anew_about_the_table(world: World) -> None:
    events = Events("shop.clicks", user="who", time="at", page="page")
    first = Overview(period="all").on(events, now=NOW, session=world.session)
    first.arrow()
    eventually(world.quiet)
    asked = _parts(world)
    first.with_definition(Overview(period="last 7 days", compare=False)).arrow()
    eventually(world.quiet)
    assert _parts(world) - asked == 2  # the period's events, and those without a time


def _parts(world: World) -> int:
    """How many statements reports have begun."""
    with world.register._store.reading() as db:
        return int(db.execute("select count(*) from runs where kind = ?", (PART,)).fetchone()[0])


def test_what_has_no_view_is_said() -> None:
    with pytest.raises(UsageError, match=r"no view of a value of type `int`\. Views are of: `Report`"):
        workbench.view(7)
    with pytest.raises(InvalidParameter, match="theme"):
        ReportView(None, theme="blue")  # type: ignore[arg-type]


def test_every_view_is_where_it_is_said_to_be() -> None:
    for where in [*VIEWS, *VIEWS.values()]:
        module, _, name = where.partition(":")
        assert getattr(importlib.import_module(module), name)
