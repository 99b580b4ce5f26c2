"""Dashboards in a real browser, for which this machine has no network but itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.dashboards.conftest import FAILS, FIGURE, SLIDER, ViewerServer

Eventually = Callable[..., object]


@pytest.fixture
def context(chromium: Browser, viewer: ViewerServer) -> Iterator[BrowserContext]:
    """A page that asks for anything elsewhere, or throws, fails its test."""
    context = chromium.new_context(viewport={"width": 1200, "height": 800})
    context.set_default_timeout(90_000)
    expect.set_options(timeout=90_000)
    wrong: list[str] = []

    def asked(url: str) -> None:
        if not url.startswith((viewer.url + "/", "data:", "blob:")):
            wrong.append(url)

    def opened(page: Page) -> None:
        page.on("request", lambda request: asked(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))

    context.on("page", opened)
    yield context
    context.close()
    expect.set_options(timeout=5_000)
    assert not wrong


@pytest.fixture(autouse=True)
def jp_asyncio_loop() -> None:
    """In place of pytest-jupyter's, which would close the loop that Playwright is running in this thread."""


def test_the_link_opens_it_and_widgets_move(
    viewer: ViewerServer, context: BrowserContext, eventually: Eventually, tmp_path: Path
) -> None:
    link = viewer.publish("orders", "# Orders of the shop", SLIDER, FIGURE)
    page = context.new_page()
    page.goto(link.replace("#", "?country=DE&theme=dark#"), wait_until="commit")
    expect(page.locator("#wb-step")).to_contain_text("Starting")
    expect(page.locator(".jupyter-widgets.widget-label").last).to_have_text("top 3 of DE")
    assert page.title() == "Orders of the shop"
    expect(page.locator(".wb-asked")).to_have_text("This link asks for country: DE. Show it without")
    assert viewer.token not in page.url
    expect(page.locator(".js-plotly-plot .bars").first).to_be_visible()
    handle = page.locator(".noUi-handle")
    handle.focus()
    handle.press("ArrowRight")
    expect(page.locator(".jupyter-widgets.widget-label").last).to_have_text("top 4 of DE")
    for word in ("source_mark", "import ipywidgets"):
        assert word not in page.content()
    assert page.evaluate("() => document.body.dataset.jpThemeLight") == "false"
    page.screenshot(path=tmp_path / "dark.png")
    before = viewer.kernels()
    page.close(run_before_unload=False)
    page = context.new_page()
    page.goto(f"{viewer.url}/d/orders")
    expect(page.locator(".jupyter-widgets.widget-label").last).to_have_text("top 3 of all")
    expect(page.locator(".wb-asked")).to_have_count(0)
    page.screenshot(path=tmp_path / "light.png")
    page.goto(f"{viewer.url}/")
    expect(page.get_by_role("link", name="Orders of the shop")).to_be_visible()
    eventually(lambda: viewer.kernels() < max(before, 1), within=90)  # a page that left without a word has 30 s


def test_a_long_page_is_scrolled_by_wheel_and_keys(
    viewer: ViewerServer, context: BrowserContext, tmp_path: Path
) -> None:
    link = viewer.publish(
        "long", *[f"# Part {number}\n\n" + "text\n\n" * 12 for number in range(6)], "print('the end')"
    )
    page = context.new_page()
    page.goto(link, wait_until="commit")
    last = page.get_by_text("the end", exact=True)
    expect(last).to_be_visible()
    expect(last).not_to_be_in_viewport()
    page.mouse.move(600, 400)
    for _ in range(30):
        page.mouse.wheel(0, 400)
        page.wait_for_timeout(20)
    expect(last).to_be_in_viewport()
    page.keyboard.press("Home")
    expect(page.get_by_role("heading", name="Part 0")).to_be_in_viewport()
    page.screenshot(path=tmp_path / "long.png", full_page=True)


def test_what_goes_wrong_is_a_sentence(viewer: ViewerServer, context: BrowserContext) -> None:
    link = viewer.publish("fails", "# Fails", "print('before')", FAILS, "print('after')")
    page = context.new_page()
    page.goto(link.replace(viewer.token, "wrong"))
    expect(page.get_by_role("alert")).to_contain_text("not the password")
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator("#rendered_cells")).to_contain_text("before")
    expect(page.locator(".wb-failed")).to_contain_text("could not be computed")
    assert "TRACEBACK-MARK" not in page.content()
    viewer.dashboards.remove("fails")
    page.goto(f"{viewer.url}/d/fails")
    expect(page.locator("h1")).to_have_text("Not there")


@pytest.mark.parametrize("times", [3, pytest.param(50, marks=pytest.mark.deep)])
def test_kernels_are_as_many_as_viewers(
    viewer: ViewerServer, context: BrowserContext, eventually: Eventually, times: int
) -> None:
    viewer.publish("plain", "# Plain", "import ipywidgets as w\nw.Label('here')")
    eventually(lambda: viewer.kernels() == 0, within=60)
    page = context.new_page()
    page.goto(f"{viewer.url}/login#{viewer.token}")
    page.wait_for_url(f"{viewer.url}/")
    page.goto(f"{viewer.url}/d/plain")
    for _ in range(times):
        expect(page.locator(".widget-label")).to_have_text("here")
        page.reload()
    expect(page.locator(".widget-label")).to_have_text("here")
    eventually(lambda: viewer.kernels() == 1, within=20)
    page.goto("about:blank")
    eventually(lambda: viewer.kernels() == 0, within=20)


def test_a_browser_that_is_killed_leaves_no_kernel(viewer: ViewerServer, eventually: Eventually) -> None:
    viewer.publish("busy", "# Busy", "print(1)")
    eventually(lambda: viewer.kernels() == 0, within=60)  # whatever the tests before have left
    session = viewer.logged_in()
    viewer.kernel_of(session, "busy")  # and nobody ever connects to it
    assert viewer.kernels() == 1
    eventually(lambda: viewer.kernels() == 0, within=60)


def test_a_page_says_how_far_it_is_and_shows_what_is_there_by_then(
    viewer: ViewerServer, context: BrowserContext, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    waits = f"import pathlib, time\nwhile not pathlib.Path({str(gate)!r}).exists():\n    time.sleep(0.05)"
    link = viewer.publish("slow", "# Orders of the shop", FIGURE, "# Of this year", waits, "print('the end')")
    page = context.new_page()
    page.goto(link, wait_until="commit")
    step = page.locator("#wb-step")
    expect(step).to_have_text("Starting: cell 4 of 5")
    expect(page.get_by_text("Of this year")).to_be_visible()
    assert page.locator("#wb-progress").evaluate("bar => [bar.value, bar.max]") == [3, 5]
    expect(page.locator(".js-plotly-plot")).to_have_count(0)  # drawn when all is computed
    page.screenshot(path=tmp_path / "starting.png")
    gate.touch()
    expect(step).to_have_count(0)
    expect(page.locator(".js-plotly-plot .bars").first).to_be_visible()
    expect(page.get_by_text("the end")).to_be_visible()
    page.close()


def test_a_page_that_breaks_off_says_so(viewer: ViewerServer, context: BrowserContext) -> None:
    link = viewer.publish("broken", "# Orders of the shop", "import os\nos._exit(1)", "print('the end')")
    page = context.new_page()
    page.goto(link, wait_until="commit")
    expect(page.locator(".wb-failed")).to_be_visible()
    expect(page.get_by_text("Orders of the shop").last).to_be_visible()
    page.close()
