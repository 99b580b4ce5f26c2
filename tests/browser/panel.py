"""The side panel as tests use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.jupyter import LabPage

expect.set_options(timeout=20_000)
SOURCES = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells].map(cell =>
  cell.sharedModel.getSource())"""


class Panel:
    """Of the page `lab`: opens it, and finds things in it. `errors` are what the page wrote into its console as errors,
    without the failures of requests that a browser writes there by itself."""

    def __init__(self, lab: LabPage) -> None:
        self.lab, self.page = lab, lab.page
        self.errors: list[str] = []
        lab.page.on("console", lambda message: self.errors.extend(_errors(message.type, message.text)))

    def open(self) -> None:
        self.page.evaluate("() => window.jupyterapp.commands.execute('workbench:open')")
        self.node.locator(".wb-Item, .wb-Empty").first.wait_for()

    def reset(self) -> None:
        """No dialog, nothing searched for, and no connection open in the catalog."""
        while self.dialog.count():
            self.page.keyboard.press("Escape")
            self.page.wait_for_timeout(50)
        self.node.get_by_label("Search tables").fill("")
        self.node.get_by_role("button", name="Fold all up").click()
        expect(self.node.locator(".wb-Tree .wb-Row[aria-expanded=true]")).to_have_count(0)
        self.errors.clear()

    @property
    def node(self) -> Locator:
        return self.page.locator("#workbench-panel")

    @property
    def dialog(self) -> Locator:
        return self.page.locator(".jp-Dialog")

    def connection(self, name: str) -> Locator:
        return self.node.locator(f"li[data-connection='{name}']")

    def row(self, name: str) -> Locator:
        """The row of the tree that is called so."""
        named = self.page.locator(".wb-Row-name").get_by_text(name, exact=True)
        return self.node.locator(".wb-Row").filter(has=named.or_(self.page.get_by_text(name, exact=True))).first

    def runs(self) -> Locator:
        return self.node.locator(".wb-Run")

    def history(self) -> Locator:
        return self.node.locator(".wb-History li")

    def sources(self) -> list[str]:
        """What is written in the cells of the notebook that is in front."""
        found: list[str] = self.page.evaluate(SOURCES)
        return found

    def command(self, name: str) -> Any:
        return self.page.evaluate(f"() => {{ window.jupyterapp.commands.execute({json.dumps(name)}); }}")


def _errors(kind: str, text: str) -> Iterator[str]:
    if kind == "error" and "Failed to load resource" not in text:
        yield text


def hits(page: Page) -> int:
    """How often something that came as text ran as code."""
    found: int = page.evaluate("() => window.__hit ?? 0")
    return found
