"""A result in Lab is a grid over all its rows: scrolled, sorted, filtered, searched, copied; there after a reload."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from playwright.sync_api import Page, expect

from tests.browser.grid import Grid
from tests.browser.jupyter import JupyterServer, LabPage
from workbench import demo
from workbench.catalog import Catalog
from workbench.demo.shape import Shape

pytestmark = pytest.mark.deep  # a browser for minutes

MANY = """select i as id, 'Order ' || (i * 7919) % 1000003 as name, ((i * 37 % 100000) / 100)::decimal(10, 2) as total,
  ['DE', 'FR', 'US'][1 + i % 3] as country,
  case when i % 7 = 0 then null when i % 7 = 1 then '' else 'note ' || i end as note,
  timestamp '2026-01-01' + to_seconds(i) as at from range(1000000) t(i)"""
COLUMNS = ["id", "name", "total", "country", "note", "at"]


@pytest.fixture(scope="module", autouse=True)
def shop(jupyter: JupyterServer) -> None:
    """The connection `shop`, a small demo."""
    catalog = Catalog(jupyter.folder / "workbench")
    demo.ensure(catalog, Shape(scale=0.02))
    catalog.close()


@pytest.fixture
def page(lab: LabPage) -> Page:
    lab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    return lab.page


def opened(lab: LabPage, name: str, statement: str) -> Grid:
    lab.open(name, "%load_ext workbench", f"%%sql\n{statement}")
    lab.run_all()
    assert not lab.failures()
    return Grid(lab.output(1)).wait()


@pytest.fixture
def many(lab: LabPage, page: Page) -> Grid:
    grid = opened(lab, "many.ipynb", MANY)
    grid.expect_count("1,000,000 rows")
    return grid


def asked(tail: str) -> list[tuple[Any, ...]]:
    """What DuckDB itself says of the same rows, as text."""
    with duckdb.connect() as engine:
        engine.execute(f"create view many as {MANY}")
        return engine.execute(f"select columns(*)::varchar from (select * from many {tail})").fetchall()


def shown(row: tuple[Any, ...]) -> list[str]:
    return ["NULL" if value is None else str(value) for value in row]


def test_a_cell_of_the_demo_shows_all_its_rows(lab: LabPage, page: Page) -> None:
    grid = opened(lab, "demo.ipynb", "select * from shop.orders order by order_id")
    folder = Catalog(lab.server.folder / "workbench").saved("shop").parameters["path"]
    with duckdb.connect(str(folder), read_only=True) as engine:
        rows = engine.execute("select columns(*)::varchar from (from orders order by order_id)").fetchall()
        columns = [one[0] for one in engine.description or ()]
    grid.expect_count(f"{len(rows):,} rows")
    grid.click()
    grid.press("Control+End")
    assert grid.row == len(rows) - 1
    assert grid.values(columns)[0] == str(rows[-1][0])


def test_the_middle_is_scrolled_to_and_the_end_reached_by_keys(many: Grid) -> None:
    many.wheel_to(500_000)
    many.click(3)
    assert many.row == 500_003
    assert many.values(COLUMNS) == shown(asked("limit 1 offset 500003")[0])
    many.press("PageDown", "PageUp")
    assert many.row == 500_003
    many.press("Control+End")
    assert many.row == 999_999
    assert many.values(COLUMNS) == shown(asked("limit 1 offset 999999")[0])
    many.press("Control+Home")
    assert (many.row, many.column, many.cell) == (0, "id", "0")


def test_rows_are_sorted_by_the_header_and_by_keys(many: Grid) -> None:
    left = many.viewport.bounding_box()
    assert left is not None
    many.click()
    many.viewport.click(position={"x": 110, "y": 14})  # the first column's name
    many.wait()
    assert many.chips == ["id ▲"]
    many.viewport.click(position={"x": 110, "y": 14})
    many.wait()
    assert many.chips == ["id ▼"]
    many.click()
    many.to_column("id")
    assert many.cell == "999999"
    many.sort("total")
    assert many.chips == ["total ▲"]
    assert many.values(COLUMNS) == shown(asked("order by total, id limit 1")[0])
    many.to_column("country")
    many.press("Shift+S")
    many.wait()
    assert many.chips == ["total ▲", "country ▲"]
    assert many.count == "1,000,000 rows"


def test_conditions_are_asked_of_all_rows_and_shown_as_chips(many: Grid) -> None:
    many.click()
    many.filter("total", "≥", "999.5")
    assert many.count == found("total >= 999.5")
    many.click()
    many.filter("country", "=", "DE")
    assert many.count == found("total >= 999.5 and country = 'DE'")
    assert many.chips == ["total ≥ 999.5", "country = 'DE'"]
    many.search.fill("order 77")
    expect(many.root.locator(".wb-Chip")).to_have_count(3)
    many.wait()
    assert many.count == found("total >= 999.5 and country = 'DE' and name ilike '%order 77%'")
    for chip in many.chips:
        many.remove(chip)
    assert many.count == "1,000,000 rows"


def found(condition: str) -> str:
    with duckdb.connect() as engine:
        [(count,)] = engine.execute(f"select count(*) from ({MANY}) where {condition}").fetchall()
    return f"{count:,} of 1,000,000 rows"


def test_null_is_not_the_empty_text(many: Grid) -> None:
    many.click()
    many.filter("note", "is NULL")
    assert many.count == found("note is null")
    many.click()
    many.to_column("note")
    assert many.cell == "NULL"
    many.remove("note is NULL")
    many.click()
    many.filter("note", "=", "")
    assert many.count == found("note = ''")
    many.click()
    many.to_column("note")
    assert many.cell == ""


def test_a_value_that_is_no_number_is_said_in_the_form(many: Grid) -> None:
    many.click()
    many.to_column("total")
    many.press("f")
    form = many.page.locator(".wb-Filter")
    form.locator("input").fill("many")
    many.press("Enter")
    expect(form.get_by_role("alert")).to_have_text("'many' is not a number.")
    many.press("Escape")
    form.wait_for(state="detached")
    many.press("ArrowDown")  # the rows have the keys again
    assert many.row == 1


def test_what_is_selected_is_copied_and_a_cut_is_said(many: Grid) -> None:
    many.wheel_to(1_000)
    many.click(0)
    many.press("Home", "Shift+ArrowDown", "Shift+ArrowDown", "Shift+End")
    first = many.row
    expected = [["" if value is None else str(value) for value in row] for row in asked(f"limit 3 offset {first}")]
    assert many.copied() == [COLUMNS, *expected]
    many.press("Control+a")
    copied = many.copied()
    assert len(copied) == 1 + 100_000 // len(COLUMNS)
    expect(many.root.locator(".wb-Flash").last).to_contain_text("the first of 1,000,000")


def test_rows_are_exported_as_they_are_shown(many: Grid, tmp_path: Path) -> None:
    many.click()
    many.filter("id", "<", "1000")
    many.click()
    many.sort("total")
    expected = asked("where id < 1000 order by total, id")
    with many.page.expect_download() as download:
        many.root.get_by_role("button", name="Export these rows as CSV").click()
    with open(download.value.path(), encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == COLUMNS
    assert [row[0] for row in rows] == [row[0] for row in expected]
    with many.page.expect_download() as download:
        many.root.get_by_role("button", name="Export these rows as Parquet").click()
    shutil.copy(download.value.path(), tmp_path / "out.parquet")
    with duckdb.connect() as engine:
        taken = engine.execute(f"select columns(*)::varchar from '{tmp_path / 'out.parquet'}'").fetchall()
    assert taken == expected


def test_the_grid_works_while_the_kernel_is_busy(lab: LabPage, page: Page) -> None:
    lab.open("busy.ipynb", "%load_ext workbench", f"%%sql\n{MANY}", "import time\nwhile True: time.sleep(1)")
    lab.run(0)
    lab.run(1)
    grid = Grid(lab.output(1)).wait()
    grid.expect_count("1,000,000 rows")
    page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-all-below')")
    page.locator(".jp-Notebook-ExecutionIndicator[data-status=busy]").wait_for()
    grid.click()
    grid.filter("country", "=", "FR")
    grid.expect_count(found("country = 'FR'"))
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:interrupt-kernel')")


def test_a_tab_is_there_again_after_a_reload_with_widths_and_order(lab: LabPage, many: Grid) -> None:
    many.click()
    many.press("Home", "Alt+ArrowRight")  # `id` behind `name`
    many.press("Alt+Shift+ArrowRight")
    many.root.get_by_role("button", name="Open this result in a tab of its own").click()
    tab = Grid(lab.page.locator(".jp-MainAreaWidget:not(.jp-NotebookPanel)").filter(has=lab.page.locator(".wb-Grid")))
    tab.wait()
    tab.click()
    assert tab.values(["name", "id", *COLUMNS[2:]])
    lab.page.wait_for_timeout(1500)  # the workspace is saved a second after the last change
    lab.page.goto(lab.page.url.partition("?")[0])
    tab.wait()
    tab.expect_count("1,000,000 rows")
    tab.click(4)
    assert tab.row == 4
    assert tab.values(["name", "id", *COLUMNS[2:]])[1] == "4"


def test_a_result_whose_kernel_is_gone_says_so_and_keeps_what_it_showed(lab: LabPage, many: Grid) -> None:
    many.click()
    first = many.values(COLUMNS)
    lab.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    many.press("Control+End")
    expect(many.notice).to_contain_text("This result is gone", timeout=30_000)
    many.press("Control+Home")
    assert many.values(COLUMNS) == first
    assert many.search.is_disabled()


def test_a_saved_notebook_shows_its_table_where_the_rows_are_gone(lab: LabPage, many: Grid) -> None:
    page = lab.page
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    saved = (lab.server.root / "many.ipynb").read_text()
    assert '"text/html"' in saved
    assert "Order 7919" in saved
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.wait_for_timeout(3000)
    page.goto(page.url.partition("?")[0])
    output = lab.output(1)
    expect(output.locator(".wb-ResultOutput-note")).to_contain_text("this is what was saved", timeout=60_000)
    expect(output.locator("table").first).to_contain_text("Order 7919")


def test_small_results_are_as_high_as_their_rows(lab: LabPage, page: Page) -> None:
    grid = opened(lab, "small.ipynb", "select * from (values (1, 'a'), (2, 'b')) t(x, y)")
    box = grid.canvas.bounding_box()
    assert box is not None
    assert 80 < box["height"] < 120
    assert grid.count == "2 rows"
    grid.click()
    assert grid.values(["x", "y"]) == ["1", "a"]
