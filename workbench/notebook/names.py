"""Names for completion, which must not wait: what is not known in time is fetched behind, and there the next time.

The first names of connections are there before the engine is: they need nothing of it, and its import takes a while.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from workbench.contract.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.catalog import Catalog
    from workbench.query.session import Session

__all__ = ["Deadline", "Names", "connections", "session"]

_log = logging.getLogger(__name__)
TTL = 60.0
FAILED_TTL = 10.0
_KEPT = 500


def session() -> Session | None:
    """The session behind `wb.sql` if there is one; never waits for it to be imported."""
    module = sys.modules.get("workbench.query.session")
    found: Session | None = getattr(module, "_default", None)  # another thread may be in the midst of importing it
    return found


def connections() -> list[str]:
    """Names of the saved connections."""
    from workbench.catalog import Catalog

    there = session()
    return (there.catalog if there is not None else Catalog()).names()


class Deadline:
    """How long one completion may take in all."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = clock() + seconds

    @property
    def left(self) -> float:
        return max(0.0, self._until - self._clock())


class Names:
    """Names of the catalog, each list fetched in a thread of its own and kept for a minute. Thread-safe."""

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        clock: Callable[[], float] = time.monotonic,
        saved: Callable[[], list[str]] | None = None,
    ) -> None:
        self._catalog, self._clock = catalog, clock
        self._saved = saved or (lambda: catalog().names())
        self._lock = threading.Lock()
        self._known: dict[tuple[str, ...], tuple[float, list[str]]] = {}
        self._coming: dict[tuple[str, ...], threading.Event] = {}

    def connections(self, deadline: Deadline) -> list[str]:
        return self._get(("connections",), self._saved, deadline)

    def tables(self, connection: str, deadline: Deadline) -> list[str]:
        """Names of tables; where a table lies in a schema, the schema and a line break come before its name."""
        return self._get(("tables", connection), lambda: self._tables(connection), deadline)

    def columns(self, parts: tuple[str, ...], deadline: Deadline) -> list[str]:
        """Columns of `connection.table` or `connection.schema.table`."""
        return self._get(("columns", *parts), lambda: self._columns(parts), deadline)

    def _tables(self, connection: str) -> list[str]:
        found = self._catalog().names_like(connection, limit=2000)
        return [f"{table.schema}\n{table.name}" if table.schema else table.name for table in found]

    def _columns(self, parts: tuple[str, ...]) -> list[str]:
        connection, table = self._catalog().resolve(parts)
        return list(self._catalog().schema(connection, table).names)

    def _get(self, key: tuple[str, ...], fetch: Callable[[], list[str]], deadline: Deadline) -> list[str]:
        with self._lock:
            until, names = self._known.get(key, (0.0, []))
            if self._clock() < until:
                return names
            coming = self._coming.get(key)
            if coming is None:
                coming = self._coming[key] = threading.Event()
                threading.Thread(
                    target=self._fetch, args=(key, fetch, coming), name="workbench-names", daemon=True
                ).start()
        coming.wait(deadline.left)
        with self._lock:
            return self._known.get(key, (0.0, names))[1]

    def _fetch(self, key: tuple[str, ...], fetch: Callable[[], list[str]], coming: threading.Event) -> None:
        kept = TTL
        try:
            names = fetch()
        except Exception as error:  # noqa: BLE001  # a plug-in's connector may raise whatever it has
            # Suggestions are no place for errors: the statement will say it. It is not tried at each key stroke.
            names, kept = [], FAILED_TTL
            if not isinstance(error, (WorkbenchError, OSError)):
                _log.exception("Names for completion cannot be read")
        with self._lock:
            self._coming.pop(key, None)
            self._known[key] = (self._clock() + kept, names)
            for old in self._oldest():
                del self._known[old]
        coming.set()

    def _oldest(self) -> Iterator[tuple[str, ...]]:
        if len(self._known) > _KEPT:
            yield from sorted(self._known, key=lambda key: self._known[key][0])[: len(self._known) - _KEPT]
