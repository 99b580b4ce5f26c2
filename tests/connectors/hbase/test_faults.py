"""Bad luck on a cluster of several processes: regions move, servers die, leases run out, tables go."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.connectors.hbase.store import config
from tests.services.hbase.admin import Admin
from tests.services.hbase.server import HBase
from workbench.contract import Reader, ScanRequest, TableRef
from workbench.contract.errors import SourceError, Unreachable, WorkbenchError
from workbench.testing.control import RecordingControl
from workbench_hbase.connector import HBaseConnector

ROWS = 4000
LEASE = 3.0
MAPPING: Mapping[str, Mapping[str, Any]] = {"faults": {"columns": {"f:v": "bytes"}}}
QUICK = {
    "zookeeper.session.timeout": 6000,
    "hbase.zookeeper.property.tickTime": 1000,
    "hbase.client.scanner.timeout.period": int(LEASE * 1000),
    "hbase.client.retries.number": 12,
}
"""A server that died is noticed within seconds."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[HBase]:
    with HBase(servers=2, framed=True, tls=True, settings=QUICK) as server:
        yield server


@pytest.fixture
def admin(cluster: HBase) -> Iterator[Admin]:
    admin = Admin(cluster)
    yield admin
    admin.close()


@pytest.fixture
def table(cluster: HBase, admin: Admin) -> Iterator[TableRef]:
    """Rows in four regions, on both servers; large enough that a region is several replies."""
    cluster.client().drop("faults")
    admin.create("faults", "f", [b"1000", b"2000", b"3000"])
    cluster.client().put("faults", ((b"%04d" % n, {b"f:v": b"%04d" % n * 1000}) for n in range(ROWS)), batch=500)
    yield TableRef("faults")
    cluster.client().drop("faults")


@pytest.fixture(params=["native", "gateway"])
def connector(request: pytest.FixtureRequest, cluster: HBase) -> Iterator[HBaseConnector]:
    words = {"route": request.param, "gateway_port": cluster.gateway, "framed": True, "patience": 90,
             "port": cluster.ports[1], "tls": "required" if request.param == "native" else "disabled"}  # fmt: skip
    connector = HBaseConnector(config(cluster, MAPPING, **words))
    yield connector
    connector.close()


def begun(connector: HBaseConnector, table: TableRef) -> tuple[Reader, list[str]]:
    """A reader that has given its first rows, and their keys."""
    plan = connector.tables.plan(ScanRequest(table, ("row_key", "f:v")))
    reader = connector.tables.read(plan.splits[0], RecordingControl())
    return reader, next(reader).column("row_key").to_pylist()


def rest(reader: Reader, keys: list[str]) -> list[str]:
    for batch in reader:
        values = batch.column("f:v").to_pylist()
        keys += batch.column("row_key").to_pylist()
        assert values == [key.encode() * 1000 for key in keys[-len(values) :]]
    return keys


def test_tls_is_what_was_asked_for_or_nothing(cluster: HBase, hbase: HBase) -> None:
    def tried(server: HBase, tls: str, **given: str) -> str:
        connector = HBaseConnector(config(server, tls=tls, **given))
        try:
            return connector.test().product
        finally:
            connector.close()

    assert tried(cluster, "required") == "HBase"
    with pytest.raises(Unreachable, match="certificate"):
        tried(cluster, "verify")
    assert tried(cluster, "verify", ca_file=str(cluster.certificate)) == "HBase"
    with pytest.raises(SourceError):
        tried(hbase, "required")  # it speaks none


def test_regions_that_move_while_they_are_read(
    cluster: HBase, connector: HBaseConnector, admin: Admin, table: TableRef
) -> None:
    reader, keys = begun(connector, table)
    for region in admin.native.regions("faults"):
        admin.move("faults", region)
    assert rest(reader, keys) == [f"{n:04d}" for n in range(ROWS)]


def test_a_consumer_that_sleeps_longer_than_the_lease(
    cluster: HBase, connector: HBaseConnector, table: TableRef
) -> None:
    reader, keys = begun(connector, table)
    threading.Event().wait(2.5 * LEASE)
    assert rest(reader, keys) == [f"{n:04d}" for n in range(ROWS)]


def test_a_table_that_is_dropped_while_it_is_read(cluster: HBase, connector: HBaseConnector, table: TableRef) -> None:
    reader, keys = begun(connector, table)
    cluster.client().drop("faults")
    with pytest.raises(WorkbenchError) as caught:
        rest(reader, keys)
    assert isinstance(caught.value, SourceError) or "faults" in str(caught.value)
    assert connector.test().product == "HBase"


def test_a_table_that_is_altered_while_it_is_read(connector: HBaseConnector, admin: Admin, table: TableRef) -> None:
    reader, keys = begun(connector, table)
    admin.alter("faults", "f", "g")
    assert rest(reader, keys) == [f"{n:04d}" for n in range(ROWS)]


def test_a_family_that_is_dropped_while_it_is_read(connector: HBaseConnector, admin: Admin, table: TableRef) -> None:
    """Its rows have nothing else, so they are gone with it: that is no shorter table."""
    admin.alter("faults", "f", "g")
    reader, keys = begun(connector, table)
    admin.alter("faults", "g")
    with pytest.raises(SourceError, match=r"family|`f`"):
        rest(reader, keys)


@pytest.mark.timeout(300)
def test_a_cluster_that_is_killed_and_started_again(hbase: HBase) -> None:
    """All of it at once, also its gateway, while it is read; it comes back with its data, also with what was in memory
    alone."""
    routes: list[dict[str, Any]] = [{"route": "native"}, {"route": "gateway", "gateway_port": hbase.gateway}]
    connectors = [HBaseConnector(config(hbase, MAPPING, patience=120, **words)) for words in routes]
    hbase.client().drop("faults")
    hbase.client().create("faults", "f")
    hbase.client().put("faults", ((b"%04d" % n, {b"f:v": b"%04d" % n * 1000}) for n in range(ROWS)), batch=500)
    begun_by_each = [begun(connector, TableRef("faults")) for connector in connectors]
    with ThreadPoolExecutor(len(routes)) as aside:
        wholes = [aside.submit(rest, reader, keys) for reader, keys in begun_by_each]
        hbase.restart()  # by this thread, with which the servers would end
        for whole in wholes:
            assert whole.result() == [f"{n:04d}" for n in range(ROWS)]
    for connector in connectors:
        connector.close()
    hbase.client().drop("faults")


@pytest.mark.timeout(300)
def test_a_region_server_that_is_killed(cluster: HBase, admin: Admin, table: TableRef) -> None:
    """Last, for the server does not come back. What it had is opened by the other one."""
    connector = HBaseConnector(config(cluster, MAPPING, patience=120, port=cluster.ports[1]))
    try:
        reader, keys = begun(connector, table)
        region = next(one for one in admin.native.regions("faults") if one.start == b"2000")
        if region.port == cluster.ports[1]:
            admin.move("faults", region)
        cluster.region_server(cluster.ports[0]).kill()
        assert rest(reader, keys) == [f"{n:04d}" for n in range(ROWS)]
    finally:
        connector.close()
