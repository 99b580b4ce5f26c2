"""Does reading HBase's rows into Arrow cost less than with happybase, which every Python tool reads it by?

A table of six columns in five regions, over loopback from a real HBase: our connector by the native protocol and
through the Thrift gateway, beside happybase, whose rows go into the same Arrow columns. Servers' CPU is counted, too.
Then the decoding alone: recorded replies of the gateway, from memory. Rows are compared by count, sums, NULL
counts and lengths.
"""

from __future__ import annotations

import random
import struct
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.harness import Side, arguments, environment, figure, median, paired, rounds, table
from benchmarks.workers import hbase_recorded
from tests.services.hbase.admin import Admin
from tests.services.hbase.server import HBase

TABLE = "orders"
PEER = ("happybase>=1.2,<2", "pyarrow>=20", "numpy>=2")


def load(server: HBase, rows: int) -> None:
    admin = Admin(server)
    try:
        admin.create(TABLE, "f", [b"%08d" % (rows * part // 5) for part in range(1, 5)])
        server.client().put(TABLE, _rows(rows))
        admin.flush(TABLE)
    finally:
        admin.close()


def _rows(rows: int) -> Iterator[tuple[bytes, Mapping[bytes, bytes]]]:
    chance = random.Random(3)
    for number in range(rows):
        cells = {
            b"f:big": struct.pack(">q", 2**33 + chance.randrange(2**40)),
            b"f:country": b"CN",
            b"f:price": struct.pack(">d", round(chance.random() * 500, 2)),
            b"f:qty": struct.pack(">q", chance.randrange(20)),
            b"f:status": (b"new", b"paid", b"shipped", b"returned")[number % 4],
        }
        if number % 10:
            cells[b"f:note"] = f"note 客户 {number % 977}".encode()
        yield b"%08d" % number, cells


def main() -> None:
    options = arguments(__doc__).parse_args()
    rows, count = (50_000, 3) if options.quick else (200_000, 5)
    happybase = environment(*PEER)
    with HBase(fast=True, heap="1500m") as server, tempfile.TemporaryDirectory() as folder:
        load(server, rows)
        where = (server.host, str(server.port), str(server.gateway), TABLE)
        replies = Path(folder) / "replies"
        replies.write_bytes(hbase_recorded.record(server.host, server.gateway, TABLE))
        sides = [
            Side("native", "hbase_ours.py", "native", *where),
            Side("gateway", "hbase_ours.py", "gateway", *where),
            Side("happybase", "hbase_peer.py", *where, python=happybase),
            # Processes that have read nothing before.
            Side("memory", "hbase_ours.py", "native", *where),
            Side("gateway's memory", "hbase_ours.py", "gateway", *where),
        ]
        try:
            costs = rounds(sides[:3], "read", options.rounds or count, server.pids)
            alone = rounds([sides[1], sides[2]], f"decode {replies}", options.rounds or count)
            memory = [side.run("memory").answer for side in sides[3:]]
        finally:
            for side in sides:
                side.close()
    print(f"{rows:,} rows, us a row")
    table(costs, rows / 1e6, "us")
    print("decoding alone")
    table(alone, rows / 1e6, "us")
    peer = costs["happybase"]
    for name, side, what in (
        ("hbase_native_client_vs_happybase", "native", lambda cost: cost.client),
        ("hbase_native_total_vs_happybase", "native", lambda cost: cost.cpu),
        ("hbase_gateway_client_vs_happybase", "gateway", lambda cost: cost.client),
    ):
        unit = "us_cpu_per_row" if "total" in name else "us_client_cpu_per_row"
        mine = costs[side]
        figure(name, median(mine, what) / rows * 1e6, unit, median(peer, what) / rows * 1e6, paired(mine, peer, what))
    mine, peer = alone["gateway"], alone["happybase"]
    client = [median(of, lambda cost: cost.client) / rows * 1e6 for of in (mine, peer)]
    figure(
        "hbase_decode_vs_happybase", client[0], "us_client_cpu_per_row", client[1],
        paired(mine, peer, lambda cost: cost.client),
    )  # fmt: skip
    for name, above in zip(("hbase_scan_memory", "hbase_gateway_scan_memory"), memory, strict=True):
        figure(name, above, "MiB_above_start")


if __name__ == "__main__":
    main()
