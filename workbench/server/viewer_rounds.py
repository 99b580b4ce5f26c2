"""The viewer's look, once a second, at what its author has changed: the secret, and which dashboards are published.
Whoever was let in by what holds no more is put out then, whatever they have open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from workbench.contract.errors import WorkbenchError
from workbench.dashboards.access import Access
from workbench.dashboards.published import Dashboards

__all__ = ["SECONDS", "Rounds"]

_log = logging.getLogger(__name__)
SECONDS = 1.0
GONE = "This dashboard is not published any more."
ANEW = "There is a newer version of this dashboard."
OUT = "The link that opened this page holds no more: ask for the new one."


class Rounds:
    """For one event loop. `put_out` ends what is open besides live topics."""

    def __init__(self, access: Access, dashboards: Dashboards) -> None:
        self._access, self._dashboards = access, dashboards
        self.put_out: Callable[[], Awaitable[object]] | None = None
        self.number = 0
        """One more whenever something is another than before."""
        self._found: tuple[str, dict[str, str]] = ("", {})
        self._listeners: dict[int, Callable[[], object]] = {}
        self._next = 0
        self._looking = False

    @property
    def mark(self) -> str:
        """Of the secret that holds; nothing where that is damaged, so that nobody is let in. Raises OSError."""
        try:
            return self._access.mark()
        except WorkbenchError:
            return ""

    def why_not(self, page: str) -> str:
        """Why that page of a dashboard (`Dashboard.page`) is not shown; nothing where it is. One whose document cannot
        be read just now is: it is there."""
        name = page.partition(".")[0]
        try:
            there = self._dashboards.page(name)
        except (OSError, WorkbenchError) as error:
            _log.warning("Whether `%s` is published could not be read: %s", name[:64], error)
            return ""
        return "" if page and page == there else ANEW if there else GONE

    def listen(self, wake: Callable[[], object]) -> Callable[[], object]:
        """`wake` is called when something is another; what is returned ends that."""
        self._next += 1
        mine = self._next
        self._listeners[mine] = wake
        return lambda: self._listeners.pop(mine, None)

    async def look(self) -> None:
        if self._looking:
            return  # a disk that hangs is waited for once
        self._looking = True
        try:
            found = await asyncio.to_thread(self._read)
        except (OSError, WorkbenchError) as error:
            _log.warning("What is published could not be read: %s", error)
            return
        finally:
            self._looking = False
        if found == self._found:
            return
        self._found, self.number = found, self.number + 1
        for wake in list(self._listeners.values()):
            wake()
        if self.put_out is not None:
            await self.put_out()

    def _read(self) -> tuple[str, dict[str, str]]:
        """Of each dashboard the file alone is looked at: what is in it is read where somebody asks."""
        return self.mark, {name: self._dashboards.stamp(name) for name in self._dashboards.names()}
