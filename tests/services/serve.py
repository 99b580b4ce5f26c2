"""A real server to try things on: `make services NAME=mysql`, or `python -m tests.services.serve mysql`.

`across` is four of them, with the demo shop spread over them, connected in the user's catalog as long as they run: what
the notebook `03_across_stores.ipynb` asks. It is the same code as the fixtures of the tests. Ctrl-C ends the server and
leaves nothing.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import Any, Protocol

from tests.services.process import ServiceError
from workbench.contract import ConnectionConfig, Manifest

ACROSS = "across"
SERVERS = {
    "ferretdb": "tests.services.mongodb.server:FerretDB",
    "hbase": "tests.services.hbase.server:HBase",
    "hive": "tests.services.hive.server:Hive",
    "kafka": "tests.services.kafka.server:Kafka",
    "mariadb": "tests.services.mysql.server:MariaDB",
    "mongodb": "tests.services.mongodb.server:MongoJava",
    "mysql": "tests.services.mysql.server:MySQL9",
    "redis": "tests.services.redis.server:Redis",
}


class Service(Protocol):
    """A running server, as its class in `tests/services/<system>/server.py` gives it by `served()`."""

    pid: int
    demo: Mapping[str, Any]
    """How the demo shop is loaded, beside the usual: words of `workbench.demo.load_into`."""

    @property
    def manifest(self) -> Manifest:
        """Of the connector that reads it."""
        ...

    def config(self, writable: bool = False) -> ConnectionConfig: ...

    def told(self) -> str:
        """What one writes in a notebook to connect."""
        ...


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.services.serve", description=__doc__)
    parser.add_argument("name", choices=sorted([ACROSS, *SERVERS]))
    parser.add_argument("--empty", action="store_true", help="do not load the demo shop")
    chosen = parser.parse_args(arguments)
    told = across() if chosen.name == ACROSS else single(chosen.name, chosen.empty)
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, _end)
    try:
        with told as text:
            sys.stdout.write(text)
            sys.stdout.flush()
            try:
                while True:
                    time.sleep(0.2)  # not for good: a signal may be another thread's
            except KeyboardInterrupt:
                _say("ending …")
                raise
    except KeyboardInterrupt:
        pass
    except ServiceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{chosen.name} is gone\n")
    return 0


def _say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def _end(number: int, frame: FrameType | None) -> None:
    """Once: what is removed then is removed whole."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def single(name: str, empty: bool) -> Iterator[str]:
    """The server, and what is said of it when it is ready."""
    _say(f"starting {name} (up to a minute; the first time it is fetched) …")
    with served(name) as server:
        _say(f"{name} answers, process {server.pid}")
        if not empty and (server.manifest.capabilities.sinks or hasattr(server, "load")):
            load_demo(server)
        lines = "".join(f"    {line}\n" if line else "\n" for line in server.told().splitlines())
        yield (
            f"{name} is up, process {server.pid}\n\n"
            f"In a notebook (the demo shop is `shop` there already):\n\n{lines}\n"
            "or in JupyterLab's form, with the same values. Ctrl-C ends it and removes its files.\n"
        )


@contextmanager
def across() -> Iterator[str]:
    """The four servers as connections of whoever starts them, and what is said of them when they are ready."""
    from tests.services.across import NAMES, Stores, must_be_free
    from workbench.catalog import Catalog

    catalog = Catalog()
    must_be_free(catalog)
    _say("starting MySQL, MongoDB, Hive and HBase (a minute; the first time they are fetched) …")
    try:
        with Stores.served() as stores:
            _say("spreading the demo shop over them (a minute) …")
            with stores.connected(catalog, drop=False) as made:
                lines = "".join(f"    {name:8s}{catalog.saved(name).where}\n" for name in (*NAMES, "web"))
                notes = "".join(f"{note}\n" for note in made.notes)
                yield (
                    f"all are up, processes {', '.join(map(str, stores.pids))}, and connections of yours:\n\n{lines}\n"
                    f"{notes}Now `workbench lab`, and open 03_across_stores.ipynb. Ctrl-C ends the servers, and takes "
                    "them and their connections away.\n"
                )
    finally:
        catalog.close()


def served(name: str) -> AbstractContextManager[Service]:
    """Starts it, with what is right for somebody who tries things."""
    module, _, kind = SERVERS[name].partition(":")
    server: Any = getattr(importlib.import_module(module), kind)
    started: AbstractContextManager[Service] = server.served()
    return started


def load_demo(server: Service) -> None:
    """The demo shop, through our own connector: the same rows as everywhere."""
    if importlib.util.find_spec("workbench.demo") is None:
        sys.stdout.write("this version has no demo shop: the server is empty\n")
        return
    _say("loading the demo shop (a minute; --empty leaves it out) …")
    if not server.manifest.capabilities.sinks:
        fill(server)
        return
    connector = server.manifest.open(server.config(writable=True))
    try:
        importlib.import_module("workbench.demo").load_into(connector, **server.demo)
    finally:
        connector.close()


def fill(server: Any) -> None:
    """The same rows by the server's own `load(name, table)`: its connector only reads."""
    import pyarrow as pa

    from workbench.catalog import places
    from workbench.demo import Shape
    from workbench.demo.loading import KEYS, reader
    from workbench.demo.making import make

    folder = make(places.demo(), Shape())
    for name in server.demo.get("tables", KEYS):
        schema, _, batches = reader(folder, name)
        server.load(name, pa.Table.from_batches(batches, schema))


if __name__ == "__main__":
    sys.exit(main())
