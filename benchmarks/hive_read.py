"""Does taking HiveServer2's rows into Arrow cost the client less than with the Python clients there are?

Decode alone: the replies to FetchResults for one table of ten columns are recorded from a real HiveServer2 once; then
each side turns the same bytes into values, again and again. Ours and impyla make Arrow of them, PyHive makes the rows
that it hands out. Answers are compared by count, sums, NULL counts and lengths of all columns.

Then a whole scan by each of our two routes, client and HiveServer2 counted: through HiveServer2, and from the table's
Parquet files.
"""

from __future__ import annotations

import datetime as dt
import random
import struct
import tempfile
from pathlib import Path

import pyarrow as pa

from benchmarks.harness import Cost, Side, arguments, environment, figure, median, paired, rounds, table
from tests.services.hive.server import Hive
from workbench.contract import ConnectionConfig, Secret
from workbench_hive.connector import HiveConnector

PEERS = ("impyla>=0.24,<1", "pyhive>=0.7,<1", "thrift>=0.16", "thrift-sasl>=0.4", "pyarrow>=20", "setuptools")
_ROWS = 10_000
"""A reply's, which is what a server allows unless it is set."""


def orders(rows: int) -> pa.Table:
    chance, start = random.Random(3), dt.datetime(2024, 1, 1)
    numbers = range(rows)
    none = [chance.random() < 0.1 for _ in numbers]
    return pa.table(
        {
            "id": pa.array(numbers, pa.int64()),
            "cust": pa.array([chance.randrange(200_000) for _ in numbers], pa.int32()),
            "price": pa.array([chance.randrange(50_000) for _ in numbers], pa.int64())
            .cast(pa.decimal128(19, 0))
            .cast(pa.decimal128(12, 2)),
            "score": pa.array([None if no else chance.random() for no in none], pa.float64()),
            "status": pa.array([("new", "paid", "shipped")[number % 3] for number in numbers]),
            "country": pa.array(["CN"] * rows),
            "at": pa.array([start + dt.timedelta(seconds=number, microseconds=number % 997) for number in numbers]),
            "day": pa.array([start.date() + dt.timedelta(days=number % 366) for number in numbers]),
            "note": pa.array([None if no else f"note 客户 {number}" for number, no in zip(numbers, none, strict=True)]),
            "gift": pa.array([bool(number & 1) for number in numbers]),
        }
    )


def record(server: Hive, file: Path) -> int:
    """The replies of a whole scan, each with its length before it; their bytes in all."""
    parameters = {"host": server.host, "port": server.port, "user": "reader", "database": server.database}
    connector = HiveConnector(ConnectionConfig("bench", parameters, {"password": Secret(server.password)}))
    session, total = connector.opened(), 0
    operation = session.execute("select * from orders", seconds=600)
    while session.state(operation)[2] != 2:
        pass  # the server holds back its answer
    with file.open("wb") as out:
        while True:
            raw, number = session.fetch(operation, _ROWS, 600)
            total += len(raw)
            out.write(struct.pack(">ii", len(raw), number) + raw)
            if len(raw) < 1000:  # no rows
                break
    session.close()
    return total


def main() -> None:
    options = arguments(__doc__).parse_args()
    rows, many, count = (50_000, 200_000, 3) if options.quick else (200_000, 500_000, 7)
    peers = environment(*PEERS)
    with tempfile.TemporaryDirectory(prefix="wb-bench-") as folder:
        replies = Path(folder) / "replies"
        with Hive() as server:
            server.load("orders", orders(rows))
            size = record(server, replies)
            server.load("orders", orders(many))
            routes = _routes(server, options.rounds or 3)
        ours = Side("ours", "hive_ours.py", str(replies))
        others = [Side(name, "hive_peers.py", name, str(replies), python=peers) for name in ("impyla", "pyhive")]
        try:
            costs = rounds([ours, *others], "decode", options.rounds or count)
        finally:
            for side in (ours, *others):
                side.close()
    print(f"{rows:,} rows of 10 columns, {size / rows:.0f} bytes each, us a row")
    table(costs, rows / 1e6, "us")
    for name in ("impyla", "pyhive"):
        _figure(name, costs["ours"], costs[name], rows)
    print(f"the whole table but for its timestamp, by each of our routes, us a row of {many:,}")
    table(routes, many / 1e6, "us")

    def cpu(cost):  # type: ignore[no-untyped-def]
        return cost.cpu / many * 1e6

    files, server_route = routes["files"], routes["hs2"]
    figure(
        "hive_files_vs_hs2", median(files, cpu), "us_client_and_server_cpu_per_row", median(server_route, cpu),
        paired(files, server_route, cpu),
    )  # fmt: skip


def _routes(server: Hive, count: int) -> dict[str, list[Cost]]:
    """What a scan costs us and HiveServer2 by each route; the metastore's CPU is not counted."""
    where = (server.host, str(server.port), f"{server.host}:{server.metastore_port}")
    sides = [Side(route, "hive_routes.py", route, *where, secret=server.password) for route in ("files", "hs2")]
    try:
        return rounds(sides, "read", count, server.pid)
    finally:
        for side in sides:
            side.close()


def _figure(name, ours, peer, rows):  # type: ignore[no-untyped-def]
    def client(cost):  # type: ignore[no-untyped-def]
        return cost.client / rows * 1e6

    figure(
        f"hive_decode_vs_{name}", median(ours, client), "us_client_cpu_per_row", median(peer, client),
        paired(ours, peer, client),
    )  # fmt: skip


if __name__ == "__main__":
    main()
