"""The watchdog against a real server, through the real connector: nothing is left in its process list."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.execution.owners import PRODUCT, gone
from tests.runs.waiting import until
from tests.services.mysql.server import Server
from workbench.contract import ConnectionConfig, Secret
from workbench.execution.stop import stop
from workbench.runs import Register
from workbench_mysql.manifest import MANIFEST

OWNER = """
import json, sys
orders = json.loads(sys.stdin.readline())
from pathlib import Path
from workbench.contract import ConnectionConfig, Secret
from workbench.contract.errors import Cancelled
from workbench.execution import watchdog
from workbench.execution.control import ReadControl
from workbench.runs import Register
from workbench_mysql.manifest import MANIFEST
config = ConnectionConfig("shop", orders["parameters"], {"password": Secret(orders["password"])})
register = Register(Path(orders["register"]))
watchdog.ensure(register.path, config, MANIFEST)
run = register.begin("query", "a long one")
tables = MANIFEST.open(config).tables
plan = tables.native("select sleep(60)")
print(json.dumps({"run": run.id, "watchdog": watchdog.pid()}), flush=True)
try:
    list(tables.read(plan.splits[0], ReadControl(run, "shop", None, lambda: False)))
except Cancelled:
    print("cancelled", flush=True)
"""


class Process:
    """An owner that sleeps for a minute at the server."""

    def __init__(self, server: Server, folder: Path) -> None:
        where = {"host": server.host, "port": server.port, "user": "reader", "database": server.database}
        self.config = ConnectionConfig("shop", where, {"password": Secret(server.password)})
        self.register = Register(folder / "runs.db")
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PRODUCT
        )
        assert self.process.stdin
        assert self.process.stdout
        orders = {"parameters": where, "password": server.password, "register": str(self.register.path)}
        self.process.stdin.write(json.dumps(orders) + "\n")
        self.process.stdin.flush()
        said = json.loads(self.process.stdout.readline())
        self.run, self.watchdog = said["run"], said["watchdog"]

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        until(lambda: gone(self.watchdog), what="the watchdog ends")
        self.register.close()


def sleeping(server: Server) -> list[str]:
    return [text for _, _, text in server.running() if "sleep(60)" in text]


@pytest.mark.timeout(300)
def test_kill_9_leaves_nothing_in_the_process_list_after_two_seconds(mysql_server: Server, tmp_path: Path) -> None:
    owner = Process(mysql_server, tmp_path)
    try:
        until(lambda: sleeping(mysql_server), what="the query runs")
        assert owner.run in sleeping(mysql_server)[0]
        began = time.monotonic()
        owner.process.kill()
        until(lambda: not sleeping(mysql_server), 2.0, "the query is gone")
        print(f"gone {time.monotonic() - began:.2f} s after kill -9")
        until(lambda: gone(owner.watchdog))
        info = owner.register.get(owner.run)
        assert (info.state, info.natives) == ("lost", ())
    finally:
        owner.close()


def test_an_owner_that_does_not_follow_has_its_query_ended_from_here(mysql_server: Server, tmp_path: Path) -> None:
    owner = Process(mysql_server, tmp_path)  # it has no Watch, so it does not hear the request
    connector = MANIFEST.open(owner.config)
    try:
        until(lambda: sleeping(mysql_server), what="the query runs")
        outcome = stop(owner.register, lambda name: connector, owner.run, patience=0.3)
        assert (outcome.by, len(outcome.cancelled), outcome.failures) == ("us", 1, ())
        until(lambda: not sleeping(mysql_server), 2.0, "the query is gone")
    finally:
        connector.close()
        owner.close()
