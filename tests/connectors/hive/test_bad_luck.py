"""What goes wrong while a table is read, on a real HiveServer2 that wants TLS and reads rows when they are fetched: all
rows come, or an error of the tree, never fewer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from tests.connectors.hive.store import config
from tests.services.hive.another import Another
from tests.services.hive.server import Hive
from workbench.contract import ScanRequest, TableRef
from workbench.contract.errors import ConnectionLost, ProtocolError, SnapshotChanged, SourceError, Unreachable
from workbench.testing.control import RecordingControl
from workbench.testing.scanning import scan
from workbench_hive.connector import HiveConnector


@pytest.fixture(scope="module")
def tls(hive: Hive) -> Iterator[Another]:
    with hive.with_tls() as found:
        yield found


def test_with_tls_it_gives_the_same_and_without_it_says_so(hive: Hive, tls: Another) -> None:
    hive.load("luck_tls", pa.table({"n": [1, 2, 3]}))
    ref = TableRef("luck_tls")
    ways: list[dict[str, Any]] = [{"port": tls.port}, {"port": tls.http_port, "transport": "http"}]
    for given in ways:
        connector = HiveConnector(config(hive, tls="required", **given))
        assert connector.test().details["tls"] == "required"
        assert scan(connector, ref, ("n",)).column("n").to_pylist() == [1, 2, 3]
        connector.close()
        for wrong in ("disabled", "verify"):
            mistaken = HiveConnector(config(hive, connect_timeout=5, tls=wrong, **given))
            with pytest.raises(SourceError, match=r"TLS|tls") as caught:
                mistaken.test()
            assert isinstance(caught.value, Unreachable | ProtocolError)
    trusting = HiveConnector(config(hive, port=tls.port, tls="verify", ca_file=f"{tls.folder}/certificate.pem"))
    assert scan(trusting, ref, ("n",)).column("n").to_pylist() == [1, 2, 3]
    trusting.close()


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (("drop table luck_fading",), "it was dropped"),
        (("drop table luck_fading", "create table luck_fading (id bigint, t string, wbt_part string)"), "made anew"),
        (("alter table luck_fading drop partition (wbt_part='p4')",), "partition wbt_part=p4"),
    ],
)
def test_a_table_that_is_dropped_while_it_is_read_is_an_error(
    hive: Hive, tls: Another, statements: tuple[str, ...], told: str
) -> None:
    """The server itself takes that for the end of the rows."""
    rows = 60_000
    hive.execute("drop table if exists luck_fading")
    hive.load("luck_fading", pa.table({"id": range(rows), "t": ["x" * 60] * rows}), parts=5)
    hive.execute("alter table luck_fading set tblproperties ('external.table.purge'='true')")
    connector = HiveConnector(config(hive, port=tls.port, tls="required"))
    try:
        split = connector.tables.plan(ScanRequest(TableRef("luck_fading"), ("id", "t"))).splits[0]
        reader = connector.tables.read(split, RecordingControl())
        assert sum(next(reader).num_rows for _ in range(3)) < rows // 2
        hive.execute(*statements)
        with pytest.raises(SnapshotChanged, match=told):
            list(reader)
    finally:
        connector.close()
        hive.execute("drop table if exists luck_fading")


def test_a_table_that_is_altered_while_it_is_read_is_read_as_it_was(hive: Hive, tls: Another) -> None:
    rows = 60_000
    hive.load("luck_altered", pa.table({"id": range(rows), "t": ["x" * 60] * rows}))
    connector = HiveConnector(config(hive, port=tls.port, tls="required"))
    try:
        split = connector.tables.plan(ScanRequest(TableRef("luck_altered"), ("id", "t"))).splits[0]
        reader = connector.tables.read(split, RecordingControl())
        first = next(reader)
        hive.execute("alter table luck_altered change id id string", "alter table luck_altered add columns (late int)")
        found = pa.Table.from_batches([first, *reader])
        assert sorted(found.column("id").to_pylist()) == list(range(rows))
    finally:
        connector.close()
        hive.execute("drop table luck_altered")


def test_a_server_that_is_killed_in_mid_scan_is_an_error_and_one_that_comes_back_is_asked_again(
    hive: Hive, tls: Another
) -> None:
    rows = 300_000
    hive.load("luck_killed", pa.table({"id": range(rows), "t": ["x" * 40] * rows}))
    ref, connector = TableRef("luck_killed"), HiveConnector(config(hive, port=tls.port, tls="required"))
    split = connector.tables.plan(ScanRequest(ref, ("id", "t"))).splits[0]
    reader = connector.tables.read(split, RecordingControl())
    assert next(reader).num_rows
    tls.kill()
    with pytest.raises(ConnectionLost):
        list(reader)
    with pytest.raises(Unreachable):
        connector.test()
    tls.start()
    assert scan(connector, ref, ("id",)).column("id").to_pylist() == list(range(rows))
    connector.close()
    hive.execute("drop table luck_killed")
