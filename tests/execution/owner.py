"""A process that runs things at a source, for the watchdog's tests: begins a run, says what it did, then waits to be
killed. Run by its path with one JSON argument; answers one JSON line, then takes orders by the line."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    orders = json.loads(sys.argv[1])
    sys.path[:0] = orders["path"]

    from workbench.contract import Capabilities, ConnectionConfig, Manifest, Secret
    from workbench.execution import watchdog
    from workbench.runs import Register

    if orders.get("child"):
        watchdog._CHILD = Path(orders["child"])
    manifest = Manifest(
        name="fake",
        label="Fake",
        capabilities=Capabilities(tables=True, cancel=True),
        implementation=orders.get("implementation", "fake_source:FakeConnector"),
        parameters={"type": "object"},
    )

    def config(name: str) -> ConnectionConfig:
        return ConnectionConfig(name, orders["parameters"], {"password": Secret("hunter2-canary")})

    register = Register(Path(orders["register"]))
    watchdog.ensure(register.path, config("shop"), manifest)
    first = watchdog.pid()
    watchdog.ensure(register.path, config("shop"), manifest)
    watchdog.ensure(register.path, config("crm"), manifest)
    assert watchdog.pid() == first
    run = register.begin("query", "a long one")
    run.native_started("shop", f"1 {run.mark(0)}")
    run.native_started("shop", f"2 {run.mark(1)}")
    run.native_started("crm", f"3 {run.mark(2)}")
    run.native_ended("shop", f"1 {run.mark(0)}")
    forked = 0
    if orders.get("fork"):
        forked = os.fork()
        if forked == 0:
            time.sleep(600)
            os._exit(0)
    if orders.get("finish"):
        run.native_ended("shop", f"2 {run.mark(1)}")
        run.native_ended("crm", f"3 {run.mark(2)}")
        run.finish("done")
    print(json.dumps({"run": run.id, "watchdog": first, "forked": forked}), flush=True)
    for line in sys.stdin:
        match line.strip():
            case "again":
                watchdog.ensure(register.path, config("shop"), manifest)
                print(json.dumps({"watchdog": watchdog.pid()}), flush=True)
            case "exit":
                return


if __name__ == "__main__":
    main()
