"""Each verb as a process: what it prints where, and its exit code."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Command
from tests.services.process import free_port
from workbench.cli import VERBS


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The error: one line on stderr and nothing on stdout."""
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_help_teaches(command: Command) -> None:
    text = command("--help").stdout
    assert all(verb in text for verb in VERBS)
    assert command("--version").stdout.startswith("Analytics Workbench ")
    assert "lab" in command(code=2).stdout
    assert "Did you mean `sql`?" in one_line(command("sqll", code=2))


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_each_verb_has_examples_and_loads_no_other(verb: str, environment: dict[str, str]) -> None:
    program = f"""
import sys
from workbench.cli import main
try:
    main([{verb!r}, "--help"])
except SystemExit as exit:
    assert exit.code == 0
heavy = {{"pyarrow", "duckdb", "polars", "pandas", "jupyterlab", "keyring", "plotly"}}
loaded = {{name for name in sys.modules if name.startswith("workbench.cli.")}} | (heavy & set(sys.modules))
print(sorted(loaded), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert "examples:\n  workbench " in done.stdout
    assert done.stderr.strip() == str([f"workbench.cli.{verb}"])


def test_also_as_a_command_of_jupyter(command: Command, workbench_script: list[str]) -> None:
    script = workbench_script[0].removesuffix("workbench") + "jupyter-workbench"
    text = command("sql", "--help", script=[script]).stdout
    assert "jupyter workbench sql " in text


# ---- sql


def test_formats(command: Command, shop: Path, tmp_path: Path) -> None:
    query = "select item_id, name, price, added, active, brand from shop.items order by item_id"
    table = command("sql", query).stdout
    assert table.splitlines()[0].split() == ["item_id", "name", "price", "added", "active", "brand"]
    assert re.search(r"\(first 50 rows( of 1,000|, and there are more); --rows 0 shows all\)\n$", table)
    assert len(command("sql", query, "--rows", "0").stdout.splitlines()) == 1003
    rows = list(csv.DictReader(io.StringIO(command("sql", query, "--format", "csv").stdout)))
    assert len(rows) == 1000
    objects = [json.loads(line) for line in command("sql", query, "--format", "json").stdout.splitlines()]
    assert [one["name"] for one in objects] == [row["name"] for row in rows]
    command("sql", query, "--output", tmp_path / "items.parquet")
    command("sql", query, "--format", "parquet", "--output", tmp_path / "items.data")
    for name in ("items.parquet", "items.data"):
        assert pq.read_table(tmp_path / name)["name"].to_pylist() == [row["name"] for row in rows]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_formulas_in_csv_are_harmless_in_a_spreadsheet(command: Command, tmp_path: Path) -> None:
    query = """select * from (values ('=1+1', 1, -5), ('+a', 2, 5), ('@SUM(A1)', 3, 5), (' -x', 4, 5), ('-5', 5, 5),
        ('plain', 6, 5), (null, 7, 5)) t("=name", n, "@n") order by n"""
    shown = list(csv.reader(io.StringIO(command("sql", query, "--format", "csv").stdout)))
    assert shown[0] == ["'=name", "n", "'@n"]
    assert [row[0] for row in shown[1:]] == ["'=1+1", "'+a", "'@SUM(A1)", "' -x", "-5", "plain", ""]
    assert shown[1][1:] == ["1", "-5"]
    command("sql", query, "--output", tmp_path / "guarded.csv")
    assert list(csv.reader(io.StringIO((tmp_path / "guarded.csv").read_text()))) == shown
    plain = list(csv.reader(io.StringIO(command("sql", query, "--format", "csv", "--as-is").stdout)))
    assert [row[0] for row in plain] == ["=name", "=1+1", "+a", "@SUM(A1)", " -x", "-5", "plain", ""]
    lines = command("sql", query, "--format", "json").stdout.splitlines()
    assert json.loads(lines[0]) == {"=name": "=1+1", "n": 1, "@n": -5}


def test_two_stores_in_one_statement(command: Command, shop: Path) -> None:
    query = "select count(*) as n from web.events e join shop.orders o using (order_id) where o.total = e.value"
    purchases = command("sql", "select count(*) as n from web.events where event_name = 'purchase'", "--format", "csv")
    assert command("sql", query, "--format", "csv").stdout == purchases.stdout


def test_values_are_bound_never_pasted(command: Command, shop: Path) -> None:
    def count(*values: str) -> str:
        query = "select count(*) n from shop.customers where country = $c or customer_id = $i"
        return command("sql", query, "--format", "csv", *values).stdout.splitlines()[1]

    assert int(count("--set", "c=DE", "--set", "i=null")) > 10
    assert count("--set", "c=' or 1=1 --", "-s", "i=1") == "1"
    assert "NAME=VALUE" in one_line(command("sql", "select $c", "--set", "c", code=1))


def test_from_standard_input_and_explained(command: Command, shop: Path) -> None:
    query = "select country from shop.customers where customer_id = 7"
    assert "(1 row)" in command("sql", "-", stdin=query).stdout
    explained = command("sql", "--explain", query).stdout
    assert "EXACT" in explained
    assert "shop" in explained


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("selec 1", "selec"),
        ("from shop.ordrs", "Did you mean `shop.orders`"),
        ("from shp.orders", "Did you mean `shop`"),
        ("select 1; drop table x", ""),
        ("attach 'x.db'", ""),
        ("select nosuch from shop.orders", "nosuch"),
        ("", ""),
    ],
)
def test_errors_are_one_line(command: Command, shop: Path, query: str, said: str) -> None:
    assert said in one_line(command("sql", query, code=1))


def test_debug_shows_where(command: Command) -> None:
    assert "Traceback" in command("sql", "selec 1", "--debug", code=1).stderr


def test_a_reader_that_has_enough(command: Command, shop: Path, environment: dict[str, str]) -> None:
    line = f"{sys.executable} -m workbench.cli sql 'from web.events' --format csv | head -n 3"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 3


def test_output_that_fails_leaves_the_old_file(command: Command, shop: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.csv"
    target.write_text("old")
    query = "select case when event_id < 20000 then 1 else error('late') end from web.events"
    assert "late" in one_line(command("sql", query, "--output", target, code=1))
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if "x.csv" in path.name] == ["x.csv"]
    nowhere = tmp_path / "no" / "x.csv"
    said = one_line(command("sql", "select 1", "--output", nowhere, code=1))
    assert f"Cannot write `{nowhere}`: No such file or directory." in said
    assert "suffix" in one_line(command("sql", "select 1", "--output", tmp_path / "x.exe", code=1))


def test_cells_do_not_command_the_terminal(command: Command) -> None:
    shown = command("sql", "select chr(27) || '[2J' as x, chr(10) as y, null as z, [1, 2] as l").stdout
    assert "\x1b" not in shown
    assert "NULL" in shown
    assert "[1, 2]" in shown


def test_a_terminal_that_has_not_all_letters(command: Command, environment: dict[str, str]) -> None:
    words = [sys.executable, "-m", "workbench.cli", "sql", "select 'ü🦆' as d"]
    env = {**environment, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=True)
    assert "\\xfc\\U0001f986" in done.stdout


SLOW = "select count(*) from range(1000000) a(x), range(1000000) b(y) where hash(x, y) % 7 = 3"


def on_a_terminal(words: list[str], environment: dict[str, str], until: Callable[[str], bool]) -> tuple[str, int]:
    """What is written to a terminal on stderr until `until`; then Ctrl-C. The rest too, and the exit code."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=theirs, start_new_session=True)
    os.close(theirs)
    watchdog = threading.Timer(60, child.kill)
    watchdog.start()
    seen = ""
    try:
        while True:
            try:
                data = os.read(ours, 4096)
            except OSError:  # the other side is closed: the child has ended
                break
            if not data:
                break
            seen += data.decode()
            if until(seen):
                child.send_signal(signal.SIGINT)
                until = lambda text: False  # noqa: E731
        return seen, child.wait()
    finally:
        watchdog.cancel()
        os.close(ours)


def test_progress_on_a_terminal_and_ctrl_c(workbench_script: list[str], environment: dict[str, str]) -> None:
    seen, code = on_a_terminal([*workbench_script, "sql", SLOW], environment, lambda text: "Ctrl-C stops it" in text)
    assert "rows" in seen
    assert seen.rstrip().endswith("workbench sql: stopped.")
    assert "Traceback" not in seen
    assert code == 130


# ---- connect, connections


def test_connect_and_look(command: Command, shop: Path) -> None:
    listed = command("connections").stdout
    assert "shop" in listed
    assert "web" in listed
    assert "orders" in command("connections", "shop").stdout
    assert "orders" not in command("connections", "shop", "--like", "cust%").stdout
    assert "decimal128(12, 2)" in command("connections", "shop", "--table", "orders").stdout
    assert "shop: DuckDB" in command("connections", "--test").stdout
    assert "forgotten" in command("connections", "web", "--remove").stdout
    assert "Did you mean" in one_line(command("connections", "shp", code=1))
    assert "web" not in command("connections").stdout


@pytest.mark.parametrize("url", ["mysql://root:k4n4ry@h/d", "mysql://h/d?password=k4n4ry", "duckdb:///k4n4ry"])
def test_secrets_in_a_url_are_refused_and_not_repeated(command: Command, url: str) -> None:
    assert "k4n4ry" not in one_line(command("connect", "x", url, code=1))
    assert "k4n4ry" not in command("connect", "x", url, "--debug", code=1).stderr


def test_secrets(command: Command, tmp_path: Path) -> None:
    url = f"mysql://u@127.0.0.1:{free_port()}/d"
    assert "k4n4ry" not in one_line(command("connect", "x", url, "--secret", "k4n4ry", code=1))
    assert "env:NAME" in command("connect", "x", url, code=1).stderr, "nobody can be asked"
    assert "$PASSWORD" in command("connect", "x", url, "--secret", "env:PASSWORD", "--no-test").stdout
    done = command("connect", "y", url, "--secret", "-", "--no-test", stdin="k4n4ry\nrest\n")
    assert "k4n4ry" not in done.stdout + done.stderr
    (kept,) = (tmp_path / "workbench" / "secrets").iterdir()
    assert kept.read_text() == "k4n4ry"
    done = command("connect", "z", url, "--secret", "-", code=1, stdin="k4n4ry")
    assert "It is saved, but does not work yet" in done.stderr
    assert "z" in command("connections").stdout


# ---- running, demo


def test_nothing_runs(command: Command) -> None:
    assert command("running").stdout == "nothing runs\n"
    assert command("running", "--json").stdout == ""
    assert "nosuchrun" in one_line(command("running", "--stop", "nosuchrun", code=1))


def test_a_run_is_seen_and_stopped_from_another_process(
    command: Command, environment: dict[str, str], workbench_script: list[str], eventually: Callable[..., object]
) -> None:
    child = subprocess.Popen(
        [*workbench_script, "sql", SLOW], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        found = eventually(lambda: command("running", "--json").stdout, within=20)
        run = json.loads(str(found))
        assert run["pid"] == child.pid
        assert "range(1000000)" in run["title"]
        assert run["id"] in command("running").stdout
        assert "is stopped" in command("running", "--stop", run["id"][:8]).stdout
        _, errors = child.communicate(timeout=20)
        assert "stopped" in errors
        assert child.returncode == 130
    finally:
        child.kill()
        child.wait()
    assert command("running").stdout == "nothing runs\n"
    assert "stopped" in command("running", "--all").stdout


def test_demo(command: Command, tmp_path: Path) -> None:
    assert "Connected: shop, web" in command("demo", "--scale", "0.01").stdout
    assert "Connected: shop, web" in command("demo", "--scale", "0.01").stdout
    assert "3000" in command("sql", "select count(*) from shop.orders").stdout
    file = tmp_path / "clicks.jsonl"
    assert "40 events" in command("demo", "--live", "--rate", "400", "--events", "40", "--to", file).stdout
    assert len(file.read_text().splitlines()) == 40
    assert "event_name" in command("sql", f"from '{file}' limit 1").stdout
    assert "--scale" in one_line(command("demo", "--scale", "0", code=1))


def test_live_events_until_ctrl_c(
    environment: dict[str, str], workbench_script: list[str], tmp_path: Path, eventually: Callable[..., object]
) -> None:
    file = tmp_path / "live.jsonl"
    child = subprocess.Popen(
        [*workbench_script, "demo", "--live", "--rate", "100", "--to", str(file)], env=environment,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        eventually(lambda: file.exists() and file.read_text().count("\n") > 20, within=20)
        child.send_signal(signal.SIGINT)
        said, _ = child.communicate(timeout=20)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 0
    assert f"{len(file.read_text().splitlines()):,} events written" in said
    assert all(json.loads(line)["ts"] for line in file.read_text().splitlines())


def test_what_is_no_number_and_no_id_is_refused(command: Command) -> None:
    for rows in ("-5", "x", "1.5", ""):
        assert "no number of rows" in command("sql", "select 1", f"--rows={rows}", code=2).stderr
    assert "takes the id of a run" in one_line(command("running", "--stop", "", code=1))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_no_mistake_of_ours(
    workbench_script: list[str], environment: dict[str, str], command: Command, tmp_path: Path
) -> None:
    for form in ("csv", "json", "table", "parquet"):
        with open("/dev/full", "wb") as full:
            words = [*workbench_script, "sql", "select 1 as a", "--format", form]
            done = subprocess.run(words, env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, "workbench sql: No space left on device.\n")
    said = one_line(command("sql", "select 1 as a", "--output", "/dev/full", "--format", "csv", code=1))
    assert said == "workbench sql: Cannot write `/dev/full`: No space left on device.\n"
    for form in ("csv", "table"):
        (tmp_path / "old").write_text("old")
        assert "is a folder" in one_line(command("sql", "select 1", "-o", tmp_path, "--format", form, code=1))
