"""Views of streams in Lab: a dashboard that moves on while a cell spins, in both themes, and goes on with a replay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.jupyter import JupyterServer, LabPage
from tests.browser.test_topology import RUN_LAST, SPIN

DASHBOARD = """import pyarrow as pa, pyarrow.parquet as pq, pathlib
import workbench as wb
from workbench.streams import *

pathlib.Path("day").mkdir()
times = range(0, 7_200_000, 500)  # two hours
pages = [f"/{n * n % 7}" for n in range(len(times))]
pages[100] = "<img src=x onerror=window.__hit=1>"
pq.write_table(pa.table({"at": times, "page": pages}), "day/a.parquet")

@bolt("end", "page", "views")
def minutes(window):
    found = {}
    for row in window:
        found[row.page] = found.get(row.page, 0) + 1
    return [(window.end, page, count) for page, count in found.items()]

@bolt("at", "level", "what")
def alerts(row):
    return [(row.end, "alarm", f"{row.page} & more")] if row.views > 30 else []

t = Topology("shop").spout("views", ParquetReplay("day", time="at", speed=60))
t.bolt("minutes", minutes, inputs="views", window=tumbling("1m", time="at"))
t.bolt("alerts", alerts, inputs="minutes")
run = t.run()
wb.view([
    [Gauge(run, "minutes", y="views", x="end", title="Views a minute"),
     Series(run, "minutes", x="end", y="views", by="page")],
    [TopN(run, "minutes", by="page", y="views", x="end", over="1h"), LiveTable(run, "alerts", x="at", level="level"),
     FunnelNow(run, "minutes", step="page", steps=("/0", "/1", "/2"), y="views", reached=False)],
])"""
TOPOLOGY = "wb.view(run)"


@pytest.fixture(scope="module")
def jupyter(workbench_lab: JupyterServer) -> JupyterServer:
    return workbench_lab


@pytest.fixture
def views(lab: LabPage) -> Iterator[Locator]:
    lab.page.set_viewport_size({"width": 1400, "height": 1900})
    lab.open("views.ipynb", DASHBOARD, TOPOLOGY, SPIN)
    lab.run(0)
    found = lab.output(0).locator(".wb-Streams")
    expect(found.locator(".wb-Badge")).to_have_text("running", timeout=60_000)
    yield found
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    assert lab.errors == []


def test_a_dashboard_moves_while_a_cell_spins_and_goes_on_with_a_replay(
    views: Locator, lab: LabPage, tmp_path: Path
) -> None:
    page = lab.page
    lab.run(1)
    graph = lab.output(1).locator(".wb-Topology")
    expect(graph.locator(".wb-Badge")).to_have_text("running", timeout=60_000)
    expect(views.locator(".wb-Cell")).to_have_count(5)
    expect(views.locator(".wb-DashRow")).to_have_count(2)
    page.evaluate(RUN_LAST)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=busy]").wait_for()
    number = views.locator(".wb-Number")
    expect(number).to_have_text("120", timeout=60_000)
    scope = views.locator("[data-kind=top] .wb-Scope")
    expect(scope).to_contain_text("the hour before", timeout=60_000)
    before = scope.inner_text()
    expect(scope).not_to_have_text(before, timeout=60_000)
    expect(views.locator("[data-kind=series] canvas")).to_have_count(1, timeout=60_000)
    expect(views.locator("[data-kind=top] tbody tr").first).to_contain_text("/", timeout=60_000)
    expect(views.locator("[data-kind=table] tr[data-level=alarm]").first).to_contain_text("& more", timeout=60_000)
    expect(views.locator("[data-kind=funnel] tbody tr")).to_have_count(3)
    page.screenshot(path=tmp_path / "light.png")
    lab.theme(dark=True)
    page.screenshot(path=tmp_path / "dark.png")
    lab.theme(dark=False)

    graph.get_by_label("How fast it is played again").select_option("86400")
    graph.get_by_role("button", name="Replay").click()
    expect(graph.locator(".wb-Badge")).to_have_text("done", timeout=60_000)
    expect(views.locator(".wb-Badge")).to_have_text("done", timeout=60_000)
    expect(views.locator("[data-kind=table] .wb-Foot")).to_contain_text("the newest 20 of", timeout=60_000)
    assert views.locator("[data-kind=series] .u-legend").get_by_text("<img src=x").count() <= 1
    assert page.evaluate("window.__hit ?? 0") == 0
    expect(graph.get_by_role("button", name="Stop")).to_be_disabled()
    graph.get_by_role("button", name="Replay").click()  # what is over is played again, too
    expect(graph.locator(".wb-Badge")).to_have_text("done", timeout=60_000)
