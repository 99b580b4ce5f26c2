"""Makes the demo's folder: whole, or not at all.

<folder>/shop.duckdb                     customers, items, orders
<folder>/web/events/2026-08-03.parquet   … one file a day
<folder>/made.json                       what it was made from, and what came of it; written last
"""

from __future__ import annotations

import datetime
import json
import secrets
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

from workbench.demo.shape import DAYS, FIRST_DAY, FORM, Shape
from workbench.kit.halfmade import HalfMade, sweep

__all__ = ["folder_of", "is_whole", "make"]

Progress = Callable[[str, float], None]
_SHOP = "shop.duckdb"


def folder_of(base: Path, shape: Shape) -> Path:
    return base / f"shop-{shape.scale:g}-{shape.seed}-{FORM}"


def is_whole(folder: Path) -> bool:
    """Whether all is there as it was made, or, of the shop, can be read; a demo that is only half copied is not."""
    try:
        made = json.loads((folder / "made.json").read_text())
        names = list(made["files"])
        changed = [name for name in names if _sum(folder / name) != made["sums"][name]]
        return len(names) == DAYS + 1 and (not changed or (changed == [_SHOP] and _opens(folder / _SHOP)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _sum(path: Path) -> int:
    return zlib.crc32(path.read_bytes())


def _opens(shop: Path) -> bool:
    """Whether DuckDB reads all of it: who connected it writable has changed its bytes, and keeps that. While another
    process writes to it, it is taken for whole."""
    import duckdb

    try:
        with duckdb.connect() as engine:
            engine.execute(f"attach '{_quoted(shop)}' as shop (read_only)")
            for table, key in (("customers", "customer_id"), ("items", "item_id"), ("orders", "order_id")):
                engine.execute(f"select bit_xor(hash(t)) from shop.{table} t").fetchall()
                engine.execute(f"select * from shop.{table} where {key} = 1").fetchall()  # through the index
    except duckdb.Error as error:
        return "lock" in str(error) and "Conflicting" in str(error)
    return True


def make(base: Path, shape: Shape, progress: Progress | None = None) -> Path:
    """The folder of the demo shop of this shape below `base`; made now, in some seconds, unless it is whole already.
    Several processes may make it at once: each makes its own, and one of them is kept."""
    folder = folder_of(base, shape)
    sweep([*base.glob(".making-*"), *base.glob(".broken-*")])
    if is_whole(folder):
        return folder
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    half = HalfMade(base / f".making-{secrets.token_hex(6)}", folder=True)
    try:
        _fill(half.path, shape, progress or (lambda what, fraction: None))
        _put(half.path, folder)
    finally:
        shutil.rmtree(half.path, ignore_errors=True)
        half.release()
    return folder


def _put(waiting: Path, folder: Path) -> None:
    while not is_whole(folder):
        if folder.exists():
            aside = folder.with_name(f".broken-{secrets.token_hex(6)}")
            folder.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
        try:
            waiting.rename(folder)
        except OSError:
            if not folder.exists():
                raise
            # another process was quicker; look at what it made


def _fill(folder: Path, shape: Shape, progress: Progress) -> None:
    import duckdb
    import pyarrow.parquet as pq

    from workbench.demo.events import make_events, make_sessions
    from workbench.demo.shop import make_orders, make_people_and_items
    from workbench.demo.sql import macros

    (folder / "web" / "events").mkdir(parents=True, mode=0o700)
    with duckdb.connect(config={"temp_directory": str(folder / ".spill")}) as engine:
        engine.execute(f"attach '{_quoted(folder / _SHOP)}' as shop")
        macros(engine, shape)
        progress("visits", 0.0)
        make_sessions(engine, shape)
        progress("orders", 0.05)
        make_orders(engine, shape)
        progress("customers and items", 0.1)
        make_people_and_items(engine, shape)
        progress("events", 0.15)
        make_events(engine, shape)
        # Nothing is lost without it, but the file is one piece when it is moved.
        engine.execute("checkpoint shop")
        for number in range(DAYS):
            day = FIRST_DAY + datetime.timedelta(days=number)
            progress(f"events of {day}", 0.6 + 0.4 * number / DAYS)
            rows = engine.sql(
                f"select * from events where ts >= timestamp '{day}' and ts < timestamp '{day}' + interval 1 day "
                "order by event_id"
            ).to_arrow_table()
            # Not by DuckDB's COPY, which writes no checksums.
            pq.write_table(
                rows,
                folder / "web" / "events" / f"{day}.parquet",
                compression="zstd",
                compression_level=3,
                write_page_checksum=True,
            )
        engine.execute("detach shop")
    shutil.rmtree(folder / ".spill", ignore_errors=True)
    files = {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}
    sums = {name: _sum(folder / name) for name in files}
    made = {"form": FORM, "seed": shape.seed, "scale": shape.scale, "files": files, "sums": sums}
    (folder / "made.json").write_text(json.dumps(made, indent=1) + "\n")
    progress("done", 1.0)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
