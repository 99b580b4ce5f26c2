"""The line above SQL cells: where they are asked, Explain, Stop; and errors underlined at their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.jupyter import JupyterServer, LabPage
from tests.browser.panel import Panel
from tests.services.mysql.server import Server


@pytest.fixture(scope="module")
def jupyter(workbench_lab: JupyterServer) -> JupyterServer:
    return workbench_lab


@pytest.fixture(scope="module")
def shown(module_lab: LabPage) -> Panel:
    module_lab.open("tools.ipynb", "x = 1")
    return Panel(module_lab)


@pytest.fixture
def page(shown: Panel) -> Iterator[Panel]:
    yield shown
    assert shown.errors == []
    assert shown.lab.errors == []


def strip(page: Panel, number: int) -> Locator:
    return page.lab.cell(number).locator(".wb-Strip")


def test_the_connection_is_chosen_and_explained(page: Panel, tmp_path: Path) -> None:
    page.lab.refill("%%sql totals <<\nselect count(*) as n from orders", "x = 1")
    expect(strip(page, 1)).to_have_count(0)
    where = strip(page, 0).get_by_label("Where this cell is asked")
    for name in ("SQL · all connections", "crm · its own SQL", "shop · its own SQL"):  # and what other tests connected
        expect(where.locator("option").get_by_text(name, exact=True)).to_have_count(1)
    where.select_option("crm")
    assert page.sources()[0] == "%%sql totals << --native crm\nselect count(*) as n from orders"
    strip(page, 0).get_by_role("button", name="Explain").click()
    expect(page.lab.output(0)).to_contain_text("crm", timeout=60_000)  # a kernel that has done nothing yet
    page.page.screenshot(path=tmp_path / "explained.png")
    where.select_option("")
    assert page.sources()[0] == "%%sql totals <<\nselect count(*) as n from orders"  # and no word of explain in it


def test_an_error_is_underlined_until_the_cell_is_edited(page: Panel, tmp_path: Path) -> None:
    page.lab.refill("%%sql\nselect *\nfrom shop.ordrs o", "%%sql\nselect a,, b from shop.orders")
    mark = [page.lab.cell(number).locator(".wb-Fault") for number in range(2)]
    page.lab.run(0)
    expect(mark[0]).to_have_text("shop.ordrs")
    page.lab.run(1)
    expect(mark[1]).to_have_text(",")
    for dark in (False, True):
        page.lab.theme(dark=dark)
        page.page.screenshot(path=tmp_path / f"marks-{'dark' if dark else 'light'}.png")
    page.lab.cell(0).locator(".cm-line").nth(1).click()
    page.page.keyboard.type(" ")
    expect(mark[0]).to_have_count(0)
    expect(mark[1]).to_have_count(1)
    page.lab.cell(1).locator(".cm-content").click()
    page.page.keyboard.press("Control+a")
    page.page.keyboard.type("%%sql\nselect 1 as one")
    page.lab.run(1)
    expect(page.lab.output(1)).to_contain_text("1 row")
    expect(mark[1]).to_have_count(0)


def test_stop_is_of_the_cell_that_runs(
    page: Panel, mariadb: Server, eventually: Callable[..., object], tmp_path: Path
) -> None:
    def endless() -> bool:
        return any("endless" in text for _, user, text in mariadb.running() if user == "writer")

    page.lab.refill("%%sql\nselect sum(v) from crm.endless", "%%sql\nselect 2 as two")
    stop = [strip(page, number).get_by_label("Stop this cell") for number in range(2)]
    expect(stop[0]).to_be_disabled()
    page.page.evaluate(
        "async () => { const p = window.jupyterapp.shell.currentWidget; await p.sessionContext.ready;"
        " await p.sessionContext.session.kernel.info; window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
    )
    eventually(endless, within=30)
    expect(stop[0]).to_be_enabled()
    expect(stop[1]).to_be_disabled()  # it only waits
    page.page.screenshot(path=tmp_path / "stop.png")
    stop[0].click()
    eventually(lambda: not endless(), within=2.0)
    expect(stop[0]).to_be_disabled()


def test_a_new_notebook_begins_with_sql(page: Panel) -> None:
    page.lab.refill("x = 1")
    page.command("workbench:new-sql-notebook")
    page.page.wait_for_function("() => /Untitled/.test(window.jupyterapp.shell.currentWidget?.context?.path ?? '')")
    expect(page.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .wb-Strip")).to_be_visible()
    assert page.sources() == ["%%sql\n"]
    page.page.evaluate("() => window.jupyterapp.commands.execute('launcher:create')")
    expect(page.page.locator(".jp-LauncherCard", has_text="SQL notebook")).to_be_visible()
