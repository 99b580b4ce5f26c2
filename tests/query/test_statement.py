"""One text → one statement of a kind that is allowed."""

from __future__ import annotations

import time
from collections.abc import Iterator

import duckdb
import pytest

from workbench.contract.errors import SqlSyntaxError, StatementRefused
from workbench.query.engine import Engine, Limits
from workbench.query.statement import Kind, Statement, parse


@pytest.fixture(scope="module")
def parser() -> Iterator[duckdb.DuckDBPyConnection]:
    engine = Engine(Limits())
    with engine.parser() as parser:
        yield parser
    engine.close()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("select 1", Kind.QUERY),
        ("  -- a comment\n select 1 ;", Kind.QUERY),
        ("from t", Kind.QUERY),
        ("values (1), (2)", Kind.QUERY),
        ("table t", Kind.QUERY),
        ("with x as (select 1) select * from x", Kind.QUERY),
        ("(select 1) union all (select 2)", Kind.QUERY),
        ("describe t", Kind.QUERY),
        ("desc select 1", Kind.QUERY),
        ("summarize t", Kind.QUERY),
        ("pivot t on a using sum(b)", Kind.QUERY),
        ("unpivot t on a, b into name n value v", Kind.QUERY),
        ("explain select 1", Kind.EXPLAIN),
        ("explain analyze select 1", Kind.EXPLAIN),
        ("explain (format json) select 1", Kind.EXPLAIN),
        ("create temp table x as select 1", Kind.CREATE),
        ("CREATE OR REPLACE TEMPORARY TABLE x AS FROM t", Kind.CREATE),
        ("create temp table if not exists x as select 1", Kind.CREATE),
        ("drop table x", Kind.DROP),
        ('drop table if exists "a b"', Kind.DROP),
    ],
)
def test_kinds_that_run(text: str, kind: Kind, parser: duckdb.DuckDBPyConnection) -> None:
    assert parse(text, parser).kind is kind


REFUSED = {
    "insert into t values (1)": "INSERT",
    "update t set a = 1": "UPDATE",
    "delete from t": "DELETE",
    "merge into t using u on t.a = u.a when matched then delete": "MERGE",
    "truncate t": "TRUNCATE",
    "create table t (a int)": "CREATE TABLE",
    "create view v as select 1": "CREATE VIEW",
    "create macro f(a) as a": "CREATE MACRO",
    "create schema s": "CREATE SCHEMA",
    "create sequence s": "CREATE SEQUENCE",
    "create type e as enum ('a')": "CREATE TYPE",
    "create secret (type s3)": "CREATE SECRET",
    "create temp view v as select 1": "CREATE VIEW",
    "create temp table t (a int)": "CREATE TEMP TABLE without AS",
    "create temp table s.t as select 1": "A schema before",
    "drop view v": "DROP VIEW",
    "drop table a.b": "DROP of more",
    "alter table t add column b int": "ALTER",
    "comment on table t is 'x'": "COMMENT",
    "copy t to '/tmp/x'": "COPY",
    "export database '/tmp/x'": "EXPORT",
    "import database '/tmp/x'": "IMPORT",
    "attach '/tmp/x' as y": "ATTACH",
    "detach y": "DETACH",
    "use y": "USE",
    "install httpfs": "INSTALL",
    "load httpfs": "LOAD",
    "set threads = 1": "SET",
    "reset threads": "RESET",
    "pragma version": "PRAGMA",
    "call pragma_version()": "CALL",
    "begin": "BEGIN",
    "commit": "COMMIT",
    "rollback": "ROLLBACK",
    "checkpoint": "CHECKPOINT",
    "vacuum": "VACUUM",
    "analyze": "ANALYZE",
    "prepare p as select 1": "PREPARE",
    "execute p": "EXECUTE",
    "deallocate p": "DEALLOCATE",
    "show tables": "SHOW",
    "explain insert into t values (1)": "INSERT",
    "explain create temp table t as select 1": "EXPLAIN CREATE",
    "select 1; select 2": "A second statement",
    "select 1; drop table x": "A second statement",
    "with a as (insert into t values (1) returning *) select * from a": "INSERT",
    "with a as (delete from t returning *) select * from a": "DELETE",
}


@pytest.mark.parametrize("text", REFUSED)
def test_everything_else_is_refused_by_name_with_a_way_out(text: str, world) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StatementRefused) as refused:
        world.session.sql(text)
    assert refused.value.what.startswith(REFUSED[text])
    assert refused.value.why


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("selec 1", 1, 1),
        ("select 1 from\n  t u v", 2, 7),
        ("select 'é', é from t\n where where", 2, 8),
        ("explain select 1 from from", 1, 23),
        ("create temp table x as\nselect 1 from from", 2, 15),
    ],
)
def test_syntax_errors_have_a_place(text: str, line: int, column: int, parser: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(SqlSyntaxError) as error:
        parse(text, parser)
    assert (error.value.line, error.value.column) == (line, column)


@pytest.mark.parametrize("text", ["", "  ", ";", "-- nothing", "/* nothing */", "/*!50000 select 1 */"])
def test_no_statement(text: str, parser: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(SqlSyntaxError, match="no statement"):
        parse(text, parser)


@pytest.mark.parametrize("text", ["select 1\0", "select '\ud800'", "select " + "1," * 600_000 + "1"])
def test_what_is_no_text(text: str, parser: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(SqlSyntaxError):
        parse(text, parser)


BOMBS = {
    "brackets": "(" * 40_000,
    "brackets around": "select " + "(" * 20_000 + "1" + ")" * 20_000,
    "not": "select " + "not " * 20_000 + "true",
    "minus": "select " + "- " * 20_000 + "1",
    "plus": "select 1" + "+1" * 20_000,
    "cast": "select x" + "::int" * 20_000,
    "subscripts": "select x" + "[1]" * 20_000,
    "is null": "select a" + " is null" * 20_000,
    "case": "select " + "case when true then " * 3_000 + "1" + " end" * 3_000,
    "with": "with a as (" * 300 + "select 1" + ") select 1" * 300,
    "exists": "select 1 where " + "exists (select 1 where " * 390 + "true" + ")" * 390,
    "sub-queries": "select * from (" * 390 + "select 1" + ")" * 390,
    "comment": "/*" * 20_000,
    "quotes": "select " + "'" * 40_001,
    "dollars": "select " + "$a$" * 9_999,
    "unions": "select 1 " + "union all select 1 " * 5_000,
    "joins": "select * from a " + "join a " * 3_000 + "b",
}


@pytest.mark.parametrize("name", BOMBS)
def test_parser_bombs_end_quickly(name: str, parser: duckdb.DuckDBPyConnection) -> None:
    started = time.monotonic()
    outcome: Statement | SqlSyntaxError
    try:
        outcome = parse(BOMBS[name], parser)
    except SqlSyntaxError as error:
        outcome = error
    assert isinstance(outcome, Statement) or len(str(outcome)) < 1_000
    assert time.monotonic() - started < 2
