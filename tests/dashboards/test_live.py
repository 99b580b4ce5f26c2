"""A topology in a published dashboard: seen live by who looks at it, who can watch nothing else and stop nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
import websocket
from playwright.sync_api import Browser, expect

from tests.dashboards.conftest import ViewerServer
from tests.server.viewers import WAYS, Viewer
from workbench.catalog import places
from workbench.runs import Register, tickets
from workbench.streams import Bolt, LiveSink, ParquetReplay, TopN, Topology, spout
from workbench.streams.running import Running

LIVE = """import workbench as wb
shop = wb.streams.find("shop")
wb.view([
    wb.streams.TopN(shop, "watch", by="page", title="Pages"), wb.streams.Gauge(shop, "watch"),
    wb.streams.LiveTable(shop, "watch"), shop,
])"""
OVER = threading.Event()


@pytest.fixture(autouse=True)
def jp_asyncio_loop() -> None:
    """In place of pytest-jupyter's, which would close the loop that Playwright is running in this thread."""


@pytest.fixture(scope="module")
def register(viewer: ViewerServer) -> Iterator[Register]:
    """The author's, of whom the viewer's server is, too."""
    register = Register(places.register(viewer.home))
    yield register
    register.close()


@pytest.fixture(scope="module")
def running(register: Register) -> Iterator[Running]:
    @spout("page")
    def views() -> Iterator[str | None]:
        while not OVER.wait(0.002):
            yield "/cart"

    class Take(Bolt):
        def execute(self, tuple: Any) -> None:  # noqa: A002
            pass

    topology = Topology("shop").spout("views", views).bolt("watch", LiveSink(), inputs="views")
    running = topology.bolt("take", Take, inputs="views").run(register=register)
    assert running.engine is not None
    yield running
    OVER.set()
    running.stop()


def socket(viewer: ViewerServer, session: requests.Session | None, origin: str = "") -> websocket.WebSocket:
    cookies = "; ".join(f"{one.name}={one.value}" for one in session.cookies) if session else ""
    address = f"ws{viewer.url.removeprefix('http')}/workbench/api/live"
    return websocket.create_connection(address, cookie=cookies, origin=origin or viewer.url, timeout=20)


def test_a_viewer_watches_what_the_dashboard_gave_a_ticket_for_and_nothing_else(
    viewer: ViewerServer, running: Running, register: Register
) -> None:
    engine = register.engine(running.id)
    assert engine is not None
    topic = f"runs/{running.id}/topology"
    viewer.publish("live", "# The shop now", LIVE)
    page = viewer.dashboards.get("live").page
    good = tickets.ticket(engine, topic, page)
    top, other = (running.shown([TopN(running, "watch", by="page", n=n)]).name for n in (1, 2))
    with pytest.raises(websocket.WebSocketBadStatusException):
        socket(viewer, None)
    session = viewer.logged_in()
    with pytest.raises(websocket.WebSocketBadStatusException):
        socket(viewer, session, "http://elsewhere.example")
    link = socket(viewer, session)
    try:
        for asked in (
            {"subscribe": topic},
            {"subscribe": topic, "ticket": ""},
            {"subscribe": topic, "ticket": "é" * 64},
            {"subscribe": topic, "ticket": tickets.ticket(engine, topic, "")},
            {"subscribe": topic, "ticket": tickets.ticket(engine, topic, "live.0123456789abcdef")},
            {"subscribe": topic, "ticket": tickets.ticket(engine, topic, "../live.0123456789abcdef")},
            {"subscribe": topic, "ticket": good.replace("live.", "other.")},
            {"subscribe": topic, "ticket": tickets.ticket(engine, f"runs/{running.id}/progress", page)},
            {"subscribe": f"runs/{running.id}/progress", "ticket": good},
            {"subscribe": "runs", "ticket": good},
            {"subscribe": top, "ticket": good},
            {"subscribe": other, "ticket": tickets.ticket(engine, top, page)},
            {"subscribe": "runs/aaaaaaaaaaaa/topology", "ticket": good},
        ):
            link.send(json.dumps(asked))
            assert set(json.loads(link.recv())) == {"topic", "error"}, asked
        link.send(json.dumps({"subscribe": topic, "ticket": good}))
        state: dict[str, Any] = {}
        while state.get("name") != "shop":
            frame = json.loads(link.recv())
            state |= frame.get("snapshot", {}) | frame.get("change", {})
        assert engine.token not in json.dumps(state)
        link.send(json.dumps({"subscribe": top, "ticket": tickets.ticket(engine, top, page)}))
        while "value/0" not in state:
            frame = json.loads(link.recv())
            state |= frame.get("snapshot", {}) | frame.get("change", {})
        assert engine.token not in json.dumps(state)
    finally:
        link.close()
    for path in (f"runs/{running.id}", f"runs/{running.id}/control", "metrics"):
        assert session.delete(f"{viewer.url}/workbench/api/{path}", timeout=10).status_code in (403, 404)
        assert session.get(f"{viewer.url}/workbench/api/{path}", timeout=10).status_code == 404
    assert running.state == "running"


def test_a_published_dashboard_shows_it_live_and_has_no_controls(
    viewer: ViewerServer, running: Running, chromium: Browser, tmp_path: Path, eventually: Callable[..., object]
) -> None:
    link = viewer.publish("live", "# The shop now", LIVE)
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(link, wait_until="commit")
        view = page.locator(".wb-Topology")
        expect(view.locator(".wb-Badge")).to_have_text("running", timeout=90_000)
        expect(view.locator(".wb-Name")).to_have_text("shop")
        executed = view.locator("tr[data-component=take] td").nth(2)
        before = executed.inner_text()
        expect(executed).not_to_have_text(before, timeout=30_000)
        expect(view.locator(".wb-Edge")).to_have_count(2)
        views = page.locator(".wb-Streams")
        expect(views.locator(".wb-Cell")).to_have_count(3)
        top = views.locator("[data-kind=top] td").nth(1)
        counted = top.inner_text()
        expect(top).not_to_have_text(counted, timeout=30_000)
        expect(views.locator("[data-kind=table] td").first).to_have_text("/cart")
        expect(views.get_by_role("button")).to_have_count(0)
        expect(view.get_by_role("button")).to_have_count(0)
        page.screenshot(path=tmp_path / "live.png")
        viewer.dashboards.remove("live")  # its author takes it back
        for one in (view, views):
            expect(one.locator(".wb-Badge")).to_have_text("not live", timeout=60_000)
            expect(one.locator(".wb-Refused")).to_have_text("This dashboard is not published any more.")
        expect(page.locator("#wb-gone")).to_have_text(
            "This dashboard is not published any more. Load it again", timeout=60_000
        )
        page.screenshot(path=tmp_path / "gone.png")
        page.goto(viewer.publish("later", "# Later", LIVE.replace('"shop"', '"nothing"')), wait_until="commit")
        expect(page.locator(".wb-said")).to_have_text(
            "The topology nothing does not run just now. Load the page again when it does.", timeout=60_000
        )
        expect(page.locator(".wb-failed")).to_be_hidden()
        page.screenshot(path=tmp_path / "later.png")
    finally:
        page.close()
    assert errors == []
    assert running.state == "running"


AGAIN = """import workbench as wb
again = wb.streams.find("again")
wb.view([wb.streams.TopN(again, "watch", by="page"), again])"""


def test_a_page_that_is_open_when_a_run_in_processes_ends_sees_its_last_state_and_goes_on_with_the_next(
    viewer: ViewerServer, register: Register, chromium: Browser, tmp_path: Path
) -> None:
    (tmp_path / "day").mkdir()
    pq.write_table(pa.table({"at": range(5_000), "page": ["/cart"] * 5_000}), tmp_path / "day" / "a.parquet")
    topology = Topology("again").spout("views", ParquetReplay(str(tmp_path / "day"), time="at", speed=1e-6))
    running = topology.bolt("watch", LiveSink(), inputs="views").run("processes", workers=1, register=register)
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        assert running.engine is not None
        page.goto(viewer.publish("again", "# Again", AGAIN), wait_until="commit")
        graph, views = page.locator(".wb-Topology"), page.locator(".wb-Streams")
        counted = views.locator("[data-kind=top] td").nth(1)
        for one in (graph, views):
            expect(one.locator(".wb-Badge")).to_have_text("running", timeout=90_000)
        expect(counted).to_have_text("1", timeout=60_000)
        page.evaluate("window.__loaded = 1")
        running.stop()
        for one in (graph, views):
            expect(one.locator(".wb-Badge")).to_have_text("stopped", timeout=60_000)
            expect(one.locator(".wb-Refused")).to_be_hidden()
        expect(counted).to_have_text("1")
        running.replay(1_000_000)
        expect(counted).to_have_text("5,000", timeout=60_000)
        for one in (graph, views):
            expect(one.locator(".wb-Badge")).to_have_text("done", timeout=60_000)
            expect(one.get_by_role("button")).to_have_count(0)
        assert page.evaluate("window.__loaded") == 1
    finally:
        page.screenshot(path=tmp_path / "again.png")
        page.close()
        if running.following is not None:
            running.following.stop()
        running.stop()
    assert errors == []


def test_a_ticket_is_good_across_the_end_of_a_run_in_processes_whatever_the_way(
    viewer: ViewerServer, register: Register, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    pq.write_table(pa.table({"at": range(100)}), tmp_path / "a.parquet")
    topology = Topology("tickets").spout("numbers", ParquetReplay(str(tmp_path), time="at", speed=1e-6))
    running = topology.run("processes", workers=1, register=register)
    engine, looking = running.engine, list[Viewer]()
    assert engine is not None
    viewer.publish("tickets", "print(1)")
    page, cookies = viewer.dashboards.get("tickets").page, viewer.logged_in().cookies
    who = {"Cookie": "; ".join(f"{one.name}={one.value}" for one in cookies)}

    def look(run: str) -> list[Viewer]:
        topic = f"runs/{run}/topology"
        return [way(f"{viewer.url}/workbench/api/", topic, who, ticket) for way in WAYS.values()]

    def seen(viewers: list[Viewer], what: Callable[[dict[str, Any]], bool]) -> bool:
        assert not [one.error or one.frames for one in viewers if one.error or "error" in ({}, *one.frames)[-1]]
        return all(what(one.state) for one in viewers)

    try:
        ticket = tickets.ticket(engine, f"runs/{running.id}/topology", page)
        looking += look(running.id)
        eventually(lambda: seen(looking, lambda state: state.get("state") == "running"), within=60)
        running.stop()
        looking += look(running.id)  # who comes later is let in with the same one
        eventually(lambda: seen(looking, lambda state: state.get("state") == "stopped"), within=60)
        following = running.replay(1_000_000)
        eventually(lambda: seen(looking, lambda state: "next" in state), within=60)
        then = look(following.id)  # and with the same one to where it goes on
        looking += then
        eventually(lambda: seen(then, lambda state: state.get("state") == "done"), within=60)
    finally:
        for one in looking:
            one.close()
        (running.following or running).stop()


def test_a_topology_that_does_not_run_is_said_by_name(register: Register, running: Running) -> None:
    from workbench.contract.errors import UnknownName
    from workbench.streams import find

    assert find("shop", register=register).id == running.id
    with pytest.raises(UnknownName, match="Did you mean `shop`"):
        find("shp", register=register)


IMG, SCRIPT = "<img src=x onerror=window.hacked=1>", "</script><script>window.hacked=1</script>"
HOSTILE = (
    IMG, SCRIPT, '"><svg onload="window.hacked=1">', "javascript:window.hacked=1", "<!--", "${window.hacked=1}{{7*7}}",
    '<iframe srcdoc="<script>parent.hacked=1</script>">', "\x1b[31mred\x1b[0m", "\u202egnp.exe\u2066", "x" * 50_000,
    "__proto__", "constructor", "\ud800", "nul\0", "' onmouseover='window.hacked=1",
)  # fmt: skip
SHOWN = f"""import workbench as wb
from workbench.streams import *
odd = wb.streams.find("odd")
IMG, SCRIPT = {IMG!r}, {SCRIPT!r}
wb.view([
    Series(odd, "watch", x="at", y="n", by="text", title=IMG, unit=SCRIPT, lines=12),
    Gauge(odd, "watch", y="n", title=IMG, unit=IMG),
    TopN(odd, "watch", by="text", y="n", n=20, title=SCRIPT, unit=IMG), LiveTable(odd, "watch"),
    FunnelNow(odd, "watch", step="text", steps=(IMG, SCRIPT, "__proto__")), odd,
])"""


def test_nothing_that_is_told_runs_in_the_page(
    viewer: ViewerServer, register: Register, chromium: Browser, tmp_path: Path
) -> None:
    """Rows, their fields, titles, errors and what is printed, in every view."""

    @spout("text", "n", "at", IMG)
    def rows() -> Iterator[tuple[str, int, int, str]]:
        for number, one in enumerate(HOSTILE * 2):
            yield one, 1_000 - number, number * 60_000, one
        gate.wait(60)
        raise ValueError(f"it broke {IMG}{SCRIPT}")

    class Odd(Bolt):
        def execute(self, tuple: Any) -> None:  # noqa: A002
            print(tuple.text)
            raise ValueError(tuple.text)

    gate = threading.Event()
    topology = Topology("odd", max_retries=0).spout("rows", rows).bolt("watch", LiveSink(), inputs="rows")
    running = topology.bolt("odd", Odd, inputs="rows").run(register=register)
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    try:
        page.goto(viewer.publish("odd", "# \\" + IMG, SHOWN), wait_until="commit")
        views, graph = page.locator(".wb-Streams"), page.locator(".wb-Topology")
        expect(views.locator("[data-kind=table] tbody tr")).to_have_count(20, timeout=90_000)
        expect(views.locator("[data-kind=table] thead th").last).to_have_text(IMG)
        expect(views.locator("[data-kind=top] th").get_by_text(IMG, exact=True)).to_be_visible()
        expect(views.locator("[data-kind=series] .u-legend").get_by_text("onload").first).to_be_attached()
        graph.locator("summary").click()
        expect(graph.locator(".wb-Log")).to_contain_text(IMG)
        gate.set()
        expect(graph.locator(".wb-Badge")).to_have_text("failed", timeout=60_000)
        expect(graph.locator(".wb-Refused")).to_contain_text(f"it broke {IMG}{SCRIPT}")
        expect(views.locator(".wb-Refused")).to_contain_text("it broke")
        page.screenshot(path=tmp_path / "odd.png", full_page=True)
        assert page.evaluate("() => window.hacked") is None
        assert page.evaluate("() => Object.prototype.hasOwnProperty.call({}, 'n')") is False
        assert page.evaluate("() => document.documentElement.scrollWidth - innerWidth") <= 0
        wide = "cells => cells.filter(cell => cell.scrollWidth > cell.clientWidth).map(cell => cell.dataset.kind)"
        assert views.locator("[data-kind=series], [data-kind=gauge], [data-kind=table]").evaluate_all(wide) == []
        page.goto(f"{viewer.url}/")
        expect(page.get_by_role("link", name="window.hacked")).to_be_visible()
        assert page.evaluate("() => window.hacked") is None
    finally:
        page.close()
        gate.set()
        running.stop()
    assert errors == []
