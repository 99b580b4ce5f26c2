"""Every example of the documentation runs as it is written, one page after the other as in a notebook: against real
servers, whose addresses, users and passwords stand in for those of the page, and nothing else does."""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from IPython.core.interactiveshell import InteractiveShell

from tests.services.dask.server import DaskCluster
from tests.services.hbase.server import HBase
from tests.services.hive.server import Hive
from tests.services.kafka.server import Kafka
from tests.services.mongodb.server import MongoJava
from tests.services.mysql.server import Server
from tests.services.redis.server import Redis
from workbench import demo
from workbench.catalog import Catalog
from workbench.demo.shape import Shape
from workbench.streams import travelling

DOCS = Path(__file__).resolve().parents[2]
PAGES = sorted(
    str(path.relative_to(DOCS))
    for path in (DOCS / "README.md", *DOCS.glob("docs/*.md"), *DOCS.glob("docs/connectors/*.md"))
)
LEFT_OUT = {
    "docs/server.md": "asks a server at an address of somebody's: tests/server asks a real one for the same",
    "docs/dashboards.md": "is run by tests/dashboards/test_parameters.py, which opens its address",
}
"""Pages with examples that are not run here, and where they are."""

_BLOCK = re.compile(r"^```(python|sql)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
Before = Mapping[str, Callable[[], object]]


def examples(page: str) -> list[str]:
    return [found[2] for found in _BLOCK.finditer((DOCS / page).read_text())]


class Notebook:
    """Runs a page's examples."""

    def __init__(self, shell: InteractiveShell, folder: Path) -> None:
        self.shell, self.folder = shell, folder
        self("import workbench as wb")

    def __call__(self, code: str) -> Any:
        done = self.shell.run_cell(code)
        done.raise_error()
        return done.result

    def names(self, name: str) -> Any:
        return self.shell.user_ns[name]

    def page(self, page: str, others: Mapping[str, str] | None = None, before: Before | None = None) -> list[Any]:
        """All of its examples, in order; what each shows. `others` stand in for texts that the page has; `before` is
        done before the example with that text."""
        whole, waiting = "\n".join(examples(page)), dict(before or {})
        shown = []
        for text in (*(others or {}), *waiting):
            assert text in whole, f"{page} has no {text!r}"
        for example in examples(page):
            for text in [one for one in waiting if one in example]:
                waiting.pop(text)()
            for text, other in (others or {}).items():
                example = example.replace(text, other)
            try:
                shown.append(self(example))
            except Exception as error:
                error.add_note(f"in {page}:\n{example}")
                raise
        return shown


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Without connections, of one test."""
    return tmp_path / "home"


@pytest.fixture
def notebook(shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    before = dict(travelling._sources)
    made = Notebook(shell, folder)
    yield made
    travelling._sources.clear()
    travelling._sources.update(before)
    for name in [name for name in sys.modules if name.startswith("workbench_bolts.")]:
        del sys.modules[name]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`asked(password)`: what is typed when a page's connection asks for it."""
    return lambda password: monkeypatch.setattr("getpass.getpass", lambda prompt="": password)


def parquet(path: Path, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def test_every_page_with_examples_is_run() -> None:
    source = Path(__file__).read_text()
    for page in PAGES:
        if examples(page):
            assert page in LEFT_OUT or re.search(rf'\.page\(\s*"{page}"', source), f"nobody runs those of {page}"
    assert all(examples(page) for page in LEFT_OUT)


def test_the_tutorial(notebook: Notebook, home: Path, mariadb: Server, asked: Callable[[str], None]) -> None:
    catalog = Catalog(home)
    demo.ensure(catalog, Shape(scale=0.02))
    catalog.connect("notes", path="notes.duckdb", writable=True)
    catalog.close()
    asked(mariadb.password)
    parquet(notebook.folder / "data/events/one.parquet", a=[1])
    duckdb.connect("shop2.duckdb").close()
    notebook.page("docs/tutorial.md", {"mysql://analyst@db.example:3306/crm": mariadb.url("reader")})
    assert (notebook.folder / "top.parquet").exists()


def test_many_at_once(notebook: Notebook, mariadb: Server, asked: Callable[[str], None]) -> None:
    asked(mariadb.password)
    notebook("import workbench as wb")
    notebook.page("docs/connectors/index.md", {"mysql://analyst@db.example/shop": mariadb.url("reader")})


def test_first_page_and_the_surface(notebook: Notebook, mariadb: Server, asked: Callable[[str], None]) -> None:
    asked(mariadb.password)
    tables = {
        "customers": "select 1 as customer_id, 'DE' as country",
        "orders": "select 1 as order_id, 1 as customer_id, 2.5 as total",
    }
    drops = [f"drop table if exists {name}" for name in tables]
    mariadb.execute(*drops, *(f"create table {name} as {rows}" for name, rows in tables.items()))
    parquet(Path("events/events.parquet"), order_id=[1])
    parquet(Path("clicks/events/a.parquet"), **CLICKS)
    notebook(f"""wb.connect("shop", {mariadb.url("reader")!r})
wb.connect("crm", {mariadb.url("reader")!r})
wb.connect("lake", path="events/")
wb.connect("clicks", path="clicks/")
import polars as pl
customers = pl.DataFrame({{"customer_id": [1], "country": ["DE"]}})""")
    for (shown,) in (notebook.page("README.md"), notebook.page("docs/index.md")):
        assert [row[1] for row in shown.polars().rows()] == [2.5]
    again = {
        '.test(); wb.connection("shop").remove()': ".test()",
        '"mysql://analyst@db.example/shop")': f"{mariadb.url('writer')!r}, writable=True)",
    }
    notebook.page("docs/architecture.md", again)
    assert (notebook.folder / "x.parquet").exists()
    mariadb.execute(*drops, "drop table if exists totals")


CLICKS: dict[str, Any] = {
    "user_id": [1, 1, 2],
    "ts": [datetime.datetime.now() - datetime.timedelta(days=day) for day in (2, 3, 4)],
    "name": ["page_view", "page_view", "click"],
    "url": ["/", "/cart", "/"],
}


def test_reports(notebook: Notebook) -> None:
    parquet(Path("clicks/events/a.parquet"), **CLICKS)
    line = '203.0.113.9 - - [03/Nov/2026:10:00:00 +0100] "GET / HTTP/1.1" 200 512 "-" "Firefox"\n'
    Path("logs").mkdir()
    Path("logs/access.log").write_text(line + "this is none\n")
    notebook('wb.connect("clicks", path="clicks/")')
    notebook.page("docs/reports.md", before={"events.save": lambda: notebook("overview = report.definition")})
    assert notebook.names("report").polars()["visitors"][0] == 2


@pytest.mark.parametrize("server", ["mariadb", "mysql9"])
def test_mysql(notebook: Notebook, server: str, request: pytest.FixtureRequest, asked: Callable[[str], None]) -> None:
    mysql: Server = request.getfixturevalue(server)
    asked(mysql.password)
    mysql.execute("drop table if exists orders", "create table orders as select 1 as order_id, 2 as total")
    others = {"analyst": "reader", "writer": "writer"}
    addresses = {f"mysql://{user}@db.example/shop": mysql.url(mine) for user, mine in others.items()}
    assert len(notebook.page("docs/connectors/mysql.md", addresses)[0]) == 0  # it has no index
    mysql.execute("drop table orders")


def test_duckdb(notebook: Notebook) -> None:
    with duckdb.connect("shop.duckdb") as made:
        made.execute("create table orders as select 1 as order_id")
    (shown,) = notebook.page("docs/connectors/duckdb.md")
    assert shown.polars()["column_name"].to_list() == ["order_id"]


def test_files(notebook: Notebook) -> None:
    parquet(Path("events/orders/day=2026-01-01/a.parquet"), order_id=[1])
    for day in (1, 2):
        Path(f"events/2026-01-0{day}.csv").write_text("a\n1\n")
    Path("events/sales.csv").write_text("zip;price\n01234;1,5\n")
    Path("site").mkdir()
    Path("site/access.log").write_text("GET /\n")
    notebook.page("docs/connectors/files.md", {"/var/log/site": str(notebook.folder / "site")})
    assert notebook('wb.sql("from lake.sales")').polars().rows() == [("01234", 1.5)]
    assert notebook('wb.sql("from logs.site")').polars().rows() == [("GET /",)]


def test_mongodb(notebook: Notebook, mongodb: MongoJava) -> None:
    with mongodb.client() as client:
        for name in ("customers", "events", "totals"):
            client[mongodb.database].drop_collection(name)
        client[mongodb.database]["customers"].insert_one({"_id": 1, "address": {"city": "Berlin"}})
        client[mongodb.database]["events"].insert_one({"_id": 1, "tags": ["a", "b"]})
    notebook.page(
        "docs/connectors/mongodb.md",
        {"mongodb://analyst@db.example/shop": mongodb.url()},
        {"wb.write": lambda: notebook('result = wb.sql("select 1 as _id, 2 as total")')},
    )
    assert notebook('wb.sql("from docs.totals")').polars().rows() == [(1, 2)]
    with mongodb.client() as client:
        for name in ("customers", "events", "totals"):
            client[mongodb.database].drop_collection(name)


def test_hbase(notebook: Notebook, hbase: HBase) -> None:
    (example,) = examples("docs/connectors/hbase.md")
    connecting, _, _ = example.partition("wb.sql")
    others = {'"hbase://analyst@master.example:16000"': repr(hbase.url())}
    for text, other in others.items():
        connecting = connecting.replace(text, other)
    notebook(connecting.rstrip().removesuffix(")") + ", writable=True)")
    notebook("""row = wb.sql("select 'berlin' as shop, date_trunc('day', now()) as placed, 2 as qty, 'paid' as status")
wb.write(row, "hb.orders",
        mode="upsert", key=["shop", "placed"])""")
    (shown,) = notebook.page("docs/connectors/hbase.md", others)
    assert shown.polars().rows() == [("paid", 2)]
    hbase.client().drop("orders")


def test_hive(notebook: Notebook, hive: Hive, asked: Callable[[str], None]) -> None:
    asked(hive.password)
    for name in ("orders", "events"):
        (hive.files(name) / "day=2024-03-01").mkdir()
    folders = {name: hive.folder / "tables" / name for name in ("orders", "events")}
    parquet(folders["orders"] / "day=2024-03-01" / "a.parquet", country=["DE"])
    parquet(folders["events"] / "a.parquet", context=[{"device": "phone"}], tags=[["a", "b"]])
    (folders["events"] / "day=2024-03-01").rmdir()
    hive.execute(
        "drop table if exists orders",
        "drop table if exists events",
        "create external table orders (country string) partitioned by (day string) stored as parquet location "
        f"'file://{folders['orders']}'",
        "msck repair table orders",
        "create external table events (context struct<device: string>, tags array<string>) stored as parquet location "
        f"'file://{folders['events']}'",
    )
    shown = notebook.page(
        "docs/connectors/hive.md",
        {
            # The address of the last example is in none of these: a pair of name nodes is tests/connectors/hive's.
            '"&nameservice=lake&datanodes=.lake.example")': '"&nameservice=lake&datanodes=.lake.example", test=False)',
            "hive://analyst@hive.example/shop": hive.url(),
            "hive.example:9083": f"{hive.host}:{hive.metastore_port}",
        },
    )
    assert shown[0].polars().rows() == [("day=2024-03-01",)]
    assert shown[1].polars().rows() == [("phone", "a"), ("phone", "b")]
    hive.execute("drop table orders", "drop table events")


def test_kafka(notebook: Notebook, kafka: Kafka, eventually: Callable[..., object]) -> None:
    for topic, values in {"views": [{"page": "/", "ms": 5}], "logs": [b"a line"], "images": [b"\x89PNG"]}.items():
        kafka.drop(topic)
        kafka.create(topic)
        kafka.send(topic, values)
    address = {
        "kafka://broker.example:9092": f"kafka://{kafka.servers}",
        '"kafka://broker.example"': f'"kafka://{kafka.servers}"',
    }
    notebook("t = wb.streams.Topology('feed')")

    def follow() -> None:
        """The feed of the example before."""
        rows: list[Any] = notebook("rows = []\nt.bolt('keep', rows.append, inputs='views')\nrun = t.run()\nrows")
        run = notebook.names("run")

        def came() -> bool:
            kafka.send("views", [{"page": "/new", "ms": 1}])  # until it follows, nobody hears of one
            return bool(rows)

        eventually(came, within=60, every=0.2)
        run.stop()
        assert not run.errors

    notebook.page("docs/connectors/kafka.md", address, {"images": follow})
    assert notebook('wb.sql("from bus.logs")').polars()["kafka_value"].to_list() == ["a line"]
    for topic in ("views", "logs", "images"):
        kafka.drop(topic)


def test_redis(
    notebook: Notebook, redis_server: Redis, eventually: Callable[..., object], asked: Callable[[str], None]
) -> None:
    asked(redis_server.password)
    with redis_server.client() as client:
        client.delete("views")
        client.xadd("views", {"page": "/"})
        notebook("t = wb.streams.Topology('feed')")
        notebook.page("docs/connectors/redis.md", {"redis://ann@cache.example:6379/0": redis_server.url()})
        rows: list[Any] = notebook("rows = []\nt.bolt('keep', rows.append, inputs='views')\nrun = t.run()\nrows")

        def came() -> bool:
            client.xadd("views", {"page": "/new"})
            return bool(rows)

        eventually(came, within=60, every=0.2)
        notebook("run.stop()\nassert not run.errors")
        client.delete("views")


def test_cluster(notebook: Notebook) -> None:
    parquet(
        Path("lake/events.parquet"),
        page=["/", "/cart"] * 50,
        user_id=list(range(100)),
        total=[1.5] * 100,
        day=["2026-01-01"] * 100,
    )
    with DaskCluster() as there:
        notebook('wb.connect("lake", path="lake")\nwb.connect("hive", path="lake")')
        notebook.page(
            "docs/cluster.md",
            {"tcp://scheduler.example:8786": there.address, "/data/users": str(notebook.folder / "users")},
        )
        assert notebook("wb.sql(\"select count(*) from 'users/*.parquet'\")").polars().rows() == [(100,)]
        notebook("cluster.close()")


def test_streams(notebook: Notebook, eventually: Callable[..., object]) -> None:
    Path("access.log").write_text("ann / 200\nbob /cart 200\nann /cart 200\n")
    at = np.arange(200) * 1_000 + 1_767_225_600_000
    parquet(Path("views/a.parquet"), at=pa.array(at, pa.timestamp("ms")), page=["/", "/cart"] * 100)
    with duckdb.connect("shop.duckdb") as made:
        made.execute("create table orders as select i as order_id, timestamp '2026-01-01' + to_seconds(i) as ordered_at"
                     " from range(5) t(i)")  # fmt: skip
    notebook('wb.connect("shop", path="shop.duckdb", writable=True)')

    def over(name: str = "run") -> Any:
        run = notebook.names(name)
        run.wait(60)
        assert not run.errors
        return run

    def poll() -> None:
        assert not notebook.names("run").errors
        notebook("t = wb.streams.Topology('polled')")

    def polled() -> None:
        rows: list[Any] = notebook("rows = []\nt.bolt('keep', rows.append, inputs='orders')\nrun = t.run()\nrows")
        eventually(lambda: len(rows) == 5, within=60)
        notebook("run.stop()")

    def counted() -> None:
        over()
        assert notebook('wb.sql("from shop.page_views order by page")').polars().rows() == [("/", 100), ("/cart", 100)]

    def by_minute() -> None:
        rows: list[Any] = notebook("rows = []\nt.bolt('keep', rows.append, inputs='minutes')\nrun = t.run()\nrows")
        over()
        assert sum(row.views for row in rows) == 200

    def dashboard() -> None:
        over()
        notebook(WATCHED)

    before = {
        "TablePoll": poll,
        "t.guarantees()": polled,
        "per_minute": counted,
        "%%bolts": by_minute,
        "FunnelNow": dashboard,
    }
    notebook.page("docs/streams.md", before=before)
    over()


WATCHED = """
from workbench.streams import Topology, bolt, spout
@spout("end", "views", "page", "visitors", "furthest", "at", "level")
def everything():
    yield 1_767_225_600_000, 3, "/", 2, "visit", 1_767_225_600_000, "warn"
t = Topology("watched")
t.spout("minutes", everything)
t.spout("visitors", everything)
t.spout("visits", everything)
t.spout("alerts", everything)
run = t.run()
"""
