"""Servers that speak MongoDB's wire protocol, as processes of ours: `MongoJava()` and `FerretDB()` are up when they are
made. What each lacks of MongoDB 5 is its `gaps`: what neither has is tested at the wire by a scripted one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import pymongo

from tests.services import certificate
from tests.services.mongodb import ferret_fetch, fetch
from tests.services.process import Process, free_port, install, private_folder
from workbench.contract import ConnectionConfig, Manifest, Secret
from workbench_mongodb.manifest import MANIFEST

DATABASE = "shop"
PASSWORD = "a'b\"c@d:/?#%00\\ é$"


class MongoServer:
    """A running server on loopback; `user` is nobody where it has no users."""

    host = "127.0.0.1"
    database = DATABASE
    user, password = "", ""
    gaps: tuple[str, ...] = ()
    demo: Mapping[str, Any] = {"tables": ("customers", "items", "orders"), "unit": "milliseconds"}
    """Two million events would need more memory than a laptop likes to give."""

    def __init__(self) -> None:
        self.folder, self.port = private_folder("mongodb"), free_port()
        try:
            self._process = Process("mongodb", self._command(), self.folder)
            self._process.wait_ready(self._ping)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def url(self) -> str:
        user = f"{self.user}@" if self.user else ""
        return f"mongodb://{user}{self.host}:{self.port}/{self.database}"

    @classmethod
    def served(cls) -> Self:
        """For somebody who tries things."""
        return cls()

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    def config(self, writable: bool = False) -> ConnectionConfig:
        parameters: dict[str, Any] = {"host": self.host, "port": self.port, "database": self.database}
        if not self.user:
            return ConnectionConfig("docs", parameters, writable=writable)
        return ConnectionConfig("docs", parameters | {"user": self.user}, {"password": Secret(self.password)}, writable)

    def told(self) -> str:
        return f'wb.connect("docs", "{self.url()}", writable=True)'

    @contextmanager
    def client(self, **options: Any) -> Iterator[pymongo.MongoClient[dict[str, Any]]]:
        """A plain driver's client: how tests load."""
        if self.user:
            options = {"username": self.user, "password": self.password, **options}
        plain = {"directConnection": True, "serverSelectionTimeoutMS": 5000, **options}
        with pymongo.MongoClient(self.host, self.port, **plain) as client:
            yield client

    def kill(self) -> None:
        """As a power cut would."""
        self._process.kill()

    def close(self) -> None:
        self._process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _ping(self) -> None:
        with self.client(serverSelectionTimeoutMS=500) as client:
            client.admin.command("ping")


class MongoJava(MongoServer):
    """mongo-java-server, in memory."""

    gaps = ("authentication", "TLS", "$currentOp", "killOp", "maxTimeMS", "sessions", "collation", "views")

    def __init__(self, heap: str = "900m") -> None:
        self._heap = heap
        super().__init__()

    @classmethod
    def served(cls) -> Self:
        return cls(heap="2g")

    def _command(self) -> list[str]:
        # Its $sample compares by random numbers, which the newer sort of Java refuses.
        return [install("default-jre-headless", "java"), f"-Xmx{self._heap}", "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1", "-Djava.util.Arrays.useLegacyMergeSort=true",
                "-cp", fetch.classpath(), "WireServer", str(self.port)]  # fmt: skip


class FerretDB(MongoServer):
    """FerretDB on SQLite, with users, and with TLS at `tls_port` by the certificate `certificate`. A scan takes it 180
    us a document."""

    user, password = "root", PASSWORD
    gaps = ("Decimal128, infinity, NaN and keys: it ends the connection", "$sample", "killOp", "$currentOp", "views",
            "$min, $max, $cond and $literal")  # fmt: skip
    untested: Mapping[str, str] = {
        "test_sums_are_taken_just_where_they_are_declared": "FerretDB has no $min and $max: it is asked for rows"
    }
    """Tests of the suite that ask for what it lacks."""

    def told(self) -> str:
        return (
            f'import os; os.environ["DOCS_PASSWORD"] = {self.password!r}\n'
            f'wb.connect("docs", "{self.url()}", secret="env:DOCS_PASSWORD", writable=True)'
        )

    def _command(self) -> list[str]:
        self.tls_port = free_port()
        self.certificate, key = certificate.make(self.folder)
        (self.folder / "data").mkdir()
        return [str(ferret_fetch.program()), f"--listen-addr={self.host}:{self.port}", "--handler=sqlite",
                f"--sqlite-url=file:{self.folder}/data/", f"--state-dir={self.folder}", "--debug-addr=-",
                "--telemetry=disable", "--mode=normal", "--log-level=warn", "--test-enable-new-auth",
                f"--setup-username={self.user}", f"--setup-password={self.password}", "--setup-database=admin",
                f"--listen-tls={self.host}:{self.tls_port}", f"--listen-tls-cert-file={self.certificate}",
                f"--listen-tls-key-file={key}"]  # fmt: skip
