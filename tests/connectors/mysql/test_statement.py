"""What passes as a reading statement, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from workbench.contract.errors import StatementRefused
from workbench_mysql.statement import READING, reading, single, verb

READS = [
    "select 1",
    "SELECT 1;",
    "  /* a comment; with 'quotes' */ select ';' -- and; this",
    "select 'a;b', \"c;d\", `e;f` from t",
    "select 'it''s', 'back\\'slash; drop table t' from t",
    "(select 1) union (select 2)",
    "with a as (select 1) select * from a",
    "with a as (select replace('x', 'y', 'z')) select replace(x, 1, 2), insert('a', 1, 1, 'b') from a",
    "show full processlist",
    "describe t",
    "desc t",
    "explain delete from t",
    "explain analyze select 1",
    "values row(1)",
    "table t",
    "select `into` from t",
    "select 5--3",
    "select /*+ NO_INDEX_MERGE(t) */ 1",
    "# first\nselect 1",
    "select 'load_file(1)', \"get_lock(1)\" from t",
    "select `get_lock`, load_file from `release_lock`",
    "select is_free_lock('x'), sleep(0), shop.get_lock(1)",
]
REFUSED = [
    "selct 1",
    "",
    "   ",
    "-- nothing",
    ";",
    "select 1; drop table t",
    "select 1; select 2",
    "select 1;;",
    "insert into t values (1)",
    "update t set a = 1",
    "delete from t",
    "drop table t",
    "set session transaction read write",
    "call p()",
    "do sleep(1)",
    "handler t open",
    "analyze table t",
    "execute immediate 'drop table t'",
    "prepare p from 'drop table t'",
    "begin not atomic drop table t; end",
    "set statement max_statement_time = 0 for select 1",
    "load data local infile 'x' into table t",
    "/*!50000 drop table t */",
    "select /*!50000 1 into outfile '/tmp/x' */",
    "select /*M!100000 1 */",
    "/*! select */ 1",
    "select 1 into outfile '/tmp/x'",
    "select 1 INTO\tDUMPFILE '/tmp/x'",
    "select 1.5into outfile '/tmp/x'",
    "select 1.5e3into outfile '/tmp/x'",
    "select 'a'into outfile '/tmp/x'",
    "select 1 into @a",
    "table t into outfile '/tmp/x'",
    "select * from t for update",
    "select * from t for/**/share",
    "select * from t lock in share mode",
    "select * from t where a = 1.5for update",
    "select * from t where a = 1.5lock in share mode",
    "select load_file('/etc/passwd')",
    "select LOAD_FILE /* x */ ('/etc/passwd')",
    "select `load_file`('/etc/passwd')",
    "select get_lock('a', 1)",
    "select 1 from t where release_lock ('a')",
    "select release_all_locks()",
    "select group_replication_set_as_primary('x')",
    "with a as (select 1) delete from t",
    "with a as (select 1) update t set x = 1",
    "explain analyze delete from t",
    "explain analyze update t, u set t.a = 1",
    "select /*+ SET_VAR(sql_mode='') */ 1",
    "select /*+ max_execution_time(0) */ 1",
    "select 'not closed",
    "select `not closed",
    "select /* not closed",
    "select 1 \0 drop",
    "select 1\u037e drop table t\u037e;x",
    "update/**/t set a = 1",
    "sel/**/ect 1",
]


@pytest.mark.parametrize("text", READS)
def test_it_reads(text: str) -> None:
    assert verb(reading(text)) in READING


@pytest.mark.parametrize("text", REFUSED)
def test_it_is_refused(text: str) -> None:
    with pytest.raises(StatementRefused) as caught:
        reading(text)
    assert caught.value.why


@pytest.mark.parametrize(
    ("text", "kept"),
    [("select 1;", "select 1"), ("select 1 ; -- done", "select 1"), ("insert into t values (1);", None)],
)
def test_one_semicolon_at_the_end_is_left_out(text: str, kept: str | None) -> None:
    assert single(text).strip() == (kept or text.rstrip(";"))


@given(st.text(alphabet="select 1'\"`/*!-#;\\\n()into", max_size=60))
def test_whatever_passes_is_one_statement_that_begins_with_a_reading_word(text: str) -> None:
    try:
        passed = reading(text)
    except StatementRefused:
        return
    assert verb(passed) in READING
    assert "/*!" not in passed or any(quote in passed for quote in "'\"`-#")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("selct 1", "`SELCT`.*Did you mean SELECT"),
        ("shwo tables", "`SHWO`.*Did you mean SHOW"),
        ("xyzzy", "`XYZZY`.*SELECT, SHOW, DESCRIBE, EXPLAIN"),
        ("'text'", "`this`.*SELECT, SHOW"),
    ],
)
def test_a_word_that_begins_no_statement_is_no_matter_of_writing(text: str, told: str) -> None:
    with pytest.raises(StatementRefused, match=told) as caught:
        reading(text)
    assert "writable" not in str(caught.value)
    with pytest.raises(StatementRefused, match="writable=True"):
        reading("insert into t values (1)")
