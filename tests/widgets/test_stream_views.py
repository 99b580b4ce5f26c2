"""Views of streams as widgets: one topic for those of a run, told by the kernel where a page has no hub."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ipywidgets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import workbench as wb
from workbench.contract.errors import UsageError
from workbench.runs import Register, tickets
from workbench.runs.topics import apply
from workbench.streams import Gauge, LiveSink, LiveTable, ParquetReplay, Series, TopN, Topology, spout
from workbench.streams.running import Running
from workbench.widgets.streams import StreamViews


@pytest.fixture
def register(tmp_path: Path) -> Iterator[Register]:
    register = Register(tmp_path / "runs.sqlite")
    yield register
    register.close()


@pytest.fixture
def running(register: Register) -> Iterator[Running]:
    over = threading.Event()

    @spout("page")
    def views() -> Iterator[str | None]:
        yield from ("/", "/", "/cart")
        while not over.wait(0.01):
            yield None

    made = Topology("shop").spout("views", views).bolt("watch", LiveSink(), inputs="views")
    running = made.run(register=register)
    yield running
    over.set()
    running.stop(5)


class Told:
    """What the comm of a view sends, as a page takes it in."""

    def __init__(self, view: Any) -> None:
        self.state: dict[str, Any] = {}
        self.keep: dict[str, int] = {}
        self.frames: list[dict[str, Any]] = []
        view.send = self.take
        self.say = lambda message: view._heard(view, message, [])

    def take(self, message: Any) -> None:
        self.frames.append(message["frame"])
        apply(self.state, self.keep, message["frame"])


def test_views_of_a_run_are_one_widget_and_one_topic(running: Running) -> None:
    top, table = TopN(running, "watch", by="page"), LiveTable(running, "watch")
    view = wb.view([top, table])
    assert isinstance(view, StreamViews)
    assert (view.topic, view.run, view.rows, view.controls) == (running.shown([top, table]).name, running.id, [], False)
    assert wb.view([[top], [table, top]]).rows == [1, 2]
    assert wb.view(top).topic == running.shown([top]).name
    assert wb.view((top, table)).topic == view.topic


def test_a_dashboard_holds_what_else_has_a_view(running: Running) -> None:
    top = TopN(running, "watch", by="page")
    view = wb.view([top, top, running, LiveTable(running, "watch")])
    assert isinstance(view, ipywidgets.VBox)
    assert [type(one).__name__ for one in view.children] == ["StreamViews", "TopologyView", "StreamViews"]
    rows = wb.view([[running], [top, top]])
    assert [type(one).__name__ for one in rows.children] == ["VBox", "StreamViews"]
    for wrong in ([], [[], []], [7], [top, "x"]):
        with pytest.raises(UsageError):
            wb.view(wrong)


def test_a_page_without_a_hub_is_told_by_the_kernel(running: Running, eventually: Callable[..., Any]) -> None:
    view = wb.view([TopN(running, "watch", by="page"), Gauge(running, "watch")])
    told = Told(view)
    told.say({"watch": True})
    eventually(lambda: told.state.get("value/0", {}).get("all") == 3, within=30)
    assert told.state["value/0"]["rows"] == [["/", 2], ["/cart", 1]]
    told.say({"watch": False})
    told.say("nonsense")
    told.say({"control": "stop"})
    assert running.state == "running"


def test_a_view_goes_on_with_the_run_that_was_started_again(
    tmp_path: Path, register: Register, eventually: Callable[..., Any]
) -> None:
    (tmp_path / "day").mkdir()
    pq.write_table(pa.table({"at": range(1_000), "page": ["/"] * 1_000}), tmp_path / "day" / "a.parquet")
    made = Topology("again").spout("views", ParquetReplay(tmp_path / "day", time="at", speed=1e-6))
    running = made.run(register=register)
    view, graph = wb.view(Series(running, "views", x="at")), wb.view(running)
    told, drawn = Told(view), Told(graph)
    told.say({"watch": True})
    drawn.say({"watch": True})
    eventually(lambda: "name" in told.state and "name" in drawn.state, within=30)
    drawn.say({"control": "replay 1000000"})
    following = running.following
    assert following is not None
    for page in (told, drawn):
        eventually(lambda: "next" in page.state, within=30)  # noqa: B023
        page.say({"follow": page.state["next"]["topic"]})
    eventually(lambda: told.state["run"] == following.id and told.state["about/0"]["rows"] == 1_000, within=30)
    eventually(lambda: drawn.state["run"] == following.id and drawn.state["state"] == "done", within=30)
    assert wb.view(Series(running, "views", x="at")).run == following.id  # an old handle shows what there is now
    following.stop()


@pytest.mark.parametrize("how", [{}, {"runner": "processes", "workers": 1}], ids=["inline", "processes"])
def test_who_only_found_it_goes_on_with_the_next_run_and_with_no_other(
    tmp_path: Path, register: Register, eventually: Callable[..., Any], how: dict[str, Any]
) -> None:
    """As in Voila: the kernel of the page has no handle, tells the page by its comm, and does not believe it."""
    (tmp_path / "day").mkdir()
    pq.write_table(pa.table({"at": range(1_000), "page": ["/"] * 1_000}), tmp_path / "day" / "a.parquet")
    made = Topology("again").spout("views", ParquetReplay(str(tmp_path / "day"), time="at", speed=1e-6))
    running = made.run(register=register, **how)
    assert running.engine is not None
    found = wb.streams.find("again", register=register)
    view, graph = wb.view(Series(found, "views", x="at")), wb.view(found)
    told, drawn = Told(view), Told(graph)
    told.say({"watch": True})
    drawn.say({"watch": True})
    eventually(lambda: "name" in told.state and "name" in drawn.state, within=60)
    drawn.say({"control": "stop"})
    assert drawn.frames[-1]["error"] == "It runs in another process, and can be looked at alone from here."
    other = Topology("other").spout("views", ParquetReplay(str(tmp_path / "day"))).run(register=register)
    drawn.say({"follow": f"runs/{other.id}/topology"})
    following = running.replay(1_000_000)
    for page in (told, drawn):
        eventually(lambda: "next" in page.state, within=60)  # noqa: B023
        page.say({"follow": page.state["next"]["topic"]})
    eventually(lambda: told.state["run"] == following.id and told.state["about/0"]["rows"] == 1_000, within=60)
    eventually(lambda: drawn.state["run"] == following.id and drawn.state["state"] == "done", within=60)
    assert all(frame["topic"].split("/")[1] in (running.id, following.id) for frame in told.frames + drawn.frames)
    for one in (view, graph):
        one.close()
    following.stop()
    other.stop()


def test_in_a_published_notebook_it_has_a_ticket_for_its_own_topic_alone(
    running: Running, register: Register, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., Any]
) -> None:
    eventually(lambda: running.engine, within=30)
    engine = register.engine(running.id)
    assert engine is not None
    found = wb.streams.find("shop", register=register)
    monkeypatch.setenv("WORKBENCH_DASHBOARD", "shop")
    monkeypatch.setenv("WORKBENCH_PAGE", "shop.0")
    view = wb.view([TopN(found, "watch", by="page")])
    assert view.ticket == tickets.ticket(engine, view.topic, "shop.0")
    assert not tickets.fits(view.ticket, engine, f"runs/{running.id}/topology")
    told = Told(view)
    told.say({"watch": True})
    eventually(lambda: told.state.get("value/0", {}).get("all") == 3, within=30)
    view.close()
