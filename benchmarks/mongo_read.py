"""Does reading MongoDB's documents into Arrow cost the client less than with its maker's clients?

A whole collection of documents with twelve fields, a document and an array among them, over loopback from
mongo-java-server: our connector's own reader beside pymongoarrow and pymongo with polars. The columns are known before,
as pymongoarrow is told them; what the sample costs that finds them is printed beside.
Rows are compared by count, sums, NULL counts and lengths, the nested columns included.
"""

from __future__ import annotations

import datetime as dt
import random
import time

from benchmarks.harness import Side, arguments, environment, figure, median, paired, rounds, table
from tests.services.mongodb.server import MongoJava
from workbench.contract import TableRef


def load(server: MongoJava, rows: int) -> None:
    chance, start = random.Random(3), dt.datetime(2024, 1, 1)
    with server.client() as client:
        for first in range(0, rows, 5000):
            client.shop.orders.insert_many([_order(chance, start, number) for number in range(first, first + 5000)])


def _order(chance: random.Random, start: dt.datetime, number: int) -> dict[str, object]:
    return {
        "customer_id": chance.randrange(200_000),
        "qty": chance.randrange(20),
        "price": round(chance.random() * 500, 2) + 0.001,
        "big": 2**33 + chance.randrange(2**40),
        "status": ("new", "paid", "shipped", "returned")[number % 4],
        "country": "CN",
        "gift": bool(number & 1),
        "at": start + dt.timedelta(seconds=number),
        "note": f"note 客户 {number % 977}" if number % 10 else None,
        "addr": {"city": f"c{number % 300}", "zip": number % 99_999},
        "tags": ["a", "b"][: number % 3],
    }


def main() -> None:
    options = arguments(__doc__).parse_args()
    rows, count = (50_000, 3) if options.quick else (200_000, 5)
    peers = environment("pymongoarrow>=1.15,<2", "polars>=1", "pymongo>=4.15,<5")
    with MongoJava(heap="1500m") as server:
        load(server, rows)
        where = (server.host, str(server.port))
        ours = Side("ours", "mongo_ours.py", *where)
        others = [Side(name, "mongo_peers.py", name, *where, python=peers) for name in ("pymongoarrow", "pymongo")]
        try:
            costs = rounds([ours, *others], "read", options.rounds or count, server.pid)
        finally:
            for side in (ours, *others):
                side.close()
        sample = _sample(server)
    print(f"{rows:,} documents, us a document; the sample that finds the columns: {sample * 1e3:.0f} ms, once")
    table(costs, rows / 1e6, "us")
    for name in ("pymongoarrow", "pymongo"):
        _figure(name, costs["ours"], costs[name], rows)


def _sample(server: MongoJava) -> float:
    """Seconds of CPU here."""
    connector = server.manifest.open(server.config())
    try:
        before = time.process_time()
        connector.tables.schema(TableRef("orders"))  # type: ignore[union-attr]
        return time.process_time() - before
    finally:
        connector.close()


def _figure(name, ours, peer, rows):  # type: ignore[no-untyped-def]
    def client(cost):  # type: ignore[no-untyped-def]
        return cost.client / rows * 1e6

    figure(
        f"mongo_read_vs_{name}", median(ours, client), "us_client_cpu_per_row", median(peer, client),
        paired(ours, peer, client),
    )  # fmt: skip


if __name__ == "__main__":
    main()
