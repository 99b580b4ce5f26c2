"""Thousands of tables through the interface: pages and searches are right. `benchmarks/catalog.py` measures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from tests.server.conftest import Ask
from tests.services.mysql import many
from tests.services.mysql.server import MariaDB
from workbench.contract.secret import Secret
from workbench.server.services import Services


@pytest.fixture(scope="module", params=[5_000, pytest.param(100_000, marks=pytest.mark.deep)])
def count(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture(scope="module")
def crowded(count: int) -> Iterator[MariaDB]:
    """A server of its own: other tests look at all tables of theirs."""
    with MariaDB() as server:
        many.make(server, count, 20)
        yield server


@pytest.fixture(scope="module")
def file(count: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("duck") / "many.duckdb"
    with duckdb.connect(path) as link:
        link.execute("begin")
        for number in range(20):
            inside = range(number * count // 20, (number + 1) * count // 20)
            link.execute(f"create schema big_{number:04d}")
            link.execute(";".join(f"create table big_{number:04d}.t_{one:06d}(id int)" for one in inside))
        link.execute("commit")
    return path


async def _walk(ask: Ask, connection: str, count: int) -> None:
    schemas = (await ask("GET", f"catalog/{connection}/schemas"))["schemas"]
    assert [one for one in schemas if one.startswith("big_")] == [f"big_{number:04d}" for number in range(20)]

    async def asked(**query: object) -> tuple[list[str], str | None, int]:
        page = await ask("GET", f"catalog/{connection}/tables", **query)
        return [one["name"] for one in page["tables"]], page["next"], page["total"]

    each = count // 20
    names, after, total = await asked(schema="big_0007", limit=200)
    assert (names[0], len(names), total) == (f"t_{7 * each:06d}", 200, each)
    names, after, total = await asked(schema="big_0007", limit=200, after=after)
    assert (names[0], total) == (f"t_{7 * each + 200:06d}", each)
    names, after, total = await asked(schema="big_0019", limit=200, after=f"big_0019.t_{count - 50:06d}")
    assert (names[-1], len(names), after, total) == (f"t_{count - 1:06d}", 49, None, each)
    names, after, total = await asked(search=f"{count - 3:06d}")
    assert (names, after, total) == ([f"t_{count - 3:06d}"], None, 1)
    names, after, total = await asked(search="BIG_0003.T_")
    assert (len(names), total) == (200, each)
    names, after, total = await asked(search="nothing like it")
    assert (names, after, total) == ([], None, 0)


async def test_a_server_with_many_tables(ask: Ask, services: Services, crowded: MariaDB, count: int) -> None:
    where = {"host": crowded.host, "port": crowded.port, "user": "reader"}
    services.catalog.connect("shop", connector="mysql", parameters=where, secret=Secret(crowded.password))
    await _walk(ask, "shop", count)
    page = await ask("GET", "catalog/shop/tables", schema="big_0001", limit=1)
    assert (page["tables"][0]["comment"], page["tables"][0]["kind"]) == ("one of many", "table")


async def test_a_file_with_many_tables(ask: Ask, services: Services, file: Path, count: int) -> None:
    services.catalog.connect("duck", path=file)
    await _walk(ask, "duck", count)
    columns = await ask("GET", "catalog/duck/table", schema="big_0019", name=f"t_{count - 1:06d}")
    assert [one["name"] for one in columns["columns"]] == ["id"]
