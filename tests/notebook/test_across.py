"""The notebooks that ask several stores, on real servers. What they answer is what DuckDB answers on the demo alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import nbformat
import pytest
from nbclient import NotebookClient

from tests.services.across import NAMES, Stores
from tests.services.hbase.server import HBase
from tests.services.hive.server import Hive
from tests.services.mongodb.server import MongoJava
from tests.services.mysql.server import Server
from workbench.catalog import Catalog
from workbench.demo import Demo
from workbench.demo.shape import FIRST_DAY, Shape
from workbench.notebook import profile


@pytest.fixture
def spread(mysql9: Server, hive: Hive, mongodb: MongoJava, hbase: HBase, home: Path) -> Iterator[Demo]:
    """The demo shop in the four servers and the folder, connected in `home`."""
    catalog = Catalog(home)
    with Stores(mysql9, hive, mongodb, hbase).connected(catalog, Shape(scale=0.02)) as made:
        yield made
    assert not set(NAMES) & set(catalog.names())
    catalog.close()


def test_one_statement_over_five_stores(
    spread: Demo, home: Path, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = profile.environment(home, os.environ)
    for name, value in {**found, "WORKBENCH_HOME": str(home), "IPYTHONDIR": str(tmp_path / "ipython")}.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(repository / "notebooks" / "03_across_stores.ipynb", 4)
    notebook.cells.append(nbformat.v4.new_code_cell("goods.write('goods.parquet')"))
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = [output for cell in code for output in cell.outputs]
    assert any("application/vnd.plotly.v1+json" in output.get("data", {}) for output in shown)
    assert any("The query was stopped." in output.get("text", "") for output in shown)
    (statement,) = [cell.source for cell in code if "%%sql goods" in cell.source]
    (told,) = [text(cell) for cell in code if "goods.explain()" in cell.source]
    assert all(f". {name}: " in told for name in (*NAMES, "web")), told
    assert "`year` = 2025" in told, told
    answer = duckdb.sql(f"from '{tmp_path / 'goods.parquet'}'").fetchall()
    assert len(answer) == 10
    assert all(None not in row for row in answer)
    assert answer == embedded(spread.folder, statement.partition("\n")[2])


def text(cell: Any) -> str:
    return "\n".join(str(output.get("text", "") or output["data"]["text/plain"]) for output in cell.outputs)


def embedded(folder: Path, statement: str) -> list[tuple[Any, ...]]:
    """What the demo's own files answer, when each store is a view of them."""
    since = f"ordered_at >= timestamp '{FIRST_DAY}'"
    events = f"from read_parquet('{folder / 'web' / 'events'}/*.parquet')"
    views = {
        "mysql.orders": f"from shop.orders where {since}",
        "hive.orders": f"select *, year(ordered_at) as year from shop.orders where not {since}",
        "mongo.customers": "select customer_id as _id, {'segment': segment} as profile from shop.customers",
        "mongo.items": "select item_id as _id, category from shop.items",
        "hbase.events": f"select * replace (ts at time zone 'UTC' as ts) {events}",
        "web.events": events,
    }
    with duckdb.connect() as engine:
        engine.execute(f"attach '{folder / 'shop.duckdb'}' as shop (read_only)")
        for name, rows in views.items():
            engine.execute(f"create schema if not exists {re.sub(r'[.].*', '', name)}")
            engine.execute(f"create view {name} as {rows}")
        return engine.execute(statement).fetchall()
