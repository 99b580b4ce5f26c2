"""From Lab to a dashboard: the button above a notebook, the launcher's card, and the offer of the first start."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.jupyter import WORKBENCH_LAB, JupyterServer, LabPage
from workbench import demo
from workbench.catalog import Catalog
from workbench.dashboards.process import stop
from workbench.demo.shape import Shape

WIDGET = "import ipywidgets as w\nw.Label('as it ' 'is seen')"


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A first start: the demo is there, and nothing is published."""
    folder = tmp_path_factory.mktemp("share")
    catalog = Catalog(folder / "workbench")
    demo.ensure(catalog, Shape(scale=0.02))
    catalog.close()
    server = JupyterServer(folder, (sys.executable, *WORKBENCH_LAB.split()), {"WORKBENCH_NEW_DEMO": "1"})
    yield server
    stop(folder / "workbench")
    server.close()


def other_errors(page: Page) -> list[str]:
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda said: found.append(said.text) if said.type == "error" else None)
    return found


@pytest.fixture
def no_network(lab: LabPage) -> Iterator[None]:
    """Whatever a page asks of another machine is refused, and fails the test."""
    asked: list[str] = []

    def elsewhere(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    lab.page.context.route(lambda url: not url.startswith(("http://127.0.0.1:", "data:", "blob:")), elsewhere)
    yield
    assert asked == []


@pytest.mark.usefixtures("no_network")
def test_the_report_in_lab_without_a_network(lab: LabPage, tmp_path: Path) -> None:
    errors = other_errors(lab.page)
    missing: list[str] = []
    lab.page.on("response", lambda answer: missing.append(answer.url) if answer.status >= 400 else None)
    lab.page.set_viewport_size({"width": 1200, "height": 1600})
    lab.open("06_dashboard.ipynb")
    lab.run_all()
    expect(lab.page.locator(".js-plotly-plot .barlayer .bars").first).to_be_visible(timeout=60_000)
    lab.page.screenshot(path=tmp_path / "report.png")
    assert lab.failures() == []
    assert missing == []
    assert errors == []


@pytest.mark.usefixtures("no_network")
def test_the_first_start_offers_the_demo_s_dashboard(lab: LabPage, tmp_path: Path) -> None:
    lab.open("01_first_look.ipynb")
    offer = lab.page.get_by_role("button", name="Open its dashboard")
    expect(offer).to_be_visible()
    lab.page.screenshot(path=tmp_path / "offer.png")
    with lab.page.context.expect_page() as opened:
        offer.click()
    dashboard = opened.value
    errors = other_errors(dashboard)
    expect(lab.page.get_by_role("button", name="Copy the link")).to_be_visible(timeout=60_000)
    expect(dashboard.locator(".js-plotly-plot .barlayer .bars").first).to_be_visible(timeout=90_000)
    assert "#" not in dashboard.url, "the token is in no history"
    assert dashboard.evaluate("() => window.opener") is None
    dashboard.screenshot(path=tmp_path / "dashboard.png", full_page=True)
    dashboard.locator("select").filter(has_text="plausible").select_option("plausible")
    expect(dashboard.locator(".js-plotly-plot", has_text="plausible").first).to_be_visible(timeout=60_000)
    assert errors == []
    lab.page.reload()
    lab.page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    lab.page.wait_for_timeout(2_000)
    expect(offer).to_have_count(0)  # something is published


def test_the_button_above_a_notebook_publishes_it_as_it_is(lab: LabPage, tmp_path: Path) -> None:
    lab.open("mine.ipynb", WIDGET)
    lab.page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.setSource("
        "\"import ipywidgets as w\\nw.Label('as it ' 'was just typed')\")"
    )
    lab.page.screenshot(path=tmp_path / "toolbar.png")
    with lab.page.context.expect_page() as opened:
        lab.page.get_by_role("button", name="Publish this notebook as a dashboard").click()
    expect(opened.value.locator(".widget-label").last).to_have_text("as it was just typed", timeout=90_000)
    saved = json.loads((lab.server.root / "mine.ipynb").read_text())
    assert "was just typed" in "".join(saved["cells"][0]["source"])


def test_a_refusal_is_said_in_lab_and_leaves_no_tab(lab: LabPage) -> None:
    lab.open("wrong.ipynb", "import workbench as wb\nn = 3\nwb.parameters(top={'type': 'integer', 'default': n})")
    with lab.page.context.expect_page() as opened:
        lab.page.get_by_role("button", name="Publish this notebook as a dashboard").click()
    expect(lab.page.get_by_text("It was not published.").first).to_be_visible()
    if not opened.value.is_closed():
        opened.value.wait_for_event("close")


def test_the_launcher_has_it(lab: LabPage, chromium: Browser) -> None:
    lab.open("empty.ipynb", "1")
    lab.page.locator("[data-command='launcher:create']").first.click()
    with lab.page.context.expect_page() as opened:
        lab.page.locator(".jp-LauncherCard", has_text="Demo dashboard").first.click()
    expect(opened.value.locator(".js-plotly-plot .barlayer .bars").first).to_be_visible(timeout=90_000)
