"""The documents that a collection's columns are found in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from workbench.contract.errors import QueryFailed
from workbench.contract.scan import BATCH_BYTES
from workbench_mongodb.splits import between

__all__ = ["SAMPLE", "Sample"]

SAMPLE = 1000
_FEWEST, _BYTES = 50, 32 << 20
"""At least so many documents, and of larger ones about as many as have so many bytes."""
_PLACES = 2
"""Places that are looked at where the server has no `$sample`; it may be slow at sorting, too."""

Find = Callable[[str, Mapping[str, Any]], Iterator[dict[str, Any]]]


class Sample:
    """All of a small collection; of a larger one both ends by `_id`, and what lies between. Iterated once.

    A view is computed to be asked, and has no index: of it, the first documents. `find` asks a database by a command.
    `random` says afterwards whether the server has `$sample`."""

    def __init__(self, find: Find, database: str, name: str, rows: int | None, each: int, view: bool) -> None:
        self._find, self._database, self._name = find, database, name
        self._rows, self._view = rows, view
        self._most, self._batch = max(_FEWEST, min(SAMPLE, _BYTES // each)), max(1, BATCH_BYTES // each)
        self.random = True

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self._view:
            yield from self._found(self._most)
        elif self._rows is not None and self._rows <= self._most:
            yield from self._found(self._most, sort=1)
        else:
            inner: list[Any] = [None, None]
            for end, direction in enumerate((1, -1)):
                for document in self._found(self._most // 10, sort=direction):
                    inner[end] = document.get("_id")
                    yield document
            yield from self._between(*inner)

    def _found(self, limit: int, *, sort: int = 0, after: Any = None) -> Iterator[dict[str, Any]]:
        ask: dict[str, Any] = {"find": self._name, "limit": limit, "batchSize": self._batch}
        if sort:
            ask["sort"] = {"_id": sort}
        if after is not None:
            ask["filter"] = {"_id": {"$gte": after}}
        return self._find(self._database, ask)

    def _between(self, low: Any, high: Any) -> Iterator[dict[str, Any]]:
        """From anywhere; where the server cannot do that, in some places between these ids."""
        stages = [{"$sample": {"size": self._most}}]
        ask = {"aggregate": self._name, "pipeline": stages, "cursor": {"batchSize": self._batch}}
        found = self._find(self._database, ask)
        try:
            first = next(found, None)
        except QueryFailed:
            self.random = False
        else:
            yield from [first] if first is not None else []
            yield from found
            return
        places = between(low, high, _PLACES + 1)[1:]
        for place in places:
            yield from self._found(self._most // _PLACES, sort=1, after=place)
        if not places:
            yield from self._found(self._most)
