"""A JupyterLab server a session, a headless Chromium a module, a page a test.

The browser is not kept for the whole session: Playwright's event loop would stay in the main thread, in the way of
tests that run one of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.browser.jupyter import CHROMIUM_FLAGS, JupyterServer, LabPage
from tests.services.process import install


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    server = JupyterServer(tmp_path_factory.mktemp("jupyter"))
    yield server
    server.close()


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=install("chromium", "chromium"), args=CHROMIUM_FLAGS)
    yield browser
    browser.close()


@pytest.fixture
def lab(jupyter: JupyterServer, chromium: Browser, tmp_path: Path) -> Iterator[LabPage]:
    """Lab in a page of its own; what the page looked like at the end is in `tmp_path/last.png`."""
    context = chromium.new_context(viewport={"width": 1200, "height": 800})
    context.set_default_timeout(60_000)
    shown = LabPage(context.new_page(), jupyter)
    yield shown
    shown.page.screenshot(path=tmp_path / "last.png")
    context.close()
    assert not shown.errors
