"""Topologies of these tests register in a register of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from workbench.catalog import Catalog
from workbench.runs import Register
from workbench.streams import Topology
from workbench.streams.running import Running


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What spouts keep lies there, and not with whoever runs the tests."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))


@pytest.fixture
def register(tmp_path: Path) -> Register:
    return Register(tmp_path / "runs.sqlite")


@pytest.fixture
def started(register: Register) -> Iterator[Callable[..., Running]]:
    """Runs a topology, and ends it with the test."""
    running: list[Running] = []

    def start(topology: Topology, **options: Any) -> Running:
        running.append(topology.run(register=register, **options))
        return running[-1]

    yield start
    for one in running:
        one.stop(5)
    register.close()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DuckDB file that is connected as `shop`, and a folder as `lake`."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(path) as base:
        base.execute("create table views (page varchar primary key, n integer check (n < 100))")
    (tmp_path / "lake").mkdir()
    Catalog().connect("shop", path=path, writable=True)
    Catalog().connect("only", path=path)
    Catalog().connect("lake", path=tmp_path / "lake", writable=True)
    return path
