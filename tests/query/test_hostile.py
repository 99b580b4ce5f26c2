"""A1–A23 of the hostile list, as statements of a viewer: no files, no notebook variables.

Every input must end in an error of ours or in harmless rows; the canary file is never opened (its access time is set
back and read again, beside looking for its text), nothing reaches the listener, and the session works on after it.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from tests.query.support import World
from workbench.contract.errors import SqlSyntaxError, UsageError
from workbench.query.engine import Limits
from workbench.query.session import Session

CANARY = "canary-3f9a77c1"
IN_OPEN, IN_ACCESS = 0x20, 0x01

STATEMENTS: dict[str, list[str]] = {
    "A1 read_csv": [
        "from read_csv('{canary}')",
        "select * from read_csv_auto('{canary}')",
        "from read_json('{canary}')",
        "from read_parquet('{canary}')",
        "from parquet_scan('{canary}')",
        "from READ_CSV('{canary}', header = false)",
        "select (select count(*) from read_csv('{canary}'))",
        "with x as (from read_csv('{canary}')) from x",
        "select * from range(1), lateral (from read_csv('{canary}'))",
        "from \"read_csv\"('{canary}')",
        "from main.read_csv('{canary}')",
        "from system.main.read_csv('{canary}')",
        "explain analyze from read_csv('{canary}')",
        "create temp table x as from read_csv('{canary}')",
        "describe from read_csv('{canary}')",
        "summarize from read_csv('{canary}')",
        "pivot (from read_csv('{canary}')) on column0",
        "from read_ndjson_objects('{canary}')",
    ],
    "A2 path": [
        "from '{canary}'",
        "select * from '{canary}' t",
        'from "{canary}"',
        "table '{canary}'",
        "describe '{canary}'",
        "summarize '{canary}'",
        "select * from (values (1)) join '{canary}' on true",
        "pivot '{canary}' on column0",
        "from 'file://{canary}'",
        "from 'http://127.0.0.1:{port}/x.parquet'",
    ],
    "A3 read_text": ["from read_text('{canary}')", "select read_text('{canary}')", "select '{canary}'.read_text()"],
    "A4 read_blob": ["from read_blob('{canary}')", "from read_blob(['{canary}'])"],
    "A5 glob": ["from glob('/*')", "from glob('{canary}')"],
    "A6 sniff_csv": ["from sniff_csv('{canary}')"],
    "A7 parquet_metadata": [
        "from parquet_metadata('{canary}')",
        "from parquet_schema('{canary}')",
        "from parquet_file_metadata('{canary}')",
        "from parquet_kv_metadata('{canary}')",
        "from read_duckdb('{canary}')",
    ],
    "A8 copy to": ["copy (select 1) to '{canary}.out'", "copy (select 1) to '{canary}'"],
    "A9 copy from": ["copy t from '{canary}'", "create temp table t as select 1; copy t from '{canary}'"],
    "A10 export": ["export database '{canary}.d'"],
    "A11 import": ["import database '{canary}.d'"],
    "A12 attach": ["attach '{canary}'", "attach '{canary}' as x (read_only)", "attach ':memory:' as x", "use memory"],
    "A13 attach url": ["attach 'http://127.0.0.1:{port}/x'", "attach 'http://127.0.0.1:{port}/x' as x (type duckdb)"],
    "A14 extensions": [
        "install httpfs",
        "load '{canary}'",
        "load httpfs",
        "force install x from 'http://127.0.0.1:{port}'",
    ],
    "A15 fence": [
        "set enable_external_access = true",
        "reset enable_external_access",
        "set lock_configuration = false",
        "set global enable_external_access = true",
        "pragma enable_external_access = true",
        "select set_config('enable_external_access', 'true', false)",
    ],
    "A16 settings": [
        "set memory_limit = '100GB'",
        "set threads = 64",
        "set temp_directory = '/tmp'",
        "set log_query_path = '{canary}'",
        "set profiling_output = '{canary}'",
        "pragma enable_profiling",
        "pragma profiling_output = '{canary}'",
        "call enable_logging()",
        "from enable_logging()",
        "from disable_logging()",
    ],
    "A17 query": [
        "from query('from read_csv(''{canary}'')')",
        "from query_table('{canary}')",
        "from query_table(['t'])",
        "from json_execute_serialized_sql('x')",
        "select json_serialize_plan('from read_csv(''{canary}'')')",
        "pragma json_execute_serialized_sql('x')",
    ],
    "A18 hidden": [
        "create macro m() as table from read_csv('{canary}')",
        "create or replace temp macro m() as (select 1)",
        "prepare p as from read_csv('{canary}')",
        "execute p",
        "create view v as from read_csv('{canary}')",
        "create temp view v as from read_csv('{canary}')",
        "from m()",
        "from v",
    ],
    "A19 variable": ["from kernel_frame", 'from "kernel_frame"', "select $kernel_secret", "from main.kernel_frame"],
    "A20 settings told": [
        "from duckdb_secrets()",
        "from duckdb_settings()",
        "from duckdb_settings",
        "from duckdb_functions()",
        "from duckdb_temporary_files()",
        "from duckdb_logs",
        "from which_secret('s3://x', 's3')",
        "select current_setting('temp_directory')",
        "select CURRENT_SETTING('temp_directory')",
        "select \"current_setting\"('temp_directory')",
        "select 'temp_directory'.current_setting()",
        "select main.current_setting('temp_directory')",
        "select pg_catalog.current_setting('temp_directory')",
        "select getenv('HOME')",
        "select getvariable('x')",
        "select current_query()",
        "select list_transform(['temp_directory'], lambda x: current_setting(x))",
        "from pragma_version()",
        "from pragma_database_size()",
        "from information_schema.tables",
        "from pg_catalog.pg_settings",
        "from sqlite_master",
        "show all tables",
        "show databases",
        "from duckdb_views()",
        "from test_all_types()",
        "from repeat(current_setting('temp_directory'), 2)",
        "values (current_setting('temp_directory'))",
        "select 1 order by current_setting('temp_directory')",
        "select 1 limit length(current_setting('temp_directory'))",
        "select sum(1) filter (current_setting('temp_directory') <> '')",
        "select first_value(current_setting('temp_directory')) over ()",
    ],
    "A21 two statements": [
        "select 1; drop table x",
        "select 1; select 2",
        "select 1;;select 2",
        ";select 1;copy t to 'x'",
    ],
    "A22 comments": [
        "/*!50000 select*/ from read_csv('{canary}')",
        "--\nfrom read_csv('{canary}')",
        "/* /* */ from read_csv('{canary}') */ from read_text('{canary}')",
        "select ';' ; from read_csv('{canary}')",
        "select 1\u037e from read_csv('{canary}')",
        "from/**/read_csv/**/('{canary}')",
        "from read_csv\u00a0('{canary}')",
        "select $$;$$; from read_csv('{canary}')",
        "select 1 -- ;\n; from read_csv('{canary}')",
        "select e'\\'; from read_csv(''{canary}'')' from read_text('{canary}')",
    ],
    "A23 parser": [
        "(" * 40_000,
        "select " + "not " * 20_000 + "true",
        "select " + "(" * 20_000 + "1" + ")" * 20_000,
        "select " + "-" * 1 + " -" * 20_000 + "1",
        "select " + "[" * 20_000,
        "select 1" + "+1" * 20_000,
        "select * from (" * 5_000 + "select 1" + ")" * 5_000,
        "select " + "case when true then " * 5_000 + "1" + " end" * 5_000,
    ],
}
CASES = [(name, number) for name, statements in STATEMENTS.items() for number in range(len(statements))]


class Watcher:
    """Sees every opening of a file, also DuckDB's own in C++."""

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = libc.inotify_init1(os.O_NONBLOCK)
        assert libc.inotify_add_watch(self.descriptor, os.fsencode(path), IN_OPEN | IN_ACCESS) >= 0

    def opened(self) -> bool:
        try:
            return bool(os.read(self.descriptor, 4096))
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self.descriptor)


class Fence:
    """A viewer's session, and all that must stay untouched beside it."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.put("orders", {"id": [1, 2, 3]})
        self.session: Session = world.another(variables=None, files=False, limits=Limits(seconds=20))
        self.canary = world.home / "canary.csv"
        self.canary.write_text(f"{CANARY}\n")
        self.watcher = Watcher(self.canary)
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.tried = self.survived = 0

    def attempt(self, text: str) -> str:
        text = text.replace("{canary}", str(self.canary)).replace("{port}", str(self.listener.getsockname()[1]))
        started = time.monotonic()
        try:
            shown = repr(self.session.sql(text))
        except UsageError as error:
            shown = f"{type(error).__name__}: {error}"
        else:
            shown = f"rows: {shown}"
        assert time.monotonic() - started < 2, "it took too long"
        assert CANARY not in shown
        assert not self.watcher.opened(), "the canary was opened"
        assert not select.select([self.listener], [], [], 0)[0], "somebody connected"
        assert sorted(path.name for path in self.world.home.iterdir() if "canary" in path.name) == ["canary.csv"]
        assert self.session.sql("select sum(id) from shop.orders").arrow().to_pylist() == [{"sum(id)": 6}]
        return shown

    def close(self) -> None:
        self.session.close()
        self.watcher.close()
        self.listener.close()


@pytest.fixture(scope="module")
def fence(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Fence]:
    fence = Fence(World(tmp_path_factory.mktemp("fence")))
    yield fence
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\nhostile: tried {fence.tried}, survived {fence.survived}")
    fence.close()


@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_viewers_statement_is_refused_and_touches_nothing(name: str, number: int, fence: Fence) -> None:
    kernel_frame = pa.table({"a": [CANARY]})  # noqa: F841  # what DuckDB would find by itself
    fence.tried += 1
    shown = fence.attempt(STATEMENTS[name][number])
    assert not shown.startswith("rows"), shown
    fence.survived += 1


def test_the_owner_reads_files_by_the_connector_only(world: World) -> None:
    """What is refused for its name is refused for the owner too; a path goes to the files connector."""
    canary = world.home / "canary.csv"
    canary.write_text(f"name\n{CANARY}\n")
    assert world.rows(f"from '{canary}'") == [(CANARY,)]
    assert world.rows(f"select name from read_csv('{canary}') t") == [(CANARY,)]
    for text in (f"from read_text('{canary}')", f"from sniff_csv('{canary}')", f"copy (select 1) to '{canary}'"):
        with pytest.raises(UsageError):
            world.session.sql(text)
    world.variables["kernel_frame"] = pa.table({"a": [1]})
    assert world.rows("from kernel_frame") == [(1,)]


def test_the_engine_itself_is_fenced(world: World) -> None:
    """Behind our own refusals stands DuckDB's fence: a statement that came past them would still get nothing."""
    canary = world.home / "canary.csv"
    canary.write_text(f"{CANARY}\n")
    import duckdb

    kernel_frame = pa.table({"a": [1]})  # noqa: F841
    cursor = world.session._engine.cursor()
    for text in (
        f"from read_csv('{canary}')",
        f"from '{canary}'",
        f"from read_text('{canary}')",
        f"copy (select 1) to '{canary}'",
        f"attach '{canary}'",
        "set enable_external_access = true",
        "set lock_configuration = false",
        "install httpfs",
        "set memory_limit = '100GB'",
        "from kernel_frame",
        f"from glob('{canary}')",
        f"from sniff_csv('{canary}')",
    ):
        with pytest.raises(duckdb.Error):
            cursor.execute(text).fetchall()
    cursor.close()
    assert canary.read_text() == f"{CANARY}\n"


def test_a_fatal_statement_of_the_parser_is_an_error(world: World) -> None:
    with pytest.raises(SqlSyntaxError):
        world.session.sql("select " + "x." * 200_000)
    assert world.rows("select 1") == [(1,)]
