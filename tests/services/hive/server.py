"""Hive's metastore and HiveServer2 as processes of ours: `Hive()` is up when it is made.

The engine is Tez within HiveServer2: a statement that scans, filters or limits runs without it, in tenths of a second;
one that joins or groups takes seconds. It does not stop a task that is at work: what a cancel frees is not seen here.
"""

from __future__ import annotations

import html
import re
import secrets
import shutil
import socket
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from tests.services.hive import another, fetch, settings
from tests.services.hive.another import Another
from tests.services.hive.client import Client
from tests.services.process import Process, free_port, private_folder
from workbench.contract import ConnectionConfig, Manifest, Secret
from workbench.kit import thrift
from workbench_hive.manifest import MANIFEST

DATABASE = "shop"
USER = "reader"
PASSWORD = "a'b\"c@d:/?#%00\\ $"
"""What a careless client trips over. HiveServer2's SASL knows no letter beyond ASCII."""
_READY = 170.0
_WRITER = {"writer.date.proleptic": "true", "writer.time.zone": "UTC", "writer.zone.conversion.legacy": "false"}
"""What Hive writes into its own files; it takes others for ones of the Julian calendar before 1582."""
_CELL = re.compile(r"<td>(.*?)(?:</td>|\n)", re.DOTALL)
_TYPES = {
    pa.bool_(): "boolean",
    pa.int8(): "tinyint",
    pa.int16(): "smallint",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.string(): "string",
    pa.binary(): "binary",
    pa.date32(): "date",
    pa.timestamp("us"): "timestamp",
}


class Hive:
    """A running pair on loopback; `reader` may do all."""

    host = "127.0.0.1"
    database = DATABASE
    demo: Mapping[str, Any] = {}

    def __init__(self, password: str = PASSWORD) -> None:
        self.password = password
        self.folder = private_folder("hive")
        self.port, self.http_port, self.metastore_port, self.web_port = (free_port() for _ in range(4))
        self._processes: list[Process] = []
        try:
            self._start()
            with self.client() as client:
                client.run(f"create database {DATABASE}")
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """HiveServer2's."""
        return self._processes[-1].pid

    def url(self, user: str = USER) -> str:
        return f"hive://{user}@{self.host}:{self.port}/{self.database}"

    @classmethod
    def served(cls) -> Self:
        """For somebody who tries things."""
        return cls(secrets.token_urlsafe(12))

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    def config(self, writable: bool = False) -> ConnectionConfig:
        where = {"host": self.host, "port": self.port, "user": USER, "database": self.database}
        return ConnectionConfig("hive", where, {"password": Secret(self.password)}, writable)

    def told(self) -> str:
        return (
            f'import os; os.environ["HIVE_PASSWORD"] = "{self.password}"\n'
            f'wb.connect("hive", "{self.url()}", secret="env:HIVE_PASSWORD")'
        )

    def client(self) -> Client:
        """A plain session: how tests make tables."""
        return Client(self.port, USER, self.password)

    def execute(self, *statements: str) -> list[tuple[object, ...]]:
        """One after the other, in the database; the rows of the last."""
        with self.client() as client:
            return client.run(f"use {DATABASE}", *statements)

    def sessions(self) -> int:
        """How many sessions HiveServer2 has, by its own page for people."""
        found = re.search(r"Total number of sessions: (\d+)", self._page())
        assert found is not None
        return int(found[1])

    def running(self) -> list[tuple[str, str]]:
        """(state, text) of each statement that HiveServer2 has open, by the same page."""
        text = self._page()
        listed = text[text.index("<h2>Open Queries") : text.index("Closed Queries</h2>")]
        rows = (_CELL.findall(row) for row in listed.split("<tr>")[2:])
        return [(row[3].strip(), html.unescape(row[1])) for row in rows if len(row) > 4]

    def _page(self) -> str:
        with urllib.request.urlopen(f"http://{self.host}:{self.web_port}/hiveserver2.jsp", timeout=20) as page:
            found: str = page.read().decode()
            return found

    def files(self, name: str) -> Path:
        """A new folder for a table's files."""
        folder = self.folder / "tables" / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def load(self, name: str, table: pa.Table, parts: int = 0) -> None:
        """An external table over a Parquet file; with `parts`, over so many partitions by `wbt_part` and one more,
        whose value is NULL."""
        table = table.replace_schema_metadata(_WRITER)
        folder = self.files(f"t{sum(name.encode())}_{len(name)}")
        spelled = quoted(name)
        columns = ", ".join(f"{quoted(field.name)} {type_of(field.type)}" for field in table.schema)
        partitioned = " partitioned by (wbt_part string)" if parts else ""
        statements = [
            f"drop table if exists {spelled}",
            f"create external table {spelled} ({columns}){partitioned} stored as parquet location 'file://{folder}'",
        ]
        if not parts:
            pq.write_table(table, folder / "rows.parquet", coerce_timestamps="us")
        names = [*(f"p{number}" for number in range(parts)), "__HIVE_DEFAULT_PARTITION__"] if parts else []
        for number, value in enumerate(names):
            inside = folder / f"wbt_part={value}"
            inside.mkdir()
            piece = table.take(pa.array(range(number, table.num_rows, len(names)), pa.int64()))
            pq.write_table(piece, inside / "rows.parquet", coerce_timestamps="us")
        self.execute(*statements, *([f"msck repair table {spelled}"] if parts else []))

    def without_sasl(self) -> Another:
        return another.without_sasl(self.folder / "nosasl", self.metastore_port)

    def with_tls(self) -> Another:
        return another.over_tls(self.folder / "tls", self.password, self.metastore_port)

    def kill(self) -> None:
        """HiveServer2, as a power cut would."""
        self._processes[-1].kill()

    def close(self) -> None:
        for process in reversed(self._processes):
            process.stop(5)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        home = fetch.home()
        shutil.copytree(home / "metastore_db", self.folder / "metastore_db")
        ports = {"binary": self.port, "http": self.http_port, "web": self.web_port}
        settings.write(self.folder, metastore=self.metastore_port, **ports)
        environment = {"WORKBENCH_HIVE_PASSWORD": self.password, "LC_ALL": "C.UTF-8"}
        for name, heap, main, arguments in (
            ("metastore", "512m", "org.apache.hadoop.hive.metastore.HiveMetaStore", ("-p", str(self.metastore_port))),
            ("hiveserver2", "1200m", "org.apache.hive.service.server.HiveServer2", ()),
        ):
            command = settings.java(home, self.folder, heap, main, *arguments)
            self._processes.append(Process(name, command, self.folder, environment=environment))
        for process, probe in zip(self._processes, (self._metastore_answers, self._answers), strict=True):
            process.wait_ready(probe, _READY)

    def _metastore_answers(self) -> None:
        with socket.create_connection((self.host, self.metastore_port), 5) as link:
            link.settimeout(20)
            link.sendall(thrift.call("get_all_databases", 1, {}))
            assert thrift.reply(link.recv(65_536), "get_all_databases", 1).body[0]

    def _answers(self) -> None:
        self.client().close()


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def type_of(kind: pa.DataType) -> str:
    """Hive's type for a column of such a Parquet file."""
    return f"decimal({kind.precision},{kind.scale})" if pa.types.is_decimal(kind) else _TYPES[kind]
