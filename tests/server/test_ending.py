"""The server ends when it is told to, whatever its sources do."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from tests.server.served import Served, served
from tests.services.mysql.server import Server


def test_a_source_that_never_answers_does_not_keep_it(tmp_path: Path, eventually: Callable[..., object]) -> None:
    with served(tmp_path) as server, socket.create_server(("127.0.0.1", 0)) as silent:
        where = {"host": "127.0.0.1", "port": silent.getsockname()[1], "user": "u", "connect_timeout": 300}
        body = {"name": "mute", "connector": "mysql", "parameters": where}
        asked = _asking(server, "POST", "/connectors/test", body)
        silent.settimeout(20)
        link, _ = silent.accept()
        with link:
            assert server.ask("GET", "/runs").ok() == {"runs": []}  # others are served meanwhile
            _ends(server, eventually)
        asked.join(10)


def test_what_runs_at_a_source_ends_with_it(tmp_path: Path, mariadb: Server, eventually: Callable[..., object]) -> None:
    mariadb.execute("create or replace view shop.ending as select 1 as id, sleep(60) as waited")
    with served(tmp_path) as server:
        where = {"host": "127.0.0.1", "port": mariadb.port, "user": "reader", "database": "shop"}
        body = {"name": "shop", "connector": "mysql", "parameters": where, "secrets": {"password": mariadb.password}}
        server.ask("POST", "/connections", body).ok()
        asked = _asking(server, "GET", "/catalog/shop/sample?schema=shop&name=ending")

        def running() -> bool:
            return any("ending" in text for _, user, text in mariadb.running() if user == "reader")

        eventually(running, within=20)
        _ends(server, eventually)
        eventually(lambda: not running(), within=5)
        asked.join(10)
    mariadb.execute("drop view shop.ending")


def _asking(server: Served, verb: str, path: str, body: object = None) -> threading.Thread:
    def ask() -> None:
        try:
            server.ask(verb, path, body, timeout=60)
        except OSError:
            return  # the server is gone

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    return thread


def _ends(server: Served, eventually: Callable[..., object]) -> None:
    os.kill(server.pid, signal.SIGTERM)
    eventually(lambda: not server.alive(), within=15)
