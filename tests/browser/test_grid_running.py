"""A grid whose rows are still coming, and one whose search takes long: what is told, stopped and exported."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.grid import Grid
from tests.browser.jupyter import JupyterServer, LabPage

MANY, SOON = 8_000_000, 5_000  # of the other result so many rows come at once
CELLS = (
    "%load_ext workbench",
    f"%%sql\nselect (i * 7919) / 7.0 as a, 'word ' || (i % 977) as b from range({MANY}) t(i)",
    f"%%sql --native crm\nselect seq as n, sleep(if(seq > {SOON}, 0.01, 0)) as v from seq_1_to_{2 * SOON}",
    """import dataclasses, workbench.query.session as session
wb = session.default()
wb.limits = dataclasses.replace(wb.limits, spool_rows=100)""",
    "%%sql\nselect * from shop.orders",
)


@pytest.fixture(scope="module")
def jupyter(workbench_lab: JupyterServer) -> JupyterServer:
    return workbench_lab


@pytest.fixture(scope="module")
def book(module_lab: LabPage) -> LabPage:
    module_lab.open("growing.ipynb", *CELLS)
    module_lab.run(0)
    return module_lab


def test_a_long_search_tells_how_far_it_is_and_is_stopped(book: LabPage, tmp_path: Path) -> None:
    book.run(1)
    grid = Grid(book.output(1)).wait()
    grid.expect_count(f"{MANY:,} rows")
    grid.search.fill("142")
    count = grid.root.locator(".wb-Bar-count")
    stop = grid.root.get_by_role("button", name="Stop", exact=True)
    stop.wait_for()
    grid.expect_count(re.compile(rf"[\d,]+ so far; \d+% of {MANY:,} rows looked at"))
    grid.root.screenshot(path=tmp_path / "searching.png")
    assert count.evaluate("node => node.scrollWidth <= node.clientWidth")
    stop.click()
    grid.expect_count(re.compile(r"[\d,]+ of [\d,]+ rows, then it was stopped"))
    expect(stop).to_be_hidden()
    grid.root.screenshot(path=tmp_path / "stopped.png")
    found, looked = (int(one.replace(",", "")) for one in grid.count.partition(" rows")[0].split(" of "))
    assert 0 < found < looked < MANY
    with book.page.expect_download() as download:
        grid.root.get_by_role("button", name="Export these rows as CSV").click()
    assert download.value.suggested_filename.endswith(f"-of-the-first-{looked}-rows.csv")
    with open(download.value.path(), newline="") as file:
        assert sum(1 for _ in file) == 1 + found


def test_a_result_that_grows_is_followed_and_its_export_says_that_it_is_a_part(book: LabPage, tmp_path: Path) -> None:
    page = book.page
    book.run(2)
    grid = Grid(book.output(2)).wait()
    grid.expect_count(re.compile(r"[\d,]+ rows so far"))
    export = grid.root.get_by_role("button", name="Export these rows as CSV")
    export.click()
    dialog = page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("The query still runs")
    expect(dialog).to_contain_text(re.compile(r"what is here now: [\d,]+ rows so far"))
    page.screenshot(path=tmp_path / "dialog.png")
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Export").click()
    name = download.value.suggested_filename
    with open(download.value.path(), newline="") as file:
        rows = sum(1 for _ in file) - 1
    assert re.fullmatch(rf"result-\w{{6}}-of-the-first-{rows}-rows\.csv", name)
    assert SOON // 2 < rows < 2 * SOON
    expect(grid.root.locator(".wb-Flash").last).to_have_text(f"Exporting {rows:,} rows so far")

    head = re.compile(r"/workbench/api/results/\w+(\?.*)?$")
    page.route(head, lambda route: route.abort())
    expect(grid.notice).to_contain_text("does not answer")
    page.unroute(head)
    expect(grid.notice).to_be_hidden()
    page.evaluate("() => window.jupyterapp.commands.execute('workbench:stop-all')")
    grid.expect_count(re.compile(r"[\d,]+ rows, then it was stopped"))


def test_a_capped_table_says_about_how_many_rows_there_are(book: LabPage) -> None:
    book.run(3)
    book.run(4)
    grid = Grid(book.output(4)).wait()
    grid.expect_count(re.compile(r"first 100 of about [\d,]+ rows"))
    with book.page.expect_download() as download:
        grid.root.get_by_role("button", name="Export these rows as Parquet").click()
    assert download.value.suggested_filename.endswith("-of-the-first-100-rows.parquet")
    expect(grid.root.locator(".wb-Flash").last).to_have_text(re.compile("Exporting first 100 of about [\\d,]+ rows"))
