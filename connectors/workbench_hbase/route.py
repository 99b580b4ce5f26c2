"""What both routes to a cluster offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from workbench_hbase.cells import Cell
    from workbench_hbase.wire import Look

__all__ = ["Identity", "Region", "Route"]


@dataclass(frozen=True)
class Region:
    """Rows from `start` up to `stop` (empty: no end), and who serves them; no host where nobody does just now."""

    name: bytes
    start: bytes
    stop: bytes
    host: str
    port: int


@dataclass(frozen=True)
class Identity:
    """`since`: when the table was made, or last enabled or disabled; another one says that it may be another table."""

    since: int
    enabled: bool


class Route(Protocol):
    """The native protocol, or a gateway. `bytewise`: regular expressions see bytes."""

    name: str
    bytewise: bool

    def tables(self) -> list[str]: ...

    def identity(self, table: str, look: Look | None = None) -> Identity: ...

    def regions(self, table: str) -> list[Region]: ...

    def sizes(self, table: str, regions: Sequence[Region]) -> dict[bytes, int]: ...

    def small(self, table: str, region: Region, start: bytes, stop: bytes | None) -> bool:
        """Whether these rows of a region are too few to be cut, as far as its size is not known."""

    def few(
        self, table: str, region: Region, start: bytes, stop: bytes | None, limit: int, *, backwards: bool = False
    ) -> list[list[Cell]]: ...

    def ends(self, table: str, region: Region, start: bytes, stop: bytes | None) -> tuple[bytes, bytes] | None: ...

    def version(self) -> str: ...

    def cluster(self) -> str: ...

    def close(self) -> None: ...
