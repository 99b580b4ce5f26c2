"""A result in Lab is a grid over all its rows: scrolled, sorted, filtered, searched, copied; there after a reload."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from playwright.sync_api import expect

from tests.browser.grid import Grid
from tests.browser.jupyter import LabPage
from workbench import demo
from workbench.catalog import Catalog
from workbench.demo.shape import Shape

HEIGHT = 1900  # of the page: all grids of the notebook are in sight
ROWS = 200_000
MANY = f"""select i as id, 'Order ' || (i * 7919) % 1000003 as name, ((i * 37 % 100000) / 100)::decimal(10, 2) as total,
  ['DE', 'FR', 'US'][1 + i % 3] as country,
  case when i % 7 = 0 then null when i % 7 = 1 then '' else 'note ' || i end as note,
  timestamp '2026-01-01' + to_seconds(i) as at from range({ROWS}) t(i)"""
COLUMNS = ["id", "name", "total", "country", "note", "at"]
LONGER = "repeat('w', case i when 150 then 16 when 4999 then 60 else 1 end)"
CELLS = (
    "%load_ext workbench",
    f"%%sql\n{MANY}",
    "%%sql\nselect * from (values (1, 'a'), (2, 'b')) t(x, y)",
    "%%sql\nselect * from shop.orders order by order_id",
    "import time\nwhile True: time.sleep(1)",
    f"%%sql\nselect {LONGER} as a, i as b, i as c, i as d, i as e, i as f from range(5000) t(i)",
)


@pytest.fixture(scope="module")
def book(module_lab: LabPage) -> LabPage:
    """The notebook, its cells run but for the last, which never ends."""
    catalog = Catalog(module_lab.server.folder / "workbench")
    demo.ensure(catalog, Shape(scale=0.02))
    catalog.close()
    module_lab.open("grid.ipynb", *CELLS)
    for number in range(4):
        module_lab.run(number)
    return module_lab


@pytest.fixture
def many(book: LabPage) -> Iterator[Grid]:
    grid = Grid(book.output(1)).wait().reset()
    grid.expect_count(f"{ROWS:,} rows")
    yield grid
    assert not book.errors


def asked(tail: str) -> list[tuple[Any, ...]]:
    """What DuckDB itself says of the same rows, as text."""
    with duckdb.connect() as engine:
        engine.execute(f"create view many as {MANY}")
        return engine.execute(f"select columns(*)::varchar from (select * from many {tail})").fetchall()


def shown(row: tuple[Any, ...]) -> list[str]:
    return ["NULL" if value is None else str(value) for value in row]


def test_a_cell_of_the_demo_shows_all_its_rows(book: LabPage) -> None:
    grid = Grid(book.output(3)).wait()
    folder = Catalog(book.server.folder / "workbench").saved("shop").parameters["path"]
    with duckdb.connect(str(folder), read_only=True) as engine:
        rows = engine.execute("select columns(*)::varchar from (from orders order by order_id)").fetchall()
        columns = [one[0] for one in engine.description or ()]
    grid.expect_count(f"{len(rows):,} rows")
    grid.click()
    grid.press("Control+End")
    assert grid.row == len(rows) - 1
    assert grid.values(columns)[0] == str(rows[-1][0])


def test_the_middle_is_scrolled_to_and_the_end_reached_by_keys(many: Grid) -> None:
    many.wheel_to(ROWS // 2)
    many.click(3)
    assert many.row == ROWS // 2 + 3
    assert many.values(COLUMNS) == shown(asked(f"limit 1 offset {ROWS // 2 + 3}")[0])
    many.press("PageDown", "PageUp")
    assert many.row == ROWS // 2 + 3
    many.press("Control+End")
    assert many.row == ROWS - 1
    assert many.values(COLUMNS) == shown(asked(f"limit 1 offset {ROWS - 1}")[0])
    many.press("Control+Home")
    assert (many.row, many.column, many.cell) == (0, "id", "0")


def test_rows_are_sorted_by_the_header_and_by_keys(many: Grid) -> None:
    many.viewport.click(position={"x": 80, "y": 14})  # the first column's name
    many.wait()
    assert many.chips == ["id ▲"]
    many.viewport.click(position={"x": 80, "y": 14})
    many.wait()
    assert many.chips == ["id ▼"]
    many.click()
    many.to_column("id")
    assert many.cell == str(ROWS - 1)
    many.sort("total")
    assert many.chips == ["total ▲"]
    assert many.values(COLUMNS) == shown(asked("order by total, id limit 1")[0])
    many.to_column("country")
    many.press("Shift+S")
    many.wait()
    assert many.chips == ["total ▲", "country ▲"]
    assert many.count == f"{ROWS:,} rows"


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
    assert many.count == f"{ROWS:,} rows"


def found(condition: str) -> str:
    with duckdb.connect() as engine:
        [(count,)] = engine.execute(f"select count(*) from ({MANY}) where {condition}").fetchall()
    return f"{count:,} of {ROWS:,} rows"


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
    expect(many.root.locator(".wb-Flash").last).to_contain_text(f"the first of {ROWS:,}")


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
    # A view that the server has let go of is asked for again.
    many.page.route(FOUND, lambda route: route.continue_(url=f"{route.request.url[:-4]}none"), times=1)
    again = many.page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/views"))
    with again, many.page.expect_download() as download:
        many.root.get_by_role("button", name="Export these rows as Parquet").click()
    shutil.copy(download.value.path(), tmp_path / "out.parquet")
    with duckdb.connect() as engine:
        taken = engine.execute(f"select columns(*)::varchar from '{tmp_path / 'out.parquet'}'").fetchall()
    assert taken == expected


def test_small_results_are_as_high_as_their_rows(book: LabPage) -> None:
    grid = Grid(book.output(2)).wait()
    box = grid.canvas.bounding_box()
    assert box is not None
    assert 80 < box["height"] < 120
    assert grid.count == "2 rows"
    grid.click()
    assert grid.values(["x", "y"]) == ["1", "a"]


# --- from here on the tests build on each other


def test_a_column_is_as_wide_as_the_rows_that_came_and_grows_when_longer_ones_come(
    book: LabPage, eventually: Callable[..., object]
) -> None:
    book.run(5)
    grid = Grid(book.output(5)).wait()

    def at(x: int) -> str:
        grid.click(x=x)
        return grid.column

    eventually(lambda: at(180) == "a", within=30)  # row 150, which is not on screen, has come with the first rows
    assert at(330) != "a"
    grid.press("Control+End")
    eventually(lambda: at(330) == "a", within=30)


def test_the_grid_works_while_the_kernel_is_busy(book: LabPage, many: Grid) -> None:
    book.page.evaluate(RUN_LAST)
    book.page.locator(".jp-Notebook-ExecutionIndicator[data-status=busy]").wait_for()
    many.click()
    many.filter("country", "=", "FR")
    many.expect_count(found("country = 'FR'"))
    book.page.evaluate("() => window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
    book.page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()


def test_a_saved_notebook_shows_its_grid_again_after_a_reload_and_so_does_its_tab(book: LabPage, many: Grid) -> None:
    page = book.page
    many.press("Home", "Alt+ArrowRight")  # `id` behind `name`
    many.press("Alt+Shift+ArrowRight")
    width = "node => node.querySelector('.wb-Canvas').clientWidth"
    moved = ["name", "id", *COLUMNS[2:]]
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    with book.workspace_saved('"workbench-results:'):
        many.root.get_by_role("button", name="Open this result in a tab of its own").click()
    tab = Grid(page.locator(".jp-MainAreaWidget:not(.jp-NotebookPanel)").filter(has=page.locator(".wb-Grid"))).wait()
    tab.click()
    assert tab.values(moved)
    assert tab.root.evaluate(width) > 600
    page.goto(page.url.partition("?")[0])
    tab.wait()
    tab.expect_count(f"{ROWS:,} rows")
    tab.click(4)
    assert tab.row == 4
    assert tab.values(moved)[1] == "4"
    page.locator(".lm-TabBar-tabLabel", has_text="grid.ipynb").first.click()
    page.wait_for_function("() => window.jupyterapp.shell.currentWidget?.sessionContext")
    book.revealed()
    many.wait()  # from the saved notebook, of the kernel that is still there
    many.expect_count(f"{ROWS:,} rows")
    many.click(4)
    assert many.values(moved) == shown_moved(asked("limit 1 offset 4")[0])
    many.filter("country", "=", "FR")
    many.expect_count(found("country = 'FR'"))


def test_a_result_whose_kernel_is_gone_says_so_and_a_reload_shows_what_was_saved(book: LabPage, many: Grid) -> None:
    page = book.page
    first = many.cell
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    many.press("Control+End")
    expect(many.notice).to_contain_text("This result is gone", timeout=30_000)
    many.press("Control+Home")
    assert many.cell == first
    assert many.search.is_disabled()
    saved = (book.server.root / "grid.ipynb").read_text()
    assert '"text/html"' in saved
    assert "Order 7919" in saved
    page.goto(page.url.partition("?")[0])
    output = book.output(1)
    expect(output.locator(".wb-ResultOutput-note")).to_contain_text("this is what was saved", timeout=60_000)
    expect(output.locator("table").first).to_contain_text("Order 7919")


FOUND = re.compile(r"/results/\w+/views/\w+$")
RUN_LAST = """() => {
  const panel = window.jupyterapp.shell.currentWidget;
  panel.content.activeCellIndex = panel.content.widgets.length - 1;
  void window.jupyterapp.commands.execute('notebook:run-cell');
}"""


def shown_moved(row: tuple[Any, ...]) -> list[str]:
    """The row with `id` behind `name`."""
    first, second, *rest = shown(row)
    return [second, first, *rest]
