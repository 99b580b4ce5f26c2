"""The side panel on the demo and a real MariaDB: connections, the catalog, and what comes back after a reload."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.jupyter import JupyterServer, LabPage
from tests.browser.panel import Panel, hits
from tests.services.mysql.server import Server
from workbench.catalog import Catalog, places
from workbench.contract.secret import Secret
from workbench.runs import Register

PASSWORD = "typed into a form"
CANARY = "<img src=x onerror=window.__hit=1>"


@pytest.fixture(scope="module")
def jupyter(workbench_lab: JupyterServer) -> JupyterServer:
    return workbench_lab


@pytest.fixture(scope="module", autouse=True)
def analyst(workbench_lab: JupyterServer, mariadb: Server) -> Iterator[None]:
    """Somebody with a password that can be typed, and tables that try to be code."""
    mariadb.execute(
        f"create user 'analyst'@'%' identified by '{PASSWORD}'",
        "grant all on look.* to 'analyst'@'%'",
        f"create table look.`{CANARY}` (`{CANARY}` int primary key comment '{CANARY}') comment '{CANARY}'",
    )
    yield
    mariadb.execute("drop user 'analyst'@'%'", f"drop table look.`{CANARY}`")


@pytest.fixture(scope="module")
def shown(module_lab: LabPage) -> Panel:
    shown = Panel(module_lab)
    module_lab.open("panel.ipynb", "x = 1")
    shown.open()
    return shown


@pytest.fixture
def panel(shown: Panel) -> Iterator[Panel]:
    """As it is at first, beside a notebook of one cell."""
    shown.reset()
    shown.lab.refill("x = 1")
    yield shown
    assert shown.errors == []
    assert shown.lab.errors == []


def field(panel: Panel, label: str) -> Locator:
    return panel.dialog.get_by_label(label, exact=True)


def test_a_connection_is_added_tested_edited_and_removed(
    panel: Panel, mariadb: Server, jupyter: JupyterServer, tmp_path: Path
) -> None:
    panel.node.get_by_role("button", name="Add a connection").click()
    field(panel, "Kind").select_option(label="MySQL and MariaDB")
    field(panel, "Name").fill("erp")
    field(panel, "Host").fill(mariadb.host)
    field(panel, "Port").fill(str(mariadb.port))
    field(panel, "User").fill("analyst")
    field(panel, "Database").fill("look")
    field(panel, "Password").fill("wrong")
    said = panel.dialog.locator(".wb-Form-said")
    panel.dialog.get_by_role("button", name="Test").click()
    expect(said).to_contain_text("denied")  # why, in the server's words, and the form stays
    panel.page.screenshot(path=tmp_path / "refused.png")
    field(panel, "Password").fill(PASSWORD)
    panel.dialog.get_by_role("button", name="Test").click()
    expect(said).to_contain_text("Connected: MariaDB 10.11")
    panel.dialog.get_by_role("button", name="Save").click()
    expect(panel.dialog).to_have_count(0)
    expect(panel.connection("erp")).to_contain_text(f"analyst@{mariadb.host}")

    panel.connection("erp").hover()
    panel.page.get_by_label("Edit erp").click()
    expect(field(panel, "Password")).to_have_value("")  # what is kept never comes back
    expect(field(panel, "Password")).to_have_attribute("placeholder", "kept")
    field(panel, "May write to the source").check()
    panel.dialog.get_by_role("button", name="Save").click()
    expect(panel.connection("erp")).to_contain_text("writes")
    panel.page.get_by_label("Test erp").click()
    expect(panel.connection("erp")).to_contain_text("Connected: MariaDB 10.11")  # so the password is still there

    panel.page.get_by_label("Remove erp").click()
    panel.dialog.get_by_role("button", name="Cancel").click()
    expect(panel.connection("erp")).to_have_count(1)
    panel.page.get_by_label("Remove erp").click()
    panel.dialog.get_by_role("button", name="Remove").click()
    expect(panel.connection("erp")).to_have_count(0)
    catalog = Catalog(jupyter.folder / "workbench")
    assert "erp" not in catalog.names()


def test_the_reason_of_a_failure_is_shown_at_the_connection(panel: Panel, jupyter: JupyterServer) -> None:
    catalog = Catalog(jupyter.folder / "workbench")
    catalog.connect("away", "mysql://nobody@127.0.0.1:9/x", secret=Secret(""))
    try:
        panel.node.get_by_label("Look again which connections there are").click()
        panel.page.get_by_label("Test away").click()
        expect(panel.connection("away").locator("[data-kind=bad]")).to_contain_text("127.0.0.1:9")
    finally:
        catalog.remove("away")


def test_a_renamed_connection_is_tested_with_the_kept_password_and_saved_although_it_does_not_answer(
    panel: Panel, mariadb: Server, jupyter: JupyterServer, tmp_path: Path
) -> None:
    catalog = Catalog(jupyter.folder / "workbench")
    where = f"mysql://analyst@{mariadb.host}:{mariadb.port}/look"
    catalog.connect("kept", where, secret=Secret(PASSWORD))
    try:
        panel.node.get_by_label("Look again which connections there are").click()
        panel.page.get_by_label("Edit kept").click()
        field(panel, "Name").fill("store")
        panel.dialog.get_by_role("button", name="Test").click()
        said = panel.dialog.locator(".wb-Form-said")
        expect(said).to_contain_text("Connected: MariaDB 10.11")
        field(panel, "Name").fill("kept")
        field(panel, "Port").fill("9")
        panel.dialog.get_by_role("button", name="Save", exact=True).click()
        expect(said).to_contain_text("stays the connection that it was")
        expect(panel.dialog.get_by_role("button", name="Save anyway")).to_be_in_viewport(ratio=1)
        panel.page.screenshot(path=tmp_path / "anyway.png")
        panel.dialog.get_by_role("button", name="Save anyway").click()
        expect(panel.dialog).to_have_count(0)
        assert ":9" in catalog.saved("kept").where
    finally:
        catalog.remove("kept")


def test_the_launcher_has_a_card_for_each_kind(panel: Panel, tmp_path: Path) -> None:
    panel.page.evaluate("() => { window.jupyterapp.commands.execute('launcher:create'); }")
    cards = panel.page.locator(".jp-Launcher-section", has_text="Connect").locator(".jp-LauncherCard")
    expect(cards.filter(has_text="DuckDB")).to_be_visible()
    panel.page.screenshot(path=tmp_path / "launcher.png")
    cards.filter(has_text="MySQL").click()
    expect(panel.dialog.locator(".wb-Form-icon img")).to_be_visible()
    expect(field(panel, "Host")).to_be_visible()
    panel.page.keyboard.press("Escape")


def test_an_edited_connection_is_asked_anew(panel: Panel, tmp_path: Path) -> None:
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.csv").write_text("a,b\n1,2\n")
    panel.node.get_by_role("button", name="Add a connection").click()
    field(panel, "Kind").select_option(label="Files (Parquet, CSV, JSON lines, Arrow)")
    field(panel, "Name").fill("moved")
    expect(panel.dialog.get_by_role("button", name="Save")).to_be_disabled()  # the path is missing
    field(panel, "Path").fill(str(tmp_path / "before"))
    panel.dialog.get_by_role("button", name="Save").click()
    panel.row("moved").click()
    expect(panel.row("before")).to_be_visible()
    panel.page.get_by_label("Edit moved").click()
    field(panel, "Path").fill(str(tmp_path / "after"))
    panel.dialog.get_by_role("button", name="Save").click()
    expect(panel.row("after")).to_be_visible()
    expect(panel.row("before")).to_have_count(0)
    panel.page.get_by_label("Remove moved").click()
    panel.dialog.get_by_role("button", name="Remove").click()
    expect(panel.row("moved")).to_have_count(0)


def test_the_catalog_is_browsed_searched_and_put_into_cells(panel: Panel, tmp_path: Path) -> None:
    panel.row("crm").click()
    panel.row("orders").click()
    expect(panel.row("order_id")).to_contain_text("key")
    expect(panel.row("item_id")).to_contain_text("int(11)")
    panel.page.screenshot(path=tmp_path / "catalog.png")

    panel.row("orders").hover()
    panel.page.get_by_label("Insert a cell that reads orders").click()
    assert panel.sources() == ["x = 1", "%%sql\nselect *\nfrom crm.orders\nlimit 100"]
    panel.page.keyboard.press("Escape")
    panel.row("order_id").dblclick()
    assert "order_id" in panel.sources()[1]

    panel.node.get_by_label("Search tables").fill("USTOM")
    expect(panel.row("orders")).to_have_count(0)
    expect(panel.node.locator(".wb-Row", has_text="customers")).to_have_count(2)  # of `crm` and of `shop`
    panel.row("customers").hover()
    panel.page.get_by_label("First rows of customers").first.click()
    expect(panel.page.locator(".wb-Sample-count")).to_contain_text("crm.customers: the first 100 rows")
    expect(panel.page.locator(".wb-Table tbody tr")).to_have_count(100)
    panel.page.screenshot(path=tmp_path / "sample.png")


def test_a_table_is_dragged_into_the_notebook(panel: Panel) -> None:
    panel.row("crm").click()
    cell = panel.lab.cell(0).bounding_box()
    assert cell is not None
    panel.row("items").hover()
    panel.page.mouse.down()
    panel.page.mouse.move(cell["x"] + 10, cell["y"] + 2, steps=8)
    panel.page.mouse.up()
    expect(panel.page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(2)
    assert sorted(panel.sources()) == ["%%sql\nselect *\nfrom crm.items\nlimit 100", "x = 1"]


def test_a_row_that_is_drawn_anew_while_it_is_pressed_takes_the_click(panel: Panel) -> None:
    panel.row("crm").click()
    expect(panel.row("items")).to_be_visible()
    row = panel.row("crm").element_handle()
    panel.row("crm").hover()
    panel.page.mouse.down()
    panel.node.get_by_label("Ask all sources again").evaluate("button => button.click()")
    panel.page.wait_for_function("row => !row.isConnected", arg=row)
    panel.page.mouse.up()
    expect(panel.row("crm")).to_have_attribute("aria-expanded", "false")


def test_the_tree_is_back_at_once_when_nothing_is_searched_for(panel: Panel) -> None:
    search = panel.node.get_by_label("Search tables")
    search.fill("orders")
    expect(panel.row("crm.orders").or_(panel.row("orders"))).to_be_visible()
    search.evaluate("box => { box.value = ''; box.dispatchEvent(new Event('input')); }")
    panel.row("crm").click()
    expect(panel.row("items")).to_be_visible()


def test_the_keyboard_is_enough(panel: Panel) -> None:
    expect(panel.row("crm")).to_be_visible()
    panel.node.locator(".wb-Tree").focus()
    for key in ("Home", "ArrowRight"):  # opens `crm`
        panel.page.keyboard.press(key)
    expect(panel.row("customers")).to_be_visible()
    panel.page.keyboard.press("End")
    panel.page.keyboard.press("Home")
    panel.page.keyboard.press("ArrowDown")
    chosen = panel.node.locator(".wb-Row[aria-selected=true]")
    expect(chosen).to_have_attribute("aria-level", "2")
    pointed = panel.node.locator(".wb-Tree").get_attribute("aria-activedescendant")
    assert pointed == chosen.get_attribute("id")
    panel.page.keyboard.press("Shift+Enter")
    assert panel.sources()[1].startswith("%%sql\nselect *\nfrom crm.")


def test_after_a_reload_everything_is_back(panel: Panel) -> None:
    panel.row("crm").click()
    panel.row("orders").click()
    expect(panel.row("order_id")).to_be_visible()
    with panel.lab.workspace_saved('"orde"'):
        panel.node.get_by_label("Search tables").fill("orde")
    expect(panel.row("orders")).to_be_visible()
    panel.page.goto(panel.page.url.split("?")[0].replace("/tree/panel.ipynb", ""))
    panel.node.wait_for()
    expect(panel.node.get_by_label("Search tables")).to_have_value("orde")
    expect(panel.row("order_id")).to_be_visible()
    panel.node.get_by_label("Search tables").fill("")
    expect(panel.row("customers")).to_be_visible()


def test_names_comments_and_errors_are_text(panel: Panel, mariadb: Server, tmp_path: Path) -> None:
    panel.node.get_by_role("button", name="Add a connection").click()
    field(panel, "Kind").select_option(label="MySQL and MariaDB")
    for label, text in (("Name", "rogue"), ("Host", mariadb.host), ("Port", str(mariadb.port)), ("User", CANARY)):
        field(panel, label).fill(text)
    panel.dialog.get_by_role("button", name="Test").click()
    expect(panel.dialog.locator(".wb-Form-said")).to_contain_text(CANARY)
    panel.page.keyboard.press("Escape")
    panel.row("crm").click()
    panel.row("crm").hover()
    panel.page.get_by_label("Ask again what is in crm").click()  # a listing of before the table was made is believed
    panel.row(CANARY).click()
    expect(panel.node.locator(".wb-Row[data-kind=column] .wb-Row-name", has_text=CANARY)).to_be_visible()
    panel.row(CANARY).first.hover()
    panel.page.get_by_label(f"First rows of {CANARY}").click()
    expect(panel.page.locator(".wb-Table th")).to_have_text(CANARY)
    register = Register(places.register(panel.lab.server.folder / "workbench"))
    try:
        run = register.begin("topology", f"topology {CANARY}", f"select '{CANARY}'", connections=(CANARY,))
        expect(panel.runs().filter(has_text=CANARY)).to_be_visible(timeout=30_000)
        panel.page.screenshot(path=tmp_path / "canary.png")
        run.finish("failed", f"it broke: {CANARY}")
        panel.node.get_by_label("Search the history").fill("onerror")
        expect(panel.history().filter(has_text=f"it broke: {CANARY}").first).to_be_visible(timeout=30_000)
    finally:
        register.close()
    assert hits(panel.page) == 0
