"""Views of a topology in processes of its own, in Lab: they move on while a cell spins, and so do Pause, Stop and
Replay; what has ended stays to be seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.jupyter import JupyterServer, LabPage
from tests.browser.test_topology import RUN_LAST, SPIN

WAIT = 60_000
BOLTS = """%%bolts apart
from workbench.streams import Bolt

class Count(Bolt):
    outputs = ("page", "count")
    def prepare(self, config, context, collector):
        self.counts = {}
    def execute(self, tuple):
        self.counts[tuple.page] = count = self.counts.get(tuple.page, 0) + 1
        if count == 2 and tuple.page == "/3":
            print("twice <img src=x onerror=window.__hit=1>")
        self.collector.emit((tuple.page, count))"""
RUN = """import pyarrow as pa, pyarrow.parquet as pq, pathlib
import workbench as wb
from workbench.streams import *

pathlib.Path("apart").mkdir()
times = range(0, 7_200_000, 500)  # two hours
pq.write_table(pa.table({"at": times, "page": [f"/{n % 7}" for n in range(len(times))]}), "apart/a.parquet")
t = Topology("apart").spout("views", ParquetReplay("apart", time="at", speed=20))
t.bolt("count", Count, inputs=[("views", fields("page"))], parallelism=2)
run = t.run("processes", workers=2)
wb.view([run, TopN(run, "count", by="page"), Gauge(run, "count")])"""


@pytest.fixture(scope="module")
def jupyter(workbench_lab: JupyterServer) -> JupyterServer:
    return workbench_lab


@pytest.fixture
def output(lab: LabPage) -> Iterator[Locator]:
    lab.page.set_viewport_size({"width": 1400, "height": 1600})
    lab.open("apart.ipynb", BOLTS, RUN, SPIN)
    lab.run(0)
    lab.run(1)
    found = lab.output(1)
    expect(found.locator(".wb-Topology .wb-Badge")).to_have_text("running", timeout=WAIT)
    yield found
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    assert lab.errors == []


def test_it_is_watched_paused_stopped_and_played_again_while_a_cell_spins(
    output: Locator, lab: LabPage, tmp_path: Path
) -> None:
    page, view, streams = lab.page, output.locator(".wb-Topology"), output.locator(".wb-Streams")
    badges = [one.locator(".wb-Badge") for one in (view, streams)]
    expect(view.locator(".wb-Box")).to_have_count(2, timeout=WAIT)
    expect(view.locator(".wb-EdgeRate").first).to_contain_text("/s", timeout=WAIT)
    expect(streams.locator(".wb-Cell")).to_have_count(2, timeout=WAIT)
    page.evaluate(RUN_LAST)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=busy]").wait_for()
    executed, shown = view.locator("tr[data-component=count] td").nth(2), streams.locator(".wb-Number")
    for moving in (executed, shown):
        before = moving.inner_text()
        expect(moving).not_to_have_text(before, timeout=WAIT)
    expect(view.locator("tr[data-component=count] td").first).to_contain_text("/s", timeout=WAIT)
    page.screenshot(path=tmp_path / "running.png")

    for button, state in (("Pause", "paused"), ("Resume", "running"), ("Stop", "stopped")):
        view.get_by_role("button", name=button, exact=True).click()
        for badge in badges:
            expect(badge).to_have_text(state, timeout=WAIT)
    expect(view.get_by_role("button", name="Stop")).to_be_disabled(timeout=WAIT)
    ended = executed.inner_text()
    cells = view.locator("tr[data-component=views] td").all_inner_texts()  # of one moment
    emitted, _, acked, failed, pending = (int(cell.replace(",", "")) for cell in cells[1:6])
    assert emitted == acked + failed + pending > 0

    view.get_by_label("How fast it is played again").select_option("86400")
    view.get_by_role("button", name="Replay").click()
    for badge in badges:
        expect(badge).to_have_text("done", timeout=WAIT)
    expect(executed).not_to_have_text(ended, timeout=WAIT)
    expect(executed).to_have_text("14,400", timeout=WAIT)
    view.locator("summary").click()
    expect(view.locator(".wb-Log")).to_contain_text("twice <img src=x", timeout=WAIT)
    assert page.evaluate("window.__hit ?? 0") == 0
    lab.theme(dark=True)
    page.screenshot(path=tmp_path / "done_dark.png")
    lab.theme(dark=False)
