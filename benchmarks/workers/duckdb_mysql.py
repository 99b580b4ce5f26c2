"""duckdb_mysql.py HOST PORT USER DATABASE: statements by DuckDB's own MySQL extension, named as ours are."""

import glob
import os
import shutil
import sys
import tempfile

import duckdb
from loop import serve

HOST, PORT, USER, DATABASE = sys.argv[1:]
PATTERN = os.path.join(sys.prefix, "lib", "python3*", "site-packages", "**", "mysql*.duckdb_extension")
engine = duckdb.connect(config={"allow_unsigned_extensions": "true"})
# The package calls the file mysql, and the extension calls itself mysql_scanner, which the file must be called too.
with tempfile.TemporaryDirectory() as folder:
    file = shutil.copy(glob.glob(PATTERN, recursive=True)[0], os.path.join(folder, "mysql_scanner.duckdb_extension"))
    engine.execute(f"load '{file}'")
secret = os.environ["WORKBENCH_BENCH_SECRET"]
where = f"host={HOST} port={PORT} user={USER} password={secret} database={DATABASE}"
engine.execute(f"attach '{where}' as shop (type mysql)")
engine.execute("set mysql_experimental_filter_pushdown = true")


def run(sql):
    return engine.execute(sql.replace("shop.orders", f"shop.{DATABASE}.orders")).fetchall()


serve(run, lambda rows: sorted([[str(value) for value in row] for row in rows]))
