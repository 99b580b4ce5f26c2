"""`workbench demo`: the demo shop."""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path

DESCRIPTION = """\
Makes a shop to try things on, once, and connects it:

  shop   customers, items and two years of orders, in a DuckDB file
  web    ninety days of page and shop events, in Parquet, a file a day

Everybody has the same rows: they come from a seed. Names that you have given to other connections are left alone."""

EXAMPLES = """\
examples:
  workbench demo
  workbench demo --scale 10
  workbench sql "select event_name, count(*) from web.events group by 1 order by 2 desc"
  workbench demo --live --rate 50 --to clicks.jsonl

--live goes on with events of now, one JSON object a line, until Ctrl-C: something for `tail -f`, and for live views."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", type=float, default=1.0, help="so many times the customers, orders and events")
    parser.add_argument("--seed", type=int, default=7, help="another seed, other rows (default: 7)")
    parser.add_argument("--live", action="store_true", help="append events to a file until Ctrl-C")
    parser.add_argument("--rate", type=float, default=10.0, help="events a second with --live (default: 10)")
    parser.add_argument("--to", type=Path, metavar="FILE", help="the file for --live; default: below the demo's folder")
    parser.add_argument("--events", type=int, metavar="N", help="with --live, end after so many events")


def run(options: argparse.Namespace) -> int:
    from workbench.contract.errors import InvalidParameter

    if not 0.001 <= options.scale <= 1000:
        raise InvalidParameter("--scale", "must be from 0.001 to 1000.")
    if not 0.01 <= options.rate <= 100_000:
        raise InvalidParameter("--rate", "must be from 0.01 to 100000.")
    return _live(options) if options.live else _make(options)


def _make(options: argparse.Namespace) -> int:
    from workbench import demo
    from workbench.catalog import Catalog
    from workbench.cli.screen import ProgressLine, duration

    catalog, progress, began = Catalog(), ProgressLine(), time.monotonic()
    try:
        made = demo.ensure(catalog, demo.Shape(options.scale, options.seed), progress.report)
    finally:
        progress.clear()
        catalog.close()
    print(f"The demo shop is in {made.folder} ({duration(time.monotonic() - began)}).")
    if made.connections:
        print(f"Connected: {', '.join(made.connections)}")
    for note in made.notes:
        print(note)
    print('Try: workbench sql "select channel, sum(total) from shop.orders group by 1"')
    return 0


def _live(options: argparse.Namespace) -> int:
    from workbench.catalog import places
    from workbench.demo.live import Live, append

    path = (options.to or places.demo() / "live" / "clicks.jsonl").expanduser().absolute()
    print(f"Appending {options.rate:g} events a second to {path}; Ctrl-C ends it.", flush=True)
    live = Live(time.time(), options.rate, options.seed)
    never = threading.Event()
    done = 0
    try:
        for done in append(path, live, clock=time.time, wait=never.wait, limit=options.events):  # noqa: B007
            pass
    except KeyboardInterrupt:
        pass
    print(f"{done:,} events written.")
    return 0
