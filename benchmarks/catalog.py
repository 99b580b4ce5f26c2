"""How long does a page of the catalog take, and a search, with 100,000 tables? Through the server's interface.

A real MariaDB and a DuckDB file, each with its tables in 100 schemas; a server of its own, asked over HTTP. `first` is
what is asked before any name is known; all else is asked then (aim: 300 ms). Memory is that of the server above what it
had before the first question (aim: 200 MB, most of it what DuckDB holds of an open file).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb

from benchmarks.harness import arguments, figure
from tests.server.served import Served
from tests.services.mysql import many
from tests.services.mysql.server import MariaDB

SCHEMAS = 100


def main() -> None:
    options = arguments(__doc__).parse_args()
    count = 10_000 if options.quick else 100_000
    with MariaDB(password="bench") as server, tempfile.TemporaryDirectory(prefix="wb-bench-") as folder:
        start = time.perf_counter()
        many.make(server, count, SCHEMAS)
        print(f"MariaDB: {count:,} tables made in {time.perf_counter() - start:.0f} s", flush=True)
        start = time.perf_counter()
        path = Path(folder) / "many.duckdb"
        _file(path, count)
        print(f"DuckDB: {count:,} tables made in {time.perf_counter() - start:.0f} s", flush=True)
        where = {"host": server.host, "port": server.port, "user": "reader"}
        for name, body in (
            ("mariadb", {"connector": "mysql", "parameters": where, "secrets": {"password": server.password}}),
            ("duckdb", {"connector": "duckdb", "parameters": {"path": str(path)}}),
        ):
            place = Path(folder) / name
            place.mkdir()
            served = Served(place)
            try:
                served.ask("POST", "/connections", {"name": "many", **body}).ok()
                _measure(name, served, count)
            finally:
                served.close()


def _measure(name: str, served: Served, count: int) -> None:
    before = _memory(served.pid)
    first = _timed(served, "schemas", {})
    each = count // SCHEMAS
    pages: list[float] = []
    for number in range(0, SCHEMAS, 5):
        schema = f"big_{number:04d}"
        pages += [
            _timed(served, "tables", {"schema": schema, "limit": 200}),
            _timed(served, "tables", {"schema": schema, "limit": 200, "after": f"{schema}.t_{number * each + 42:06d}"}),
        ]
    searches = [_timed(served, "tables", {"search": text, "limit": 200}) for text in _texts(count)]
    again = [_timed(served, "tables", {"search": text, "limit": 200}) for text in _texts(count)]
    print(
        f"{name}: first {first * 1e3:.0f} ms, worst page {max(pages) * 1e3:.0f}, worst search {max(searches) * 1e3:.0f}"
    )
    figure(f"catalog_{name}_first", first * 1e3, "ms")
    figure(f"catalog_{name}_page", _p95(pages), "ms_p95")
    figure(f"catalog_{name}_search", _p95(searches), "ms_p95_of_texts_not_asked_before")
    figure(f"catalog_{name}_again", _p95(again), "ms_p95_of_the_same_texts")
    figure(f"catalog_{name}_memory", _memory(served.pid) - before, "MB_above_before")


def _texts(count: int) -> Iterator[str]:
    yield from ("t_", "big_0042.t_", "nothing like it", "00", "7")
    yield from (f"{number:05d}" for number in range(0, count, count // 25))


def _timed(served: Served, what: str, query: dict[str, object]) -> float:
    start = time.perf_counter()
    served.ask("GET", f"/catalog/many/{what}", query=query, timeout=120).ok()
    return time.perf_counter() - start


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[18] * 1e3


def _memory(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def _file(path: Path, count: int) -> None:
    each = count // SCHEMAS
    with duckdb.connect(path) as link:
        link.execute("begin")
        for number in range(SCHEMAS):
            link.execute(f"create schema big_{number:04d}")
            tables = (
                f"create table big_{number:04d}.t_{one:06d}(id int, x varchar)"
                for one in range(number * each, (number + 1) * each)
            )
            link.execute(";".join(tables))
        link.execute("commit")


if __name__ == "__main__":
    main()
