"""What an administrator does to a cluster, for tests: tables with split keys, and regions split, merged and moved."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tests.services.hbase.server import HBase
from workbench.kit.tls import PLAIN
from workbench_hbase.native import Native, next_rows
from workbench_hbase.protobuf import Message, number, text
from workbench_hbase.route import Region
from workbench_hbase.rpc import ADMIN, CLIENT, MASTER, REGISTRY, Remote

__all__ = ["Admin"]

_NEVER = 60.0
_FINISHED = 2


class Admin:
    """Speaks to the master by the native protocol. Each event is over when its method returns."""

    def __init__(self, server: HBase) -> None:
        self.native = Native((server.host, server.port), "admin", 10.0, PLAIN, {})
        self._master = (server.host, server.master)

    def close(self) -> None:
        self.native.close()

    def create(
        self, table: str, family: str, keys: Sequence[bytes], versions: int = 1, more: Sequence[str] = (),
        **settings: object,
    ) -> None:  # fmt: skip
        """`more`: families beside the first; `settings`: the table's own, as the shell names them."""
        kept = text(2, text(1, "VERSIONS") + text(2, str(versions)))
        schema = text(1, _name(table)) + b"".join(text(3, text(1, one) + kept) for one in (family, *more))
        schema += b"".join(text(2, text(1, name) + text(2, str(value))) for name, value in settings.items())
        self._procedure("CreateTable", text(1, schema) + b"".join(text(2, key) for key in keys))

    def alter(self, table: str, *families: str) -> None:
        """The table has these families from now on; its regions are opened again."""
        schema = text(1, _name(table)) + b"".join(text(3, text(1, one)) for one in families)
        self._procedure("ModifyTable", text(1, _name(table)) + text(2, schema) + number(5, 1))

    def namespace(self, name: str) -> None:
        self._procedure("CreateNamespace", text(1, text(1, name)))

    def flush(self, table: str) -> None:
        for region in self.native.regions(table):
            self.native.call((region.host, region.port), ADMIN, "FlushRegion", text(1, _region(region)))

    def split(self, region: Region, key: bytes) -> None:
        self._procedure("SplitRegion", text(1, self._info(region)) + text(2, key))

    def merge(self, first: Region, second: Region) -> None:
        self._procedure("MergeTableRegions", text(1, _encoded(first)) + text(1, _encoded(second)) + number(2, 1))

    def move(self, table: str, region: Region) -> None:
        """To any other server."""
        said, _ = self.native.call(self._master, REGISTRY, "GetBootstrapNodes", b"")
        others = [one for one in said.each(1) if one.number(2) != region.port]
        target = text(1, others[0].text(1)) + number(2, others[0].number(2)) + number(3, others[0].number(3))
        self.native.call(self._master, MASTER, "MoveRegion", text(1, _encoded(region)) + text(2, target))

        def moved() -> bool:
            now = {one.name: one.port for one in self.native.regions(table)}
            return now.get(region.name) == others[0].number(2)

        _until(moved)

    def lives(self, port: int, scanner: int) -> bool:
        """Whether a region server still has a scanner open, by what it says to a wrong question about it."""
        try:
            self.native.call((self._master[0], port), CLIENT, "Scan", next_rows(scanner, 1 << 30))
        except Remote as error:
            return error.kind == "OutOfOrderScannerNextException" and "closed request" not in error.why
        return False

    def _procedure(self, method: str, parameter: bytes) -> None:
        said, _ = self.native.call(self._master, MASTER, method, parameter)
        process = said.number(1)
        found: list[Message] = []

        def finished() -> bool:
            answer, _ = self.native.call(self._master, MASTER, "getProcedureResult", number(1, process))
            found.append(answer)
            return answer.number(1) == _FINISHED

        _until(finished)
        if 5 in found[-1]:
            raise RuntimeError(f"{method}: {found[-1].bytes(5)[:300]!r}")

    def _info(self, region: Region) -> bytes:
        for row in self.native._in_meta(region.name, region.name + b"\0", [b"info"]):
            for cell in row:
                if cell.qualifier == b"regioninfo":
                    return cell.value[4:]
        raise LookupError(region.name)


def _name(table: str) -> bytes:
    namespace, _, name = table.rpartition(":")
    return text(1, namespace or "default") + text(2, name)


def _region(region: Region) -> bytes:
    return number(1, 1) + text(2, region.name)


def _encoded(region: Region) -> bytes:
    return number(1, 2) + text(2, region.name.split(b".")[-2])


def _until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _NEVER
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError("the cluster has not done it after a minute")
        time.sleep(0.05)
