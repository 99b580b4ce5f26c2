"""JupyterLab servers a session, a headless Chromium a module, a page a test.

The browser is not kept for the whole session: Playwright's event loop would stay in the main thread, in the way of
tests that run one of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from tests.browser.jupyter import CHROMIUM_FLAGS, WORKBENCH_LAB, JupyterServer, LabPage, look_url
from tests.services.mysql.server import Server
from tests.services.process import install
from workbench import demo
from workbench.catalog import Catalog
from workbench.contract.secret import Secret
from workbench.demo.shape import Shape


@pytest.fixture(autouse=True)
def jp_asyncio_loop() -> None:
    """In place of pytest-jupyter's, which would close the loop that Playwright is running in this thread."""


@pytest.fixture(autouse=True)
def jp_server_cleanup() -> None:
    """In place of pytest-jupyter's: there is no server in this process."""


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    server = JupyterServer(tmp_path_factory.mktemp("jupyter"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def workbench_lab(tmp_path_factory: pytest.TempPathFactory, mariadb: Server) -> Iterator[JupyterServer]:
    """What `workbench lab` starts, with a small demo, the same rows in MariaDB as `crm`, and a view there that takes a
    minute."""
    folder = tmp_path_factory.mktemp("lab")
    catalog = Catalog(folder / "workbench")
    made = demo.ensure(catalog, Shape(scale=0.02))
    mariadb.execute("create database look", "grant all on look.* to 'writer'@'%'")
    catalog.connect("crm", look_url(mariadb), secret=Secret(mariadb.password), writable=True)
    demo.load_into(catalog.open("crm"), made.folder, tables=("customers", "items", "orders"))
    catalog.close()
    mariadb.execute("create view look.endless as select 1 as id, sleep(60) as v")
    server = JupyterServer(folder, (sys.executable, *WORKBENCH_LAB.split()))
    yield server
    server.close()
    mariadb.execute("drop database look")  # other tests use the same server


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
