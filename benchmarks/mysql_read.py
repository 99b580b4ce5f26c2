"""Does reading MySQL into Arrow cost the client less than with anybody else's driver?

`select` of 14 columns from MariaDB over loopback, one connection, whole result into Arrow tables: our connector's own
reader beside connectorx, polars.read_database_uri and pymysql. TLS is off, for connectorx does not use it. Rows are
compared by sums, NULL counts and text lengths.
"""

from __future__ import annotations

from benchmarks.harness import Side, arguments, environment, figure, median, paired, rounds, table
from benchmarks.orders import COLUMNS, load
from tests.services.mysql.server import MariaDB


def main() -> None:
    options = arguments(__doc__).parse_args()
    rows, count = (500_000, 5) if options.quick else (1_000_000, 7)
    peers = environment("connectorx==0.4.6", "polars>=2.1,<3", "pyarrow>=26,<27", "pymysql>=1.2,<2", "cryptography")
    with MariaDB(password="bench", options=("--skip-ssl",)) as server:
        load(server, rows)
        where = (server.host, str(server.port), "reader", server.database)
        ours = Side("ours", "mysql_ours.py", *where, secret=server.password)
        others = [
            Side(name, "mysql_peers.py", name, *where, python=peers, secret=server.password)
            for name in ("connectorx", "polars", "pymysql")
        ]
        sql = f"select {', '.join(COLUMNS)} from orders where id <= "
        try:
            costs = rounds([ours, *others[:2]], sql + str(rows), options.rounds or count, server.pid)
            slow = rounds([ours, others[2]], sql + str(rows // 5), 2, server.pid)
        finally:
            for side in (ours, *others):
                side.close()
    print(f"{rows:,} rows, us a row")
    table(costs, rows / 1e6, "us")
    print(f"\n{rows // 5:,} rows, us a row")
    table(slow, rows / 5e6, "us")
    for name in ("connectorx", "polars"):
        _figure(name, costs["ours"], costs[name], rows)
    _figure("pymysql", slow["ours"], slow["pymysql"], rows // 5)


def _figure(name, ours, peer, rows):  # type: ignore[no-untyped-def]
    def client(cost):  # type: ignore[no-untyped-def]
        return cost.client / rows * 1e6

    figure(
        f"mysql_read_vs_{name}", median(ours, client), "us_client_cpu_per_row", median(peer, client),
        paired(ours, peer, client),
    )  # fmt: skip


if __name__ == "__main__":
    main()
