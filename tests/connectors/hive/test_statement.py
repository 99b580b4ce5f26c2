"""What passes as a reading statement, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from workbench.contract.errors import StatementRefused
from workbench_hive.statement import reading, verb

READS = [
    "select 1",
    "SELECT 1;",
    "select 1 ; -- a comment; with a semicolon",
    "  -- first; a comment\n select ';' as a",
    "/* 'one' more */ select 'a;b', \"c;d\", `e;f` from t",
    "select 'it\\'s; drop table t' from t",
    "(select 1) union all (select 2)",
    "with a as (select 1) select * from a",
    "show tables",
    "describe formatted t",
    "explain select 1",
    "explain formatted cbo select 1",
    "explain extended with a as (select 1) select * from a",
    "select /*+ mapjoin(t) */ 1 from t",
    "select 'a\\\\b', \"a'b\" from t",
    "select `insert`, `reflect`, map('a', 1), transform_keys from t",
    "select 'reflect(1)', \"java_method('a')\" from t",
    "select a.reflect, using_it from t a join s b using (id)",
    "select '$', '{x}', `a$b` from t",
]
REFUSED = [
    "",
    "  ",
    "-- nothing",
    ";",
    "select 1; select 2",
    "select 1;;",
    "selct 1",
    "add jar /tmp/x.jar",
    "! ls",
    "!ls",
    "dfs -ls /",
    "set hive.exec.pre.hooks=x",
    "reset",
    "compile `x` as groovy named x.groovy",
    "reload functions",
    "list jars",
    "crypto create_key",
    "insert into t values (1)",
    "insert overwrite directory '/tmp/x' select 1",
    "insert overwrite local directory '/tmp/x' select 1",
    "from t insert into s select 1",
    "from (select transform(a) using 'cat' from t) q",
    "select transform(a) using 'cat' from t",
    "select TRANSFORM (a) USING 'python x.py' AS (b) from t",
    "with a as (select 1) insert into t select * from a",
    "select reflect('java.lang.Runtime', 'exec', 'x')",
    "select `reflect`('java.lang.System', 'exit', 1)",
    "select REFLECT2 ('x', 'y')",
    "select java_method('java.lang.System', 'getenv', 'HOME')",
    "select /* c */ reflect -- d\n('a', 'b')",
    "select in_file('a', '/etc/passwd')",
    "select get_splits('select 1', 1)",
    "select '${env:HOME}'",
    "select 1 -- ${system:user.name}",
    "select `${hiveconf:x}`",
    "explain analyze select 1",
    "explain formatted analyze select 1",
    "explain extended reoptimization select 1",
    "explain formatted analyze drop table t",
    "explain analyze create table s as select 1",
    "explain drop table t",
    "select 1 -- \r, reflect('java.lang.System', 'exit', 1)",
    "select 1 /* a /* b */ ' */ , reflect('a', 'b') -- '",
    """select "\\", reflect('a', 'b') as "\\"" """,
    "merge into t using s on t.a = s.a when matched then delete",
    "update t set a = 1",
    "delete from t",
    "drop table t",
    "create table t as select 1",
    "load data inpath 'x' into table t",
    "export table t to 'x'",
    "msck repair table t",
    "kill query 'x'",
    "use other",
    "select 'unfinished",
    'select "unfinished',
    "select `unfinished",
    "select 1 /* unfinished",
    "select \0 1",
]


@pytest.mark.parametrize("text", READS)
def test_what_reads_passes(text: str) -> None:
    assert not reading(text).endswith(";")


@pytest.mark.parametrize("text", REFUSED)
def test_what_does_more_is_refused(text: str) -> None:
    with pytest.raises(StatementRefused):
        reading(text)


def test_a_near_word_is_offered() -> None:
    with pytest.raises(StatementRefused, match="Did you mean SELECT"):
        reading("selct 1")


def test_the_verb_is_the_first_word() -> None:
    assert verb("-- a\n ( select 1)") == "SELECT"


@given(st.text(st.sampled_from("selct;'\"`-/* \n\\$w{x}"), max_size=30))
def test_any_text_is_one_statement_or_refused(text: str) -> None:
    try:
        found = reading(text)
    except StatementRefused:
        return
    assert "${" not in found
