"""`workbench running`: what runs for this user, in any process."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.catalog import Catalog
    from workbench.runs import Register

DESCRIPTION = """\
Lists the queries and other long work of yours that run now, in any notebook or command, and stops one of them.

A stopped run ends its work at the sources too; when its process does not follow within two seconds, or is gone, that
work is ended from here."""

EXAMPLES = """\
examples:
  workbench running
  workbench running --all
  workbench running --stop 3f9c2a81b7d0"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stop", metavar="ID", help="stop this run; the beginning of an id will do")
    parser.add_argument("--all", action="store_true", help="finished ones too, the latest first")
    parser.add_argument("--json", action="store_true", help="one object a line")


def run(options: argparse.Namespace) -> int:
    from workbench.catalog import Catalog, places
    from workbench.runs import Register

    catalog = Catalog()
    register = Register(places.register(catalog.home))
    try:
        if options.stop is not None:
            return _stop(catalog, register, options.stop)
        runs = register.runs(active=not options.all)
    finally:
        register.close()
        catalog.close()
    if options.json:
        for one in runs:
            print(json.dumps(dataclasses.asdict(one)))
        return 0
    if not runs:
        print("nothing runs")
        return 0
    from workbench.cli.screen import aligned, amount, duration

    now = time.time()
    rows = [
        [
            one.id, one.state, one.kind, duration((one.ended or now) - one.started), f"{one.rows:,}", amount(one.bytes),
            "" if one.fraction is None else f"{one.fraction:.0%}", str(one.pid),
            ", ".join(sorted({native.connection for native in one.natives})), " ".join(one.title.split()),
        ]
        for one in runs
    ]  # fmt: skip
    head = ["id", "state", "kind", "for", "rows", "bytes", "done", "process", "works at", "what"]
    print(aligned(head, rows, [False, False, False, True, True, True, True, True]))
    return 0


def _stop(catalog: Catalog, register: Register, asked: str) -> int:
    from workbench.contract.errors import UsageError
    from workbench.execution.stop import stop

    if not asked:
        raise UsageError("--stop takes the id of a run, or its beginning. `workbench running` lists them.")
    found = [one.id for one in register.runs(active=True) if one.id.startswith(asked)]
    if len(found) > 1:
        raise UsageError(f"{len(found)} runs begin with `{asked}`: {', '.join(found)}.")
    outcome = stop(register, catalog, found[0] if found else asked)
    said = {
        "owner": f"{outcome.run.id} is stopped.",
        "over": f"{outcome.run.id} was over already ({outcome.run.state}).",
    }.get(outcome.by, f"{outcome.run.id}: its work at the sources is ended ({len(outcome.cancelled)}).")
    print(said)
    for failure in outcome.failures:
        print(f"It may still run: {failure}", file=sys.stderr)
    return 1 if outcome.failures else 0
