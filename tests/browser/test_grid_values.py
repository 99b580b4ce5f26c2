"""Values in the grid are text and nothing else: markup stays what it is, and the viewer shows the whole of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.grid import Grid
from tests.browser.jupyter import LabPage

ODD = """select 1 as "<img src=x onerror=window.__hit=1>", '<script>window.__hit=1</script>' as html,
  '<button data-commandlinker-command="terminal:create-new">x</button>' as button, 'javascript:window.__hit=1' as url,
  repeat('long ', 1000) as long, '{"a": [1, 12345678901234567890]}' as json, '\\xDE\\xAD'::blob as bytes,
  'NULL' as word, null::varchar as nothing, '' as empty, [1, 2] as list, 'two' || chr(10) || 'lines' as lines,
  timestamptz '2026-03-29 01:30:00+00' as at, 12345678901234567890::hugeint::decimal(38, 0) as large,
  date '290000-01-31' as far, timestamp '280000-02-29 01:02:03.5' as moment, date 'infinity' as never,
  '=1+1' as formula, -5 as minus, '-5' as text_minus, ' @x' as behind"""


@pytest.fixture(scope="module")
def book(module_lab: LabPage) -> LabPage:
    module_lab.open("odd.ipynb", "%load_ext workbench", f"%%sql\n{ODD}")
    module_lab.run_all()
    assert not module_lab.failures()
    return module_lab


@pytest.fixture
def odd(book: LabPage) -> Iterator[Grid]:
    yield Grid(book.output(1)).wait().reset()
    assert not book.errors


def test_markup_in_names_and_values_is_text(odd: Grid, book: LabPage) -> None:
    assert odd.column == "<img src=x onerror=window.__hit=1>"
    for column in ("html", "button", "url"):
        odd.to_column(column)
        cell = odd.cell
        assert odd.viewed() == cell
        odd.press("f")
        book.page.locator(".wb-Filter").get_by_label("Value").fill(cell)
        odd.press("Enter")
        odd.wait()
        odd.expect_count("1 of 1 row")
        assert odd.chips == [f"{column} contains '{cell}'"]
        odd.remove(odd.chips[0])
        odd.click()
    odd.press("Home", "s")
    odd.wait()
    assert odd.chips == ["<img src=x onerror=window.__hit=1> ▲"]
    assert odd.root.locator("img, script, a, [data-commandlinker-command]").count() == 0
    assert book.page.evaluate("window.__hit") is None


def test_the_viewer_shows_whole_values(odd: Grid) -> None:
    odd.to_column("long")
    assert odd.viewed() == "long " * 1000
    odd.to_column("json")
    assert odd.viewed() == '{\n  "a": [\n    1,\n    12345678901234567890\n  ]\n}'
    odd.to_column("bytes")
    assert odd.viewed().startswith("00000000  de ad ")
    odd.to_column("lines")
    assert odd.viewed() == "two\nlines"


def test_null_the_word_null_and_nothing_are_three_things(odd: Grid) -> None:
    odd.to_column("word")
    assert odd.copied() == [["NULL"]]
    odd.to_column("nothing")
    assert odd.cell == "NULL"
    assert odd.root.locator("[role=gridcell]").inner_text() == "NULL"
    odd.to_column("empty")
    assert odd.cell == ""


def test_exact_values_are_copied(odd: Grid) -> None:
    odd.to_column("large")
    assert odd.copied() == [["12345678901234567890"]]
    odd.to_column("list")
    assert odd.cell.replace(" ", "") == "[1,2]"


def test_days_that_no_browser_knows_are_days_all_the_same(odd: Grid) -> None:
    for column, shown in (("far", "+290000-01-31"), ("moment", "+280000-02-29 01:02:03.5"), ("never", "infinity")):
        odd.to_column(column)
        assert odd.cell == shown


def test_formulas_are_harmless_in_a_spreadsheet_and_one_cell_is_copied_as_it_is(odd: Grid) -> None:
    odd.to_column("formula")
    assert odd.copied() == [["=1+1"]]
    odd.press("Shift+End")
    names = ["formula", "minus", "text_minus", "behind"]
    assert odd.copied() == [names, ["'=1+1", "-5", "-5", "' @x"]]


def test_a_search_looks_into_zoned_times_and_says_what_it_leaves_out(odd: Grid) -> None:
    odd.to_column("at")
    odd.search.fill(odd.cell)
    odd.expect_count("1 of 1 row")
    odd.wait()
    assert odd.chips == [f"contains '{odd.cell}', but not in bytes, list"]


@pytest.mark.parametrize("width", [1200, 760])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_follows_the_theme_at_every_width(odd: Grid, book: LabPage, dark: bool, width: int, tmp_path: Path) -> None:
    book.page.set_viewport_size({"width": width, "height": 800})
    book.theme(dark=dark)
    ground = "() => getComputedStyle(document.body).getPropertyValue('--jp-layout-color1').trim()"
    assert book.page.evaluate(ground) not in ("", None)
    book.page.wait_for_function(PAINTED, arg=dark)
    count = odd.root.locator(".wb-Bar-count")
    assert count.evaluate("node => node.scrollWidth <= node.clientWidth")  # never cut
    expect(odd.root.get_by_role("button", name="Export these rows as CSV")).to_be_in_viewport()
    odd.root.screenshot(path=tmp_path / "grid.png")


# The canvas' own pixels: dark on a dark page, bright on a bright one.
PAINTED = """dark => {
  const canvas = document.querySelector('.wb-Canvas canvas');
  const [r, g, b, a] = canvas.getContext('2d').getImageData(6, 60, 1, 1).data;
  return a === 255 && (r + g + b < 384) === dark;
}"""
