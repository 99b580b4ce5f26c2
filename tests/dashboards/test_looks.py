"""How the viewer's pages look in dark and light, that those who do not see them can use them, and that none of them
wants anything from the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.dashboards.conftest import FAILS, FIGURE, SLIDER, ViewerServer

pytestmark = pytest.mark.deep  # a browser for minutes

EXPECTED = ("status of 400", "status of 401", "status of 404")
"""Chromium says of each page that is not there that it is not."""
Open = Callable[[str], Page]


@pytest.fixture(autouse=True)
def jp_asyncio_loop() -> None:
    """In place of pytest-jupyter's, which would close the loop that Playwright is running in this thread."""


class Fenced:
    """A browser for which there is nothing but the viewer: what it asks elsewhere is refused, and written down."""

    def __init__(self, chromium: Browser, viewer: ViewerServer, *, dark: bool) -> None:
        self.viewer, self.asked, self.errors = viewer, list[str](), list[str]()
        self.context: BrowserContext = chromium.new_context(
            viewport={"width": 1100, "height": 800}, color_scheme="dark" if dark else "light"
        )
        self.context.set_default_timeout(90_000)
        self.context.route(lambda url: not url.startswith((viewer.url + "/", "data:", "blob:")), self._elsewhere)
        self.context.on("page", self._opened)

    def _elsewhere(self, route: Route) -> None:
        self.asked.append(route.request.url)
        route.abort()

    def _opened(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)

    def settled(self) -> None:
        self.context.close()
        assert self.asked == []
        assert [one for one in self.errors if not any(known in one for known in EXPECTED)] == []


@pytest.fixture(params=["light", "dark"])
def fenced(chromium: Browser, viewer: ViewerServer, request: pytest.FixtureRequest) -> Iterator[Fenced]:
    made = Fenced(chromium, viewer, dark=request.param == "dark")
    yield made
    made.settled()


def serious(page: Page) -> list[str]:
    return [
        f"{one['id']}: {node['html'][:300]} {node['failureSummary']}"
        for one in Axe().run(page).response["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def test_each_page(fenced: Fenced, viewer: ViewerServer, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    theme = request.node.callspec.params["fenced"]
    link = viewer.publish("looks", "# Orders of the shop", SLIDER, FIGURE, "print('as text')", FAILS)
    page, found = fenced.context.new_page(), dict[str, list[str]]()

    def look(name: str) -> None:
        page.screenshot(path=tmp_path / f"{name}-{theme}.png", full_page=True)
        if problems := serious(page):
            found[name] = problems

    page.goto(f"{viewer.url}/login")
    look("login")
    page.get_by_label("Password or token").fill("wrong")
    page.get_by_role("button").click()
    expect(page.get_by_role("alert")).to_be_visible()
    look("login-wrong")
    page.goto(f"{viewer.url}/login#{viewer.token}")
    page.wait_for_url(f"{viewer.url}/")
    look("list")
    page.goto(f"{viewer.url}/d/nothing")
    look("not-there")
    page.goto(f"{viewer.url}/d/looks?top=99")
    look("does-not-fit")
    page.goto(link.replace("#", f"?theme={theme}#"))
    expect(page.locator(".js-plotly-plot .bars").first).to_be_visible(timeout=60_000)
    expect(page.locator(".wb-failed")).to_be_visible()
    expect(page.locator(".jupyter-widgets.widget-label").last).to_have_text("top 3 of all", timeout=30_000)
    page.wait_for_timeout(1_000)
    look("dashboard")
    assert not found, "\n".join(f"{name}: {one}" for name, problems in found.items() for one in problems)
