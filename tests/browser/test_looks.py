"""How the panel, the form, a sample and SQL cells look, dark and bright, wide and narrow; and that those who do not see
them can use them: axe-core finds nothing serious."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.browser.jupyter import JupyterServer, LabPage
from tests.browser.panel import Panel

OURS = ["#workbench-panel", ".wb-Strip", ".wb-Sample", ".wb-ConnectionDialog", ".wb-Status"]


@pytest.fixture(scope="module")
def jupyter(workbench_lab: JupyterServer) -> JupyterServer:
    return workbench_lab


@pytest.fixture
def panel(lab: LabPage) -> Iterator[Panel]:
    shown = Panel(lab)
    yield shown
    assert shown.errors == []


def serious(panel: Panel) -> list[str]:
    """What axe-core finds in what is ours and in sight."""
    there = [one for one in OURS if panel.page.locator(f"{one}:visible").count()]
    found = Axe().run(panel.page, context={"include": [[one] for one in there]})
    return [
        f"{one['id']}: {node['html'][:300]} {node['failureSummary']}"
        for one in found.response["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def test_it_looks_right_and_is_accessible(panel: Panel, tmp_path: Path) -> None:
    panel.lab.open(
        "looks.ipynb", "%%sql\nselect count(*) as orders\nfrom shop.orders", "%%sql\nselect * from shop.ordrs"
    )
    panel.lab.run(0)
    panel.lab.run(1)
    panel.open()
    panel.row("crm").click()
    panel.row("orders").click()
    expect(panel.row("order_id")).to_be_visible()
    expect(panel.history().first).to_be_visible()
    found: list[str] = []
    for dark in (False, True):
        panel.lab.theme(dark=dark)
        for width in (1280, 720):
            panel.page.set_viewport_size({"width": width, "height": 800})
            panel.page.screenshot(path=tmp_path / f"panel-{'dark' if dark else 'light'}-{width}.png")
            found += serious(panel)
        panel.page.set_viewport_size({"width": 1280, "height": 800})
        panel.row("orders").hover()
        panel.page.get_by_label("First rows of orders").click()
        expect(panel.page.locator(".wb-Table tbody tr")).to_have_count(100)
        panel.page.screenshot(path=tmp_path / f"sample-{'dark' if dark else 'light'}.png")
        found += serious(panel)
        panel.page.evaluate("() => window.jupyterapp.shell.currentWidget.close()")
        panel.node.get_by_role("button", name="Add a connection").click()
        panel.dialog.get_by_label("Kind", exact=True).select_option(label="MySQL and MariaDB")
        panel.dialog.get_by_text("More").click()
        panel.page.screenshot(path=tmp_path / f"form-{'dark' if dark else 'light'}.png")
        found += serious(panel)
        panel.page.keyboard.press("Escape")
        expect(panel.dialog).to_have_count(0)
    assert not found, "\n".join(found)
