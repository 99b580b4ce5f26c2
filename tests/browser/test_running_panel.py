"""What runs, in the panel: figures, Stop at the server, also while the kernel is busy with it, and the history."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import JupyterServer, LabPage
from tests.browser.panel import Panel
from tests.services.mysql.server import Server
from workbench.catalog import places
from workbench.runs import Register

ENDLESS = "%%sql\nselect sum(v) from crm.endless"
START = """async () => {
  const panel = window.jupyterapp.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
  window.jupyterapp.commands.execute('notebook:run-all-cells');
}"""


@pytest.fixture(scope="module")
def jupyter(workbench_lab: JupyterServer) -> JupyterServer:
    return workbench_lab


@pytest.fixture
def panel(lab: LabPage) -> Iterator[Panel]:
    shown = Panel(lab)
    yield shown
    assert shown.errors == []


@pytest.fixture
def endless(mariadb: Server) -> Callable[[], bool]:
    """Whether the server works on it."""
    return lambda: any("endless" in text for _, user, text in mariadb.running() if user == "writer")


def test_a_query_is_stopped_from_the_panel(
    panel: Panel, endless: Callable[[], bool], eventually: Callable[..., object], tmp_path: Path
) -> None:
    panel.lab.open("long.ipynb", ENDLESS, "1 + 1")
    panel.open()
    panel.page.evaluate(START)
    eventually(endless, within=30)
    run = panel.runs()
    expect(run).to_have_count(1)
    expect(run).to_contain_text("select sum(v) from crm.endless")
    expect(run).to_contain_text("from crm")
    expect(run.locator(".wb-Run-natives")).to_contain_text("crm: ")
    expect(panel.page.locator(".wb-Status")).to_have_text("1 query runs")
    panel.page.screenshot(path=tmp_path / "running.png")
    panel.page.get_by_label("Stop select sum(v) from crm.endless").click()
    eventually(lambda: not endless(), within=2.0)
    expect(run).to_have_count(0)
    expect(panel.lab.output(0)).to_contain_text("Cancelled: The query was stopped.")

    first = panel.history().first
    expect(first).to_contain_text("stopped")
    expect(first).to_contain_text("from crm")
    first.hover()
    first.get_by_role("button").click()
    assert panel.sources().count(ENDLESS) == 2  # as it was written


def test_stop_all_from_the_palette_with_two_kernels(
    panel: Panel, endless: Callable[[], bool], eventually: Callable[..., object]
) -> None:
    panel.lab.open("one.ipynb", ENDLESS)
    panel.page.evaluate(START)
    eventually(endless, within=30)
    panel.lab.server.write("two.ipynb", "%%sql --native crm\nselect sleep(50) as endless")
    panel.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:open', {path: 'two.ipynb'})")
    panel.page.wait_for_function("() => window.jupyterapp.shell.currentWidget?.context?.path === 'two.ipynb'")
    panel.page.evaluate(START)
    panel.open()
    expect(panel.runs()).to_have_count(2, timeout=60_000)
    panel.command("workbench:stop-all")
    eventually(lambda: not endless(), within=4.0)
    expect(panel.runs()).to_have_count(0)


def test_a_stop_that_failed_says_why_and_can_be_tried_again(panel: Panel) -> None:
    register = Register(places.register(panel.lab.server.folder / "workbench"))
    run = register.begin("native", "select deaf", connections=("gone",))
    run.native_started("gone", "41")  # its owner, this process, does not listen; its source nobody knows
    try:
        panel.lab.open("deaf.ipynb", "1 + 1")
        panel.open()
        line = panel.runs().filter(has_text="select deaf")
        stop = line.get_by_label("Stop select deaf")
        for _ in range(2):
            stop.click()
            expect(stop).to_be_disabled()
            expect(line.get_by_role("alert")).to_be_hidden()
            expect(line.get_by_role("alert")).to_contain_text("It may still run at its source: gone 41")
            expect(stop).to_be_enabled()
    finally:
        run.native_ended("gone", "41")
        run.finish("stopped")
        register.close()
    expect(line).to_have_count(0)


def test_a_failed_query_says_why_in_the_history(panel: Panel) -> None:
    panel.lab.open("failed.ipynb", "%%sql --native crm\nselect * from no_such_table")
    panel.lab.run(0)
    expect(panel.lab.output(0)).to_contain_text("no_such_table")
    panel.open()
    line = panel.history().filter(has_text="no_such_table").first
    expect(line).to_contain_text("failed")
    expect(line.locator("[data-kind=bad]")).to_contain_text("no_such_table")
    panel.node.get_by_label("Search the history").fill("endless")
    expect(panel.history().filter(has_text="no_such_table")).to_have_count(0)


def test_the_history_offers_what_can_be_asked_again(panel: Panel) -> None:
    register = Register(places.register(panel.lab.server.folder / "workbench"))
    register.begin("write", "write crm.copy of rows", connections=("crm",)).finish("done")
    register.begin("explain", "", "select 'looked at'").finish("done")
    register.close()
    panel.lab.open("again.ipynb", "1 + 1")
    panel.open()
    panel.node.get_by_label("Search the history").fill("copy of rows")
    line = panel.history().filter(has_text="write crm.copy")
    expect(line).to_contain_text("0 rows written")
    expect(line.get_by_role("button")).to_have_count(0)
    panel.node.get_by_label("Search the history").fill("looked at")
    line = panel.history().filter(has_text="looked at")
    expect(line).to_contain_text("explained")
    expect(line.get_by_role("button")).to_have_count(1)
    panel.node.get_by_label("Search the history").fill("")
