"""SQL cells, and what is shown when one fails."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Callable

import pytest
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

from workbench.contract.errors import (
    QueryFailed,
    SqlSyntaxError,
    UnknownTable,
    UnknownVariable,
    UsageError,
    WorkbenchError,
)
from workbench.query.execution import Progress
from workbench.query.result import Result

Run = Callable[[str], ExecutionResult]


@pytest.fixture
def run(shell: InteractiveShell) -> Run:
    return lambda cell: shell.run_cell(cell)


def failed(result: ExecutionResult, capsys: pytest.CaptureFixture[str]) -> tuple[BaseException | None, str]:
    """The error of the cell, and what was shown of it without colours."""
    return result.error_in_exec, re.sub(r"\x1b\[[0-9;]*m", "", "".join(capsys.readouterr()))


def test_a_cell_shows_its_rows(run: Run) -> None:
    result = run("%%sql\nselect country, count(*) as n from shop.customers group by 1 order by n desc limit 3")
    assert isinstance(result.result, Result)
    assert result.result.arrow().column_names == ["country", "n"]
    assert len(result.result) == 3


def test_a_named_cell_shows_nothing_and_keeps_its_result(run: Run, shell: InteractiveShell) -> None:
    assert run("%%sql top <<\nselect 1 as one").result is None
    assert shell.user_ns["top"].arrow().to_pylist() == [{"one": 1}]
    assert run("%%sql\nselect one + 1 as two from top").result.arrow().to_pylist() == [{"two": 2}]


def test_values_are_bound_and_nothing_is_pasted(run: Run) -> None:
    run('name = "\' or 1=1 --"; n = 3; __ = 0')
    assert run("%sql select $n + 1 as x, '{n}' as y, '$n' as z").result.arrow().to_pylist() == [
        {"x": 4, "y": "{n}", "z": "$n"}
    ]
    assert len(run("%%sql\nselect * from shop.customers where name = $name").result) == 0


def test_a_line_is_an_expression(run: Run) -> None:
    assert run("r = %sql select 42 as answer\nr.arrow().to_pylist()").result == [{"answer": 42}]


def test_sql_may_begin_in_the_first_line(run: Run) -> None:
    assert run("%%sql select 1\n+ 1 as two").result.arrow().to_pylist() == [{"two": 2}]


def test_native_text_goes_to_the_source(run: Run) -> None:
    result = run("%%sql --native shop\nselect table_name from duckdb_tables() order by 1").result
    assert [row["table_name"] for row in result.arrow().to_pylist()] == ["customers", "items", "orders"]


def test_explain_runs_nothing(run: Run, shell: InteractiveShell) -> None:
    shown = run("%%sql kept << --explain\nselect total from shop.orders where total > 100").result
    assert "EXACT" in str(shown)
    assert not shell.user_ns["kept"].running
    assert "planned" in str(shell.user_ns["kept"].explain())


def test_rows_and_help(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("%%sql --rows 2\nselect * from shop.items").result is None
    assert "first 2 of 1,000 rows" in capsys.readouterr().out
    for cell in ("%sql --help", "%sql", "%%sql --help\nselect 1"):
        run(cell)
        assert "--native CONNECTION" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("cell", "kind", "shown"),
    [
        (
            "%%sql\nselect a,,b\nfrom shop.orders",
            SqlSyntaxError,
            r"SqlSyntaxError: .*\(line 1, column 10\)\n\n    select a,,b\n             \^\n",
        ),
        (
            "%%sql\nselect 1\nfrom shop.ordrs",
            UnknownTable,
            r"(?s)UnknownTable: .*Did you mean `shop\.orders`.*\n\n    from shop\.ordrs\n         \^\n",
        ),
        ("%%sql\nselect $nope", UnknownVariable, r"UnknownVariable: No variable `nope`"),
        ("%%sql\nselect cast('x' as int) as x", QueryFailed, r"QueryFailed: .*\n\n    select cast.*\n +\^\n"),
        ("%%sql --limt 5\nselect 1", UsageError, r"UsageError: `%%sql` has no option `--limt`"),
        ("%%sql\n\n", UsageError, r"UsageError: There is no SQL in this cell"),
        (
            "import workbench as wb\nx = 1\nwb.sql('selec 1')",
            SqlSyntaxError,
            r"(?s)SqlSyntaxError: .*\n    selec 1\n    \^\n\nLine 3 of the cell: wb\.sql\('selec 1'\)\n$",
        ),
        (
            "import workbench as wb\nwb.sql(\"select cast('x' as int)\")",
            QueryFailed,
            r"QueryFailed: ",
        ),
    ],
)
def test_an_error_is_a_paragraph(
    run: Run, capsys: pytest.CaptureFixture[str], cell: str, kind: type[Exception], shown: str
) -> None:
    error, text = failed(run(cell), capsys)
    assert isinstance(error, kind)
    assert re.search(shown, text), text
    assert "Traceback" not in text
    assert len(text.strip().splitlines()) <= 7


def test_an_error_is_broken_between_words(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    _, text = failed(run("%%sql\nselect 1 from shop.ordrs"), capsys)
    first, second, *_ = text.splitlines()
    assert len(first) <= 90
    assert second.startswith("`shop.")


@pytest.mark.parametrize(
    "call", ["'mysql://u:canary@h/db'", "'mysql://u@h/db', secret='canary'", "'mysql://u@h/db', password='canary'"]
)
def test_a_secret_in_the_cell_is_not_in_its_output(run: Run, capsys: pytest.CaptureFixture[str], call: str) -> None:
    error, text = failed(run(f"import workbench as wb\nwb.connect('bad', {call})"), capsys)
    assert isinstance(error, WorkbenchError)
    assert "canary" not in text
    assert text.endswith("Line 2 of the cell.\n")


def test_an_error_while_rows_come_is_the_cells_error(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    error, _ = failed(run("import workbench as wb\nwb.sql('select name::int from shop.customers')"), capsys)
    assert isinstance(error, QueryFailed), "a failing result must stop the notebook"


def test_other_errors_are_shown_as_ever(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    error, text = failed(run("1 / 0"), capsys)
    assert isinstance(error, ZeroDivisionError)
    assert "Traceback" in text


def test_a_semicolon_shows_nothing_and_waits_for_nothing(shell: InteractiveShell) -> None:
    shell.run_cell("import workbench as wb\nlazy = wb.sql('select 1 as x')\nlazy;", store_history=True)
    assert "planned" in str(shell.user_ns["lazy"].explain())


def test_loading_twice_is_once_and_unloading_takes_all_back(shell: InteractiveShell, run: Run) -> None:
    from workbench import load_ipython_extension, unload_ipython_extension

    matchers, hook = len(shell.Completer.custom_matchers), shell.display_trap.hook
    load_ipython_extension(shell)
    assert (len(shell.Completer.custom_matchers), shell.display_trap.hook) == (matchers, hook)
    unload_ipython_extension(shell)
    assert shell.display_trap.hook is hook.inner
    assert len(shell.Completer.custom_matchers) == matchers - 1
    assert shell.find_cell_magic("sql") is None
    assert not hasattr(UsageError, "_render_traceback_")
    load_ipython_extension(shell)
    assert run("%sql select 1").success


def test_progress_is_a_line(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.notebook.showing import ProgressLine, described

    assert described(Progress(3.24, 1234567, 45_200_000, 0.611), ["shop", "web"]) == (
        "1,234,567 rows · 45.2 MB · 61 % · 3.2 s · from shop, web"
    )
    assert described(Progress(1.0, 0, 0, None, True), []) == "0 rows · 1.0 s"
    working = Progress(12.0, 0, 0, 0.25, said="Map 1 3/10")
    assert described(working, ["lake"]) == "0 rows · 25 % · 12.0 s · from lake · Map 1 3/10"
    written: list[str] = []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "write", written.append)
    line = ProgressLine(shell, lambda: ["shop"])
    line(Progress(1.1, 10, 0, None))
    line(Progress(1.15, 11, 0, None))
    line(Progress(2.0, 20, 0, 1.0, True))
    assert written == ["\r\x1b[2K10 rows · 1.1 s · from shop", "\r\x1b[2K"]


def test_the_line_of_progress_goes_when_a_report_is_shown(
    shell: InteractiveShell, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.query.execution.PROGRESS_AFTER", 0.0)
    monkeypatch.setattr(shell, "kernel", object(), raising=False)
    shown: list[str] = []
    last: dict[str, str] = {}

    def publish(data: dict[str, str], transient: dict[str, str], **_: object) -> None:
        shown.append(data["text/plain"])
        last[transient["display_id"]] = data["text/plain"]

    monkeypatch.setattr(shell.display_pub, "publish", publish)
    cell = "import workbench as wb\nevents = wb.reports.Events('web.events', preset='shop')\n"
    assert run(cell + "wb.reports.Overview(period='all', where={'country': 'DE'}).on(events)").success
    assert len(shown) > 1, "there was one"
    assert list(last.values()) == [""], "of several statements nothing is left either"
    last.clear()
    error = run("wb.reports.Overview(where={'planet': 'Mars'}).on(events)").error_in_exec
    assert isinstance(error, WorkbenchError), "and what went wrong is the cell's error"


def test_the_line_of_progress_does_not_end_what_it_tells_of(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "write", written.append)

    def locked() -> list[str]:
        raise sqlite3.OperationalError("database is locked")

    from workbench.notebook.showing import ProgressLine

    ProgressLine(shell, locked)(Progress(2.1, 10, 0, None))
    assert written == ["\r\x1b[2K10 rows · 2.1 s"]
