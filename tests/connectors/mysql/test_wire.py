"""The wire on the real servers: both ways to end, TLS, long packets, what cannot be prepared, errors, reuse."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pymysql.constants import CLIENT

from tests.connectors.mysql.scripted import Scripted
from tests.connectors.mysql.sessions import answer, session
from tests.connectors.mysql.test_wire_hostile import Control
from tests.services.mysql.server import Server
from workbench.contract.errors import Cancelled, ConnectionLost, QueryFailed, SnapshotChanged
from workbench.contract.scan import BATCH_BYTES, BATCH_ROWS
from workbench_mysql import channel, wire
from workbench_mysql.channel import Channel

MANY = (
    "WITH RECURSIVE digit AS (SELECT 0 AS d UNION ALL SELECT d + 1 FROM digit WHERE d < 9) "
    "SELECT a.d + b.d * 10 + c.d * 100 + e.d * 1000 + f.d * 10000 + g.d * 100000 AS n, "
    "CONCAT('row ', a.d) AS t FROM digit a, digit b, digit c, digit e, digit f, digit g"
)
FLAGS = [0, CLIENT.DEPRECATE_EOF]


@pytest.mark.parametrize("flag", FLAGS)
def test_a_million_rows_in_batches_as_agreed(mysql_server: Server, flag: int) -> None:
    with session(mysql_server, client_flag=flag) as connection:
        assert bool(flag) == Channel(connection).deprecate_eof
        rows = wire.prepare(connection, MANY).execute()
        total, seen = 0, 0
        for batch in rows:
            batch.validate()
            assert 0 < batch.num_rows <= BATCH_ROWS
            assert batch.nbytes <= BATCH_BYTES + (1 << 20)
            seen += batch.num_rows
            total += pc.sum(batch["n"]).as_py()
        assert (seen, total) == (1_000_000, 499_999_500_000)
        assert rows.finished
        assert rows.received > 10_000_000


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("tls", [False, True])
def test_both_protocols_ends_and_ways(mysql_server: Server, flag: int, tls: bool) -> None:
    with session(mysql_server, client_flag=flag, ssl_disabled=not tls) as connection:
        text = "SELECT 1 AS a, 'é' AS b UNION ALL SELECT NULL, NULL"
        assert (connection._secure, bool(flag)) == (tls, Channel(connection).deprecate_eof)
        table, _ = answer(connection, text)
        assert table.to_pydict() == {"a": [1, None], "b": ["é", None]}
        assert wire.query(connection, text).to_pydict() == table.to_pydict()
        empty, _ = answer(connection, "SELECT 1 AS a FROM dual WHERE 1 = 0")
        assert (empty.num_rows, empty.column_names) == (0, ["a"])
        with pytest.raises(QueryFailed) as caught:
            wire.prepare(connection, "SELECT nosuch FROM dual")
        assert caught.value.code == 1054
        assert answer(connection, text)[0].num_rows == 2


@pytest.mark.parametrize("flag", FLAGS)
def test_values_around_sixteen_mebibytes(mysql_server: Server, flag: int) -> None:
    full = 0xFF_FFFF
    with session(mysql_server, client_flag=flag) as connection:
        # Head of the row is 1 byte and a bitmap of 1, the text's length takes 4 (or 9), the number 4.
        sizes = [100, full - 11, full - 10, full - 9, full, 2 * full - 15, 2 * full + 100, 3]
        for size in sizes:
            table, _ = answer(connection, f"SELECT CAST(7 AS signed) AS n, REPEAT('x', {size}) AS t, 'end' AS e")
            assert table["t"].to_pylist() == ["x" * size]
            assert (table["n"].to_pylist(), table["e"].to_pylist()) == ([7], ["end"])
        text = " UNION ALL ".join(f"SELECT {n} AS n, REPEAT('ab', {size // 2}) AS t" for n, size in enumerate(sizes))
        table, _ = answer(connection, text)
        assert table["n"].to_pylist() == list(range(len(sizes)))
        assert pc.binary_length(table["t"]).to_pylist() == [size // 2 * 2 for size in sizes]
        plain = wire.query(connection, f"SELECT REPEAT('x', {full + 5}) AS t, 1 AS n")
        assert (len(plain["t"][0].as_py()), plain["n"].to_pylist()) == (full + 5, [1])


def test_what_cannot_be_prepared_is_read_all_the_same(mysql_server: Server) -> None:
    with session(mysql_server, "CREATE TABLE IF NOT EXISTS shown (a int primary key, b text)") as connection:
        for text in (
            "SHOW TABLES",
            "show processlist",
            "/* a mark */ SHOW ENGINE INNODB STATUS",
            "SHOW VARIABLES LIKE 'max_allowed%'",
            "DESCRIBE shown",
            "EXPLAIN SELECT * FROM shown",
            "explain format=json select * from shown",
            "SHOW INDEX FROM shown",
            "SHOW CREATE TABLE shown",
            "SHOW WARNINGS",
            "SHOW PROFILES",
        ):
            statement = wire.prepare(connection, text)
            rows = statement.execute(schema=statement.schema())
            table = pa.Table.from_batches(list(rows), rows.schema)
            table.validate(full=True)
            assert table.num_columns == len(statement.columns) > 0, text
            statement.close()


def test_a_statement_is_executed_again_and_forgotten(mysql_server: Server) -> None:
    with session(mysql_server) as connection:
        statement = wire.prepare(connection, "SELECT CONNECTION_ID() AS id")
        assert {next(statement.execute())["id"][0].as_py() for _ in range(3)} == {connection.thread_id()}


def test_changes_are_counted_and_nothing_runs_at_prepare(mysql_server: Server) -> None:
    made = "CREATE TABLE IF NOT EXISTS counted (a int primary key)"
    with session(mysql_server, made, "DELETE FROM counted") as connection:
        statement = wire.prepare(connection, "INSERT INTO counted VALUES (1), (2)")
        assert statement.columns == ()
        assert wire.query(connection, "SELECT COUNT(*) AS n FROM counted")["n"].to_pylist() == [0]
        rows = statement.execute()
        assert (list(rows), rows.affected) == ([], 2)
        with pytest.raises(QueryFailed) as caught:
            statement.execute()
        assert caught.value.code == 1062


def test_an_error_in_mid_stream(mysql_server: Server) -> None:
    # The failure is at the last of many rows, long after the first were sent.
    failing = f"SELECT n, IF(n < 999999, 1, (SELECT d FROM (SELECT 1 AS d UNION ALL SELECT 2) x)) AS f FROM ({MANY}) q"
    with session(mysql_server) as connection:
        rows = wire.prepare(connection, failing).execute()
        with pytest.raises(QueryFailed) as caught:
            for _ in rows:
                pass
        assert caught.value.code == 1242
        assert rows.finished
        assert wire.query(connection, "SELECT 1 AS a")["a"].to_pylist() == [1]


def test_killing_the_query_and_the_connection(mysql_server: Server) -> None:
    for what, expected in (("QUERY", QueryFailed), ("CONNECTION", ConnectionLost)):
        with session(mysql_server) as connection:
            rows = wire.prepare(connection, MANY).execute()
            next(rows)
            mysql_server.execute(f"KILL {what} {connection.thread_id()}")
            with pytest.raises((expected, QueryFailed)):
                for _ in rows:
                    pass
            if rows.finished and what == "QUERY":
                assert wire.query(connection, "SELECT 1 AS a").num_rows == 1


def test_stopping_while_the_server_thinks(mysql_server: Server) -> None:
    control = Control()
    with session(mysql_server) as connection:
        timer = threading.Timer(0.3, control.stop.set)
        timer.start()
        began = time.monotonic()
        with pytest.raises(Cancelled):
            wire.prepare(connection, "SELECT SLEEP(20)", control).execute(control)
        assert time.monotonic() - began < 0.6
        mysql_server.execute(f"KILL {connection.thread_id()}")


def test_a_consumer_may_sleep(mysql_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "_BULK_AFTER", 1 << 16)
    with session(mysql_server, "SET net_write_timeout = 600") as connection:
        rows = wire.prepare(connection, MANY).execute()
        first = next(rows)
        threading.Event().wait(1.0)
        assert first.num_rows + sum(batch.num_rows for batch in rows) == 1_000_000


def test_a_wide_table(mysql_server: Server) -> None:
    columns = ", ".join(f"{n} AS c{n}" for n in range(4000))
    with session(mysql_server) as connection:
        table, _ = answer(connection, f"SELECT {columns} UNION ALL SELECT {columns}")
        assert table.num_columns == 4000
        assert table["c3999"].to_pylist() == [3999, 3999]


def test_strange_names_come_through(mysql_server: Server) -> None:
    with session(mysql_server) as connection:
        table, _ = answer(connection, "SELECT 1 AS `a b`, 2 AS `\"'.`, 3 AS `客é`, 4 AS ``````")
        assert table.column_names == ["a b", "\"'.", "客é", "``"]


def test_what_is_sent_becomes_what_was_planned_or_says_so(mysql_server: Server) -> None:
    with session(mysql_server) as connection:
        statement = wire.prepare(connection, "SELECT 1 AS a UNION ALL SELECT 300")
        wide = pa.schema([pa.field("a", pa.int64(), metadata={"source_type": "x"})])
        batches = list(statement.execute(schema=wide))
        assert batches[0].schema.equals(wide, check_metadata=True)
        assert batches[0]["a"].to_pylist() == [1, 300]
        with pytest.raises(SnapshotChanged, match="column `a` was int8"):
            list(statement.execute(schema=pa.schema({"a": pa.int8()})))


def _recorded(connection: wire.Connection, command: int, body: bytes, ends: int) -> bytes:
    """What the server answers, to the last of the EOF packets that are due."""
    line = Channel(connection)
    line.send(command, body)
    at = 0
    while ends:
        while line.end < at + 4 or line.end < at + 4 + int.from_bytes(line.view[at : at + 3], "little"):
            line.fill()
        length = int.from_bytes(line.view[at : at + 3], "little")
        ends -= length == 5 and line.view[at + 4] == 0xFE
        at += 4 + length
    assert at == line.end
    reply = bytes(line.view[:at])
    line.start = line.end
    line.release()
    return reply


def test_a_recorded_reply_cut_at_any_byte(mysql_server: Server) -> None:
    text = (
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 100) SELECT n, CAST(n * 1.5 AS "
        "decimal(9,2)) AS d, IF(n % 7 = 0, NULL, CONCAT('é', n)) AS t, "
        "CAST('2024-01-02 03:04:05' AS datetime) AS m FROM r"
    )
    with session(mysql_server) as connection:
        prepare = _recorded(connection, 0x16, text.encode(), ends=1)
        number = prepare[5:9]
        execute = _recorded(connection, 0x17, number + b"\0\x01\0\0\0", ends=2)
        expected, _ = answer(connection, text)
    assert expected.num_rows == 100
    replies, cut = {0x16: prepare, 0x17: execute}, 0
    which = 0x17

    def say(command: int) -> Callable[[socket.socket], None]:
        def send(peer: socket.socket) -> None:
            peer.sendall(replies[command][:cut] if command == which else replies[command])
            if command == which and cut < len(replies[command]):
                peer.shutdown(socket.SHUT_WR)

        return send

    with Scripted(say(0x16), say(0x17)) as server:
        for which in replies:
            for cut in range(len(replies[which])):  # noqa: B007 - `say` looks at it
                with contextlib.closing(server.connect()) as connection, pytest.raises(ConnectionLost):
                    list(wire.prepare(connection, text).execute())
        cut = len(execute)
        with contextlib.closing(server.connect()) as connection:
            assert answer(connection, text)[0].equals(expected)
