"""A made-up shop to try things on: `shop` (customers, items, orders in a DuckDB file) and `web` (ninety days of events
in Parquet, a file a day). Seeded: everybody has the same rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.demo.shape import Shape

if TYPE_CHECKING:
    from workbench.catalog import Catalog, Saved
    from workbench.contract.connector import Connector

__all__ = ["Demo", "Shape", "ensure", "load_into"]

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Demo:
    """Where the demo is, and under which names: those connections that are its own now. `notes` say which name the
    user had given to something else, which was left alone."""

    folder: Path
    connections: tuple[str, ...]
    notes: tuple[str, ...] = ()


def ensure(catalog: Catalog, shape: Shape | None = None, progress: Progress | None = None) -> Demo:
    """Makes the demo below the catalog's home, once (again where it is broken), and connects it as `shop` and `web`,
    unless the user has connections of these names to something else."""
    from workbench.catalog import places
    from workbench.contract.errors import DocumentError, UnknownConnection
    from workbench.demo.making import make

    base = places.demo(catalog.home)
    folder = make(base, shape or Shape(), progress)
    connected, notes = [], []
    for name, path in (("shop", folder / "shop.duckdb"), ("web", folder / "web")):
        try:
            saved = catalog.saved(name)
        except (UnknownConnection, DocumentError):
            catalog.connect(name, path=path)
        else:
            where = str(saved.parameters.get("path", ""))
            if where != str(path):
                if not _was_ours(where, path, base):
                    notes.append(_left_alone(catalog, saved, path))
                    continue
                catalog.connect(name, path=path)
        connected.append(name)
    return Demo(folder, tuple(connected), tuple(notes))


def _was_ours(where: str, path: Path, base: Path) -> bool:
    """Whether a connection is to a demo: one below `base`, or one that was elsewhere and is gone."""
    old = Path(where)
    named = old.name == path.name and re.fullmatch(r"shop-[0-9.e+-]+-\d+-\d+", old.parent.name) is not None
    return bool(where) and (old.is_relative_to(base) or (named and not old.exists()))


def _left_alone(catalog: Catalog, saved: Saved, path: Path) -> str:
    from workbench.contract.errors import WorkbenchError

    text = f"`{saved.name}` is a connection of yours ({saved.where}) and stays so; the demo is in {path}."
    if "path" in saved.parameters:  # not a server's, which may take its time
        try:
            catalog.test(saved.name)
        except WorkbenchError as error:
            text += (
                f" It does not work ({str(error).rstrip('.')}): `workbench connections {saved.name} --remove`, then "
                "`workbench demo`, gives the name to the demo."
            )
    return text


def load_into(
    connector: Connector,
    folder: Path | None = None,
    *,
    tables: Sequence[str] = ("customers", "items", "orders", "events"),
    schema: str | None = None,
    mode: str = "insert",
    unit: str = "microseconds",
    progress: Progress | None = None,
) -> dict[str, int]:
    """Writes the same rows into any store whose connector has sinks; returns the rows of each table. `folder` is a
    demo that is there already, else the usual one is made below the user's home. `unit` (`milliseconds`) is what times
    are cut to, for a store that has no finer ones."""
    from workbench.catalog import places
    from workbench.demo.loading import load
    from workbench.demo.making import make

    folder = folder or make(places.demo(), Shape())
    return load(connector, folder, tables=tables, schema=schema, mode=mode, unit=unit, progress=progress)
