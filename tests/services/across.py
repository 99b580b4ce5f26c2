"""The demo shop spread over four real servers and a folder, as connections of a catalog: `make services NAME=across`,
and the fixture of the notebooks that ask all of them at once.

| connection | holds |
|---|---|
| `mysql` | `orders` of the ninety days |
| `hive` | `orders` of the time before, by year |
| `mongo` | `customers` and `items`, as documents |
| `hbase` | `events` of the last days, by time |
| `web` | all `events`, in Parquet files (the demo's own connection) |
"""

from __future__ import annotations

import contextlib
import datetime
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pyarrow.parquet as pq

from tests.services.hbase.server import HBase
from tests.services.hive.server import DATABASE, Hive
from tests.services.mongodb.server import MongoJava
from tests.services.mysql.server import MySQL9, Server
from tests.services.process import ServiceError
from workbench import demo
from workbench.catalog import Catalog
from workbench.contract import TableRef, WriteSpec
from workbench.contract.errors import UnknownConnection
from workbench.contract.secret import Secret
from workbench.demo.loading import write
from workbench.demo.shape import FIRST_DAY, Shape

if TYPE_CHECKING:
    import duckdb

__all__ = ["LATEST", "NAMES", "Stores", "must_be_free"]

NAMES = ("mysql", "hive", "mongo", "hbase")
LATEST = datetime.date(2026, 10, 29)
"""From this day on the events are in HBase, too."""

_EVENTS = {
    "key": [{"name": "ts", "type": "time"}, {"name": "event_id", "type": "sorted_long"}],
    "columns": {
        name: {"type": kind, "cell": f"d:{name}"}
        for name, kind in {
            "event_name": "text", "user_id": "long", "client_id": "text", "session_id": "long", "source": "text",
            "medium": "text", "device": "text", "country": "text", "page": "text", "item_id": "int", "order_id": "long",
            "value": "text",
        }.items()
    },
    "marker": "d:_",
}  # fmt: skip
_DOCUMENTS = {
    "customers": """select customer_id as _id, name, email, {'country': country} as address,
        {'segment': segment, 'birth_year': birth_year, 'newsletter': newsletter} as profile,
        signed_up::timestamp as signed_up from shop.customers order by 1""",
    "items": """select item_id as _id, name, category, brand, price, [category, split_part(name, ' ', 1)] as tags,
        {'active': active, 'added': added::timestamp} as shelf from shop.items order by 1""",
}
_CELLS = ", ".join(name if name != "value" else "value::varchar as value" for name in _EVENTS["columns"])


@dataclass(frozen=True)
class Stores:
    """The four servers, each in its usual database."""

    mysql: Server
    hive: Hive
    mongo: MongoJava
    hbase: HBase

    @classmethod
    @contextlib.contextmanager
    def served(cls) -> Iterator[Self]:
        """Four servers of its own, for somebody who tries things."""
        with contextlib.ExitStack() as running:
            mysql, mongo = running.enter_context(MySQL9.served()), running.enter_context(MongoJava.served())
            yield cls(mysql, running.enter_context(Hive.served()), mongo, running.enter_context(HBase.served()))

    @property
    def pids(self) -> list[int]:
        return [self.mysql.pid, self.hive.pid, self.mongo.pid, *self.hbase.pids]

    @contextlib.contextmanager
    def connected(self, catalog: Catalog, shape: Shape | None = None, drop: bool = True) -> Iterator[demo.Demo]:
        """The connections are there and the shop is loaded; at the end both are gone, the shop's tables not where the
        servers are about to go. Raises ServiceError where one of the names is a connection of the user's to something
        else."""
        must_be_free(catalog)
        made = demo.ensure(catalog, shape)
        try:
            self._connect(catalog)
            self._load(catalog, made.folder)
            yield made
        finally:
            for name in NAMES:
                with contextlib.suppress(UnknownConnection):
                    catalog.remove(name)
            if drop:
                self._drop()

    def _connect(self, catalog: Catalog) -> None:
        for name, url, password, tables in (
            ("mysql", self.mysql.url("writer"), self.mysql.password, {}),
            ("hive", self.hive.url(), self.hive.password, {}),
            ("mongo", self.mongo.url(), "", {}),
            ("hbase", self.hbase.url(), "", {"events": _EVENTS}),
        ):
            secret = Secret(password) if password else None
            catalog.connect(name, url, secret=secret, writable=name != "hive", tables=tables, test=False)

    def _load(self, catalog: Catalog, folder: Path) -> None:
        import duckdb

        with duckdb.connect() as engine:
            engine.execute(f"attach '{folder / 'shop.duckdb'}' as shop (read_only)")
            since = f"ordered_at >= timestamp '{FIRST_DAY}'"
            _write(catalog, "mysql", "orders", "order_id", engine, f"from shop.orders where {since} order by order_id")
            for name, query in _DOCUMENTS.items():
                _write(catalog, "mongo", name, "_id", engine, query)
            days = f"read_parquet('{folder / 'web' / 'events'}/*.parquet')"
            query = f"""select date_trunc('milliseconds', ts) at time zone 'UTC' as ts, event_id, {_CELLS}
                from {days} where ts >= timestamp '{LATEST}' order by ts, event_id"""
            _write(catalog, "hbase", "events", "ts, event_id", engine, query, "upsert")
            self._load_history(engine, f"from shop.orders where not ({since})")

    def _load_history(self, engine: duckdb.DuckDBPyConnection, rows: str) -> None:
        """A table of Hive over Parquet files, one partition a year."""
        place = self.hive.files("orders")
        columns = ", ".join(
            f"{name} {'string' if kind == 'VARCHAR' else kind}"
            for name, kind, *_ in engine.execute(f"describe {rows}").fetchall()
        )
        statements = [
            "drop table if exists orders",
            f"create external table orders ({columns}) partitioned by (year int) stored as parquet "
            f"location 'file://{place}'",
        ]
        for (year,) in engine.execute(f"select distinct year(ordered_at) {rows}").fetchall():
            folder = place / f"year={year}"
            folder.mkdir()
            part = engine.sql(f"{rows} and year(ordered_at) = {year} order by order_id").to_arrow_table()
            pq.write_table(part, folder / "orders.parquet")
            statements.append(f"alter table orders add partition (year = {year})")
        self.hive.execute(*statements)

    def _drop(self) -> None:
        self.mysql.execute("drop table if exists orders")
        self.hive.execute("drop table if exists orders")
        self.hbase.client().drop("events")
        with self.mongo.client() as client:
            for name in _DOCUMENTS:
                client[DATABASE].drop_collection(name)


def _write(
    catalog: Catalog,
    connection: str,
    table: str,
    key: str,
    engine: duckdb.DuckDBPyConnection,
    query: str,
    mode: str = "insert",
) -> None:
    rows = engine.sql(query).to_arrow_reader(50_000)
    spec = WriteSpec(rows.schema, mode=mode, key=tuple(key.split(", ")), create=True)
    write(catalog.open(connection), TableRef(table), spec, rows)


def must_be_free(catalog: Catalog) -> None:
    """The names are nobody's, or what was left of servers that are gone, which is taken away. Raises ServiceError."""
    for name in NAMES:
        try:
            there = catalog.saved(name).parameters
        except UnknownConnection:
            continue
        if there.get("host") != Server.host or _listens(int(there.get("port", 0))):
            raise ServiceError(
                f"`{name}` is a connection of yours already, and these servers are connected as {', '.join(NAMES)}. "
                f"Take it away (`workbench connections {name} --remove`), or set WORKBENCH_HOME to a folder without it "
                "for this command and for `workbench lab`."
            )
        catalog.remove(name)


def _listens(port: int) -> bool:
    try:
        socket.create_connection((Server.host, port), 2).close()
    except OSError:
        return False
    return True
