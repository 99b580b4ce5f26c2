"""The command against a real server: a query that is stopped, in whatever way, is gone there within two seconds."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.cli.conftest import Command
from tests.services.mysql.server import Server

# Some 10^18 rows: it runs until it is stopped. Native text, so that nothing of it is done on our side.
SLOW = "select count(*) from {seq} a, {seq} b, {seq} c where a.n + b.n * c.n = 3"


@pytest.fixture(scope="module")
def table(mariadb: Server) -> Iterator[str]:
    mariadb.execute(
        "create or replace table shop.cli_numbers as "
        "with recursive t(n) as (select 1 union all select n + 1 from t where n < 1000) "
        "select a.n * 1000 + b.n as n from t a, t b"
    )
    yield "cli_numbers"
    mariadb.execute("set session lock_wait_timeout = 10", "drop table shop.cli_numbers")


@pytest.fixture
def connected(command: Command, environment: dict[str, str], mariadb: Server) -> Server:
    environment["SHOP_PASSWORD"] = mariadb.password
    done = command("connect", "my", mariadb.url("reader"), "--secret", "env:SHOP_PASSWORD")
    assert "It answers: MariaDB" in done.stdout
    return mariadb


def ours(server: Server) -> list[str]:
    return [text for _, _, text in server.running() if "cli_numbers" in text]


Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def slow(
    connected: Server,
    table: str,
    environment: dict[str, str],
    workbench_script: list[str],
    eventually: Callable[..., object],
) -> Iterator[Start]:
    """Starts the slow query in a process of its own, and returns when the server works on it."""
    children: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        words = [*workbench_script, "sql", "--native", "my", SLOW.format(seq=table)]
        children.append(
            subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        eventually(lambda: ours(connected), within=60)
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.communicate()


def test_a_query(command: Command, connected: Server, table: str) -> None:
    done = command("sql", f"select count(*) n, max(n) m from my.{table} where n <= 1500", "--format", "csv")
    assert done.stdout == '"n","m"\n500,1500\n'
    assert table in command("connections", "my", "--like", "cli%").stdout
    assert "bigint" in command("connections", "my", "--table", table).stdout
    assert f"Did you mean `my.{table}`" in command("sql", f"from my.{table[:-1]}", code=1).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_command_ends_the_query(
    slow: Start, connected: Server, eventually: Callable[..., object], number: signal.Signals
) -> None:
    child = slow()
    child.send_signal(number)
    eventually(lambda: not ours(connected), within=2)
    _, errors = child.communicate(timeout=20)
    assert "Traceback" not in errors
    if number is not signal.SIGKILL:
        assert child.returncode == 130
        assert errors.endswith("workbench sql: stopped.\n")


def test_stopped_from_another_process(
    slow: Start, command: Command, connected: Server, eventually: Callable[..., object]
) -> None:
    child = slow()
    run = json.loads(command("running", "--json").stdout)
    assert run["natives"][0]["connection"] == "my"
    command("running", "--stop", run["id"])
    eventually(lambda: not ours(connected), within=2)
    _, errors = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "stopped" in errors


def test_a_wrong_password(command: Command, connected: Server) -> None:
    done = command("connect", "bad", connected.url("reader"), "--secret", "-", code=1, stdin="k4n4ry")
    assert "did not let `reader` in" in done.stderr
    assert "k4n4ry" not in done.stdout + done.stderr
    done = command("connections", "bad", "--test", code=1)
    assert "did not let `reader` in" in done.stderr
