"""The runner `processes`: what is killed, what kills, and what is left when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.streams import process_parts as parts
from tests.streams.process_help import adds_up, children, gone, pids, rested
from workbench.contract.errors import InvalidParameter, TopologyError
from workbench.runs import Register
from workbench.runs.subscriber import frames
from workbench.streams import Tail, Topology, fields, find, tumbling
from workbench.streams.running import Running

Start = Callable[..., Running]


# ---- killed at any time ---------------------------------------------------------------------------------------------


def kept_up(t: Topology, gate: Path, register: Register, kills: int, count: int, seed: int) -> Running:
    """Runs it, kills a worker by chance whenever something was acked since, and looks at the counts all the time. The
    gate lets so many numbers through that there are some for each kill."""
    chance = Random(seed)
    gate.write_text(str(count // (kills + 1)))
    running = t.run("processes", workers=2, register=register)
    own = running._engine.pid  # type: ignore[attr-defined]
    killed = acked = 0
    try:
        deadline = time.monotonic() + 600
        while killed < kills:
            assert running.state == "running", (running.failure, f"seed {seed}", killed)
            assert time.monotonic() < deadline, running
            adds_up(running)
            now = running.metrics().count("acked", "numbers")
            workers = [pid for pid in children(own) if not gone(pid)]
            if now <= acked or not workers:
                time.sleep(0.01)
                continue
            with contextlib.suppress(ProcessLookupError):  # it went with another one
                os.kill(chance.choice(workers), signal.SIGKILL)
                acked, killed = now, killed + 1
            gate.write_text(str(count * (killed + 1) // (kills + 1)))
        running.wait(300)
        assert running.state == "done", running.where()
        adds_up(running)
    finally:
        running.stop()
    return running


def check_killed(tmp_path: Path, kills: int, count: int, batch: int) -> None:
    duckdb = pytest.importorskip("duckdb")
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    register = Register(tmp_path / "runs.sqlite")
    path = tmp_path / "events.sqlite"
    gate = tmp_path / "gate"
    t = Topology("killed", seed=seed).spout("numbers", parts.Numbers(count, batch, gate=str(gate)), parallelism=2)
    t.bolt("squared", parts.squared, inputs=[("numbers", fields("key"))], parallelism=2)
    t.bolt("save", parts.Upsert(str(path)), inputs=[("squared", fields("key"))], parallelism=2)
    running = kept_up(t, gate, register, kills, count, seed)
    assert not running.dead_letters
    assert [fault.component[:6] for fault in running.errors].count("worker") >= kills - 2  # one may be killed twice
    with contextlib.closing(sqlite3.connect(path)) as db:
        kept = db.execute("select key, count(*), sum(value) from events group by key order by key").fetchall()
    again = duckdb.sql(
        f"select 'k' || number % 7 as key, count(*), sum(number * number)::bigint from range({count}) t(number) "
        "group by key order by key"
    ).fetchall()
    assert kept == again
    register.close()


def test_nothing_is_lost_when_workers_are_killed_20_times(tmp_path: Path) -> None:
    check_killed(tmp_path, 20, 6_000, 0)


@pytest.mark.deep
@pytest.mark.parametrize("batch", [0, 50])
def test_nothing_is_lost_when_workers_are_killed_200_times(tmp_path: Path, batch: int) -> None:
    check_killed(tmp_path, 200, 200_000, batch)


def test_rows_that_a_killed_worker_held_in_windows_come_again(
    started: Start, register: Register, tmp_path: Path
) -> None:
    """The window bolt's worker is killed while nothing but windows has any of the rows."""
    gate = tmp_path / "gate"
    gate.write_text("300")
    t = Topology("windows", max_spout_pending=50).spout("numbers", parts.Numbers(400, gate=str(gate)))
    t.bolt("windows", parts.WriteWindow(str(tmp_path)), inputs="numbers", window=tumbling("1000ms", time="number"))
    running = started(t, runner="processes")
    wait_until(
        lambda: sum(one["rows"] for one in running.metrics().now.windows.values()) == 299
    )  # 0 was a window's end
    assert running.metrics().count("pending", "numbers") == 299  # held by a window alone, so more may be on their way
    os.kill(worker_of(running, 2), signal.SIGKILL)
    wait_until(lambda: running.metrics().count("failed", "numbers") >= 299)
    adds_up(running)
    gate.write_text("400")
    running.wait(60)
    (window,) = {tuple(row) for row in parts.written(tmp_path, "windows")[0] if row[1] == 1000.0}
    assert {number for _, number in window[3:]} == set(range(1, 400))
    assert not running.dead_letters
    adds_up(running)


def worker_of(running: Running, task: int) -> int:
    """The process that has that task; `Ends` and others say theirs by writing, this one is found by its number."""
    engine: Any = running._engine
    number = engine._starting["tasks"][task]
    found = engine._asked("workers")
    return int(found[number])


def wait_until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("repeats", [True, False])
def test_a_spout_that_is_killed_goes_on_or_begins_anew(started: Start, tmp_path: Path, repeats: bool) -> None:
    gate = tmp_path / "gate"
    gate.write_text("50")
    code = parts.Numbers(100, gate=str(gate)) if repeats else parts.NumbersAnew(100, gate=str(gate))
    t = Topology("spouts").spout("numbers", code).bolt("out", parts.Write(str(tmp_path)), inputs="numbers")
    running = started(t, runner="processes")
    wait_until(lambda: running.metrics().count("acked", "numbers") == 50)
    os.kill(worker_of(running, 1), signal.SIGKILL)
    gate.write_text("100")
    running.wait(60)
    adds_up(running)
    came = Counter(number for _, number in parts.written(tmp_path, "out")[0])
    assert set(came) == set(range(100))
    assert sum(came.values()) == 100 if repeats else sum(came.values()) >= 150


def test_lines_that_are_written_while_the_spout_of_a_file_is_killed_come(started: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    t = Topology("tail").spout("lines", Tail(str(log)))
    t.bolt("slow", parts.Slow(0.001), inputs="lines").bolt("out", parts.Write(str(tmp_path)), inputs="lines")
    running = started(t, runner="processes")
    assert "begins anew" not in str(running.guarantees())
    wait_until(lambda: running.metrics().now.uptime > 0.5)
    count = 0
    for _ in range(4):
        with log.open("a") as file:
            for _ in range(100):
                file.write(f"{count}\n")
                count += 1
        acked = running.metrics().count("acked", "lines")
        os.kill(worker_of(running, 1), signal.SIGKILL)
        wait_until(lambda before=acked: running.metrics().count("acked", "lines") > before)
    wait_until(lambda: len({row for (row,) in parts.written(tmp_path, "out")[0]}) == 400)
    adds_up(running)


def test_the_badge_says_of_spouts_that_begin_anew(started: Start, tmp_path: Path) -> None:
    t = Topology("badge").spout("s", parts.forever).bolt("out", parts.Write(str(tmp_path)), inputs="s")
    assert "`s` begins anew when its worker is killed" in str(started(t, runner="processes").guarantees())


def test_a_component_that_takes_long_to_begin_is_waited_for(started: Start, tmp_path: Path) -> None:
    t = Topology("late").spout("numbers", parts.Numbers(10)).bolt("late", parts.Late(2.0), inputs="numbers")
    assert started(t, runner="processes", workers=3, hang="1s").wait(60).state == "done"


def test_a_thousand_large_dead_letters_are_told(started: Start, tmp_path: Path) -> None:
    t = Topology("letters", max_retries=0).spout("numbers", parts.Large(1_100, 15_000))
    running = started(t.bolt("no", parts.Refuses, inputs="numbers"), runner="processes").wait(120)
    assert running.state == "done"
    assert (len(running.dead_letters), running.dead_letters.dropped) == (1_000, 100)
    assert len(running.dead_letters[-1].row[0]) == 15_000
    assert len(running.errors) > 40


# ---- bolts that are bad to their process ----------------------------------------------------------------------------


def ending(tmp_path: Path, how: str, **config: Any) -> Topology:
    """The number 5 ends the worker of the bolt, which is not that of the spout."""
    t = Topology("ends", max_retries=1, retry_backoff=0.001, **config).spout("numbers", parts.Numbers(20))
    return t.bolt("ends", parts.Ends(str(tmp_path), how, 5), inputs="numbers")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("exit", "ended with exit code 3"),
        ("segfault", "was ended by SIGSEGV"),
        ("leak", "MiB of memory"),
        ("hang", "did not return for 2 s"),
        ("raise", "ValueError: never that one"),
    ],
)
def test_a_row_that_ends_its_worker_again_and_again_is_given_up_and_the_others_are_not(
    started: Start, tmp_path: Path, how: str, said: str
) -> None:
    options = {"memory": 300 << 20} if how == "leak" else {"hang": 2.0} if how == "hang" else {}
    running = started(ending(tmp_path, how), runner="processes", **options).wait(120)
    assert running.state == "done"
    assert {row[1] for row in parts.written(tmp_path, "ends")[0]} == set(range(20)) - {5}
    (letter,) = running.dead_letters
    assert letter.row == ("k5", 5)
    assert letter.component == "ends"
    assert said in letter.error
    assert letter.tries == 2
    assert any(said in fault.error for fault in running.errors)
    adds_up(running)


def test_a_worker_that_ends_without_a_row_to_blame_ends_the_run_after_a_while(started: Start, tmp_path: Path) -> None:
    t = Topology("ends").spout("ends", parts.EndingSpout)
    t.bolt("out", parts.Write(str(tmp_path)), inputs="ends")
    with pytest.raises(RuntimeError, match=r"Worker \d ended 5 times within 60 s, at last: ended with exit code 4"):
        started(t, runner="processes").wait(120)


@pytest.mark.parametrize("how", ["print", "print below"])
def test_what_a_bolt_prints_is_in_a_bounded_log(started: Start, tmp_path: Path, how: str) -> None:
    running = started(ending(tmp_path, how), runner="processes").wait(120)
    assert running.state == "done"
    assert len(running.log) <= 1_001
    assert max(map(len, running.log)) <= 2_000
    assert any(line.startswith("xxx" if how == "print" else "yyy") for line in running.log)


def test_an_exit_in_python_ends_the_run_as_it_does_inline(started: Start, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="enough"):
        started(ending(tmp_path, "exit in python"), runner="processes").wait(120)


def test_what_cannot_be_sent_to_another_process_fails_alone(started: Start, tmp_path: Path) -> None:
    t = Topology("unsendable", max_retries=0).spout("numbers", parts.Numbers(20))
    t.bolt("again", parts.unsendable, inputs="numbers")
    t.bolt("out", parts.Write(str(tmp_path)), inputs="again")
    running = started(t, runner="processes", workers=3).wait(60)
    assert {row[0] for row in parts.written(tmp_path, "out")[0]} == set(range(20)) - {5}
    (letter,) = running.dead_letters
    assert "cannot be sent to another process" in letter.error
    assert letter.component == "again"


def test_what_a_component_raises_at_its_start_is_raised_by_run(register: Register) -> None:
    t = Topology("broken").spout("numbers", parts.Numbers(3)).bolt("broken", parts.Broken, inputs="numbers")
    with pytest.raises(ValueError, match="no table there"):
        t.run("processes", register=register)
    assert not register.runs()


@pytest.mark.parametrize("spout", [parts.raising, parts.NeverSays(3)])
def test_a_spout_that_raises_ends_the_run(started: Start, tmp_path: Path, spout: Any) -> None:
    t = Topology("raising").spout("s", spout).bolt("out", parts.Write(str(tmp_path)), inputs="s")
    running = started(t, runner="processes")
    with pytest.raises(LookupError, match="the source is gone"):
        running.wait(60)
    assert running.state == "failed"


# ---- what cannot travel ---------------------------------------------------------------------------------------------


def test_what_others_cannot_import_is_refused_by_name(register: Register) -> None:
    kept: list[Any] = []
    t = (
        Topology("closure")
        .spout("numbers", parts.Numbers(3))
        .bolt("out", lambda row: kept.append(row), inputs="numbers")
    )
    with pytest.raises(TopologyError, match=r"component `out`.*as a lambda.*%%bolts name"):
        t.run("processes", register=register)
    t = Topology("open").spout("numbers", parts.Numbers(3)).bolt("out", parts.Write(Path("x")), inputs="numbers")  # type: ignore[arg-type]
    with pytest.raises(TopologyError, match="an argument is no plain value"):
        t.run("processes", register=register)
    with pytest.raises(InvalidParameter, match="'storm'; a topology runs on 'inline', 'processes'"):
        t.run("storm", register=register)
    t = Topology("fine").spout("numbers", parts.Numbers(3))
    for wrong in (0, True, "2", 1000):
        with pytest.raises(InvalidParameter, match="workers"):
            t.run("processes", register=register, workers=wrong)
    with pytest.raises(InvalidParameter, match="memory"):
        t.run("processes", register=register, memory=5)
    assert not register.runs()


# ---- pause, stop, the end of the notebook ---------------------------------------------------------------------------


def test_it_is_paused_resumed_and_stopped_and_leaves_no_process(
    started: Start, eventually: Any, tmp_path: Path
) -> None:
    t = Topology("forever").spout("s", parts.forever).bolt("slow", parts.Slow(0.001), inputs="s", parallelism=2)
    running = started(t, runner="processes")
    processes = pids(running)
    assert len(processes) == 3
    eventually(lambda: running.metrics().count("acked", "s") > 10, within=60)
    running.pause()
    eventually(lambda: rested(running, "inactive") > 0.02, within=60)
    assert running.state == "paused"
    running.resume()
    acked = running.metrics().count("acked", "s")
    eventually(lambda: running.metrics().count("acked", "s") > acked, within=60)
    assert running.state == "running"
    running.stop()
    assert running.state == "stopped"
    assert all(map(gone, processes))
    adds_up(running)


def test_a_bolt_that_does_not_return_is_seen_and_stopped(started: Start, eventually: Any, tmp_path: Path) -> None:
    running = started(ending(tmp_path, "hang"), runner="processes")
    processes = pids(running)
    eventually(lambda: "process_parts.py" in running.where() and "in end" in running.where(), within=60)
    adds_up(running)
    running.stop(0.5)
    assert running.state == "stopped"
    assert all(map(gone, processes))
    assert "did not return" in repr(running.log)


async def first_frame(engine: Any, topic: str) -> Any:
    async with contextlib.aclosing(frames(engine, topic)) as coming:
        return await anext(coming)


def test_any_process_can_stop_it_and_find_it(started: Start, register: Register, eventually: Any) -> None:
    t = Topology("listed").spout("s", parts.forever).bolt("slow", parts.Slow(0.001), inputs="s")
    running = started(t, runner="processes")
    (listed,) = register.runs()
    assert (listed.id, listed.title, listed.state) == (running.id, "topology listed", "running")
    assert find("listed", register=register).topic == running.topic == f"runs/{running.id}/topology"
    assert running.engine is not None  # what views ask
    assert asyncio.run(first_frame(running.engine, str(running.topic)))["snapshot"]["name"] == "listed"
    register.request_stop(running.id)
    running.wait(60)
    assert running.state == "stopped"
    assert register.get(running.id).state == "stopped"


SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.streams import process_parts as parts
from tests.streams.process_help import adds_up, children, gone, pids, rested
from workbench.runs import Register
from workbench.streams import Topology
t = Topology("orphan").spout("s", parts.forever).bolt("slow", parts.Slow(0.001), inputs="s")
t.bolt("hang", parts.Ends({folder!r}, "hang", 5), inputs="s")
running = t.run("processes", register=Register(Path({folder!r}) / "runs.sqlite"))
own = running._engine.pid
print(own, *Path(f"/proc/{{own}}/task/{{own}}/children").read_text().split(), flush=True)
{then}
"""


@pytest.mark.parametrize("how", ["killed", "done"])
def test_they_end_with_the_process_that_started_them(tmp_path: Path, eventually: Any, how: str) -> None:
    root = str(Path(__file__).parents[2])
    text = SCRIPT.format(root=root, folder=str(tmp_path), then="sys.stdin.read()" if how == "killed" else "")
    notebook = subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with notebook:
        assert notebook.stdout is not None
        processes = [int(pid) for pid in notebook.stdout.readline().split()]
        assert len(processes) == 3
        if how == "killed":
            notebook.kill()
        notebook.wait(60)
        eventually(lambda: all(map(gone, processes)), within=60)
    register = Register(tmp_path / "runs.sqlite")
    (run,) = register.runs(active=False)
    assert (run.state, run.error) == ("stopped", "The process that started it has ended.")
    register.close()


def test_workers_end_with_the_runs_own_process(started: Start, eventually: Any) -> None:
    t = Topology("headless").spout("s", parts.forever).bolt("slow", parts.Slow(0.001), inputs="s")
    running = started(t, runner="processes")
    own, *workers = pids(running)
    os.kill(own, signal.SIGKILL)
    with pytest.raises(TopologyError, match="ended unasked"):
        running.wait(60)
    assert running.state == "failed"
    eventually(lambda: all(map(gone, workers)), within=60)


def test_it_goes_on_while_the_notebook_holds_its_interpreter(started: Start) -> None:
    t = Topology("stalled").spout("s", parts.forever).bolt("slow", parts.Slow(0.001), inputs="s")
    running = started(t, runner="processes")
    before = running.metrics()
    libc = ctypes.PyDLL(None)  # which does not let go of it while its function works
    libc.usleep(1_500_000)
    after = running.metrics()
    assert after.now.uptime - before.now.uptime > 1.4
    assert after.count("acked", "s") - before.count("acked", "s") > 50


STALLED = """
import os, signal, sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.streams import process_parts as parts
from workbench.runs import Register
from workbench.streams import Topology
from workbench.streams.processes_frames import written
from workbench.streams.processes_wire import json_bytes
t = Topology("asks", max_retries=0).spout("large", parts.Large(300, 15_000)).bolt("no", parts.Refuses, inputs="large")
t.spout("s", parts.forever).bolt("slow", parts.Slow(0.001), inputs="s")
t.bolt("out", parts.Write({folder!r}), inputs="s")
running = t.run("processes", register=Register(Path({folder!r}) / "runs.sqlite"))
while running.metrics().dead_letters < 300:
    pass
print(running._engine.pid, flush=True)
for number in range(3):
    written(running._engine._to, json_bytes({{"number": -1, "ask": "told", "log": 0, "faults": 0, "letters": 0}}))
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_who_asks_and_does_not_listen_holds_nothing_up(tmp_path: Path, eventually: Any) -> None:
    text = STALLED.format(root=str(Path(__file__).parents[2]), folder=str(tmp_path))
    notebook = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE)
    with notebook:
        assert notebook.stdout is not None
        own = int(notebook.stdout.readline())
        stat = Path(f"/proc/{notebook.pid}/stat")
        eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", within=60)
        file = tmp_path / "out-0.txt"
        time.sleep(0.5)  # so that what can be answered at once has been
        for _ in range(3):
            size = file.stat().st_size
            eventually(lambda before=size: file.stat().st_size > before, within=60)
            time.sleep(0.2)
        notebook.kill()
        notebook.wait(60)
        eventually(lambda: gone(own), within=60)


def test_who_does_not_know_a_workers_name_is_not_heard(started: Start, register: Register, tmp_path: Path) -> None:
    zmq = pytest.importorskip("zmq")
    gate = tmp_path / "gate"
    gate.write_text("10")
    t = Topology("guarded").spout("numbers", parts.Numbers(20, gate=str(gate)))
    running = started(t.bolt("out", parts.Write(str(tmp_path)), inputs="numbers"), runner="processes")
    folder = Path(running._engine._folder)  # type: ignore[attr-defined]
    assert folder.stat().st_mode & 0o077 == 0
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(f"ipc://{folder}/run")
        for parts_ in ([b"D", b"0", b"1", b"cbuiltins\neval\n(S'1/0'\ntR."], [b"failed", b"{}"], [b"S", b"x"], [b""]):
            socket.send_multipart(parts_)
        gate.write_text("20")
        assert running.wait(60).state == "done"
        assert not socket.poll(0)
    assert len(parts.written(tmp_path, "out")[0]) == 20
    assert not folder.exists()
