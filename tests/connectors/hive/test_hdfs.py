"""Tables whose files lie in a real HDFS: through WebHDFS the rows that HiveServer2 has, or an error that says why."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.connectors.hive.store import config
from tests.services.dask.server import DaskCluster
from tests.services.hdfs.server import Hdfs, HdfsPair
from tests.services.hive.server import Hive
from workbench.catalog import Catalog
from workbench.contract import Column, Compare, ConnectionConfig, Literal, ScanPlan, ScanRequest, Secret, TableRef
from workbench.contract.errors import (
    ConnectionLost,
    InvalidParameter,
    PathUnreachable,
    SnapshotChanged,
    Unreachable,
    UrlRefused,
)
from workbench.query.session import Session
from workbench.runs import Register
from workbench.testing.oracle import rows_of
from workbench.testing.proxy import free_port
from workbench.testing.scanning import read, scan
from workbench_hive.connector import HiveConnector
from workbench_hive.webhdfs import WebHdfs

PARTS = ("a", "é b+c", "__HIVE_DEFAULT_PARTITION__")
ROWS = 3000


def parquet(table: pa.Table, **how: Any) -> bytes:
    kept = io.BytesIO()
    pq.write_table(table, kept, **how)
    return kept.getvalue()


def numbers(first: int, count: int = ROWS) -> pa.Table:
    every = range(first, first + count)
    return pa.table({"id": every, "t": pa.array([None if one % 7 == 0 else f"客{one}" for one in every])})


LONG = parquet(numbers(0, 200_000), row_group_size=5000, compression="none", use_dictionary=False)


@pytest.fixture(scope="module")
def lake(hive: Hive, hdfs: Hdfs) -> Iterator[Hdfs]:
    for number, part in enumerate(PARTS):
        hdfs.put(f"/lake/parts/p={part}/one.parquet", parquet(numbers(number * ROWS), row_group_size=500))
    hdfs.put("/lake/parts/p=a/_SUCCESS", b"x")
    hdfs.put("/lake/words/one.txt", b"1|a\n2|\\N\n" + b"".join(b"%d|%d\n" % (one, one * one) for one in range(9000)))
    hdfs.put("/lake/words/two.txt", "3|客户".encode())
    hdfs.put("/lake/words/none.txt", b"")
    hive.execute(
        "create external table lake_parts (id bigint, t string) partitioned by (p string) stored as parquet "
        f"location '{hdfs.location}/lake/parts'",
        "msck repair table lake_parts",  # takes no name that is escaped
        "alter table lake_parts add partition (p = 'x/y')",
        "create external table lake_words (id int, t string) row format delimited fields terminated by '|' "
        f"location '{hdfs.location}/lake/words'",
        f"create external table lake_own (id bigint, t string) stored as orc location '{hdfs.location}/lake/own'",
        "insert into lake_own select id, t from lake_parts where p = 'a'",
    )
    hdfs.put("/lake/parts/p=x%2Fy/one.parquet", parquet(numbers(len(PARTS) * ROWS)))
    yield hdfs
    hive.execute(*(f"drop table {name}" for name in ("lake_parts", "lake_words", "lake_own")))


def connected(hive: Hive, **parameters: object) -> HiveConnector:
    return HiveConnector(config(hive, files=True, metastore=f"127.0.0.1:{hive.metastore_port}", **parameters))


@pytest.fixture(scope="module")
def files(hive: Hive, lake: Hdfs) -> Iterator[HiveConnector]:
    connector = connected(hive, webhdfs=lake.address)
    yield connector
    connector.close()


@pytest.fixture(scope="module")
def server(hive: Hive, lake: Hdfs) -> Iterator[HiveConnector]:
    connector = HiveConnector(config(hive))
    yield connector
    connector.close()


def planned(connector: HiveConnector, table: str, *columns: str, splits: int = 1) -> ScanPlan:
    return connector.tables.plan(ScanRequest(TableRef(table), columns, splits=splits))


@pytest.mark.parametrize(("table", "form"), [("parts", "4 Parquet"), ("words", "2 text"), ("own", "ORC")])
def test_the_rows_are_those_of_the_server(files: HiveConnector, server: HiveConnector, table: str, form: str) -> None:
    ref = TableRef(f"lake_{table}")
    names = server.tables.schema(ref).names
    plan = planned(files, ref.name, *names, splits=3)
    assert f"{form} files at hdfs://127.0.0.1 through WebHDFS" in plan.notes[0]
    found = read(files, plan)
    assert rows_of(found) == rows_of(scan(server, ref, names))
    assert found.num_rows >= ROWS
    assert rows_of(scan(files, ref, ("t",))) == rows_of(found.select(["t"]))
    assert read(files, planned(files, ref.name)).num_rows == found.num_rows


def test_only_what_may_match_is_opened(files: HiveConnector, server: HiveConnector) -> None:
    for part in ("é b+c", "x/y"):
        where = (
            Compare(Column(("p",)), "=", Literal(part, pa.string())),
            Compare(Column(("id",)), "<", Literal(ROWS + 10, pa.int64())),
        )
        plan = files.tables.plan(ScanRequest(TableRef("lake_parts"), ("id", "p"), where))
        assert sum(len(split.state["files"]) for split in plan.splits) == 1
        assert rows_of(read(files, plan)) == rows_of(scan(server, TableRef("lake_parts"), ("id", "p"), where))


def test_it_is_off_unless_the_connection_names_a_name_node(hive: Hive, lake: Hdfs) -> None:
    without = connected(hive)
    assert "not from files: its files lie at hdfs://" in planned(without, "lake_words", "id").notes[0]
    assert "`webhdfs`" in planned(without, "lake_words", "id").notes[0]
    without.close()
    with pytest.raises(InvalidParameter, match="files"):
        HiveConnector(config(hive, webhdfs=lake.address))


def test_another_file_system_is_refused_by_name(hive: Hive, lake: Hdfs) -> None:
    """`localhost` is the same machine, but not what the locations say."""
    by_name = f"http://localhost:{lake.web_port}"
    other = connected(hive, webhdfs=by_name)
    assert f"its files lie at {lake.location}, which is none of" in planned(other, "lake_words", "id").notes[0]
    other.close()
    where = lake.location.removeprefix("hdfs://")
    wrong = connected(hive, webhdfs=by_name, nameservice="another")
    assert "this connection's are at hdfs://another" in planned(wrong, "lake_words", "id").notes[0]
    wrong.close()
    unlisted = connected(hive, webhdfs=by_name, nameservice=where, datanodes="elsewhere.example,.0.0.2")
    with pytest.raises(UrlRefused, match=rf"data node 127.0.0.1:{lake.data_web_port}.*`datanodes`"):
        read(unlisted, planned(unlisted, "lake_words", "id"))
    unlisted.close()
    right = connected(hive, webhdfs=by_name, nameservice=where, datanodes="elsewhere.example,127.0.0.1")
    plan = planned(right, "lake_words", "id")
    assert f"at hdfs://{where} through WebHDFS" in plan.notes[0]
    assert read(right, plan).num_rows == 9003
    right.close()


def test_what_may_not_be_read_is_said(hive: Hive, lake: Hdfs, files: HiveConnector, server: HiveConnector) -> None:
    lake.put("/lake/shut/one.txt", b"1\n", mode="600")
    lake.make("/lake/closed", "700")
    lake.put("/lake/closed/one.txt", b"1\n")
    hive.execute(
        f"create external table lake_shut (id int) location '{lake.location}/lake/shut'",
        f"create external table lake_closed (id int) location '{lake.location}/lake/closed'",
    )
    try:
        with pytest.raises(PathUnreachable, match=r"Permission denied: user=reader.*files=false"):
            read(files, planned(files, "lake_shut", "id"))
        plan = planned(files, "lake_closed", "id")  # the server may
        assert "Permission denied: user=reader" in plan.notes[0]
        assert read(files, plan).to_pylist() == [{"id": 1}]
    finally:
        hive.execute("drop table lake_shut", "drop table lake_closed")


@pytest.fixture
def changing(hive: Hive, lake: Hdfs) -> Iterator[str]:
    """The path of a table's second file; its first one has many parts."""
    lake.put("/lake/changing/a.parquet", LONG)
    lake.put("/lake/changing/b.parquet", parquet(numbers(5)))
    hive.execute(
        "create external table lake_changing (id bigint, t string) stored as parquet "
        f"location '{lake.location}/lake/changing'"
    )
    yield "/lake/changing/b.parquet"
    hive.execute("drop table lake_changing")
    lake.remove("/lake/changing")


def begun(connector: HiveConnector, plan: ScanPlan) -> Iterator[pa.RecordBatch]:
    """A reader of which the first batch was taken."""
    from workbench.testing.control import RecordingControl

    reader = connector.tables.read(plan.splits[0], RecordingControl())
    assert next(reader).num_rows
    return reader


def test_a_file_that_goes_or_changes_meanwhile_is_an_error(lake: Hdfs, files: HiveConnector, changing: str) -> None:
    first = changing.replace("b.parquet", "a.parquet")
    plan = planned(files, "lake_changing", "id", "t")
    reader = begun(files, plan)
    lake.remove(changing)
    with pytest.raises(SnapshotChanged, match="gone"):
        list(reader)
    lake.put(changing, parquet(numbers(5)))
    with pytest.raises(SnapshotChanged, match="another one"):  # made anew, as large as before
        read(files, plan)
    plan = planned(files, "lake_changing", "id", "t")
    reader = begun(files, plan)
    lake.put(first, parquet(numbers(9, 200_000)))  # while it is being read
    with pytest.raises(SnapshotChanged, match="another one"):
        list(reader)
    lake.put(first, LONG)
    reader = begun(files, planned(files, "lake_changing", "id", "t"))
    lake.put(first, parquet(numbers(0)))  # the rest of it is not there any more
    with pytest.raises(SnapshotChanged, match="another one"):
        list(reader)
    assert read(files, planned(files, "lake_changing", "id", "t")).num_rows == 2 * ROWS


def test_a_broken_file_is_named(lake: Hdfs, files: HiveConnector, changing: str) -> None:
    good = parquet(numbers(5))
    for broken in (good[:-20], b"PAR1garbagePAR1", b"x", good[:4] + bytes(200) + good[204:]):
        lake.put(changing, broken)
        with pytest.raises(PathUnreachable, match=r"b.parquet.*files=false"):
            read(files, planned(files, "lake_changing", "id", "t"))


def test_servers_that_go_down_and_come_back(hive: Hive, lake: Hdfs, files: HiveConnector, changing: str) -> None:
    plan = planned(files, "lake_changing", "id", "t")
    reader = begun(files, plan)
    lake.kill("datanode")
    try:
        with pytest.raises(ConnectionLost, match=rf"Data node 127.0.0.1:{lake.data_web_port}: .*refused.*files=false"):
            list(reader)
    finally:
        lake.start("datanode")
    assert read(files, plan).num_rows == 200_000 + ROWS
    lake.kill("namenode")
    try:
        with pytest.raises(Unreachable, match=f"the name node 127.0.0.1:{lake.web_port}: connection refused"):
            read(files, plan)
        assert "nothing is read from hdfs://: Cannot reach" in files.test().details["webhdfs"]
        assert "Cannot reach the name node" in planned(files, "lake_changing", "id").notes[0]
    finally:
        lake.start("namenode")
    assert read(files, plan).num_rows == 200_000 + ROWS


def test_of_two_name_nodes_the_one_that_answers_is_asked(hive: Hive, lake: Hdfs) -> None:
    both = connected(hive, webhdfs=f"http://127.0.0.1:{free_port()},{lake.address}")
    assert both.test().details["webhdfs"] == f"127.0.0.1:{lake.web_port} answers"
    plan = planned(both, "lake_words", "id")
    assert plan.notes[0].startswith("read from 2 text files")
    assert read(both, plan).num_rows == 9003
    both.close()


def test_over_tls_the_certificates_are_verified(hive: Hive, lake: Hdfs) -> None:
    where = f"https://127.0.0.1:{lake.tls_port}"
    stranger = connected(hive, webhdfs=where)
    assert "certificate verify failed" in planned(stranger, "lake_words", "id").notes[0]
    stranger.close()
    known = connected(hive, webhdfs=where, ca_file=str(lake.certificate))
    plan = planned(known, "lake_words", "id")
    assert plan.notes[0].startswith("read from 2 text files")
    assert read(known, plan).num_rows == 9003
    known.close()


def test_the_name_node_that_takes_over_is_asked() -> None:
    with HdfsPair() as pair:
        content = bytes(range(256)) * 2000
        pair.put("/t/one", content)
        given = {"webhdfs": ",".join(reversed(pair.addresses())), "nameservice": "lake", "user": "reader"}
        files = WebHdfs(ConnectionConfig("lake", given, {}))
        path = files.path("hdfs://lake/t")
        (found,) = files.listed(path)  # from the one that is asked as the second
        assert files.node() == pair.addresses()[0].removeprefix("http://")
        assert files.read(found.path, 0, 100) == content[:100]
        pair.kill("nn1")
        with pytest.raises(Unreachable, match=r"on standby.*refused|refused.*on standby"):
            files.about(path)
        pair.take_over()
        assert files.about(found.path) == dataclasses.replace(found, name="")
        assert files.read(found.path, 5, len(content) - 5) == content[5:]


@pytest.fixture
def clustered(hive: Hive, lake: Hdfs, tmp_path: Path) -> Iterator[Session]:
    """A session on a Dask cluster of nobody's notebook, whose workers are to read `lake` from HDFS."""
    catalog, register = Catalog(tmp_path), Register(tmp_path / "runs.db")
    given = {"files": True, "metastore": f"127.0.0.1:{hive.metastore_port}", "webhdfs": lake.address}
    catalog.connect("lake", hive.url(), secret=Secret(hive.password), parameters=given)
    session = Session(catalog, register)
    with DaskCluster(workers=2) as there:
        session.clusters.choose(catalog.home, there.address)
        yield session
        session.close()
    catalog.close()
    register.close()


@pytest.mark.timeout(300)
def test_workers_of_a_cluster_read_the_files_themselves(server: HiveConnector, clustered: Session) -> None:
    """They ask the name node and the data node; HiveServer2 runs nothing."""
    whole = scan(server, TableRef("lake_parts"), ("id", "t", "p")).sort_by("id").to_pylist()
    text = "select p, count(*) n, sum(id) s, count(t) t, max(t) last from lake.lake_parts group by p order by p"
    result = clustered.sql(text, on="cluster")
    found = result.arrow().to_pylist()
    assert found == clustered.sql(text).arrow().to_pylist()
    assert sum(one["n"] for one in found) == len(whole) == 4 * ROWS
    said = repr(result.explain())
    assert "on the cluster tcp://" in said
    assert "Parquet files at hdfs://127.0.0.1 through WebHDFS" in said

    text = "select id, t from lake.lake_parts where p = 'é b+c' and id % 10 = 3 order by id"
    wanted = [{"id": one["id"], "t": one["t"]} for one in whole if one["p"] == "é b+c" and one["id"] % 10 == 3]
    assert clustered.sql(text, on="cluster").arrow().to_pylist() == wanted
    parts = clustered.scan("lake.lake_parts", columns=["id", "p"])
    assert sum(parts.map_partitions(lambda table: table.num_rows)) == len(whole)


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_a_data_node_that_is_gone_is_said_by_the_workers(lake: Hdfs, clustered: Session) -> None:
    text = "select sum(id) s from lake.lake_parts"
    lake.kill("datanode")
    try:
        with pytest.raises(ConnectionLost, match=rf"lake: .* Data node 127.0.0.1:{lake.data_web_port}: .*refused"):
            clustered.sql(text, on="cluster").arrow()
    finally:
        lake.start("datanode")
    assert clustered.sql(text, on="cluster").arrow().to_pylist() == clustered.sql(text).arrow().to_pylist()
