"""Statements over MySQL's binary protocol.

```python
connection = wire.Connection(host=…, charset="utf8mb4", …)     # pymysql's arguments; bounded log-in
statement = wire.prepare(connection, sql, control)             # runs nothing
statement.schema(policy, source_types)                         # what the rows will be
rows = statement.execute(control, schema=None, policy="null")  # sends it, reads the head of the reply
for batch in rows: …                                           # pyarrow.RecordBatch of 64 k rows or about 8 MiB
rows.received, rows.lost, rows.finished, rows.warnings, rows.affected
rows.abandon()                                                 # from any thread: a waiting `next` raises Cancelled
statement.close()                                              # sends nothing by itself; only after `rows.finished`
table = wire.query(connection, sql)                            # all at once, for small answers
```

- One statement at a time on a connection; pymysql's cursors may be used before and after. `rows.finished` says
  whether the reply was read to its end (or to the server's error): only then may the connection be used again.
- `errors` makes the exception for the server's refusals, from code, SQL state and text, at any point of the reply.
- The session needs `time_zone = '+00:00'` and `charset="utf8mb4"`; a consumer that may sleep needs a large
  `net_write_timeout`.
- What a server cannot prepare (some of SHOW, DESCRIBE and EXPLAIN) is read over the text protocol: `prepare` then runs
  it once for its columns, and `execute` again.
- `CLIENT_DEPRECATE_EOF` is understood when it was asked for (`client_flag`); pymysql's cursors do not understand it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING

from workbench.contract.errors import StatementRefused
from workbench_mysql import types
from workbench_mysql.channel import Channel, Connection, Errors, refused
from workbench_mysql.decode import BinaryRows, Rows, TextRows
from workbench_mysql.reply import Reader, ending
from workbench_mysql.text import is_reading

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.contract.scan import Control

__all__ = ["Connection", "Errors", "Rows", "Statement", "prepare", "query"]

_QUERY, _PREPARE, _EXECUTE, _CLOSE = 0x03, 0x16, 0x17, 0x19
_NOT_PREPARABLE = (1295, 1461)
_MOST_COLUMNS = 4096
_OK, _LOCAL_FILE, _ERROR = 0x00, 0xFB, 0xFF
_MOST_KNOWN, _SHORT_DEFINITION = 8192, 1024
_KNOWN: dict[bytes, types.Definition] = {}
"""Definitions by their packets."""
_MOST_BLOCKS, _SHORT_BLOCK = 512, 1 << 14
_BLOCKS: dict[tuple[int, bytes], tuple[bytes, types.Definitions]] = {}
"""All definitions of a reply, by their number and the first packet: every statement brings them twice, and the next one
mostly the same to the byte."""


_NONE = types.Definitions()


class Statement:
    """A statement that the server knows, and the columns that it will answer with (none: it gives no rows)."""

    def __init__(
        self,
        connection: Connection,
        text: str,
        columns: types.Definitions,
        number: int | None,
        errors: Errors,
    ) -> None:
        self.connection, self.text, self.columns = connection, text, columns
        self._number, self._errors = number, errors

    @property
    def prepared(self) -> bool:
        """False: over the text protocol."""
        return self._number is not None

    def schema(self, policy: types.Policy = "null", source_types: Mapping[str, str] | None = None) -> pa.Schema:
        """As every batch will have it; see `types.schema`."""
        return types.schema(self.columns, policy, source_types)

    def execute(
        self,
        control: Control | None = None,
        schema: pa.Schema | None = None,
        policy: types.Policy = "null",
    ) -> Rows:
        """Sends the statement and reads the head of its reply.

        `schema` is put on the batches when given (for its metadata); its names and types have to be what the server
        sends, else SnapshotChanged.
        """
        channel = Channel(self.connection, control)
        if self._number is None:
            channel.send(_QUERY, self.text.encode())
        else:
            channel.send(_EXECUTE, struct.pack("<IBI", self._number, 0, 1))
        kind = TextRows if self._number is None else BinaryRows
        return _reply(channel, kind, schema, policy, self._errors)

    def close(self) -> None:
        """Lets the server forget it, with the next command. There is no reply; on a closed connection nothing
        happens."""
        if self._number is not None and self.connection.open:
            self.connection.farewell += struct.pack("<IBI", 5, _CLOSE, self._number)
        self._number = None


def prepare(
    connection: Connection, text: str, control: Control | None = None, errors: Errors | None = None
) -> Statement:
    """Makes a statement of `text` without running it. Raises what `errors` makes (QueryFailed) when it is refused."""
    errors = errors or refused(text)
    channel = Channel(connection, control)
    channel.send(_PREPARE, text.encode())
    head = channel.packet()
    if head[:1] == bytes((_ERROR,)):
        channel.release()
        if len(head) >= 3 and int.from_bytes(head[1:3], "little") in _NOT_PREPARABLE:
            return _unprepared(connection, text, control, errors)
        raise channel.error(head, errors)
    if len(head) == 7 and head[0] == _OK:  # MariaDB's to HELP: OK, and no statement
        channel.release()
        return _unprepared(connection, text, control, errors)
    if len(head) < 12 or head[0] != _OK:
        raise channel.broken("its answer to PREPARE is none")
    number, count, parameters = struct.unpack_from("<IHH", head, 1)
    if count > _MOST_COLUMNS:
        raise channel.broken(f"it announced {count:,} columns")
    _definitions(channel, parameters, errors)
    columns = _definitions(channel, count, errors)
    channel.release()
    statement = Statement(connection, text, columns, number, errors)
    if parameters:
        statement.close()
        raise StatementRefused("A placeholder (`?`)", "there is no value to put into it. Write the value itself.")
    if not columns and is_reading(text):  # MariaDB does not say beforehand what some of SHOW will give
        statement.close()
        return _unprepared(connection, text, control, errors)
    return statement


def query(
    connection: Connection,
    text: str,
    control: Control | None = None,
    policy: types.Policy = "null",
    errors: Errors | None = None,
) -> pa.Table:
    """The whole answer to a small question, over the text protocol in one round trip. Cancelled and bounded as a
    scan is. A statement without rows gives a table without columns."""
    import pyarrow as pa

    channel = Channel(connection, control)
    channel.send(_QUERY, text.encode())
    rows = _reply(channel, TextRows, None, policy, errors or refused(text))
    return pa.Table.from_batches(list(rows), rows.schema)


def _unprepared(connection: Connection, text: str, control: Control | None, errors: Errors) -> Statement:
    if not is_reading(text):  # not to be run for its columns
        return Statement(connection, text, _NONE, None, errors)
    channel = Channel(connection, control)
    channel.send(_QUERY, text.encode())
    rows = _reply(channel, TextRows, None, "null", errors)
    for _ in rows:
        pass
    return Statement(connection, text, rows.definitions, None, errors)


def _reply(channel: Channel, kind: type[Rows], schema: pa.Schema | None, policy: types.Policy, errors: Errors) -> Rows:
    head = channel.packet()
    first = head[0] if head else None
    if first == _ERROR:
        channel.release()
        raise channel.error(head, errors)
    if first == _LOCAL_FILE:
        raise channel.broken("it asked for a local file, and got nothing")
    if first == _OK:
        rows = kind(channel, _NONE, schema, policy, errors)
        rows.end(ending(channel, head))
        return rows
    reader = Reader(channel, head)
    count = reader.length()
    reader.done()
    if not 1 <= count <= _MOST_COLUMNS:
        raise channel.broken(f"it announced {count:,} columns")
    return kind(channel, _definitions(channel, count, errors), schema, policy, errors)


def _definitions(channel: Channel, count: int, errors: Errors) -> types.Definitions:
    if not count:
        return _NONE
    met = _BLOCKS.get((count, first)) if (first := channel.upcoming()) else None
    if met is not None and channel.skip(met[0], count):
        columns = met[1]
    else:
        columns = _read_definitions(channel, count, errors, first)
    if not channel.deprecate_eof:
        end = channel.packet()
        if end[:1] != b"\xfe" or len(end) > 5:
            raise channel.broken("its column definitions do not end")
    return columns


def _read_definitions(channel: Channel, count: int, errors: Errors, first: bytes) -> types.Definitions:
    found, block = [], bytearray()
    for _ in range(count):
        sequence, payload = channel.sequence, channel.packet()
        if payload[:1] == bytes((_ERROR,)):
            channel.release()
            raise channel.error(payload, errors)
        found.append(_definition(channel, payload))
        if first and len(block) <= _SHORT_BLOCK:
            block += len(payload).to_bytes(3, "little") + bytes((sequence,)) + payload
    columns = types.Definitions(found)
    if first and len(block) <= _SHORT_BLOCK:
        if len(_BLOCKS) >= _MOST_BLOCKS:
            _BLOCKS.clear()
        _BLOCKS[count, first] = bytes(block), columns
    return columns


def _definition(channel: Channel, payload: bytes) -> types.Definition:
    known = _KNOWN.get(payload)
    if known is not None:
        return known
    reader = Reader(channel, payload)
    _catalog, _schema, _alias, table, name, _column = (reader.text() for _ in range(6))
    if reader.length() != 12:
        raise channel.broken("a column definition has another shape")
    charset, length, kind, flags, decimals = struct.unpack("<HIBHB", reader.take(10))
    definition = types.Definition(name, kind, flags, charset, length, decimals, table)
    try:
        types.mapped(definition)
    except ValueError as error:
        raise channel.broken(str(error)) from error
    if len(_KNOWN) >= _MOST_KNOWN:
        _KNOWN.clear()
    if len(payload) <= _SHORT_DEFINITION:
        _KNOWN[payload] = definition
    return definition
