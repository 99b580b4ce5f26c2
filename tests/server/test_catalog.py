"""Schemas, tables, columns and samples, over a folder and over a real server, by the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pytest
from tornado.httpclient import HTTPClientError

from tests.server.conftest import Ask, problem
from tests.server.test_interface import conforms
from tests.services.mysql.server import Server
from workbench.contract.secret import Secret
from workbench.server.services import Services


@pytest.fixture
def lake(services: Services, tmp_path: Path) -> str:
    folder = tmp_path / "lake"
    folder.mkdir()
    for number in range(25):
        polars.DataFrame({"id": [number], "name": [None]}).write_parquet(folder / f"t{number:02d}_{number % 2}.parquet")
    services.catalog.connect("lake", path=folder)
    return "lake"


@pytest.fixture
def shop(services: Services, mariadb: Server) -> str:
    mariadb.execute(
        "create database if not exists srv_a",
        "create database if not exists srv_b",
        "drop table if exists srv_a.orders",
        "create table srv_a.orders (id int primary key comment 'its number', note text, total decimal(9,2) not null)",
        "insert into srv_a.orders values (1, 'x', 2.50), (2, null, 3.75)",
        "drop table if exists srv_b.`o\"dd na'me`",
        "create table srv_b.`o\"dd na'me` (a int)",
        "grant select on srv_a.* to reader",
        "grant select on srv_b.* to reader",
    )
    where = {"host": mariadb.host, "port": mariadb.port, "user": "reader"}
    services.catalog.connect("shop", connector="mysql", parameters=where, secret=Secret(mariadb.password))
    return "shop"


async def test_a_table_with_control_characters_in_its_name_is_opened(
    ask: Ask, jp_fetch: Any, services: Services, tmp_path: Path
) -> None:
    name = "a\x01b\x1f\t\n c "
    with duckdb.connect(tmp_path / "odd.duckdb") as db:
        db.execute(f'create table "{name}" as select 7 as n')
    services.catalog.connect("odd", path=tmp_path / "odd.duckdb")
    assert await _all(ask, "odd") == [name]
    assert [one["name"] for one in (await ask("GET", "catalog/odd/table", name=name))["columns"]] == ["n"]
    sample = await jp_fetch("workbench", "api", "catalog", "odd", "sample", params={"name": name})
    assert pa.ipc.open_stream(sample.body).read_all().to_pydict() == {"n": [7]}
    with pytest.raises(HTTPClientError) as refused:
        await ask("GET", "catalog/odd/table", name="a\0b")
    assert refused.value.code == 400


async def _all(ask: Ask, connection: str, **query: object) -> list[str]:
    names: list[str] = []
    after: dict[str, object] = {}
    while True:
        page = await ask("GET", f"catalog/{connection}/tables", **query, **after)
        conforms(page, "TablePage")
        names += [one["name"] for one in page["tables"]]
        if page["next"] is None:
            return names
        after = {"after": page["next"]}


async def test_pages_are_all_tables_once_in_order(ask: Ask, lake: str) -> None:
    whole = await _all(ask, lake)
    assert len(whole) == 25
    assert whole == sorted(whole)
    for limit in (1, 7, 25, 1000):
        assert await _all(ask, lake, limit=limit) == whole


async def test_a_search_takes_its_letters_as_they_are(ask: Ask, lake: str) -> None:
    assert await _all(ask, lake, search="T0", limit=3) == [f"t{number:02d}_{number % 2}" for number in range(10)]
    assert await _all(ask, lake, search="%") == []
    assert len(await _all(ask, lake, search="_1", limit=5)) == 12


async def test_columns_and_first_rows(ask: Ask, jp_fetch: Any, shop: str) -> None:
    table = await ask("GET", "catalog/shop/table", schema="srv_a", name="orders")
    for column in table["columns"]:
        conforms(column, "Column")
    assert [(one["name"], one["source_type"], one["key"]) for one in table["columns"]] == [
        ("id", "int(11)", "primary"),
        ("note", "text", ""),
        ("total", "decimal(9,2)", ""),
    ]
    assert table["columns"][0]["comment"] == "its number"
    answer = await jp_fetch(
        "workbench", "api", "catalog", "shop", "sample", params={"schema": "srv_a", "name": "orders"}
    )
    assert answer.headers["Content-Type"] == "application/vnd.apache.arrow.stream"
    rows = pa.ipc.open_stream(answer.body).read_all()
    assert sorted(rows.column("id").to_pylist()) == [1, 2]
    answer = await jp_fetch(
        "workbench", "api", "catalog", "shop", "sample", params={"schema": "srv_b", "name": "o\"dd na'me", "rows": "1"}
    )
    assert pa.ipc.open_stream(answer.body).read_all().num_rows == 0


async def test_first_rows_are_small_however_large_their_values_are(
    ask: Ask, jp_fetch: Any, shop: str, mariadb: Server
) -> None:
    mariadb.execute("create or replace table srv_a.large (id int primary key, data longblob, text longtext)")
    try:
        mariadb.execute(
            *(f"insert into srv_a.large values ({n}, repeat('x', 1000000), repeat('ä', 500000))" for n in range(1, 21))
        )
        answer = await jp_fetch(
            "workbench", "api", "catalog", "shop", "sample", params={"schema": "srv_a", "name": "large", "rows": "20"}
        )
    finally:
        mariadb.execute("drop table srv_a.large")
    assert len(answer.body) < 100_000
    rows = pa.ipc.open_stream(answer.body).read_all()
    assert sorted(rows.column("id").to_pylist()) == list(range(1, 21))
    assert rows.column("data")[0].as_py() == f"0x{'78' * 48}… (1,000,000 bytes)"
    assert rows.column("text")[0].as_py() == "ä" * 1000
    assert json.loads(rows.schema.metadata[b"workbench.cut"]) == {"1": list(range(20)), "2": list(range(20))}
    assert rows.schema.field("data").metadata[b"workbench.kind"] == b"binary"


async def test_schemas_are_found_without_listing_their_tables(ask: Ask, shop: str) -> None:
    schemas = (await ask("GET", "catalog/shop/schemas"))["schemas"]
    assert {"srv_a", "srv_b"} <= set(schemas)
    assert schemas == sorted(set(schemas))
    assert await _all(ask, shop, schema="srv_a") == ["orders"]
    assert await _all(ask, shop, schema="srv_b", limit=1) == ["o\"dd na'me"]


async def test_where_there_are_no_schemas_there_are_none(ask: Ask, lake: str) -> None:
    assert (await ask("GET", f"catalog/{lake}/schemas"))["schemas"] == []


async def test_a_refresh_shows_what_is_new(ask: Ask, lake: str, tmp_path: Path) -> None:
    assert len(await _all(ask, lake)) == 25
    polars.DataFrame({"id": [1]}).write_parquet(tmp_path / "lake" / "zz.parquet")
    await ask("POST", f"catalog/{lake}/refresh")
    assert (await _all(ask, lake))[-1] == "zz"


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("catalog/nope/tables", {}, 404),
        ("catalog/lake/table", {}, 400),
        ("catalog/lake/table", {"name": "t00"}, 404),
        ("catalog/lake/tables", {"limt": "3"}, 400),
        ("catalog/lake/tables", {"limit": "0"}, 400),
        ("catalog/lake/tables", {"limit": "1001"}, 400),
        ("catalog/lake/tables", {"limit": "-1"}, 400),
        ("catalog/lake/tables", {"limit": "\u0663"}, 400),
        ("catalog/lake/tables", {"search": "x" * 201}, 400),
        ("catalog/lake/sample", {"name": "t00_0", "rows": "101"}, 400),
        ("catalog/lake/sample", {"name": "../../etc/passwd"}, 404),
        ("catalog/lake/sample", {"name": 'x" union select 1 --'}, 404),
    ],
)
async def test_what_does_not_fit_is_refused(ask: Ask, lake: str, path: str, query: dict[str, str], status: int) -> None:
    with pytest.raises(HTTPClientError) as caught:
        await ask("GET", path, **query)
    assert caught.value.code == status
    conforms(problem(caught), "Problem")
