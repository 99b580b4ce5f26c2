"""The example notebooks run from the first cell to the last, and are kept without outputs."""

from __future__ import annotations

import datetime
import json
import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from workbench.catalog import Catalog, places
from workbench.notebook import profile
from workbench.query.session import Session
from workbench.runs import Register

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
ALONE = [path for path in NOTEBOOKS if path.stem != "03_across_stores"]
"""What needs no servers; see `test_across.py` for the others."""


def test_there_is_one() -> None:
    assert NOTEBOOKS[0].name == "01_first_look.ipynb"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped_and_it_opens_anywhere(path: Path) -> None:
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "cells" in json.loads(path.read_text())


@pytest.mark.parametrize("path", ALONE, ids=lambda path: path.stem)
def test_it_runs(path: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = profile.environment(home, os.environ)
    for name, value in {**found, "WORKBENCH_HOME": str(home), "IPYTHONDIR": str(tmp_path / "ipython")}.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(path, 4)
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in shown if output.output_type == "error"]
    if path.stem == "01_first_look":
        assert any("application/vnd.plotly.v1+json" in output.get("data", {}) for output in shown)
        assert any("The query was stopped." in output.get("text", "") for output in shown)
        assert (tmp_path / "funnel.parquet").exists()
    if path.stem == "02_traffic_overview":
        assert any("application/vnd.plotly.v1+json" in output.get("data", {}) for output in shown)
        assert any("121 lines read = 120 parsed + 1 refused" in str(output) for output in shown)
        assert any("2026-10-25 02:00 +0100" in str(output) for output in shown)
    if path.stem == "05_live_traffic":
        texts = [output.get("data", {}).get("text/plain", "") for output in shown]
        windows = [re.findall(r"(/\S*)\s+┆ (\d+)", text) for text in texts]
        asked = [re.findall(r"^(/\S*)\s+(\d+)$", text, re.MULTILINE) for text in texts]
        assert len(max(windows, key=len)) == 5
        assert max(windows, key=len) == max(asked, key=len)  # the stream's windows add up to what SQL counts


def test_the_tutorial_s_statements_run_on_the_demo(home: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "tutorial.md").read_text()
    statements = re.findall(r"```sql\n%%sql[^\n]*\n(.*?)```", text, re.DOTALL)
    assert statements
    catalog = Catalog(home)
    session = Session(catalog, Register(places.register(catalog.home)))
    try:
        for statement in statements:
            assert session.sql(statement, {"since": datetime.datetime(2026, 10, 1)}).arrow().num_rows > 0
    finally:
        session.close()
        catalog.close()
