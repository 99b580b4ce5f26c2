"""What a scan brings by either route is what happybase, the client that everybody has, brings of the same table."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

import happybase
import pyarrow as pa
import pytest

from tests.connectors.hbase.store import config
from tests.services.hbase.server import HBase
from workbench.contract import Column, Compare, Literal, Predicate, TableRef
from workbench.testing.scanning import scan
from workbench_hbase.connector import HBaseConnector

TABLE = TableRef("wbt_happy")
CELLS = [b"f:a", b"f:", b"f:b b", b"f:\xff\x00", "g:ü".encode(), b"g:a", b"f:a:b"]
NAMES = {f"c{number}": cell for number, cell in enumerate(CELLS)}
"""Of our columns, all of them bytes."""


def _spelled(cell: bytes) -> str:
    """As a mapping writes the name of a cell."""
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return "".join(chr(one) if 32 <= one < 127 else f"\\x{one:02x}" for one in cell)


@pytest.fixture(scope="module")
def theirs(hbase: HBase) -> Iterator[Any]:
    """Two thousand rows with keys and values of any bytes; some written twice, some cells and rows taken out again."""
    chance = random.Random(11)
    client = hbase.client()
    client.drop(TABLE.name)
    client.create(TABLE.name, "f", "g")
    connection = happybase.Connection(hbase.host, hbase.gateway)
    table = connection.table(TABLE.name)
    keys = [chance.randbytes(chance.randint(1, 6)) for _ in range(2000)] + [
        b"\x00",
        b"\xff",
        b"\xff\xff",
        b"a",
        b"a\x00",
    ]
    for _ in range(2):
        with table.batch(batch_size=500) as batch:
            for key in keys:
                some = chance.sample(CELLS, chance.randint(1, len(CELLS)))
                batch.put(key, {cell: chance.randbytes(chance.choice((0, 1, 8, 300))) for cell in some})
    with table.batch() as batch:
        for key in chance.sample(keys, 200):
            batch.delete(key, chance.sample(CELLS, 2))
        for key in chance.sample(keys, 50):
            batch.delete(key)
    yield table
    connection.close()
    client.drop(TABLE.name)


@pytest.fixture(params=["native", "gateway"])
def ours(request: pytest.FixtureRequest, hbase: HBase) -> Iterator[HBaseConnector]:
    cells = {name: {"type": "bytes", "cell": _spelled(cell)} for name, cell in NAMES.items()}
    mapping: dict[str, Mapping[str, Any]] = {TABLE.name: {"columns": cells}}
    connector = HBaseConnector(config(hbase, mapping, route=request.param, gateway_port=hbase.gateway))
    yield connector
    connector.close()


def _rows(connector: HBaseConnector, *predicates: Predicate, splits: int = 1) -> dict[bytes, dict[bytes, bytes]]:
    names = ("row_key", *NAMES)
    found = {}
    for row in scan(connector, TABLE, names, predicates, splits).to_pylist():
        found[row["row_key"]] = {cell: row[name] for name, cell in NAMES.items() if row[name] is not None}
    return found


def test_every_row_and_cell_is_the_same(theirs: Any, ours: HBaseConnector) -> None:
    wanted = dict(theirs.scan())
    assert len(wanted) > 1500
    assert _rows(ours) == wanted
    assert _rows(ours, splits=7) == wanted


def test_ranges_of_rows_are_the_same(theirs: Any, ours: HBaseConnector) -> None:
    chance = random.Random(4)
    edges = [b"a", b"a\x00", b"\xff", b"\x00", *(chance.randbytes(chance.randint(1, 3)) for _ in range(12))]
    for first in edges:
        stop = chance.choice(edges)
        low = Compare(Column(("row_key",)), ">=", Literal(first, pa.binary()))
        high = Compare(Column(("row_key",)), "<", Literal(stop, pa.binary()))
        wanted = dict(theirs.scan(row_start=first, row_stop=stop)) if first < stop else {}
        assert _rows(ours, low, high) == wanted, (first, stop)


def test_single_rows_are_the_same(theirs: Any, ours: HBaseConnector) -> None:
    for key in (b"\x00", b"\xff\xff", b"a", b"a\x00", b"not there"):
        one = theirs.row(key)
        same = Compare(Column(("row_key",)), "=", Literal(key, pa.binary()))
        assert _rows(ours, same) == ({key: one} if one else {})
