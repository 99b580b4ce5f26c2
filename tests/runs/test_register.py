from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.runs.waiting import until
from workbench.contract.errors import DocumentError, InvalidParameter, UnknownRun
from workbench.runs import Process, Register
from workbench.runs.register import FOREIGN_SECONDS, KEPT


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "runs.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def register(path: Path, clock: Clock):
    register = Register(path, clock)
    yield register
    register.close()


def test_a_run_from_begin_to_end(register: Register, clock: Clock) -> None:
    run = register.begin("query", "select 1")
    assert re.fullmatch("[a-z0-9]{12}", run.id)
    assert run.mark(3) == f"wb-{run.id}-3"
    run.native_started("shop", f"17 {run.mark(0)}")
    clock.now += 1
    run.native_started("crm", f"4 {run.mark(1)}")

    (info,) = register.runs()
    assert (info.id, info.kind, info.title, info.state, info.ended) == (run.id, "query", "select 1", "running", None)
    assert info.pid == os.getpid()
    assert info.process_started == Process.current().started != ""
    assert [(n.connection, n.since - info.started) for n in info.natives] == [("shop", 0.0), ("crm", 1.0)]
    assert register.natives(run.id) == info.natives

    run.native_ended("shop", f"17 {run.mark(0)}")
    run.native_ended("crm", f"4 {run.mark(1)}")
    run.progress(10, 100, 0.5)
    run.finish("done")
    assert register.runs() == []
    info = register.get(run.id)
    assert (info.state, info.rows, info.bytes, info.fraction, info.ended) == ("done", 10, 100, 0.5, clock.now)
    assert register.runs(active=False) == [info]


def test_progress_is_written_at_most_every_200_ms_and_at_the_end(register: Register, clock: Clock) -> None:
    run = register.begin("query", "q")
    run.progress(0, 5)
    assert register.get(run.id).bytes == 0
    clock.now += 0.25
    run.progress(1, 10)
    assert register.get(run.id).rows == 1
    for rows in range(2, 100):
        run.progress(rows, rows * 10)
    assert register.get(run.id).rows == 1
    clock.now += 0.25
    run.progress(100, 1000)
    assert register.get(run.id).rows == 100
    run.progress(101, 1010)
    run.finish("failed", "it broke")
    info = register.get(run.id)
    assert (info.rows, info.bytes, info.state, info.error) == (101, 1010, "failed", "it broke")


def test_progress_does_not_wait_for_another_writer(register: Register, path: Path, clock: Clock) -> None:
    run = register.begin("query", "q")
    clock.now += 0.25
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    began = time.monotonic()
    run.progress(7, 70)
    assert time.monotonic() - began < 1
    other.execute("rollback")
    other.close()
    run.progress(8, 80)  # nothing was written, so no 200 ms have to pass
    assert register.get(run.id).rows == 8


def test_the_first_finish_counts_and_states_are_checked(register: Register) -> None:
    run = register.begin("query", "q")
    with pytest.raises(InvalidParameter, match="`lost`"):
        run.finish("lost")
    run.finish("stopped")
    run.finish("failed", "late")
    assert (register.get(run.id).state, register.get(run.id).error) == ("stopped", "")


def test_a_stop_request_is_seen_by_the_owner_and_no_run_that_is_over_takes_one(register: Register, path: Path) -> None:
    elsewhere = Register(path)
    run, other = register.begin("query", "a"), register.begin("query", "b")
    assert not run.stop_requested()
    elsewhere.request_stop(run.id)
    assert run.stop_requested()
    assert not other.stop_requested()
    assert register.get(run.id).state == "stopping"
    assert register.stopping() == {run.id}
    run.finish("stopped")
    assert run.stop_requested()
    elsewhere.request_stop(run.id)
    assert register.get(run.id).state == "stopped"
    elsewhere.close()


def test_an_unknown_run_is_named_and_a_near_one_offered(register: Register) -> None:
    run = register.begin("query", "q")
    with pytest.raises(UnknownRun, match=f"Did you mean `{run.id}`"):
        register.get(run.id[:-1] + "_")
    with pytest.raises(UnknownRun):
        register.request_stop("nobody")


def test_file_and_folder_are_private(register: Register, path: Path) -> None:
    before = os.umask(0)
    try:
        register.begin("query", "q")
    finally:
        os.umask(before)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_register_of_an_older_version_is_brought_up_to_date(register: Register, path: Path) -> None:
    run = register.begin("query", "q")
    register.close()
    db = sqlite3.connect(path)
    db.execute("drop table engines")
    db.execute("alter table runs drop column statement")
    db.execute("alter table runs drop column connections")
    db.execute("pragma user_version = 1")
    db.close()
    assert register.engine(run.id) is None
    register.engine_started("127.0.0.1:9", "t")
    found = register.engine(run.id)
    assert found is not None
    assert (found.address, found.token) == ("127.0.0.1:9", "t")


def test_a_newer_register_is_refused(register: Register, path: Path) -> None:
    register.begin("query", "q")
    register.close()
    db = sqlite3.connect(path)
    db.execute("pragma user_version = 99")
    db.close()
    with pytest.raises(DocumentError, match=r"runs\.db is of version 99, and this program knows up to 3"):
        register.runs()


def test_a_file_that_is_no_register_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(DocumentError, match=r"cannot be used.*move it away, and a new one is made"):
        Register(path).begin("query", "q")


def test_old_runs_that_are_over_are_dropped_and_unfinished_ones_kept(register: Register, clock: Clock) -> None:
    old = register.begin("query", "old but running")
    first = register.begin("query", "first")
    first.finish("done")
    left = register.begin("query", "its work may still run")
    left.native_started("shop", "1 " + left.mark(0))
    left.finish("failed")
    for _ in range(KEPT):
        clock.now += 1
        register.begin("query", "q").finish("done")
    clock.now += 1
    register.begin("query", "last")
    assert register.get(old.id).state == "running"
    with pytest.raises(UnknownRun):
        register.get(first.id)
    assert [native.connection for native in register.natives(left.id)] == ["shop"]
    assert len(register.runs(active=False, limit=10_000)) == KEPT + 3


BEGIN = """
import os, sys
from pathlib import Path
from workbench.runs import Register
run = Register(Path(sys.argv[1])).begin("query", "q")
run.native_started("shop", "1 " + run.mark(0))
print(run.id, flush=True)
sys.stdin.read()
"""


def owner(path: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, process.stdout.readline().strip()


def test_a_run_is_lost_when_its_process_is_gone_and_a_zombie_is_gone(path: Path) -> None:
    register = Register(path)
    process, run_id = owner(path)
    with process:
        assert register.get(run_id).state == "running"
        process.kill()
        until(lambda: register.get(run_id).state == "lost")  # nobody has waited for it yet
        assert process.returncode is None
        assert [info.id for info in register.runs()] == [run_id]  # its work may still run at the source
        register.native_ended(run_id, "shop", f"1 wb-{run_id}-0")
        assert register.runs() == []
        assert "ended without finishing" in register.get(run_id).error
    mine = Register(path).begin("query", "q")  # writes it down
    info = register.get(run_id)
    assert (info.state, info.ended is not None) == ("lost", True)
    mine.finish("done")
    register.close()


def test_a_pid_that_is_used_again_is_not_mistaken(register: Register, path: Path) -> None:
    run = register.begin("query", "q")
    register.close()
    db = sqlite3.connect(path)
    db.execute("update runs set process_started = 'earlier'")
    db.commit()
    db.close()
    assert register.get(run.id).state == "lost"
    assert register.left_by(Process.current()) == []


def test_a_run_on_another_host_is_believed_for_a_week(register: Register, path: Path, clock: Clock) -> None:
    run = register.begin("query", "q")
    register.close()
    db = sqlite3.connect(path)
    db.execute("update runs set host = 'elsewhere', pid = 999999999")
    db.commit()
    db.close()
    assert register.get(run.id).state == "running"
    clock.now += FOREIGN_SECONDS + 1
    assert register.get(run.id).state == "lost"


def hammer(path: Path, rounds: int, barrier: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    register = Register(path)
    for number in range(rounds):
        run = register.begin("query", f"{os.getpid()} {number}")
        run.native_started("shop", run.mark(0))
        run.progress(number, 1)
        assert run.id in {info.id for info in register.runs(limit=10_000)}
        run.native_ended("shop", run.mark(0))
        run.finish("done")
    register.close()


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_eight_processes_at_once_from_an_empty_folder(path: Path, method: str) -> None:
    context = multiprocessing.get_context(method)
    barrier = context.Barrier(8)
    processes = [context.Process(target=hammer, args=(path, 25, barrier)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 8
    register = Register(path)
    infos = register.runs(active=False, limit=1000)
    assert len(infos) == 200
    assert {info.state for info in infos} == {"done"}
    assert len({info.id for info in infos}) == 200
    assert register.runs() == []
    register.close()


def test_many_threads_share_one_register(path: Path) -> None:
    register = Register(path)

    def work(_: int) -> None:
        for _ in range(20):
            run = register.begin("query", "q")
            run.native_started("shop", run.mark(0))
            run.progress(1, 1)
            run.stop_requested()
            run.native_ended("shop", run.mark(0))
            run.finish("done")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(register.runs(active=False, limit=1000)) == 160
    register.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_runs_of_its_own_and_leaves_the_parents_alone(path: Path) -> None:
    register = Register(path)
    mine = register.begin("query", "parent's")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            register.begin("query", "child's").native_started("shop", "x")
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    states = {info.title: (info.state, info.pid) for info in register.runs()}
    assert states == {"parent's": ("running", os.getpid()), "child's": ("lost", child)}
    mine.finish("done")
    register.close()


def test_a_killed_writer_leaves_a_readable_register(path: Path) -> None:
    """kill -9 in the midst of writing, ten times."""
    script = BEGIN.replace("sys.stdin.read()", "while True: run.native_started('shop', os.urandom(8).hex())")
    for _ in range(10):
        with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            process.stdout.readline()
            process.send_signal(signal.SIGKILL)
    register = Register(path)
    assert [info.state for info in register.runs(active=False)] == ["lost"] * 10
    register.close()
    db = sqlite3.connect(path)
    assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    db.close()


def test_the_history_has_what_was_asked_and_is_searched_by_it(register: Register) -> None:
    for text in ("select 100% of it", "select a_b from shop.orders", "select 1"):
        register.begin("query", text[:8], text, ["shop", "crm"]).finish("done")
    register.begin("query", "select", "select now")
    whole = register.history()
    assert {one.statement for one in whole} == {"select 100% of it", "select a_b from shop.orders", "select 1"}
    assert whole[0].connections == ("shop", "crm")
    assert [one.statement for one in register.history(search="A_B FROM")] == ["select a_b from shop.orders"]
    assert [one.statement for one in register.history(search="%")] == ["select 100% of it"]
    assert register.history(search="\\") == []
    assert len(register.history(limit=2)) == 2
    long = register.begin("query", "t", "x" * 20_000)
    long.finish("done")
    assert len(register.get(long.id).statement) == 10_000


def test_parts_are_one_line_of_the_history_and_are_forgotten_first(path: Path) -> None:
    now = 1_000.0
    register = Register(path, clock=lambda: now)
    parts = [register.begin("part", "select", "select 1 from web.events") for _ in range(3)]
    assert [one.kind for one in register.runs()] == ["part"] * 3
    for part in parts:
        part.finish("done")
    register.note("report", "overview of web.events", "done", started=990.0, rows=7, connections=["web"])
    (line,) = register.history()
    assert (line.kind, line.title, line.state, line.rows) == ("report", "overview of web.events", "done", 7)
    assert (line.started, line.ended, line.connections) == (990.0, 1_000.0, ("web",))
    assert register.history(search="select") == []
    assert {register.get(part.id).kind for part in parts} == {"part"}
    now += 3_601
    register.begin("query", "t").finish("done")
    for part in parts:
        with pytest.raises(UnknownRun):
            register.get(part.id)
    assert [one.kind for one in register.runs(active=False)] == ["query", "report"]
    register.close()


def test_a_part_whose_process_died_is_in_the_history(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BEGIN.replace('"query"', '"part"'), str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    register = Register(path)
    register.begin("query", "t").finish("done")  # which looks for those that are gone
    assert {(one.kind, one.state) for one in register.history()} == {("part", "lost"), ("query", "done")}
    register.close()


def test_what_is_over_can_be_told_by_another_process(register: Register, path: Path) -> None:
    over, goes_on = register.begin("topology", "t"), register.begin("topology", "t")
    register.engine_started("127.0.0.1:9", "t")
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("update runs set pid = 1, process_started = 'x'")  # of others, which tell nothing
    over.finish("done")
    for run in (over, goes_on):
        assert register.engine(run.id) is None
        register.adopt(run.id)
    found = register.engine(over.id)
    assert found is not None
    assert found.address == "127.0.0.1:9"
    assert register.engine(goes_on.id) is None
