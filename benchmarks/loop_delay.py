"""How late is the Jupyter server's event loop while sources are slow? At most 50 ms (p99).

Twenty clients ask all the time: rows of a view at MariaDB that sleeps, tables by name out of thousands, columns, runs
and history, over five connections. Beside them the loop of the real server is watched from within, tick by tick. Each
connection was used once before, for the first use loads drivers and engine.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from benchmarks.harness import arguments, figure
from tests.server.served import Served
from tests.services.mysql.server import MariaDB

CLIENTS, CONNECTIONS = 20, 5
TABLES = 3_000


def main() -> None:
    options = arguments(__doc__).parse_args()
    seconds = 5 if options.quick else 20
    with MariaDB(password="bench") as source, tempfile.TemporaryDirectory(prefix="wb-bench-") as home:
        _fill(source, 300 if options.quick else TABLES)
        folder = Path(home)
        watched = folder / "delays"
        server = Served(
            folder,
            "--ServerApp.jpserver_extensions=benchmarks.workers.loop_watch=True",
            environment={"LOOP_WATCH": str(watched), "PYTHONPATH": os.getcwd()},
        )
        try:
            _connect(server, source)
            time.sleep(2)
            idle = _delays(watched, time.time() - 1, time.time())
            asked, begin = _ask(server, seconds), time.time() - seconds
            busy = _delays(watched, begin, time.time())
        finally:
            server.close()
    answered = sum(asked.values())
    print(f"idle: p99 {_p99(idle) * 1e3:.1f} ms; with {CLIENTS} clients, who got {answered:,} answers in {seconds} s:")
    print("  " + ", ".join(f"{count:,} {what}" for what, count in sorted(asked.items())))
    half, worst = _part(busy, 0.5) * 1e3, max(busy) * 1e3
    print(f"  {len(busy):,} ticks, half of them at most {half:.1f} ms late, the worst {worst:.1f} ms")
    figure("loop_delay_p99", _p99(busy) * 1e3, "ms_late")


def _fill(source: MariaDB, tables: int) -> None:
    source.execute("create table one(id int primary key, name varchar(20))", "insert into one values (1, 'a')")
    source.execute("create view slow as select id, name, sleep(1) as waited from one")
    source.execute(*(f"create table part_{number:05d}(id int)" for number in range(tables)))


def _connect(server: Served, source: MariaDB) -> None:
    url = {"host": "127.0.0.1", "port": source.port, "user": "reader", "database": "shop"}
    for number in range(CONNECTIONS):
        body = {"name": f"c{number}", "connector": "mysql", "parameters": url, "secrets": {"password": source.password}}
        server.ask("POST", "/connections", body).ok()
        assert server.ask("GET", f"/catalog/c{number}/sample", query={"schema": "shop", "name": "one"}).status == 200


def _ask(server: Served, seconds: float) -> Counter[str]:
    """What was answered, by kind."""
    answered: Counter[str] = Counter()
    until = time.time() + seconds

    def client(number: int) -> None:
        name = f"/catalog/c{number % CONNECTIONS}"
        turn = number
        while time.time() < until:
            turn += 1
            kind, path = [
                ("slow samples", f"{name}/sample?schema=shop&name=slow"),
                ("searches", f"{name}/tables?search={turn % 1000:03d}&limit=500"),
                ("slow samples", f"{name}/sample?schema=shop&name=slow"),
                ("schemas refreshed", f"{name}/refresh"),
                ("pages of tables", f"{name}/tables?limit=1000"),
                ("columns", f"{name}/table?schema=shop&name=one"),
                ("runs", "/runs"),
                ("histories", "/history"),
            ][turn % 8]
            reply = server.ask("POST", path, {}) if kind == "schemas refreshed" else server.ask("GET", path)
            assert reply.status < 300, (path, reply.body)
            answered[kind] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answered


def _delays(file: Path, begin: float, end: float) -> list[float]:
    """Of the ticks between the two times."""
    lines = [line.split() for line in file.read_text().splitlines() if line.count(" ") == 1]
    return [max(0.0, float(late)) for at, late in lines if begin <= float(at) <= end]


def _part(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def _p99(values: list[float]) -> float:
    return _part(values, 0.99)


if __name__ == "__main__":
    main()
