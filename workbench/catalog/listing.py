"""All names of a connection's tables, held so that a page of them or a search is found without asking the source."""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from workbench.contract.scan import TableRef
from workbench.kit.like import like

__all__ = ["MOST_NAMES", "Listing", "Listings"]

_log = logging.getLogger(__name__)
T = TypeVar("T")
MOST_NAMES = 300_000
"""A source with more tables is asked for each page: so one listing takes 60 MB at most."""
FRESH = 60.0
"""Seconds for which a listing is believed …"""
STALE = 600.0
"""… and for which it is still shown while a new one is fetched behind, where that takes longer than `QUICK`."""
QUICK = 0.3
_KEPT = 8
_BEHIND_DOT = chr(ord(".") + 1)


class Listing:
    """The names in their order. `after` is always the last name that was shown, whether it is still there or not."""

    def __init__(self, tables: Sequence[TableRef]) -> None:
        self.tables = tables if isinstance(tables, tuple) else tuple(tables)
        self._keys = [str(one) for one in self.tables]
        self._schemas: list[str] | None = None

    @property
    def schemas(self) -> list[str]:
        """Those that hold tables, in order."""
        if self._schemas is None:
            self._schemas = sorted({one.schema for one in self.tables if one.schema is not None})
        return self._schemas

    def like(self, pattern: str, after: str | None, limit: int) -> Sequence[TableRef]:
        """As `Tables.list` gives them."""
        start = 0 if after is None else bisect_right(self._keys, after)
        if not pattern:
            return self.tables[start : start + limit]
        fits = like(pattern)
        found: list[TableRef] = []
        for table in self.tables[start:]:
            if len(found) >= limit:
                break
            if fits(table.name):
                found.append(table)
        return found

    def search(
        self, schema: str | None, text: str, after: str | None, limit: int
    ) -> tuple[Sequence[TableRef], bool, int]:
        """A page, whether there are more behind it, and how many there are in all. `text` is a part of the name, or,
        where it has a dot, of `schema.name`; case is ignored."""
        low, high = 0, len(self._keys)
        if schema is not None:
            low, high = bisect_left(self._keys, f"{schema}."), bisect_left(self._keys, f"{schema}{_BEHIND_DOT}")
        start = low if after is None else min(max(low, bisect_right(self._keys, after)), high)
        if not text:
            end = min(start + limit, high)
            return self.tables[start:end], end < high, high - low
        needle = text.casefold()
        if "." in text:
            hits = [place for place in range(low, high) if needle in self._keys[place].casefold()]
        else:
            hits = [place for place in range(low, high) if needle in self.tables[place].name.casefold()]
        first = bisect_left(hits, start)
        shown = [self.tables[place] for place in hits[first : first + limit]]
        return shown, first + limit < len(hits), len(hits)


@dataclass
class _Kept:
    listing: Listing | None
    asked: float
    cost: float
    coming: bool = False


class Listings:
    """The listings of the connections that were looked through last. Thread-safe; one asks, the others wait for it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], _Kept] = OrderedDict()
        self._doors: dict[tuple[str, int], threading.Lock] = {}

    def get(self, key: tuple[str, int], fetch: Callable[[], Sequence[TableRef]]) -> Listing | None:
        """None where there are more than `MOST_NAMES`. Raises what `fetch` raises, where nothing is known yet."""
        if (kept := self._usable(key, fetch)) is not None:
            return kept.listing
        with self._lock:
            door = self._doors.setdefault(key, threading.Lock())
        with door:
            kept = self._usable(key, fetch) or self._fetched(key, fetch)
            return kept.listing

    def drop(self, connection: str | None = None) -> None:
        with self._lock:
            for key in [one for one in self._kept if connection is None or one[0] == connection]:
                del self._kept[key]
            for key in [one for one in self._doors if connection is None or one[0] == connection]:
                del self._doors[key]

    def _usable(self, key: tuple[str, int], fetch: Callable[[], Sequence[TableRef]]) -> _Kept | None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            age = self._clock() - kept.asked
            if age >= (STALE if kept.cost > QUICK else FRESH):
                return None
            self._kept.move_to_end(key)
            if age >= FRESH and not kept.coming:
                kept.coming = True
                threading.Thread(
                    target=self._renew, args=(key, kept, fetch), name="workbench-listing", daemon=True
                ).start()
            return kept

    def _renew(self, key: tuple[str, int], old: _Kept, fetch: Callable[[], Sequence[TableRef]]) -> None:
        try:
            self._fetched(key, fetch, old)
        except Exception as error:  # noqa: BLE001 - whoever asks next asks in the foreground, and is told
            _log.debug("The tables of `%s` could not be listed again: %s", key[0], error)
            with self._lock:
                if self._kept.get(key) is old:
                    del self._kept[key]

    def _fetched(
        self, key: tuple[str, int], fetch: Callable[[], Sequence[TableRef]], old: _Kept | None = None
    ) -> _Kept:
        asked = self._clock()
        found = fetch()
        listing = Listing(found) if len(found) <= MOST_NAMES else None
        kept = _Kept(listing, asked, self._clock() - asked)
        with self._lock:
            if old is None or self._kept.get(key) is old:  # else it was dropped meanwhile, for a reason
                self._kept[key] = kept
                self._kept.move_to_end(key)
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return kept
