"""A result's grid in a page, for tests: what it says, where its cursor is, and what is asked of it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from playwright.sync_api import Locator, expect

ROW_HEIGHT, HEADER_HEIGHT = 24, 40


class Grid:
    """The grid in `around`. Cells are a canvas: what is read here is what a screen reader is told."""

    def __init__(self, around: Locator) -> None:
        self.root = around.locator(".wb-Grid")
        self.page = around.page
        self.canvas = self.root.locator(".wb-Canvas")
        self.viewport = self.root.locator(".lm-DataGrid-viewport")
        self.search = self.root.get_by_label("Search all columns")
        self.notice = self.root.locator(".wb-Notice")

    def wait(self) -> Grid:
        """Until it is there and shows what was asked of it."""
        self.root.wait_for()
        expect(self.canvas).not_to_have_attribute("aria-busy", "true", timeout=60_000)
        return self

    def reset(self) -> Grid:
        """As it was at first, but for what was done to its columns."""
        self.page.keyboard.press("Escape")
        while self.chips:
            self.remove(self.chips[0])
        self.click()
        self.press("Control+Home")
        return self

    @property
    def count(self) -> str:
        return self.root.locator(".wb-Bar-count").inner_text()

    def expect_count(self, text: str | re.Pattern[str]) -> None:
        expect(self.root.locator(".wb-Bar-count")).to_have_text(text, timeout=60_000)

    @property
    def chips(self) -> list[str]:
        return self.root.locator(".wb-Chip > span").all_inner_texts()

    def remove(self, chip: str) -> None:
        self.root.get_by_role("button", name=f"Remove: {chip}", exact=True).click()
        self.wait()

    def click(self, line: int = 0, x: int = 150) -> None:
        """A cell by what is on screen: the `line`-th row below the header."""
        self.viewport.click(position={"x": x, "y": HEADER_HEIGHT + ROW_HEIGHT * line + 8})

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def to_column(self, name: str) -> None:
        """The cursor, in its row, to this column."""
        self.press("Home")
        for _ in range(200):
            if self.column == name:
                return
            self.press("ArrowRight")
        raise AssertionError(f"no column {name!r}; the cursor is at {self.column!r}")

    @property
    def column(self) -> str:
        return self.root.locator("[role=columnheader]").inner_text()

    @property
    def row(self) -> int:
        """The cursor's row among those shown, from 0."""
        return int(self.root.locator("[role=row]").nth(1).get_attribute("aria-rowindex") or 0) - 2

    @property
    def rows(self) -> int:
        return int(self.viewport.get_attribute("aria-rowcount") or 0) - 1

    @property
    def cell(self) -> str:
        """The value at the cursor, once it is here."""
        expect(self.root.locator("[role=gridcell]")).not_to_have_text("loading", timeout=60_000)
        return self.root.locator("[role=gridcell]").text_content() or ""

    def values(self, columns: Sequence[str]) -> list[str]:
        """Of the cursor's row, in the order in which the columns stand."""
        found = []
        self.press("Home")
        for name in columns:
            assert self.column == name
            found.append(self.cell)
            self.press("ArrowRight")
        return found

    def wheel_to(self, row: int) -> None:
        """Scrolls so that `row` is the first below the header, from the top."""
        box = self.viewport.bounding_box()
        assert box is not None
        self.page.mouse.move(box["x"] + 200, box["y"] + 200)
        self.page.wait_for_timeout(300)  # a turn that began elsewhere goes on elsewhere
        self.page.mouse.wheel(0, row * ROW_HEIGHT)
        self.page.wait_for_timeout(100)

    def sort(self, column: str) -> None:
        self.to_column(column)
        self.press("s")
        self.wait()
        self.click()

    def filter(self, column: str, words: str, *values: str) -> None:
        """By the form: the operator as it is written there."""
        self.to_column(column)
        self.press("f")
        form = self.page.locator(".wb-Filter")
        form.get_by_label("Condition").select_option(label=words)
        for field, value in zip(form.locator("input").all(), values, strict=True):
            field.fill(value)
        self.press("Enter")
        form.wait_for(state="detached")
        self.wait()

    def copied(self) -> list[list[str]]:
        """What Ctrl+C puts into the clipboard, as rows of fields."""
        flash = self.root.locator(".wb-Flash")
        flash.evaluate_all("all => all.forEach(one => one.remove())")
        self.press("Control+c")
        flash.wait_for()
        text: str = self.page.evaluate("navigator.clipboard.readText()")
        return [line.split("\t") for line in text.split("\n")]

    def viewed(self) -> str:
        """The value at the cursor in the viewer, which is closed again."""
        self.press("Enter")
        text = self.page.locator(".wb-Viewer-text")
        text.wait_for()
        shown = text.text_content() or ""
        self.press("Escape")
        text.wait_for(state="detached")
        return shown
