"""Does SQL over MySQL cost less, client and server together, than with DuckDB's own MySQL extension?

`wb.sql` beside DuckDB 1.5.5 with its extension (the newest there is; in its own environment, filter push-down on),
over the same MariaDB table: a GROUP BY over a full scan, a filter that MySQL can apply, one that it cannot, and warm
point queries, each for another row. Answers are compared. The table is in the server's memory: what its disk costs is
no question of either side.
"""

from __future__ import annotations

from benchmarks.harness import Side, arguments, environment, figure, median, paired, rounds, table
from benchmarks.orders import load
from tests.services.mysql.server import MariaDB

QUERIES = {
    "full": "select status, avg(price), count(discount), count(*) from shop.orders group by status",
    "selective": "select country, count(*) from shop.orders where created_at >= timestamp '2022-06-01' and qty = 3 "
    "group by country",
    "like": "select count(*) from shop.orders where note like '%977%'",
}
POINT = "select * from shop.orders where id = {}"


def main() -> None:
    options = arguments(__doc__).parse_args()
    rows, count = (500_000, 3) if options.quick else (3_000_000, 7)
    peer_python = environment("duckdb==1.5.5", "duckdb-extension-mysql==1.5.5", "pytz")
    with MariaDB(password="bench", options=("--skip-ssl", "--innodb-buffer-pool-size=1G")) as server:
        load(server, rows)
        where = (server.host, str(server.port), "reader", server.database)
        ours = Side("ours", "workbench_sql.py", *where, secret=server.password)
        peer = Side("duckdb", "duckdb_mysql.py", *where, python=peer_python, secret=server.password)
        try:
            found = {
                name: rounds([ours, peer], sql, options.rounds or count, server.pid, _rounded)
                for name, sql in QUERIES.items()
            }
            points = rounds(
                [ours, peer], lambda number: POINT.format(1 + number * 2_477 % rows), 200, server.pid, _first
            )
        finally:
            ours.close()
            peer.close()
    for name, costs in found.items():
        print(f"\n{name}: {QUERIES[name]} ({rows:,} rows)")
        table(costs)
    print(f"\npoint: {POINT.format('another one each')} (200 rounds)")
    table(points, 1e-3, "ms")
    for name, costs in found.items():
        label = "mysql_scan_vs_duckdb" if name == "full" else f"mysql_{name}_vs_duckdb"
        a, b = costs["ours"], costs["duckdb"]
        figure(label, median(a, _cpu), "s_client_and_server_cpu", median(b, _cpu), paired(a, b, _cpu))
    # The server's clock ticks in 10 ms, so a point query's CPU is the sum over all rounds.
    a, b = (sum(cost.cpu for cost in points[side]) / len(points[side]) * 1e3 for side in ("ours", "duckdb"))
    figure("mysql_point_vs_duckdb", a, "ms_client_and_server_cpu", b)
    a, b = (median(points[side], lambda cost: cost.wall * 1e3) for side in ("ours", "duckdb"))
    figure("mysql_point_wall_vs_duckdb", a, "ms_wall", b)


def _cpu(cost):  # type: ignore[no-untyped-def]
    return cost.cpu


def _rounded(answer):  # type: ignore[no-untyped-def]
    """Text of numbers at 6 digits: the two engines may add doubles in another order."""
    return [[f"{float(cell):.6g}" if cell.replace(".", "", 1).isdigit() else cell for cell in row] for row in answer]


def _first(answer):  # type: ignore[no-untyped-def]
    """The columns that both engines give as the same text."""
    return [row[:9] for row in answer]


if __name__ == "__main__":
    main()
