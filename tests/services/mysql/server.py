"""MariaDB 10.11 and MySQL 9 as processes of ours: `MariaDB()` and `MySQL9()` are up when they are made."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import pymysql

from tests.services import certificate
from tests.services.mysql import fetch
from tests.services.process import Process, ServiceError, free_port, install, private_folder
from workbench.contract import ConnectionConfig, Manifest, Secret
from workbench_mysql.manifest import MANIFEST

PASSWORD = "a'b\"c@d:/?#%00\\ é\n$"
"""Everything that a careless client trips over; the same for each user."""
DATABASE = "shop"

_RIGHTS = {
    "admin": "ALL PRIVILEGES ON *.* TO {} WITH GRANT OPTION",
    "writer": "ALL PRIVILEGES ON `shop`.* TO {}",
    "reader": "SELECT, SHOW VIEW ON `shop`.* TO {}",
}


class Server:
    """A running server on loopback. `admin` may do all, `writer` all in `shop`, `reader` only read there."""

    product = ""
    host = "127.0.0.1"
    demo: Mapping[str, Any] = {}

    def __init__(self, password: str = PASSWORD, options: tuple[str, ...] = ()) -> None:
        self.password, self.database = password, DATABASE
        self.folder = private_folder(self.product)
        self.port = free_port()
        try:
            self.certificate, self._key = certificate.make(self.folder)
            (self.folder / "init.sql").write_text(self._users())
            self._process = self._start(options)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def url(self, user: str = "reader", scheme: str = "mysql") -> str:
        """Without the password, which a URL must not carry."""
        return f"{scheme}://{quote(user, safe='')}@{self.host}:{self.port}/{self.database}"

    @classmethod
    def served(cls) -> Self:
        """For somebody who tries things."""
        return cls(password=secrets.token_urlsafe(12))

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    def config(self, writable: bool = False) -> ConnectionConfig:
        user = "writer" if writable else "reader"
        parameters = {"host": self.host, "port": self.port, "user": user, "database": self.database}
        return ConnectionConfig("crm", parameters, {"password": Secret(self.password)}, writable)

    def told(self) -> str:
        return (
            f'import os; os.environ["CRM_PASSWORD"] = "{self.password}"\n'
            f'wb.connect("crm", "{self.url("reader")}", secret="env:CRM_PASSWORD")\n\n'
            "# Who may write as well:\n"
            f'wb.connect("crm", "{self.url("writer")}", secret="env:CRM_PASSWORD", writable=True)'
        )

    @contextmanager
    def connection(self, user: str = "admin", **options: object) -> Iterator[pymysql.connections.Connection]:
        """A plain driver connection with autocommit: how tests load, and look at the process list."""
        plain = {"host": self.host, "port": self.port, "charset": "utf8mb4", "autocommit": True}
        secret = self.password.encode()  # bytes, for pymysql would make Latin-1 of a text
        link = pymysql.connect(user=user, password=secret, database=self.database, **{**plain, **options})
        try:
            yield link
        finally:
            link.close()

    def execute(self, *statements: str) -> tuple[tuple[object, ...], ...]:
        """As admin, one after the other; the rows of the last."""
        rows: tuple[tuple[object, ...], ...] = ()
        with self.connection() as link, link.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows = tuple(cursor.fetchall())
        return rows

    def running(self) -> list[tuple[int, str, str]]:
        """(thread, user, statement text) of what the server works on now, this question left out."""
        rows = self.execute("SHOW FULL PROCESSLIST")
        return [
            (int(str(row[0])), str(row[1]), str(row[7]))
            for row in rows
            if row[7] and row[4] != "Daemon" and row[7] != "SHOW FULL PROCESSLIST"
        ]

    def stop(self) -> None:
        """Ends it and removes its files. Idempotent."""
        self._process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self) -> None:
        """As a power cut would; the files stay until `stop`."""
        self._process.kill()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _users(self) -> str:
        """One statement a line, which is all that MariaDB reads."""
        secret = self.password.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n")
        lines = [f"CREATE DATABASE IF NOT EXISTS `{DATABASE}` CHARACTER SET utf8mb4;"]
        for user, rights in _RIGHTS.items():
            account = f"'{user}'@'%'"
            lines.append(f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{secret}';")
            lines.append(f"GRANT {rights.format(account)};")
        return "".join(line + "\n" for line in lines)

    def _start(self, options: tuple[str, ...]) -> Process:
        program, base = self._prepare()
        command = [
            *program,
            *base,
            f"--bind-address={self.host}",
            f"--port={self.port}",
            f"--socket={self.folder}/s.sock",
            f"--pid-file={self.folder}/server.pid",
            f"--tmpdir={self.folder}",  # one that starts removes what it takes for left over in it
            f"--init-file={self.folder}/init.sql",
            f"--ssl-cert={self.certificate}",
            f"--ssl-key={self._key}",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--innodb-buffer-pool-size=96M",
            "--innodb-flush-log-at-trx-commit=0",
            "--performance-schema=OFF",
            "--character-set-server=utf8mb4",
            "--max-allowed-packet=64M",
            "--local-infile=ON",  # so that a client of ours which answered would be seen
            *options,
        ]
        process = Process(self.product, command, self.folder)
        try:
            process.wait_ready(self._ready)
        except BaseException:
            process.stop()
            raise
        return process

    def _ready(self) -> None:
        with self.connection() as link:
            link.ping()

    def _prepare(self) -> tuple[list[str], list[str]]:
        """The program and its base options, with a data folder made."""
        raise NotImplementedError

    def _initialise(self, command: list[str], text: str = "") -> None:
        ran = subprocess.run(command, input=text.encode(), capture_output=True, cwd=self.folder)
        if ran.returncode != 0:
            raise ServiceError(f"{self.product} made no data folder:\n{ran.stderr.decode(errors='replace')[-3000:]}")


def _as_root() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


class MariaDB(Server):
    """MariaDB of this Debian (`mariadb-server-core`, which starts nothing by itself)."""

    product = "mariadb"

    def _prepare(self) -> tuple[list[str], list[str]]:
        program = [str(install("mariadb-server-core", "mariadbd"))]
        data = self.folder / "data"
        (data / "mysql").mkdir(parents=True)
        base = ["--no-defaults", *_as_root(), f"--datadir={data}"]
        # What mariadb-install-db does; that script needs a program which is not in the core package.
        share = Path("/usr/share/mysql")
        parts = ("system_tables", "performance_tables", "system_tables_data")
        found = [path for part in parts for path in sorted(share.glob(f"m*_{part}.sql"))]
        if len(found) != len(parts):
            raise ServiceError(f"{share} lacks the system tables of MariaDB: reinstall mariadb-server-core")
        text = "create database if not exists mysql;\nuse mysql;\nset @auth_root_socket=NULL;\n"
        text += "".join(path.read_text() for path in found)
        self._initialise([*program, *base, "--bootstrap"], text)
        return program, base


class MySQL9(Server):
    """MySQL 9 of Debian sid, unpacked aside by `tests.services.mysql.fetch` and run by its own loader."""

    product = "mysql"

    def _prepare(self) -> tuple[list[str], list[str]]:
        root = fetch.root()
        program = fetch.program(root)
        base = [
            "--no-defaults",
            *_as_root(),
            f"--datadir={self.folder / 'data'}",
            f"--plugin-dir={root}/usr/lib/mysql/plugin",
            f"--lc-messages-dir={root}/usr/share/mysql",
            f"--character-sets-dir={root}/usr/share/mysql/charsets",
            "--secure-file-priv=NULL",
            "--innodb-redo-log-capacity=16M",
            "--mysqlx=OFF",
        ]
        initial = [option for option in base if not option.startswith("--mysqlx")]
        self._initialise([*program, *initial, "--initialize-insecure"])
        return program, base
