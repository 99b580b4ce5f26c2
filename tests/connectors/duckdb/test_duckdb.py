"""What is particular to DuckDB files: the fence, who may have the file, types that Arrow lacks, native text."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from workbench.contract import (
    Applied,
    Changes,
    Column,
    Compare,
    ConnectionConfig,
    Guarantee,
    IsNull,
    Literal,
    Position,
    Predicate,
    ScanPlan,
    ScanRequest,
    TableRef,
    WriteSpec,
)
from workbench.contract.errors import (
    Cancelled,
    InvalidParameter,
    PathUnreachable,
    ProtocolError,
    QueryFailed,
    SnapshotChanged,
    StatementRefused,
    UnknownTable,
    Unsupported,
)
from workbench.testing.clock import eventually
from workbench.testing.control import RecordingControl
from workbench_duckdb import instance
from workbench_duckdb.connector import DuckDBConnector


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shop 🦆.duckdb"


@pytest.fixture(autouse=True)
def released(path: Path) -> Iterator[None]:
    yield
    instance.database(str(path)).let_go()


def build(path: Path, *statements: str) -> None:
    instance.database(str(path)).let_go()
    with duckdb.connect(path) as db:
        for statement in statements:
            db.execute(statement)


def connect(path: Path, writable: bool = False) -> DuckDBConnector:
    return DuckDBConnector(ConnectionConfig("local", {"path": str(path)}, writable=writable))


def read(connector: DuckDBConnector, plan: ScanPlan) -> list[dict[str, Any]]:
    return [
        row
        for split in plan.splits
        for batch in connector.tables.read(split, RecordingControl())
        for row in batch.to_pylist()
    ]


def rows(connector: DuckDBConnector, table: TableRef, *predicates: Predicate) -> list[dict[str, Any]]:
    names = tuple(connector.tables.schema(table).names)
    plan = connector.tables.plan(ScanRequest(table, names, predicates))
    assert not plan.residual
    return read(connector, plan)


def native(connector: DuckDBConnector, text: str) -> list[dict[str, Any]]:
    return read(connector, connector.tables.native(text))


class TestTables:
    def test_schemas_views_keys_and_comments(self, path: Path) -> None:
        build(
            path,
            "create table orders (id integer primary key, v varchar)",
            "comment on column orders.v is 'what it was'",
            "comment on table orders is 'all orders'",
            "create schema crm; create table crm.orders (n integer); create view crm.some as select 1 as one",
            "insert into orders values (1, 'x')",
        )
        local = connect(path)
        listed = local.tables.list()
        assert [(str(i.table), i.kind) for i in listed] == [
            ("crm.orders", "table"), ("crm.some", "view"), ("orders", "table"),
        ]  # fmt: skip
        assert listed[2].comment == "all orders"
        schema = local.tables.schema(TableRef("orders"))
        assert schema.field("id").metadata == {b"source_type": b"INTEGER", b"key": b"primary"}
        assert schema.field("v").metadata == {b"source_type": b"VARCHAR", b"comment": b"what it was"}
        assert rows(local, TableRef("orders", "main")) == [{"id": 1, "v": "x"}]
        assert rows(local, TableRef("some", "crm")) == [{"one": 1}]
        with pytest.raises(UnknownTable, match=r"crm\.orders"):
            local.tables.schema(TableRef("ordrs", "crm"))

    def test_types_that_arrow_lacks_are_text_and_compare_as_text(self, path: Path) -> None:
        build(
            path,
            "create table t as select 170141183460469231::hugeint h, 'b'::enum('b', 'a') e, '10:00:00+02'::timetz z,"
            " '101'::bit b, 'ba9c1e3c-1f1b-4a3f-8d7e-000000000001'::uuid u, {'a': 1, 'b': {'c': 'x'}} s, [1, 2] l,"
            " timestamptz '2026-01-01 00:00:00+02' as \"at\", date 'infinity' d, union_value(k := 1) un",
        )
        local = connect(path)
        assert {f.name: str(f.type) for f in local.tables.schema(TableRef("t"))} == {
            "h": "decimal128(38, 0)", "e": "string", "z": "string", "b": "string", "u": "string",
            "s": "struct<a: int32, b: struct<c: string>>", "l": "list<l: int32>", "at": "timestamp[us, tz=UTC]",
            "d": "date32[day]", "un": "string",
        }  # fmt: skip
        plan = local.tables.plan(ScanRequest(TableRef("t"), ("h", "e", "b", "at")))
        assert read(local, plan) == [
            {"h": Decimal(170141183460469231), "e": "b", "b": "101",
             "at": datetime.datetime(2025, 12, 31, 22, tzinfo=datetime.UTC)},
        ]  # fmt: skip
        text = pa.string()
        above = Compare(Column(("e",)), ">", Literal("a", text))  # as an ENUM, 'b' comes before 'a'
        inner = Compare(Column(("s", "b", "c")), "=", Literal("x", text))
        big = Compare(Column(("h",)), ">", Literal(Decimal(5), pa.decimal128(38, 0)))
        for predicate in (above, inner, big, IsNull(Column(("l",)), negated=True)):
            plan = local.tables.plan(ScanRequest(TableRef("t"), ("e",), (predicate,)))
            assert plan.applied[predicate] is Applied.EXACT
            assert read(local, plan) == [{"e": "b"}]
        assert native(local, "select e, h, b from t") == [{"e": "b", "h": Decimal(170141183460469231), "b": "101"}]

    def test_a_number_of_39_digits_is_an_error(self, path: Path) -> None:
        build(path, "create table t as select 170141183460469231731687303715884105727::hugeint h")
        local = connect(path)
        with pytest.raises(QueryFailed):
            rows(local, TableRef("t"))
        with pytest.raises(QueryFailed):
            native(local, "from t")

    def test_a_columns_own_collation_does_not_decide(self, path: Path) -> None:
        build(path, "create table t (v varchar collate nocase)", "insert into t values ('a'), ('A'), ('b')")
        local = connect(path)
        for op, found in (("=", ["a"]), ("<>", ["A", "b"]), (">", ["b"]), ("<", ["A"])):
            predicate = Compare(Column(("v",)), op, Literal("a", pa.string()))  # type: ignore[arg-type]
            assert [row["v"] for row in rows(local, TableRef("t"), predicate)] == found

    def test_text_that_looks_like_sql_stays_a_value(self, path: Path) -> None:
        evil = "x'); drop table t; --$1 \" ? %"
        build(path, 'create table t ("a $1 "" ? b" varchar)', "insert into t values ('other')")
        local = connect(path)
        name = 'a $1 " ? b'
        predicate = Compare(Column((name,)), "=", Literal(evil, pa.string()))
        plan = local.tables.plan(ScanRequest(TableRef("t"), (name,), (predicate,)))
        assert evil not in plan.native_text
        assert read(local, plan) == []
        assert len(rows(local, TableRef("t"))) == 1

    def test_splits_are_ranges_of_row_ids_and_see_one_state(self, path: Path) -> None:
        build(path, "create table t as select range as n from range(500000)", "delete from t where n < 1000")
        local = connect(path)
        plan = local.tables.plan(ScanRequest(TableRef("t"), ("n",), splits=2))
        assert len(plan.splits) > 1
        assert sorted(row["n"] for row in read(local, plan)) == list(range(1000, 500_000))
        counted = local.tables.plan(ScanRequest(TableRef("t"), (), splits=2))
        assert sum(b.num_rows for s in counted.splits for b in local.tables.read(s, RecordingControl())) == 499_000
        limited = local.tables.plan(ScanRequest(TableRef("t"), (), limit=7))
        assert sum(b.num_rows for s in limited.splits for b in local.tables.read(s, RecordingControl())) == 7
        build(path, "insert into t values (1)")
        with pytest.raises(SnapshotChanged, match="the file was written to"):
            read(local, plan)

    def test_what_is_written_while_splits_are_begun_is_in_none_of_them(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        build(path, "create table t as select range as n from range(300000)")
        local = connect(path)
        plan = local.tables.plan(ScanRequest(TableRef("t"), ("n",), splits=2))
        before = local._database.stamp()
        with local._database.cursor(True, "local") as cursor:

            def stamp() -> tuple[int, ...]:
                cursor.execute("insert into t values (-1)")  # just after the file was looked at
                return before

            monkeypatch.setattr(local._database, "stamp", stamp)
            last = local.tables.read(plan.splits[-1], RecordingControl())
            assert -1 not in [n for batch in last for n in batch["n"].to_pylist()]

    def test_a_file_that_is_open_for_writing_has_one_split(self, path: Path) -> None:
        build(path, "create table t as select range as n from range(500000)")
        writing = connect(path, writable=True)
        writing.test()
        assert len(writing.tables.plan(ScanRequest(TableRef("t"), ("n",), splits=2)).splits) == 1


class TestFence:
    @pytest.mark.parametrize(
        "text",
        [
            "from read_csv('{canary}')", "from '{canary}'", "select * from read_text('{canary}')",
            "select * from read_blob('{canary}')", "select * from glob('{folder}/*')", "from sniff_csv('{canary}')",
            "select * from parquet_metadata('{canary}')", "copy (select 1) to '{folder}/out.csv'",
            "copy t from '{canary}'", "export database '{folder}/x'", "import database '{folder}/x'",
            "attach '{folder}/other.db'", "install httpfs", "load httpfs", "set enable_external_access = true",
            "reset lock_configuration", "pragma enable_profiling", "call pragma_version()", "create table x (a int)",
            "insert into t values (1)", "delete from t", "drop table t", "explain analyze insert into t values (1)",
            "select nextval('s')", "begin", "commit", "use main", "checkpoint", "prepare p as select 1", "execute p",
            "select 1; select 2", "detach local", "set variable x = 1", "",
        ],
    )  # fmt: skip
    def test_native_text_reaches_nothing_outside_and_writes_nothing(
        self, path: Path, tmp_path: Path, text: str
    ) -> None:
        canary = tmp_path / "canary.csv"
        canary.write_text("canary\n4711\n")
        build(path, "create table t as select 1 as a", "create sequence s")
        local = connect(path)
        before = sorted(tmp_path.iterdir())
        with pytest.raises((StatementRefused, QueryFailed)) as caught:
            native(local, text.format(canary=canary, folder=tmp_path))
        assert "4711" not in str(caught.value)
        assert sorted(tmp_path.iterdir()) == before
        assert native(local, "from t") == [{"a": 1}]

    def test_variables_of_the_kernel_are_not_tables(self, path: Path) -> None:
        build(path, "create table t as select 1 as a")
        secret = pa.table({"canary": [1]})
        with pytest.raises(QueryFailed):
            native(connect(path), "from secret")
        assert secret.num_rows == 1

    @pytest.mark.parametrize("writable", [False, True])
    def test_what_passes(self, path: Path, writable: bool) -> None:
        build(path, "create table t as select range as a, 'x' as b from range(3)")
        local = connect(path, writable)
        for text in (
            "select a from t order by a desc;",
            "-- hello\nselect a from t order by 1 desc -- bye",
            "from t select a order by a desc",
        ):
            assert [row["a"] for row in native(local, text)] == [2, 1, 0]
        assert native(local, "show tables") == [{"name": "t"}]
        assert native(local, "describe t")[0]["column_name"] == "a"
        assert "explain_value" in native(local, "explain select * from t")[0]
        assert native(local, "explain analyze select * from t")
        assert native(local, "pivot t on b in ('x') using sum(a)")
        plan = local.tables.native("select 1 as n, 2 as n")
        (split,) = plan.splits
        assert next(iter(local.tables.read(split, RecordingControl()))).num_columns == 2
        with pytest.raises(QueryFailed, match="nowhere"):
            local.tables.native("select * from nowhere")

    def test_writing_text_on_a_writable_connection_only(self, path: Path) -> None:
        build(path, "create table t (a integer)")
        local = connect(path, writable=True)
        assert native(local, "insert into t values (1), (2)") == [{"Count": 2}]
        native(local, "create table u as select * from t")
        assert len(rows(local, TableRef("u"))) == 2
        for text in ("attach 'x.db'", "copy t to 'x.csv'", "set threads = 1"):
            with pytest.raises((StatementRefused, QueryFailed)):
                native(local, text)


HOLD = """
import duckdb, sys
db = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


class TestWhoHasTheFile:
    def test_another_process_that_writes_is_named(self, path: Path) -> None:
        build(path, "create table t as select 1 as a")
        arguments = [sys.executable, "-c", HOLD, str(path)]
        with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout
            assert other.stdout.readline() == "held\n"
            with pytest.raises(
                PathUnreachable, match=f"PID {other.pid}.* has it open; DuckDB gives a file to one process"
            ):
                connect(path).test()
            other.kill()
        assert rows(connect(path), TableRef("t")) == [{"a": 1}]

    def test_the_file_is_let_go_soon_after_it_was_used(self, path: Path) -> None:
        build(path, "create table t as select 1 as a")
        connect(path).test()

        def free() -> bool:
            arguments = [sys.executable, "-c", HOLD, str(path)]
            done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
            return done.returncode == 0

        eventually(free, 10, "another process can write")

    def test_a_reader_and_a_writer_of_one_process(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(instance, "WAIT_SECONDS", 0.2)
        build(path, "create table t as select range as a from range(300000)")
        reading, writing = connect(path), connect(path, writable=True)
        reader = reading.tables.read(
            reading.tables.plan(ScanRequest(TableRef("t"), ("a",))).splits[0], RecordingControl()
        )
        next(reader)
        with pytest.raises(QueryFailed, match="being read over a connection"):
            writing.test()
        reader.close()
        assert writing.test().product == "DuckDB"

    def test_a_new_file_is_made_by_a_writable_connection_only(self, path: Path) -> None:
        with pytest.raises(PathUnreachable, match="A connection with writable=True makes it"):
            connect(path).test()
        with pytest.raises(PathUnreachable, match="no such folder"):
            connect(path / "new.duckdb", writable=True).test()
        with pytest.raises(PathUnreachable, match="not a file"):
            connect(path.parent, writable=True).test()
        assert not path.exists()
        writer = connect(path, writable=True).sinks.open(
            TableRef("t"), WriteSpec(pa.schema([("a", pa.int64())]), create=True)
        )
        at = Position("test", "0")
        writer.write(Changes(TableRef("t"), pa.record_batch({"a": [1]}), None, at, at), 0)
        writer.commit(None)
        writer.close()
        assert rows(connect(path), TableRef("t")) == [{"a": 1}]

    def test_a_cursor_is_not_closed_while_it_is_interrupted(self, path: Path) -> None:
        build(path, "create table t as select range as a from range(300000)")
        local, control = connect(path), RecordingControl()
        reader = local.tables.read(local.tables.plan(ScanRequest(TableRef("t"), ("a",))).splits[0], control)
        next(reader)
        entered, go_on = threading.Event(), threading.Event()

        class Cursor:
            def interrupt(self) -> None:
                entered.set()
                assert go_on.wait(10)

        reader._cursor = Cursor()  # type: ignore[assignment]
        control.cancel()
        interrupting = threading.Thread(target=reader.interrupt_if_asked)
        closing = threading.Thread(target=reader.close)
        interrupting.start()
        assert entered.wait(10)
        closing.start()
        closing.join(0.1)
        assert local._database._users == 1
        go_on.set()
        closing.join(10)
        interrupting.join(10)
        assert local._database._users == 0

    def test_damaged_files(self, path: Path) -> None:
        path.write_bytes(b"no database" * 1000)
        with pytest.raises(ProtocolError, match="not a valid DuckDB database file"):
            connect(path).test()

    def test_a_file_that_was_replaced_is_opened_anew(self, path: Path, tmp_path: Path) -> None:
        build(path, "create table t as select 1 as a")
        local = connect(path)
        assert rows(local, TableRef("t")) == [{"a": 1}]
        build(tmp_path / "new.duckdb", "create table t as select 2 as a")
        (tmp_path / "new.duckdb").replace(path)
        assert rows(local, TableRef("t")) == [{"a": 2}]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("is_open", [True, False])
def test_a_forked_child_opens_the_file_anew_or_says_that_it_cannot(path: Path, is_open: bool) -> None:
    build(path, "create table t as select range as a from range(1000)")
    local = connect(path)
    assert len(rows(local, TableRef("t"))) == 1000
    if not is_open:
        local.close()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if len(rows(local, TableRef("t"))) == 1000 else 2
        except Unsupported as error:
            code = 3 if "spawn" in str(error) else 4
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(eventually_ended(child)) == (3 if is_open else 0)
    assert len(rows(local, TableRef("t"))) == 1000


def eventually_ended(child: int) -> int:
    status: list[int] = []

    def ended() -> bool:
        pid, code = os.waitpid(child, os.WNOHANG)
        if pid:
            status.append(code)
        return bool(pid)

    try:
        eventually(ended, 20, "the child ended")
    except BaseException:
        os.kill(child, 9)
        raise
    return status[0]


@pytest.mark.parametrize("text", ["\0", "a\0b"])
def test_a_path_with_a_zero_byte_is_no_path(text: str) -> None:
    with pytest.raises(InvalidParameter, match="zero byte"):
        DuckDBConnector(ConnectionConfig("duck", {"path": text}))


def test_close_ends_a_long_query_at_once(path: Path) -> None:
    build(path, "create table t as select 1 as a")
    local = connect(path)
    plan = local.tables.native("select count(*) from range(1000000) a, range(1000000) b where a.range + b.range <> 7")
    reader = local.tables.read(plan.splits[0], RecordingControl())
    outcome: list[BaseException] = []

    def consume() -> None:
        try:
            next(reader)
        except Cancelled as error:
            outcome.append(error)

    thread = threading.Thread(target=consume)
    thread.start()
    eventually(lambda: reader._cursor is not None, 10, "it runs")
    began = time.monotonic()
    reader.close()
    thread.join(10)
    assert time.monotonic() - began < 1
    assert len(outcome) == 1


class TestSink:
    schema = pa.schema([pa.field("id", pa.int64()), pa.field("v", pa.string())])

    def changes(self, *pairs: tuple[int, str | None], ops: list[str] | None = None) -> Changes:
        batch = pa.RecordBatch.from_arrays(
            [pa.array([k for k, _ in pairs], pa.int64()), pa.array([v for _, v in pairs], pa.string())],
            schema=self.schema,
        )
        place = Position("s", "1")
        return Changes(TableRef("t"), batch, pa.array(ops) if ops else None, place, place)

    def test_upsert_without_a_constraint_and_a_repeat_of_the_stream(self, path: Path) -> None:
        build(path, "create table t (id bigint, v varchar, more integer default 7)", "insert into t values (1, 'a', 1)")
        local = connect(path, writable=True)
        spec = WriteSpec(self.schema, "upsert", ("id",), stream="s")
        writer = local.sinks.open(TableRef("t"), spec)
        assert writer.guarantee is Guarantee.TRANSACTIONAL
        for sequence in (1, 1, 2):
            writer.write(self.changes((1, "b"), (2, "x"), (2, "y")), sequence)
        writer.commit(Position("s", "9"))
        writer.close()
        assert rows(local, TableRef("t")) == [{"id": 1, "v": "b", "more": 1}, {"id": 2, "v": "y", "more": 7}]
        again = local.sinks.open(TableRef("t"), spec)
        assert again.position() == Position("s", "9")
        again.close()
        assert [info.table.name for info in local.tables.list()] == ["t"]

    def test_an_insert_of_a_key_that_is_there_is_refused_with_and_without_a_constraint(self, path: Path) -> None:
        build(path, "create table t (id bigint, v varchar)", "insert into t values (1, 'a')")
        local = connect(path, writable=True)
        for pairs in (((1, "b"),), ((2, "x"), (2, "y"))):
            writer = local.sinks.open(TableRef("t"), WriteSpec(self.schema, key=("id",)))
            with pytest.raises(QueryFailed, match="1 of the rows have a key"):
                writer.write(self.changes(*pairs), 1)
            with pytest.raises(QueryFailed, match="ended with an error"):
                writer.commit(None)
            writer.close()
        assert len(rows(local, TableRef("t"))) == 1

    def test_what_does_not_fit_is_refused(self, path: Path) -> None:
        build(path, "create table t (id integer, v varchar)")
        local = connect(path, writable=True)
        with pytest.raises(InvalidParameter, match="`id` as BIGINT; in `t` it is INTEGER"):
            local.sinks.open(TableRef("t"), WriteSpec(self.schema))
        with pytest.raises(InvalidParameter, match="needed for an upsert"):
            local.sinks.open(TableRef("t"), WriteSpec(self.schema, "upsert"))
        writer = local.sinks.open(TableRef("new", "other"), WriteSpec(self.schema, key=("id",), create=True))
        with pytest.raises(Unsupported):
            writer.write(self.changes((1, "x"), ops=["delete"]), 1)
        writer.close()
        assert [str(info.table) for info in local.tables.list()] == ["t"]  # nothing was committed
