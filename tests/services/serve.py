"""A real server to try things on: `make services NAME=mysql`, or `python -m tests.services.serve mysql`.

It is the same code as the fixture of the tests. Ctrl-C ends the server and leaves nothing.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import secrets
import signal
import sys

from tests.services.mysql.server import MariaDB, MySQL9, Server
from tests.services.process import ServiceError

SERVERS = {"mysql": MySQL9, "mariadb": MariaDB}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.services.serve", description=__doc__)
    parser.add_argument("name", choices=sorted(SERVERS))
    parser.add_argument("--empty", action="store_true", help="do not load the demo shop")
    chosen = parser.parse_args(arguments)
    try:
        server = SERVERS[chosen.name](password=secrets.token_urlsafe(12))
    except ServiceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    waited = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, waited)  # taken below; not earlier, for the server would inherit it
    with server:
        if not chosen.empty:
            load_demo(server)
        sys.stdout.write(
            f"{chosen.name} is up, process {server.pid}\n\n"
            f"    export SHOP_PASSWORD={server.password}\n"
            f'    wb.connect("shop", "{server.url("reader")}", secret="env:SHOP_PASSWORD")\n'
            f'    wb.connect("shop", "{server.url("writer")}", secret="env:SHOP_PASSWORD", writable=True)\n\n'
            "Ctrl-C ends it and removes its files.\n"
        )
        sys.stdout.flush()
        signal.sigwait(waited)
    sys.stdout.write(f"{chosen.name} is gone\n")
    return 0


def load_demo(server: Server) -> None:
    """The demo shop, through our own connector: the same rows as everywhere."""
    if importlib.util.find_spec("workbench.demo") is None:
        sys.stdout.write("this version has no demo shop: the database is empty\n")
        return
    from workbench.contract import ConnectionConfig, Secret
    from workbench_mysql.manifest import MANIFEST

    sys.stdout.write("loading the demo shop (a minute; --empty leaves it out) …\n")
    sys.stdout.flush()
    config = ConnectionConfig(
        name="shop",
        parameters={"host": server.host, "port": server.port, "user": "writer", "database": server.database},
        secrets={"password": Secret(server.password)},
        writable=True,
    )
    connector = MANIFEST.open(config)
    try:
        importlib.import_module("workbench.demo").load_into(connector)
    finally:
        connector.close()


if __name__ == "__main__":
    sys.exit(main())
