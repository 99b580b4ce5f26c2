"""JupyterLab servers a session, a headless Chromium a module, a page a test or a module.

The browser is not kept for the whole session: Playwright's event loop would stay in the main thread, in the way of
tests that run one of their own.
"""

from __future__ import annotations

import contextlib
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


@contextlib.contextmanager
def lab_page(chromium: Browser, server: JupyterServer, folder: Path, height: int = 800) -> Iterator[LabPage]:
    """Lab in a page of its own; what it looked like at the end is in `last.png`. It ends with no error left."""
    context = chromium.new_context(viewport={"width": 1200, "height": height})
    context.set_default_timeout(60_000)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown = LabPage(context.new_page(), server)
    yield shown
    shown.page.screenshot(path=folder / "last.png")
    context.close()
    assert not shown.errors


@pytest.fixture
def lab(jupyter: JupyterServer, chromium: Browser, tmp_path: Path) -> Iterator[LabPage]:
    """A page for one test. Opening one takes Lab seconds: tests that leave no traces share `module_lab`."""
    with lab_page(chromium, jupyter, tmp_path) as shown:
        yield shown


@pytest.fixture(scope="module")
def module_lab(
    jupyter: JupyterServer, chromium: Browser, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[LabPage]:
    """A page for all tests of a module, which may say how high it is: `HEIGHT`."""
    height = getattr(request.module, "HEIGHT", 800)
    with lab_page(chromium, jupyter, tmp_path_factory.mktemp("module"), height) as shown:
        yield shown
