"""A viewer as people start it, with notebooks of our own."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.browser.conftest import chromium, playwright
from tests.browser.jupyter import isolated
from tests.services.process import Process, free_port
from workbench.dashboards import Dashboards
from workbench.dashboards.access import Access

__all__ = ["chromium", "playwright"]

SLIDER = """
import ipywidgets as w
import workbench as wb

asked = wb.parameters(country={"type": "string", "enum": ["all", "DE"], "default": "all"},
                      top={"type": "integer", "minimum": 1, "maximum": 8, "default": 3})
source_mark = "SOURCE-" "MARK"
slider, label, shown = w.IntSlider(asked.top, 1, 9), w.Label(), w.Output()

def moved(change):
    label.value = f"top {slider.value} of {asked.country}"
    with shown:
        if slider.value == 9:
            raise ValueError("TRACEBACK-" "MARK")

slider.observe(moved, "value")
moved(None)
w.VBox([slider, label, shown])
"""
FIGURE = "import plotly.express as px\npx.bar(x=list('abc'), y=[3, 5, 2], title='Orders')"
KERNEL = r'"kernelId": "([0-9a-f-]{36})"'
FAILS = "x = 1\nraise ValueError('TRACEBACK-' 'MARK')"


class ViewerServer:
    """A viewer process on a home of its own; `idle` is how long a kernel outlives its page."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.home, self.port = folder, folder / "workbench", free_port()
        self.dashboards = Dashboards(self.home / "documents")
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "workbench.server.viewer", f"--port={self.port}", *options]
        self.process = Process("viewer", command, folder, environment=isolated(folder))
        try:
            self.process.wait_ready(lambda: requests.get(f"{self.url}/login", timeout=2), timeout=90)
        except BaseException:
            self.process.stop()
            raise
        token = Access(self.home / "viewer").token()
        assert token is not None
        self.token = token

    def publish(self, name: str, *cells: str) -> str:
        """The link to a notebook of these cells; those that begin with `#` and a space are text."""
        path = self.folder / f"{name}.ipynb"
        path.write_text(json.dumps(notebook(cells)))
        self.dashboards.publish(path, name)
        return f"{self.url}/d/{name}#{self.token}"

    def kernels(self) -> int:
        found: int = json.loads((self.home / "viewer" / "viewer.json").read_text())["kernels"]
        return found

    def logged_in(self) -> requests.Session:
        session = requests.Session()
        session.get(f"{self.url}/login", timeout=10)
        form = {"password": self.token, "_xsrf": session.cookies["_xsrf"], "next": "/"}
        assert session.post(f"{self.url}/login", form, timeout=10, allow_redirects=False).status_code == 302
        return session

    def kernel_of(self, session: requests.Session, name: str) -> str:
        """Opens the dashboard whole; its kernel, which a page would connect to now."""
        page = session.get(f"{self.url}/d/{name}", timeout=120)
        assert page.status_code == 200, page.text
        found = re.search(KERNEL, page.text)
        assert found is not None
        return found[1]


def notebook(cells: Sequence[str]) -> dict[str, Any]:
    made = []
    for number, source in enumerate(cells):
        cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}, "source": source}
        text = source.startswith("# ")
        code = {"outputs": [{"output_type": "stream", "name": "stdout", "text": "OUTPUT-MARK"}], "execution_count": 7}
        made.append({**cell, "cell_type": "markdown"} if text else {**cell, "cell_type": "code", **code})
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": made}


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ViewerServer]:
    server = ViewerServer(tmp_path_factory.mktemp("viewer"), "--idle=30")
    yield server
    server.process.stop()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """`write("name.ipynb", *cells)`"""

    def made(name: str, *cells: str) -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(notebook(cells)))
        return path

    return made
