"""mysql_peers.py CASE HOST PORT USER DATABASE: reads `select … from orders where id <= N` by a peer into Arrow."""

import os
import sys
from urllib.parse import quote

from loop import serve
from mysql_peers_check import check

CASE, HOST, PORT, USER, DATABASE = sys.argv[1:]
SECRET = os.environ["WORKBENCH_BENCH_SECRET"]
URL = f"mysql://{quote(USER, safe='')}:{quote(SECRET, safe='')}@{HOST}:{PORT}/{DATABASE}"


def by_connectorx(sql):
    import connectorx

    return connectorx.read_sql(URL, sql, return_type="arrow", protocol="binary")


def by_polars(sql):
    import polars

    return polars.read_database_uri(sql, URL, engine="connectorx").to_arrow()


def by_pymysql(sql):
    import pyarrow as pa
    import pymysql
    import pymysql.cursors

    link = pymysql.connect(host=HOST, port=int(PORT), user=USER, password=SECRET.encode(), database=DATABASE)
    cursor, batches = link.cursor(pymysql.cursors.SSCursor), []
    cursor.execute(sql)
    names = [column[0] for column in cursor.description]
    while rows := cursor.fetchmany(50_000):
        batches.append(pa.table([pa.array(column) for column in zip(*rows, strict=False)], names))
    link.close()
    return pa.concat_tables(batches, promote_options="permissive")


serve({"connectorx": by_connectorx, "polars": by_polars, "pymysql": by_pymysql}[CASE], check)
