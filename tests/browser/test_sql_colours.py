"""SQL colours in cells that begin with %%sql, in the theme that is on."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.jupyter import LabPage

PYTHON = "from math import pi  # select\nselect = 'where'"
PLAIN = "%%sql\nselect country, sum(total) as value -- by country\nfrom shop.orders where total > 10 and note = 'late'"
OPTIONS = "%%sql answer << --native shop\nselect name::varchar from orders\nqualify row_number() over () < $limit"
OTHER_MAGIC = "%%sqlish\nselect from where"


@pytest.fixture
def colours(lab: LabPage) -> LabPage:
    lab.open("colours.ipynb", PYTHON, PLAIN, OPTIONS, OTHER_MAGIC)
    return lab


def colour_of(pieces: list[tuple[int, str, str]], text: str, line: int | None = None) -> str | None:
    found = {colour for at, piece, colour in pieces if piece == text and line in (None, at)}
    assert len(found) <= 1, (text, found)
    return found.pop() if found else None


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_sql_is_coloured_in_the_theme_that_is_on(colours: LabPage, dark: bool, tmp_path: Path) -> None:
    colours.theme(dark=dark)
    colours.wait_for_word("qualify")
    colours.page.screenshot(path=tmp_path / "colours.png")
    python, plain, options, other = (colours.colours(number) for number in range(4))

    keyword, comment, text = (colour_of(python, piece) for piece in ("from", "# select", "'where'"))
    assert len({keyword, comment, text}) == 3
    for word in ("select", "as", "from", "where"):
        assert colour_of(plain, word) == keyword, word
    assert colour_of(plain, "-- by country") == comment
    assert colour_of(plain, "'late'") == text
    assert colour_of(plain, "10") not in (None, keyword, text)
    for column in ("value", "name", "total"):  # a column is not a keyword, whatever other dialects say
        assert colour_of(plain + options, column) != keyword, column

    assert colour_of(options, "qualify") == colour_of(options, "over") == keyword
    assert colour_of(options, "varchar") is not None  # the light theme has one green for types and keywords
    assert colour_of(options, "$limit") not in (None, keyword)
    assert colour_of(other, "select") != keyword


def test_dark_and_light_differ(colours: LabPage) -> None:
    seen = []
    for dark in (False, True):
        colours.theme(dark=dark)
        colours.wait_for_word("qualify")
        seen.append(colour_of(colours.colours(1), "select"))
    assert seen[0] != seen[1]


def test_colours_follow_what_is_typed(lab: LabPage) -> None:
    lab.open("typed.ipynb", "x = 1")
    editor = lab.cell(0).locator(".cm-content")
    editor.click()
    lab.page.keyboard.press("Control+a")
    lab.page.keyboard.type("%%sql\nselect 1 where x")
    lab.wait_for_word("where")
    pieces = lab.colours(0)
    assert colour_of(pieces, "where") == colour_of(pieces, "select") is not None


def test_a_new_sql_notebook_loads_the_magics_where_the_kernel_does_not(lab: LabPage) -> None:
    lab.open("old.ipynb", "x = 1")
    lab.page.evaluate("() => window.jupyterapp.commands.execute('workbench:new-sql-notebook')")
    lab.page.wait_for_function("() => /Untitled/.test(window.jupyterapp.shell.currentWidget?.context?.path ?? '')")
    expect(lab.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook .jp-CodeCell")).to_have_count(2)
    cells = "[...window.jupyterapp.shell.currentWidget.content.model.cells].map(cell => cell.sharedModel.getSource())"
    assert lab.page.evaluate(cells) == ["%load_ext workbench", "%%sql\n"]
