"""Statements on a real cluster: a scheduler and two workers as processes, which connect by themselves."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.query.support import eventually
from tests.services.mysql.server import Server
from workbench.catalog import Catalog
from workbench.contract.errors import (
    Cancelled,
    ClusterFailed,
    InvalidParameter,
    LimitExceeded,
    PathUnreachable,
    QueryFailed,
    SqlSyntaxError,
    UnknownColumn,
    UnknownTable,
    Unsupported,
    UsageError,
    WorkbenchError,
)
from workbench.contract.secret import Secret
from workbench.execution import cluster as clusters, cluster_folding as foldings
from workbench.execution.cluster import Cluster
from workbench.query.session import Session
from workbench.runs import Register

ROWS = 400_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster")
    lake = folder / "lake" / "clicks"
    lake.mkdir(parents=True)
    with duckdb.connect(str(folder / "shop.duckdb")) as shop:
        shop.execute("create table users as select i::int id, 'land' || (i % 7) land from range(1000) r(i)")
        for part in range(4):
            shop.execute(
                f"copy (select i::int id, (i % 1000)::int as user_id, (i % 13)::int k, i * 0.5 price"
                f" from range({part * ROWS // 4}, {(part + 1) * ROWS // 4}) r(i)) to '{lake}/{part}.parquet'"
            )
    return folder


@pytest.fixture(scope="module")
def session(home: Path) -> Iterator[Session]:
    catalog, register = Catalog(home / "home"), Register(home / "home" / "runs.sqlite")
    catalog.connect("lake", path=home / "lake")
    catalog.connect("shop", path=home / "shop.duckdb")
    session = Session(catalog, register)
    session.clusters.choose(catalog.home, "local", workers=2)
    yield session
    session.close()
    catalog.close()
    register.close()


@pytest.fixture
def cluster(session: Session) -> Cluster:
    return session.clusters.chosen("cluster")


STATEMENTS = [
    "select k, count(*) n, sum(price), avg(price) a, count(distinct user_id) from lake.clicks group by all order by k",
    "select land, sum(price) from lake.clicks c join shop.users u on u.id = user_id where k < 5 group by 1 order by 1",
    "select * from lake.clicks where k = 3 order by id desc limit 5",
    "select count(*) from lake.clicks",
    "select max(price) m from lake.clicks where id < 0",
    "select * exclude (price, user_id) replace (k * 2 as k) from lake.clicks where id < 100 order by id",
    "select c.id, u.* exclude (land) replace (u.id + 1 as id) from lake.clicks c join shop.users u on u.id = user_id"
    " where k = 1 and c.id < 99 order by c.id",
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("text", STATEMENTS)
def test_it_says_what_one_machine_says(session: Session, text: str) -> None:
    there, here = session.sql(text, on="cluster").arrow(), session.sql(text).arrow()
    assert there.schema.equals(here.schema)
    assert there.to_pylist() == here.to_pylist()


def test_values_are_bound_and_frames_go_to_every_worker(session: Session) -> None:
    import polars

    session_of = {"lands": polars.DataFrame({"k": [1, 2], "name": ["one", "two"]}), "most": 100}
    text = "select name, count(*) n from lake.clicks join lands using (k) where id < $most group by 1 order by 1"
    found = session.sql(text, on="cluster", variables=session_of.__getitem__).polars().rows()
    assert found == [("one", 8), ("two", 8)]


def test_explain_says_what_runs_where_and_when_one_machine_would_be_faster(session: Session) -> None:
    result = session.sql(STATEMENTS[1], on="cluster")
    planned = repr(result.explain())
    assert "on the cluster tls://127.0.0.1:" in planned
    assert "one machine would be faster" in planned
    assert "whole on each worker" in planned
    result.arrow()
    clicks = next(one for one in result.explain().sources if one.connection == "lake")
    assert clicks.rows_moved is not None
    assert 0 < clicks.rows_moved < ROWS
    assert any("of parts came here" in note for note in clicks.notes)


def test_little_comes_here(session: Session, cluster: Cluster) -> None:
    result = session.sql("select k, sum(price) from lake.clicks group by k", on="cluster")
    result.arrow()
    (clicks,) = result.explain().sources
    (note,) = (one for one in clicks.notes if "came here" in one)
    assert note.split()[1] in ("B", "kB")


REGROUPED = [
    "select id, count(*) n, sum(price) s from lake.clicks group by id order by sum(price) desc, id limit 20 offset 5",
    "select id % 50000 g, avg(price) a from lake.clicks group by g having count(*) > 7 order by g",
    "select count(distinct id) n, sum(distinct k) from lake.clicks",
    "select k, count(distinct id) n, max(price) from lake.clicks group by k order by k",
    "select count(distinct id) n, max(price) from lake.clicks where id % 2 = 0",
    "select distinct id % 70000 g from lake.clicks order by g desc",
    "select distinct count(*) n, land from lake.clicks join shop.users u on u.id = user_id group by user_id, land"
    " order by land",
]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("text", REGROUPED)
def test_many_groups_are_regrouped_by_key_between_the_workers(
    session: Session, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(foldings, "REGROUPED", 100)
    monkeypatch.setattr(foldings, "PARTITION", 1 << 20)
    result, here = session.sql(text, on="cluster"), session.sql(text).arrow()
    there = result.arrow()
    assert there.schema.equals(here.schema)
    assert there.to_pylist() == here.to_pylist()
    by_key = any("regrouped by key between the workers" in note for note in result.explain().sources[0].notes)
    assert by_key is (text != REGROUPED[2])  # values of two DISTINCTs have no key that all of them meet by


def test_a_result_that_is_too_large_is_refused_with_the_way_out(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foldings, "MOST_GATHERED", 100_000)
    with pytest.raises(LimitExceeded, match="Aggregate or filter more"):
        session.sql("select * from lake.clicks", on="cluster").arrow()


FOLDERS = [
    ("select id, price from lake.clicks where k < 9", 400_000, 2),
    ("select id, count(*) n from lake.clicks group by id", 1, 2),
    ("select k, count(*) n from lake.clicks group by k order by k", 1 << 40, 1),
    ("select id, sum(price) s from lake.clicks group by id order by id limit 1000", 1, 1),
    ("select id from lake.clicks where id < 0", 1, 1),
]


@pytest.mark.parametrize(("text", "regrouped", "files"), FOLDERS)
def test_the_workers_write_a_folder_that_appears_whole(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, regrouped: int, files: int
) -> None:
    monkeypatch.setattr(foldings, "REGROUPED", regrouped)
    monkeypatch.setattr(foldings, "MOST_GATHERED", 100_000)
    target = tmp_path / "whole"
    here = session.sql(text).arrow()
    assert session.sql(text, on="cluster").write_parquet(target) == here.num_rows
    found = sorted(target.iterdir())
    assert len(found) >= files
    assert [path.suffix for path in found] == [".parquet"] * len(found)
    written = pa.concat_tables([pq.read_table(path) for path in found])
    assert written.schema.equals(here.schema)
    order = [(name, "ascending") for name in here.schema.names]
    assert written.sort_by(order).equals(here.sort_by(order))
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_a_folder_that_failed_is_not_there(session: Session, home: Path, tmp_path: Path) -> None:
    text = "select id, 1 / (id - 399999) as q, error('too far') e from lake.clicks where id > 399990"
    with pytest.raises(WorkbenchError, match="too far"):
        session.sql(text, on="cluster").write_parquet(tmp_path / "failed")
    assert not list(tmp_path.iterdir())
    full = tmp_path / "full"
    full.mkdir()
    (full / "kept.txt").write_text("mine")
    result = session.sql("select id from lake.clicks", on="cluster")
    for taken, said in ((full, "has something in it"), (full / "kept.txt", "is a file"), ("", "no path")):
        with pytest.raises(UsageError, match=said):
            result.write_parquet(taken)
    with pytest.raises(PathUnreachable):
        result.write_parquet(tmp_path / "nowhere" / "here")
    assert (full / "kept.txt").read_text() == "mine"
    assert session.sql("select k from lake.clicks where id < 5").write_parquet(tmp_path / "here") == 5
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["part-00000.parquet"]


def test_the_source_s_own_error_comes_back_as_it_is(session: Session, home: Path) -> None:
    broken = home / "lake" / "broken"
    broken.mkdir()
    path = broken / "a.parquet"
    with duckdb.connect() as engine:
        engine.execute(f"copy (select i, repeat('x', 50) || i t from range(300000) r(i)) to '{path}'")
    result = session.sql("select count(t), max(t) from lake.broken", on="cluster")
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(WorkbenchError, match="broken") as caught:
        result.arrow()
    assert not isinstance(caught.value, ClusterFailed), caught.value
    assert session.sql("select count(*) from lake.clicks", on="cluster").arrow().num_rows == 1


def test_an_error_in_the_rows_is_told_as_here(session: Session) -> None:
    text = "select sum(cast('x' || k as int)) from lake.clicks"
    for result in (session.sql(text), session.sql(text, on="cluster")):
        with pytest.raises(QueryFailed, match="Could not convert string 'x"):
            result.arrow()


def refreshed() -> int:
    """Dask's callbacks that renew leases, in this process."""
    import gc

    from distributed import Semaphore

    return sum(isinstance(one, Semaphore) for one in gc.get_objects())


def test_a_source_has_one_turn_in_a_process_however_many_statements(session: Session, cluster: Cluster) -> None:
    for _ in range(3):
        session.sql("select count(*) from lake.clicks where k = 1", on="cluster").arrow()
    there = cluster.client.run(refreshed)
    assert max(there.values()) >= 1
    session.catalog.connect("same_lake", path=session.catalog.config("lake").parameters["path"])
    for _ in range(3):
        session.sql("select count(*) from same_lake.clicks where k = 1", on="cluster").arrow()
    assert cluster.client.run(refreshed) == there
    assert refreshed() == 0


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("select median(price) from lake.clicks", Unsupported, "Leave out `on=`"),
        ("select 1", Unsupported, "Leave out `on=`"),
        ("select nothing from lake.clicks", QueryFailed, "nothing"),
        ("describe lake.clicks", Unsupported, "Leave out `on=`"),
    ],
)
def test_what_cannot_run_there_is_refused(session: Session, text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        session.sql(text, on="cluster").arrow()


def test_a_worker_that_dies_is_made_up_for(session: Session, cluster: Cluster) -> None:
    pids: dict[str, int] = cluster.client.run(os.getpid)
    killed: list[str] = []

    def kill() -> None:
        """The worker that reads, while it does."""
        deadline = time.monotonic() + 60
        while not killed and time.monotonic() < deadline:
            busy = [address for address, tasks in cluster.client.processing().items() if tasks and address in pids]
            if busy:
                os.kill(pids[busy[0]], signal.SIGKILL)
                killed.append(busy[0])

    killing = threading.Thread(target=kill)
    killing.start()
    text = "select user_id, count(*) n, sum(price) s from lake.clicks group by user_id order by user_id"
    there = session.sql(text, on="cluster").arrow()
    killing.join()
    assert killed, "it was over before anybody could see it work"
    assert there.to_pylist() == session.sql(text).arrow().to_pylist()
    eventually(lambda: len(cluster.workers()) == 2, 60)


def test_a_connection_with_a_secret_is_opened_by_its_name_and_stop_ends_its_work(
    session: Session, mariadb: Server
) -> None:
    mariadb.execute(
        "drop table if exists held",
        "create table held (id int primary key auto_increment, v int)",
        "insert into held (v) select 1 from information_schema.columns a, information_schema.columns b limit 200000",
    )
    session.catalog.connect("crm", mariadb.url("reader"), secret=Secret(mariadb.password))
    assert session.sql("select count(*), sum(v) from crm.held", on="cluster").polars().rows() == [(200_000, 200_000)]
    mariadb.execute("drop view if exists slow", "create view slow as select id, v, sleep(0.05) s from held")
    result = session.sql("select count(*), sum(s) from crm.slow", on="cluster").start()
    eventually(lambda: any("slow" in text for _, _, text in mariadb.running()), 60)
    (run,) = session.register.runs(active=True)
    session.register.request_stop(run.id)  # as the panel does, or a command
    with pytest.raises(Cancelled):
        result.arrow()
    eventually(lambda: not mariadb.running(), 30)
    mariadb.execute("drop view slow", "drop table held")


def in_rows(table: pa.Table, factor: int = 1, *, add: int = 0) -> tuple[int, int, tuple[str, ...], int]:
    return table.num_rows * factor + add, sum(table["id"].to_pylist()), tuple(table.schema.names), os.getpid()


def test_a_function_is_called_with_each_part_where_it_is_read(session: Session, cluster: Cluster) -> None:
    scan = session.scan("lake.clicks", ["id", "k"], "k < $most", {"most": 4})
    assert scan.schema == pa.schema([("id", pa.int32()), ("k", pa.int32())])
    assert cluster.address in repr(scan)
    found = scan.map_partitions(in_rows, 2, add=1)
    ((rows, total),) = session.sql("select count(*), sum(id) from lake.clicks where k < 4").polars().rows()
    assert sum((count - 1) // 2 for count, _, _, _ in found) == rows
    assert sum(ids for _, ids, _, _ in found) == total
    assert {names for _, _, names, _ in found} == {("id", "k")}
    assert {pid for _, _, _, pid in found} <= set(cluster.client.run(os.getpid).values())
    assert len(found) > 1
    nothing = session.scan("lake.clicks", where="id < 0").map_partitions(lambda table: (table.num_rows, table.schema))
    assert [rows for rows, _ in nothing] == [0] * len(nothing)
    assert nothing[0][1].names == ["id", "user_id", "k", "price"]
    joined = session.scan("lake.clicks", ["id"], "user_id in (select id from shop.users where land = 'land3')")
    assert sum(joined.map_partitions(lambda table: table.num_rows)) == 400 * 143


def test_without_a_cluster_it_is_called_on_threads_here(session: Session) -> None:
    alone = Session(session.catalog, session.register)
    scan = alone.scan("lake.clicks", ["id"], "k = 3")
    assert "on threads here" in repr(scan)
    found = scan.map_partitions(in_rows)
    assert sum(rows for rows, _, _, _ in found) == len(alone.sql("select id from lake.clicks where k = 3"))
    assert {pid for _, _, _, pid in found} == {os.getpid()}
    with pytest.raises(ZeroDivisionError):
        scan.map_partitions(lambda table: 1 // 0)
    frame = scan.to_dask()
    assert len(frame.compute(scheduler="threads")) == sum(rows for rows, _, _, _ in found)
    alone.close()


def test_dask_s_frame_has_the_same_rows_and_types_and_holds_no_secret(
    session: Session, cluster: Cluster, mariadb: Server
) -> None:
    frame = session.scan("lake.clicks", ["user_id", "price"], "k in (1, 2)").to_dask()
    found = frame.groupby("user_id").price.sum().compute(scheduler=cluster.client)
    here = session.sql("select user_id, sum(price) from lake.clicks where k in (1, 2) group by 1").arrow()
    assert dict(found.items()) == dict(zip(*(column.to_pylist() for column in here.columns), strict=True))
    assert frame.npartitions > 1

    mariadb.execute(
        "drop table if exists typed",
        "create table typed (id int primary key, b tinyint(1), d decimal(12, 3), t datetime(6), s varchar(20), x blob)",
        "insert into typed values (1, 1, 1.125, '2026-01-02 03:04:05.678901', 'ä', x'00ff')",
        "insert into typed values (2, 0, null, null, null, null)",
    )
    session.catalog.connect("typed", mariadb.url("reader"), secret=Secret(mariadb.password))
    scan = session.scan("typed.typed")
    frame = scan.to_dask()
    graph = pickle.dumps((dict(frame.optimize().__dask_graph__()), frame.npartitions))
    assert mariadb.password.encode() not in graph
    assert b"typed" in graph
    computed = frame.compute(scheduler=cluster.client)
    assert list(computed.dtypes) == list(frame.dtypes)
    rows = pa.Table.from_pandas(computed, preserve_index=False)
    assert rows.cast(scan.schema).to_pylist() == session.sql("select * from typed.typed").arrow().to_pylist()
    mariadb.execute("drop table typed")


@pytest.mark.parametrize(
    ("table", "columns", "where", "error", "said"),
    [
        ("clicks", None, "", UsageError, "no table of a connection"),
        (7, None, "", UsageError, "no table of a connection"),
        ("lake.clicks", "id", "", InvalidParameter, "a list of names"),
        ("lake.clicks", [], "", InvalidParameter, "at least one"),
        ("lake.clicks", ["id", "ID"], "", InvalidParameter, "twice"),
        ("lake.clicks", ["idd"], "", UnknownColumn, "`id`"),
        ("lake.clicks", None, 5, InvalidParameter, "a condition in SQL"),
        ("lake.clicks", None, "k = ", SqlSyntaxError, "Syntax error"),
        ("lake.clicks", ["id"], "1 = 1) union (select 1", Unsupported, "UNION"),
        ("lake.clicks", None, "sum(k) > 3", WorkbenchError, "WHERE"),
        ("lake.clocks", None, "", UnknownTable, "clicks"),
    ],
)
def test_what_is_no_scan_is_refused_with_the_way_out(
    session: Session, table: Any, columns: Any, where: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        session.scan(table, columns, where).map_partitions(len)


def test_an_error_of_the_function_is_raised_as_it_is(session: Session) -> None:
    def wrong(table: pa.Table) -> int:
        raise KeyError(f"no {table.num_columns}")

    with pytest.raises(KeyError, match="no 1"):
        session.scan("lake.clicks", ["id"]).map_partitions(wrong)
    with pytest.raises(InvalidParameter, match="fn"):
        session.scan("lake.clicks", ["id"]).map_partitions("len")  # type: ignore[arg-type]


@pytest.mark.timeout(300)
def test_a_task_that_kills_its_worker_is_an_error_and_the_cluster_goes_on(session: Session, cluster: Cluster) -> None:
    def deadly(table: pa.Table) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return table.num_rows

    with pytest.raises(ClusterFailed, match="again and again"):
        session.scan("lake.clicks", ["id"], "id < 10").map_partitions(deadly)
    eventually(lambda: len(cluster.workers()) == 2, 60)
    assert session.sql("select count(*) from lake.clicks", on="cluster").polars().rows() == [(ROWS,)]
    assert not session.register.runs(active=True)


def test_addresses_that_are_none_and_clusters_that_are_gone(session: Session, tmp_path: Path) -> None:
    for address in ("nowhere", "http://x:1", "tcp://x"):
        with pytest.raises(InvalidParameter, match="tcp://HOST:PORT"):
            Cluster.attach(address, str(tmp_path))
    with pytest.raises(InvalidParameter, match="certificates"):
        Cluster.attach("tls://127.0.0.1:1", str(tmp_path))
    files = {name: str(tmp_path / f"{name}.pem") for name in ("ca", "cert", "key")}
    with pytest.raises(InvalidParameter, match=r"`ca` is the path of a file.*ca\.pem"):
        Cluster.attach("tls://127.0.0.1:1", str(tmp_path), files)
    choose = Session(session.catalog, session.register).clusters.choose
    for address in ("local", "tcp://127.0.0.1:1"):
        with pytest.raises(InvalidParameter, match="certificates"):
            choose(tmp_path, address, certificates=files)
    with pytest.raises(InvalidParameter, match="memory"):
        choose(tmp_path, "tcp://127.0.0.1:1", memory="1GiB")
    with pytest.raises(UsageError, match="on the cluster, not on `elsewhere`"):
        session.sql("select 1", on="elsewhere")
    with pytest.raises(InvalidParameter, match="workers"):
        Cluster.local(str(tmp_path), workers=0)
    other = Session(session.catalog, session.register)
    with pytest.raises(UsageError, match=r"wb\.cluster"):
        other.sql("select 1", on="cluster")


FORKED = """
pid = os.fork()  # holds the pipe to the cluster after this process is gone
if not pid:
    time.sleep(300)
    os._exit(0)
print(pid, flush=True)
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("forked", [False, True])
def test_it_ends_with_the_process_that_started_it_however_that_goes(tmp_path: Path, forked: bool) -> None:
    (tmp_path / "tornado.py").write_text("raise ImportError('the folder of a notebook is no place for ours')")
    code = (
        "import os, sys, time, distributed\nfrom workbench.execution.cluster import Cluster\n"
        f"os.chdir({str(tmp_path)!r})\n"
        f"c = Cluster.local({str(tmp_path)!r}, workers=1)\n"
        "print(c._child.pid, *c.client.run(os.getpid).values(), flush=True)\n"
        f"{FORKED if forked else ''}\nsys.stdin.read()\n"
    )
    started = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    pids = [int(word) for word in started.stdout.readline().split()]
    assert len(pids) == 2
    holding = int(started.stdout.readline()) if forked else 0
    started.kill()
    started.wait()

    def gone(pid: int) -> bool:
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or ") Z " in stat.read_text()

    try:
        eventually(lambda: all(gone(pid) for pid in pids), 60)
    finally:
        if holding:
            os.kill(holding, signal.SIGKILL)
        started.communicate()


def test_one_that_does_not_start_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for memory in ("no such size", "0", "-1GB"):
        with pytest.raises(InvalidParameter, match="4GiB"):
            Cluster.local(str(tmp_path), workers=1, memory=memory)
    monkeypatch.setattr(clusters, "START_SECONDS", 0.01)
    with pytest.raises(ClusterFailed, match=r"within 0\.01 s"):
        Cluster.local(str(tmp_path), workers=1)


def test_nobody_gets_in_without_its_certificate(cluster: Cluster) -> None:
    from distributed import Client

    outside: Any = cluster.address.replace("tls://", "tcp://")
    with pytest.raises((OSError, TimeoutError)):
        Client(outside, timeout=2, set_as_default=False)
