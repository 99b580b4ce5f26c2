"""Random predicates beside DuckDB on rows as only HBase has them: cells that are missing, values that are none of their
column's type, keys that are too short."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.connectors.hbase.store import ENCODERS, config
from tests.services.hbase.admin import Admin
from tests.services.hbase.server import HBase
from workbench.contract import And, Applied, Predicate, TableRef
from workbench.kit import filter as kit_filter
from workbench.testing.oracle import Oracle, random_predicate
from workbench.testing.scanning import raw, scan
from workbench_hbase.connector import HBaseConnector
from workbench_hbase.encoding import arrow

REF = TableRef("judged")
KINDS = {
    "t": "text", "raw": "bytes", "yes": "boolean", "s": "short", "i": "int", "l": "long", "sl": "sorted_long",
    "f": "float", "d": "double", "at": "time", "back": "reversed_time", "digits": "text_integer",
}  # fmt: skip
MAPPING: Mapping[str, Any] = {
    "key": [{"name": "shop", "separator": "|"}, {"name": "n", "type": "sorted_int"}],
    "columns": {name: {"type": kind, "cell": f"{'fg'[len(name) % 2]}:{name}"} for name, kind in KINDS.items()},
}
NUMBERS = {"s": 2**15, "i": 2**31, "l": 2**63, "sl": 2**63}
ODD = [b"", b"\0", b"\xff", b"short", b"\0" * 8, b"\xff" * 8, b"12", b"-7 ", b"+5", b"\xc3", b"a\0"]
TOGETHER = 25


def values(name: str, kind: str) -> list[Any]:
    match kind:
        case "text":
            return ["", "a", "a\0", "ab", "b", "é", "\ufffd", "z" * 30]
        case "bytes":
            return [b"", b"\0", b"a", b"a\0", b"\xff", b"\xff\xff", "é".encode()]
        case "boolean":
            return [True, False]
        case "float" | "double":
            return [0.0, -0.0, 1.5, -1.5, math.inf, -math.inf, 5e-324 if kind == "double" else 2.0**-149]
        case "time" | "reversed_time":
            whole = [0, 1, 999, 1_700_000_000_000] + ([-1] if kind == "time" else [])
            return [pa.scalar(one, pa.timestamp("ms", "UTC")).as_py() for one in whole]
    most = NUMBERS.get(name, 10**18)
    return [0, 1, -1, 255, -256, most - 1, -most]


def rows(chance: random.Random) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    for number in range(120):
        shop = chance.choice([b"", b"a", b"ab", b"b", b"b\0", "é".encode(), b"\xff"])
        cells = {b"f:other": b"x"} if chance.random() < 0.5 or number == 0 else {}
        for name, kind in KINDS.items():
            cell, which = MAPPING["columns"][name]["cell"].encode(), chance.random()
            if which < 0.2:
                cells[cell] = chance.choice(ODD)
            elif which < 0.7:
                cells[cell] = ENCODERS[kind](chance.choice(values(name, kind)))
        key = shop + b"|" + ENCODERS["sorted_int"](number - 60) if number else b"a"
        yield key, cells or {b"g:other": b""}


@pytest.fixture(scope="module", params=["native", "gateway"])
def judged(request: pytest.FixtureRequest, hbase: HBase) -> Iterator[tuple[HBaseConnector, Oracle]]:
    admin, client = Admin(hbase), hbase.client()
    client.drop(REF.name)
    admin.create(REF.name, "f", [b"b"], more=("g",))
    admin.close()
    client.put(REF.name, rows(random.Random(5)))
    tables = {REF.name: MAPPING}
    connector = HBaseConnector(config(hbase, tables, route=request.param, gateway_port=hbase.gateway))
    try:
        everything = scan(connector, REF, connector.tables.schema(REF).names)
        assert everything.num_rows == 120
        with contextlib.closing(Oracle(everything, "n")) as oracle:
            yield connector, oracle
    finally:
        connector.close()
        client.drop(REF.name)


def asked() -> dict[str, tuple[pa.DataType, list[Any]]]:
    cells = {name: (arrow(kind), values(name, kind)) for name, kind in KINDS.items()}
    return {**cells, "shop": (pa.string(), ["", "a", "ab", "b", "é", "x"]), "n": (pa.int32(), [-60, -59, 0, 59, 60])}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_random_predicates_agree_with_duckdb(judged: tuple[HBaseConnector, Oracle], seed: int) -> None:
    connector, oracle = judged
    chance, columns = random.Random(seed), asked()
    for _ in range(TOGETHER if connector.route.bytewise else TOGETHER // 5):  # the gateway is slow
        predicate = random_predicate(chance, columns, 2)
        agree(connector, oracle, predicate, chance.choice((1, 1, 1, 4)))


def agree(connector: HBaseConnector, oracle: Oracle, predicate: Predicate, splits: int) -> None:
    wanted = oracle.keys(predicate)
    plan, got = raw(connector, REF, ("n",), (predicate,), splits)
    given_rows = got.column("n").to_pylist()
    about = f"{predicate}\nsent: {plan.native_text}"
    assert len(given_rows) == len(set(given_rows)), about
    assert set(given_rows) >= wanted, about
    if plan.applied[predicate] is Applied.EXACT:
        assert set(given_rows) == wanted, about
    kept = [kit_filter.apply(batch, plan.residual) for batch in got.to_batches()]
    assert {key for batch in kept for key in batch.column("n").to_pylist()} == wanted, about


def test_ands_of_what_is_compared_narrow_it(judged: tuple[HBaseConnector, Oracle]) -> None:
    """Several conditions at once, as a WHERE has them."""
    connector, oracle = judged
    chance, columns = random.Random(11), asked()
    for _ in range(40):
        some = tuple({random_predicate(chance, columns, 1) for _ in range(3)})
        got = scan(connector, REF, ("n",), some)
        assert set(got.column("n").to_pylist()) == oracle.keys(And(some)), some


def test_what_is_odd_is_there(judged: tuple[HBaseConnector, Oracle]) -> None:
    """Else the others would prove little."""
    connector, _ = judged
    everything = scan(connector, REF, connector.tables.schema(REF).names)
    for name in KINDS:
        assert 20 < everything.column(name).null_count < 110, name
    assert everything.column("n").null_count == 1
