"""What the handlers work with: one catalog, one register, one session, one hub, one pool of threads a server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from workbench.catalog import Catalog, places
from workbench.contract.scan import TableRef
from workbench.contract.secret import Secret
from workbench.runs import Register
from workbench.server.hub import Hub
from workbench.server.pool import Places, Pool

if TYPE_CHECKING:
    from workbench.query.session import Session
    from workbench.query.views import Views

__all__ = ["Services"]

Made = TypeVar("Made")
SOON = 1.5
"""Seconds after the first request, in which Lab has other things to ask."""


class Services:
    def __init__(self, home: Path | None = None) -> None:
        self.catalog = Catalog(home, ask=_nobody)
        self.register = Register(places.register(self.catalog.home))
        self.pool = Pool()
        self._views: Views | None = None
        self._lock = threading.Lock()
        self.hub = Hub(self.register, self.blocking)
        self._session: Session | None = None
        self._prepared = False

    async def blocking(
        self, work: Callable[[], Made], source: str = "", begun: bool = False, among: Places = "sources"
    ) -> Made:
        """What the work gives, which may wait for a disk, or for that connection; see `Pool.run`."""
        return await self.pool.run(work, source, begun, among)

    @property
    def views(self) -> Views:
        """Of the results that notebooks show. Made in a thread: it loads what a server needs for nothing else."""
        with self._lock:
            if self._views is None:
                from workbench.query.views import Views

                self._views = Views(places.results(self.catalog.home))
            return self._views

    def prepare(self) -> None:
        """In the running loop, at the first request of a page: a moment later what shows results is loaded, so that the
        first result need not wait for it."""
        if not self._prepared:
            self._prepared = True
            loop = asyncio.get_running_loop()
            loop.call_later(SOON, lambda: loop.run_in_executor(None, self._load))

    def _load(self) -> None:
        import pyarrow as pa

        from workbench.query import conditions, pages, views_statement  # noqa: F401

        kinds = (pa.int64(), pa.string(), pa.float64(), pa.timestamp("us"))
        rows = pa.RecordBatch.from_arrays([pa.nulls(1, kind) for kind in kinds], [str(kind) for kind in kinds])
        pages.screen(list(rows.schema), [rows])  # the first one is slow
        _ = self.views

    def sample(self, connection: str, table: TableRef, rows: int) -> bytes:
        """The first rows as `pages.screen` shows them: of a long value the beginning, so that a table of large objects
        is no large answer, nor ever in memory at once. Waits."""
        from workbench.query import pages

        names = [connection, *([table.schema] if table.schema else []), table.name]
        quoted = ".".join('"' + name.replace('"', '""') + '"' for name in names)
        with self._asked().sql(f"select * from {quoted} limit {rows:d}").stream() as stream:
            return pages.screen(list(stream.schema), stream)

    async def aclose(self) -> None:
        await self.hub.close()
        self.close()

    def close(self) -> None:
        if self._views is not None:
            self._views.close()
        if self._session is not None:
            self._session.close()
        self.catalog.close()
        self.register.close()

    def _asked(self) -> Session:
        """It reads connections, and neither files nor variables."""
        with self._lock:  # of two that come at once, one makes it
            if self._session is None:
                from workbench.query.session import Session

                self._session = Session(self.catalog, self.register, files=False)
            return self._session


def _nobody(prompt: str) -> Secret:
    """A server has nobody at its keyboard: what is not given is empty."""
    return Secret("")
