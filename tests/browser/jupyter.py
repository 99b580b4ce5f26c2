"""A real Jupyter server on loopback, and a page of JupyterLab in it, for tests of what is seen."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, Response, expect

from tests.services.mysql.server import Server
from tests.services.process import Process, free_port

CHROMIUM_FLAGS = [
    "--no-sandbox",  # the tests run as root in containers
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

WORKBENCH_LAB = (
    "-m workbench.cli lab --no-demo --no-browser --folder {root} --port={port} --ServerApp.port_retries=0 "
    "--IdentityProvider.token={token} --LabApp.expose_app_in_browser=True"
)
"""A `command` for `JupyterServer`, behind the interpreter: Lab as people start it."""

RUN_ALL = """async () => {
  const app = window.jupyterapp, panel = app.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;  // before the kernel has answered, run-all-cells runs nothing
  await app.commands.execute('notebook:run-all-cells');
}"""
RUN_ONE = """async number => {
  const app = window.jupyterapp, panel = app.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
  panel.content.activeCellIndex = number;
  panel.content.deselectAll();
  await app.commands.execute('notebook:run-cell');
}"""
REFILL = """async cells => {
  const {shell} = window.jupyterapp;
  const found = () => [...shell.widgets('main')].find(one => one.context && one.sessionContext);
  while (!found()) {
    await new Promise(resolve => setTimeout(resolve, 20));  // after a reload Lab puts it back
  }
  const book = found();
  await book.revealed;
  [...shell.widgets('main')].filter(one => one !== book).forEach(one => one.dispose());
  shell.activateById(book.id);
  book.content.mode = 'command';
  book.content.model.fromJSON({...book.content.model.toJSON(), cells});
}"""
OUTPUTS = """() => [...window.jupyterapp.shell.currentWidget.content.model.cells].map(cell =>
  cell.type === 'code' && cell.sharedModel.getSource() ? [cell.executionCount, cell.outputs.toJSON()] : null)"""
SET_THEME = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
SPANS = """input => [...input.querySelectorAll('.cm-line')].flatMap((line, number) =>
  [...line.querySelectorAll('span')].filter(span => span.children.length === 0).map(span => {
    const look = getComputedStyle(span);
    return [number, span.textContent, look.color, look.fontWeight];
  }))"""


def look_url(mariadb: Server) -> str:
    """Of the database that `workbench_lab` makes."""
    return mariadb.url("writer").removesuffix(mariadb.database) + "look"


class JupyterServer:
    """JupyterLab of one interpreter, with every folder that it writes to below `folder`; up when it is made.

    `command` starts it; `{port}`, `{token}` and `{root}` in it are filled in. `environment` is added to what the server
    and its kernels see.
    """

    COMMAND = (
        "-m jupyterlab --allow-root --no-browser --ip=127.0.0.1 --port={port} --ServerApp.port_retries=0 "
        "--IdentityProvider.token={token} --ServerApp.root_dir={root} --LabApp.expose_app_in_browser=True"
    )

    def __init__(
        self,
        folder: Path,
        command: Sequence[str] = (sys.executable, *COMMAND.split()),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.folder, self.root, self.port = folder, folder / "root", free_port()
        self.token = secrets.token_hex(8)
        self.url = f"http://127.0.0.1:{self.port}"
        self.root.mkdir()
        settings = folder / "config" / "labconfig"
        settings.mkdir(parents=True)
        # Lab asks on its first start whether it may fetch news, in a dialog over the notebook.
        quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
        (settings / "page_config.json").write_text(json.dumps(quiet))
        filled = [word.format(port=self.port, token=self.token, root=self.root) for word in command]
        self._process = Process("jupyter", filled, folder, environment=isolated(folder) | (environment or {}))
        try:
            self._process.wait_ready(self._status, timeout=90)
        except BaseException:
            self.close()
            raise

    def _status(self) -> None:
        request = urllib.request.Request(f"{self.url}/api/status", headers={"Authorization": f"token {self.token}"})
        with urllib.request.urlopen(request, timeout=2):
            pass

    def write(self, name: str, *cells: str) -> str:
        """A notebook of these code cells; answers its address in Lab."""
        body = {
            "cells": code_cells(*cells),
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        (self.root / name).write_text(json.dumps(body))
        return self.address(name)

    def address(self, name: str) -> str:
        return f"{self.url}/lab/tree/{name}?token={self.token}&reset"

    def close(self) -> None:
        self._process.stop()


def code_cells(*sources: str) -> list[dict[str, Any]]:
    return [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": source,
        }
        for number, source in enumerate(sources)
    ]


def isolated(folder: Path) -> dict[str, str]:
    """Variables that keep Jupyter, IPython and the workbench away from the files of whoever runs the tests."""
    (folder / "home").mkdir(exist_ok=True)
    return {
        "HOME": str(folder / "home"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
        "WORKBENCH_HOME": str(folder / "workbench"),
    }


class LabPage:
    """A page with one notebook open. `errors` are the page's uncaught exceptions; a test that leaves some fails."""

    def __init__(self, page: Page, server: JupyterServer) -> None:
        self.page, self.server = page, server
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, name: str, *cells: str) -> None:
        """Opens `name`, written first when cells are given; the kernel may still be on its way."""
        address = self.server.write(name, *cells) if cells else self.server.address(name)
        self.page.goto(address)
        self.page.wait_for_function("() => window.jupyterapp?.shell?.currentWidget?.sessionContext")
        self.revealed()
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for()

    def revealed(self) -> None:
        """Until the notebook in front is as its file says. Cells may be drawn before it was read, and what is done to
        them then is lost."""
        self.page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.revealed; }")

    def refill(self, *cells: str) -> None:
        """The open notebook with these cells in place of its own, alone in the main area; its kernel stays."""
        self.page.evaluate(REFILL, code_cells(*cells))
        expect(self.page.locator(".jp-NotebookPanel .jp-Cell")).to_have_count(len(cells))

    @contextlib.contextmanager
    def workspace_saved(self, holds: str) -> Iterator[None]:
        """Until Lab has kept what is done within, a second after the last change; `holds` is in what it keeps."""

        def kept(answer: Response) -> bool:
            request = answer.request
            return request.method == "PUT" and "/api/workspaces/" in request.url and holds in (request.post_data or "")

        with self.page.expect_response(kept, timeout=60_000):
            yield

    def run_all(self) -> None:
        """Until the last cell has run, or one has failed."""
        self.page.evaluate(RUN_ALL)

    def run(self, number: int) -> None:
        """Until this cell has run or failed."""
        self.page.evaluate(RUN_ONE, number)

    def outputs(self) -> list[list[dict[str, Any]]]:
        """What every cell put out, also those that are out of sight and not drawn. All code cells must have run."""
        cells = self.page.evaluate(OUTPUTS)
        assert all(cell is None or cell[0] for cell in cells), "a cell did not run"
        return [cell[1] if cell else [] for cell in cells]

    def failures(self) -> list[str]:
        return [
            f"{one['ename']}: {one['evalue']}"
            for cell in self.outputs()
            for one in cell
            if one["output_type"] == "error"
        ]

    def cell(self, number: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number)

    def output(self, number: int) -> Locator:
        return self.cell(number).locator(".jp-Cell-outputArea")

    def theme(self, *, dark: bool) -> None:
        self.page.evaluate(SET_THEME, "JupyterLab Dark" if dark else "JupyterLab Light")
        light = "false" if dark else "true"
        self.page.locator(f"body[data-jp-theme-light='{light}']").wait_for(state="attached")
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")  # it lies over the page for a second

    def wait_for_word(self, word: str) -> None:
        """Until some editor shows `word` as a piece of its own, which it does once the cell was parsed."""
        self.page.locator(".cm-line span", has_text=re.compile(rf"^{re.escape(word)}$")).first.wait_for()

    def colours(self, number: int) -> list[tuple[int, str, str]]:
        """(line, text, colour) of every coloured piece of a cell's source."""
        spans = self.cell(number).locator(".jp-InputArea-editor").evaluate(SPANS)
        return [(line, text, colour) for line, text, colour, _ in spans]
