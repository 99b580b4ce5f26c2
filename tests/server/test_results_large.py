"""B10 and B11 of the hostile list: five million rows and a cell of a gigabyte, while the server's memory stays flat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.server.served import Served, served
from workbench.execution.shared import Shared
from workbench.execution.spool import Spool

pytestmark = pytest.mark.deep
MOST = 200 << 20
"""Bytes that the server may take more than before: its libraries, and the pages that are under way."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as server:
        yield server


def share(server: Served, batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[str]:
    with Spool(server.home / "spool", 1 << 20, schema=schema) as spool:
        shared = Shared(server.home / "results", spool)
        for batch in batches:
            spool.append(batch)
        spool.finish()
        assert shared.wait(300)
        yield shared.id
        shared.close()


def found(server: Served, result: str, body: object) -> dict[str, Any]:
    """The view of these conditions, once all of its rows are known."""
    view: dict[str, Any] = server.ask("POST", f"/results/{result}/views", body).ok()
    while view["state"] == "working":
        view = server.ask("GET", f"/results/{result}/views/{view['view']}").ok()
    return view


def anonymous(server: Served) -> int:
    """Bytes of the server's own memory: what it maps of files the system takes back when it likes."""
    text = Path(f"/proc/{server.pid}/status").read_text()
    return int(text.partition("RssAnon:")[2].split()[0]) << 10


def test_b10_five_million_rows_in_the_browser(server: Served) -> None:
    schema = pa.schema([("n", pa.int64()), ("word", pa.string()), ("x", pa.float64())])
    step, rows = 50_000, 5_000_000

    def batches() -> Iterator[pa.RecordBatch]:
        for first in range(0, rows, step):
            numbers = pa.arange(first, first + step)
            words = pa.array([f"word {n % 1000}" for n in range(first, first + step)])
            yield pa.RecordBatch.from_arrays([numbers, words, numbers.cast(pa.float64())], schema=schema)

    for result in share(server, batches(), schema):
        server.ask("GET", f"/results/{result}/page")  # what is loaded once
        before = anonymous(server)
        body = {"sort": [{"column": "x", "descending": True}]}
        view = found(server, result, body)
        assert view["rows"] == rows
        for start in range(0, rows, rows // 50):
            page = server.ask("GET", f"/results/{result}/page?view={view['view']}&start={start}&count=500")
            assert pa.ipc.open_stream(page.body).read_all()["n"][0].as_py() == rows - 1 - start
        assert anonymous(server) - before < MOST


def test_b11_a_cell_of_a_gigabyte(server: Served) -> None:
    schema = pa.schema([("n", pa.int64()), ("text", pa.large_string())])

    def batches() -> Iterator[pa.RecordBatch]:
        for n, text in enumerate(("short", "x" * (1 << 30), "after")):
            yield pa.RecordBatch.from_arrays([pa.array([n]), pa.array([text], pa.large_string())], schema=schema)

    for result in share(server, batches(), schema):
        server.ask("GET", f"/results/{result}/page?columns=0")
        before = anonymous(server)
        page = server.ask("GET", f"/results/{result}/page")
        assert len(page.body) < 10_000
        table = pa.ipc.open_stream(page.body).read_all()
        assert table["text"].to_pylist() == ["short", "x" * 1000, "after"]
        assert json.loads(table.schema.metadata[b"workbench.cut"]) == {"1": [1]}
        cell = server.ask("GET", f"/results/{result}/cell?row=1&column=1")
        assert cell.status == 413
        assert "1,073,741,8" in cell.body.decode()
        assert server.ask("GET", f"/results/{result}/cell?row=2&column=1").body == b"after"
        body = {"sort": [{"column": "n", "descending": True}]}
        view = found(server, result, body)
        sorted_page = server.ask("GET", f"/results/{result}/page?view={view['view']}")
        assert pa.ipc.open_stream(sorted_page.body).read_all()["n"].to_pylist() == [2, 1, 0]
        assert anonymous(server) - before < MOST
