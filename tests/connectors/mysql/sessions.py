"""Sessions of the connector's kind on the real servers, and whole answers over its wire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from tests.services.mysql.server import Server
from workbench_mysql import wire
from workbench_mysql.types import Policy

__all__ = ["answer", "session"]


@contextmanager
def session(server: Server, *statements: str, **options: object) -> Iterator[wire.Connection]:
    """As admin in `shop`, in UTC, after `statements`."""
    plain = {"host": server.host, "port": server.port, "user": "admin", "password": server.password.encode()}
    plain |= {"database": server.database, "charset": "utf8mb4", "autocommit": True, "ssl_disabled": True}
    if "ssl_disabled" not in options and server.product == "mysql":
        plain["ssl_disabled"] = False  # caching_sha2 wants a way that nobody listens on
    connection = wire.Connection(**{**plain, **options})
    try:
        for statement in ("SET time_zone = '+00:00'", *statements):
            wire.query(connection, statement)
        yield connection
    finally:
        if connection.open:
            connection.close()


def answer(connection: wire.Connection, text: str, policy: Policy = "null") -> tuple[pa.Table, dict[str, int]]:
    """All rows of a prepared statement, checked by Arrow, and what was lost."""
    statement = wire.prepare(connection, text)
    rows = statement.execute(schema=statement.schema(policy), policy=policy)
    table = pa.Table.from_batches(list(rows), rows.schema)
    table.validate(full=True)
    assert rows.finished
    assert table.schema.equals(statement.schema(policy), check_metadata=True)
    statement.close()
    return table, dict(rows.lost)
