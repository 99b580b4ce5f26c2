"""Makes the demo's folder: whole, or not at all.

<folder>/shop.duckdb                     customers, items, orders
<folder>/web/events/2026-08-03.parquet   … one file a day
<folder>/made.json                       what it was made from; written last
"""

from __future__ import annotations

import datetime
import json
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from workbench.demo.shape import DAYS, FIRST_DAY, FORM, Shape

__all__ = ["folder_of", "is_whole", "make"]

Progress = Callable[[str, float], None]


def folder_of(base: Path, shape: Shape) -> Path:
    return base / f"shop-{shape.scale:g}-{shape.seed}-{FORM}"


def is_whole(folder: Path) -> bool:
    """Whether all is there as it was made; a demo that was changed or only half copied is not."""
    try:
        made = json.loads((folder / "made.json").read_text())
        sizes = {name: (folder / name).stat().st_size for name in made["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(sizes == made["files"]) and len(sizes) == DAYS + 1


def make(base: Path, shape: Shape, progress: Progress | None = None) -> Path:
    """The folder of the demo shop of this shape below `base`; made now, in some seconds, unless it is whole already.
    Several processes may make it at once: each makes its own, and one of them is kept."""
    folder = folder_of(base, shape)
    if is_whole(folder):
        return folder
    base.mkdir(parents=True, exist_ok=True, mode=0o700)
    waiting = base / f".making-{secrets.token_hex(6)}"
    try:
        _fill(waiting, shape, progress or (lambda what, fraction: None))
        _put(waiting, folder)
    finally:
        shutil.rmtree(waiting, ignore_errors=True)
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

    from workbench.demo.events import make_events, make_sessions
    from workbench.demo.shop import make_orders, make_people_and_items
    from workbench.demo.sql import macros

    (folder / "web" / "events").mkdir(parents=True, mode=0o700)
    with duckdb.connect(config={"temp_directory": str(folder / ".spill")}) as engine:
        engine.execute(f"attach '{_quoted(folder / 'shop.duckdb')}' as shop")
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
            engine.execute(
                f"copy (select * from events where ts >= timestamp '{day}' and ts < timestamp '{day}' + interval 1 day "
                f"order by event_id) to '{_quoted(folder / 'web' / 'events' / f'{day}.parquet')}' "
                "(format parquet, compression zstd)"
            )
        engine.execute("detach shop")
    shutil.rmtree(folder / ".spill", ignore_errors=True)
    files = {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}
    made = {"form": FORM, "seed": shape.seed, "scale": shape.scale, "files": files}
    (folder / "made.json").write_text(json.dumps(made, indent=1) + "\n")
    progress("done", 1.0)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
