"""`workbench connections`: what is saved, and what is in it."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.catalog import Connection

DESCRIPTION = "Lists the saved connections, or looks into one of them."

EXAMPLES = """\
examples:
  workbench connections
  workbench connections --test
  workbench connections shop
  workbench connections shop --like "ord%"
  workbench connections shop --table orders
  workbench connections shop --remove"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="list the tables of this one")
    parser.add_argument("--like", default="", metavar="PATTERN", help="only tables whose name is LIKE this")
    parser.add_argument("--table", help="list the columns of this table")
    parser.add_argument("--test", action="store_true", help="connect and ask the source who it is (one, or all)")
    parser.add_argument("--remove", action="store_true", help="forget the connection and its secret")


def run(options: argparse.Namespace) -> int:
    from workbench.catalog import Catalog, Connection, Connections
    from workbench.contract.errors import UsageError, WorkbenchError

    catalog = Catalog()
    try:
        if options.name is None:
            if options.remove or options.like or options.table:
                raise UsageError("Say which connection.")
            print(Connections(catalog))
            names = catalog.names() if options.test else []
        elif options.remove:
            catalog.remove(options.name)
            print(f"`{options.name}` is forgotten.")
            return 0
        elif options.table:
            _columns(Connection(catalog, options.name), options.table)
            return 0
        else:
            names = [Connection(catalog, options.name).name] if options.test else []
            if not options.test:
                print(Connection(catalog, options.name).tables(options.like))
        code = 0
        for name in names:
            try:
                info = catalog.test(name)
            except WorkbenchError as error:
                print(f"{name}: {str(error).removeprefix(f'{name}: ')}", file=sys.stderr)
                code = 1
            else:
                print(f"{name}: {info.product} {info.version}".rstrip())
                if "unreadable" in info.details:
                    print(f"{name}: some of it cannot be read: {info.details['unreadable']}", file=sys.stderr)
                    code = 1
    finally:
        catalog.close()
    return code


def _columns(connection: Connection, table: str) -> None:
    from workbench.cli.screen import aligned

    rows = []
    for field in connection.schema(table):
        facts = {key.decode(): value.decode(errors="replace") for key, value in (field.metadata or {}).items()}
        rows.append(
            [field.name, str(field.type), facts.get("source_type", ""), facts.get("key", ""), facts.get("comment", "")]
        )
    print(aligned(["column", "type", "type at the source", "key", "comment"], rows))
