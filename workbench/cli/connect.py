"""`workbench connect`: saves a connection and tries it."""

from __future__ import annotations

import argparse
import json
import sys

DESCRIPTION = """\
Saves a connection under a name and tries it. An older one of that name is replaced only by one that works.

The password is asked for and kept in the system's keyring (or a file that only you can read); a URL never holds it.
Sessions only read, unless --writable is said."""

EXAMPLES = """\
examples:
  workbench connect shop mysql://analyst@db.example/shop
  workbench connect shop "mysql://analyst@db.example:3307/shop?tls=required" --writable
  workbench connect shop mysql://analyst@db.example/shop --secret env:SHOP_PASSWORD
  workbench connect shop mysql://analyst@db.example/shop --secret - < password.txt
  workbench connect lake --path events/
  workbench connect book --path book.duckdb

Then: workbench sql "select * from shop.orders limit 5\""""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="as it is written in SQL before the dot: letters, digits and `_`")
    parser.add_argument("url", nargs="?", help="scheme://user@host:port/database?name=value")
    parser.add_argument("--path", help="a file or a folder instead of a URL")
    parser.add_argument("--connector", help="which connector, where the URL or the path does not say it")
    parser.add_argument(
        "--secret", metavar="WHERE", help="env:NAME, a variable with the password; `-`, the first line of standard "
        "input; ask, to be asked again",
    )  # fmt: skip
    parser.add_argument("--writable", action="store_true", help="sessions may write")
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        dest="values",
        help="another setting of the connector",
    )
    parser.add_argument("--no-test", action="store_true", help="save it without trying it, in place of any other")


def run(options: argparse.Namespace) -> int:
    from workbench.catalog import Catalog
    from workbench.contract.errors import SourceError, UsageError
    from workbench.contract.secret import Secret

    url = Secret(options.url) if options.url is not None else None
    where: str | None = options.secret
    secret: str | Secret | None = where
    if where == "-":
        secret = Secret(sys.stdin.readline().rstrip("\r\n"))
    elif where is not None and where != "ask" and not where.startswith("env:"):
        raise UsageError("--secret takes env:NAME, `-` or ask, never the secret itself: other users see command lines.")
    if url is None and options.path is None and options.connector is None:
        raise UsageError("Give a URL, or --path for a file or a folder.")
    parameters = dict(_setting(pair) for pair in options.values)
    catalog = Catalog()
    try:
        saved = catalog.connect(
            options.name, url, path=options.path, secret=secret, writable=options.writable, parameters=parameters,
            connector=options.connector, test=not options.no_test,
        )  # fmt: skip
        print(saved)
        if options.no_test:
            return 0
        try:
            info = catalog.test(saved.name)
        except SourceError as error:
            print(f"It is saved, but does not work yet: {error}", file=sys.stderr)
            return 1
        print(f"It answers: {info.product} {info.version}".rstrip())
        if "unreadable" in info.details:
            print(f"Some of it cannot be read: {info.details['unreadable']}", file=sys.stderr)
    finally:
        catalog.close()
    return 0


def _setting(pair: str) -> tuple[str, object]:
    from workbench.contract.errors import UsageError

    name, equals, text = pair.partition("=")
    if not equals:
        raise UsageError("--set takes NAME=VALUE.")
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text
