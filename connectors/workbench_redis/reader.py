"""A stream's entries, page by page, up to the last one that was there when it was planned."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any

from workbench.contract.errors import SnapshotChanged, UnknownTable
from workbench.contract.scan import Control, Split
from workbench.kit.batches import pieces, rows_only
from workbench.kit.reading import GeneratedReader
from workbench_redis.entries import Entries

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench_redis.connector import RedisConnector

__all__ = ["RedisReader"]

PAGE = 2_000
LOOK = 0.05


class RedisReader(GeneratedReader):
    """See `workbench.contract.scan.Reader`."""

    def __init__(self, connector: RedisConnector, split: Split, control: Control) -> None:
        self._connector = connector
        self._entries = Entries(split.state["kinds"], split.state["hide_meta"])
        super().__init__(split, control)

    @property
    def lost(self) -> Mapping[str, int]:
        return dict(self._entries.lost)

    def _all(self) -> Generator[pa.RecordBatch, None, None]:
        state, left = self._split.state, self._split.state["limit"]
        if state["empty"]:
            return
        client, first, begun = self._connector.opened(), "-", False
        try:
            while left is None or left > 0:
                count = PAGE if left is None else min(PAGE, left)
                page = self._asked(client, first, count, begun)
                begun = True
                if not page:
                    return
                first, left = f"({page[-1][0].decode()}", None if left is None else left - len(page)
                self._received += sum(len(name) + len(value) for _, fields in page for name, value in fields.items())
                if not self._split.schema.names:
                    yield from rows_only(len(page))
                    continue
                for part in pieces(self._entries.batch(page, state["names"])):
                    yield part
                    self._check()
        finally:
            client.close()

    def _asked(self, client: Any, first: str, count: int, begun: bool) -> list[Any]:
        name, last = self._split.table.name, self._split.state["last"]
        with self._connector.faults.named(name, begun):
            page: list[Any] = _waited(lambda: client.xrange(name, first, last, count), self._check)
            if page or begun:
                return page
            if not client.exists(name):
                raise UnknownTable(name)
        raise SnapshotChanged(name, "none of its entries is there any more", self._connector.config.name)


def _waited(work: Callable[[], Any], check: Callable[[], None]) -> Any:
    """What `work` gives, asked in a thread: the server may not answer, and `check` may say stop meanwhile."""
    found: list[Any] = []
    failed: list[BaseException] = []

    def asked() -> None:
        try:
            found.append(work())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            failed.append(error)

    thread = threading.Thread(target=asked, name="workbench-redis", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(LOOK)
        if thread.is_alive():
            check()
    if failed:
        raise failed[0]
    return found[0]
