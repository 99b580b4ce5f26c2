"""A topology while it runs, seen in Lab: it moves on while a cell spins, and is paused and stopped all the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.jupyter import JupyterServer, LabPage

TOPOLOGY = """import itertools, time
import workbench as wb
from workbench.streams import Bolt, Topology, fields, spout

@spout("page")
def views():
    for number in itertools.count():
        yield f"/{number % 7}"
        if number % 50 == 0:
            time.sleep(0.01)

class Count(Bolt):
    outputs = ("page", "count")
    def prepare(self, config, context, collector):
        self.counts = {}
    def execute(self, tuple):
        count = self.counts[tuple.page] = self.counts.get(tuple.page, 0) + 1
        if count == 2 and tuple.page == "/3":
            print("<img src=x onerror=window.__hit=1>")
            raise ValueError("only once")
        self.collector.emit((tuple.page, count))

class Take(Bolt):
    def execute(self, tuple):
        pass

t = Topology("trending", max_spout_pending=500)
t.spout("views", views)
t.bolt("count", Count, inputs=[("views", fields("page"))], parallelism=2)
t.bolt("take", Take, inputs="count")
run = t.run()
wb.view(run)"""
SPIN = "while True:\n    pass"
LAST = """() => {
  const {cells} = window.jupyterapp.shell.currentWidget.content.model;
  return [...cells].map(cell => cell.sharedModel.getSource()).find(source => source.includes('streams.find'));
}"""
RUN_LAST = """() => {
  const panel = window.jupyterapp.shell.currentWidget;
  panel.content.activeCellIndex = panel.content.widgets.length - 1;
  void window.jupyterapp.commands.execute('notebook:run-cell');
}"""


@pytest.fixture(scope="module")
def jupyter(workbench_lab: JupyterServer) -> JupyterServer:
    return workbench_lab


@pytest.fixture
def view(lab: LabPage) -> Iterator[Locator]:
    lab.page.set_viewport_size({"width": 1400, "height": 1500})
    lab.open("live.ipynb", TOPOLOGY, SPIN)
    lab.run(0)
    found = lab.output(0).locator(".wb-Topology")
    expect(found.locator(".wb-Badge")).to_have_text("running")
    yield found
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    assert lab.errors == []


def number(view: Locator, component: str, column: int) -> int:
    cell = view.locator(f"tr[data-component={component}] td").nth(column)
    return int(cell.inner_text().replace(",", ""))


def test_a_topology_is_watched_paused_and_stopped_while_a_cell_spins(
    view: Locator, lab: LabPage, tmp_path: Path
) -> None:
    page = lab.page
    expect(view.locator(".wb-Name")).to_have_text("trending")
    expect(view.get_by_role("button", name="Replay")).to_be_hidden()  # its spout gives what happens now
    expect(view.locator(".wb-Box")).to_have_count(3)
    expect(view.locator(".wb-Edge")).to_have_count(2)
    expect(view.locator(".wb-EdgeRate").first).to_contain_text("/s")
    expect(view.locator(".u-wrap canvas")).to_have_count(2)
    page.evaluate(RUN_LAST)
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=busy]").wait_for()
    before = number(view, "count", 2)
    page.wait_for_function(
        "([node, before]) => Number(node.textContent.replaceAll(',', '')) > before",
        arg=[view.locator("tr[data-component=count] td").nth(2).element_handle(), before],
    )
    view.locator("summary").click()
    expect(view.locator(".wb-Log")).to_contain_text("count: ValueError: only once")
    expect(view.locator(".wb-Log")).to_contain_text("<img src=x")
    assert page.evaluate("window.__hit ?? 0") == 0
    page.screenshot(path=tmp_path / "running.png")

    view.get_by_role("button", name="Pause").click()
    expect(view.locator(".wb-Badge")).to_have_text("paused")
    lab.theme(dark=True)
    page.screenshot(path=tmp_path / "paused_dark.png")
    lab.theme(dark=False)
    view.get_by_role("button", name="Resume").click()
    expect(view.locator(".wb-Badge")).to_have_text("running")
    view.get_by_role("button", name="Stop").click()
    expect(view.locator(".wb-Badge")).to_have_text("stopped")
    expect(view.get_by_role("button", name="Stop")).to_be_disabled()
    assert number(view, "views", 1) == number(view, "views", 3) + number(view, "views", 4) + number(view, "views", 5)


def test_a_page_that_is_loaded_again_shows_it_and_the_panel_stops_it(view: Locator, lab: LabPage) -> None:
    page = lab.page
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.goto(page.url.partition("?")[0])
    page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext")
    lab.revealed()
    expect(view.locator(".wb-Badge")).to_have_text("running", timeout=60_000)  # by the kernel that is still there
    page.evaluate("() => window.jupyterapp.commands.execute('workbench:open')")
    expect(page.locator(".wb-Status")).to_have_text(re.compile(r"\d topolog(y|ies) runs?$"))
    row = page.locator("#workbench-panel .wb-Run", has_text="topology trending")
    expect(row).to_be_visible(timeout=30_000)
    expect(row).to_contain_text("tuples acked · ")
    expect(row.locator(".wb-Item-about").first).to_contain_text("/s", timeout=30_000)
    row.get_by_label("Insert a cell that shows topology trending").click()
    assert page.evaluate(LAST) == 'import workbench as wb\n\nwb.view(wb.streams.find("trending"))'
    row.hover()
    row.get_by_label("Stop topology trending").click()
    expect(row).to_have_count(0, timeout=30_000)
    over = page.locator("#workbench-panel .wb-History li", has_text="topology trending").first
    expect(over).to_contain_text("tuples acked", timeout=30_000)
    expect(over.get_by_role("button")).to_have_count(0)
