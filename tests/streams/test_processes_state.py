"""The runner `processes` with `state=`: workers are killed at any moment, and nothing is lost or there twice."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import duckdb
import pytest

from tests.streams import process_parts as parts
from tests.streams.process_help import adds_up, children, gone
from workbench.catalog import Catalog
from workbench.contract.errors import StateRefused
from workbench.runs import Register
from workbench.streams import Sink, Topology, fields, tumbling
from workbench.streams.running import Running

Start = Callable[..., Running]
SINKS = ("raw", "counts", "windowed", "late")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    for name in SINKS:  # a file each, for DuckDB lets one process in at a time, and for a second
        Catalog().connect(name, path=str(tmp_path / f"{name}.duckdb"), writable=True)
    return tmp_path


def wait_until(probe: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not probe():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def counting(count: int, gate: Path, spout: parts.Numbers | None = None) -> Topology:
    """Rows, counts of a state and windows, each of two tasks, all written by transactional sinks."""
    t = Topology("counting", snapshot_every="100ms")
    t.spout("numbers", spout or parts.Numbers(count, gate=str(gate)), parallelism=2)
    t.bolt("count", parts.CountKeys, inputs=[("numbers", fields("key"))], parallelism=2)
    t.bolt("windows", parts.each_of, inputs="numbers", window=tumbling("100ms", time="number", lag="20ms"))
    t.bolt("unpack", parts.late_number, inputs="windows.late")
    t.bolt("raw", Sink("raw.raw", create=True, rows=20), inputs="numbers")
    t.bolt("counts", Sink("counts.counts", create=True), inputs="count")
    t.bolt("windowed", Sink("windowed.windowed", create=True), inputs="windows")
    t.bolt("late", Sink("late.late", create=True, types={"number": "int64"}), inputs="unpack")
    return t


def equals_a_batch(shop: Path, count: int) -> None:
    """What is in the tables is what DuckDB makes of the same numbers."""
    with duckdb.connect() as base:
        for name in SINKS:
            base.execute(f"attach '{shop / name}.duckdb' as {name}_file (read_only)")
        there = {name for (name,) in base.execute("select table_name from information_schema.tables").fetchall()}
        for name in there & set(SINKS):
            base.execute(f"create view {name} as from {name}_file.{name}")
        assert there >= {"raw", "counts", "windowed"}
        late = "select number from late" if "late" in there else "select 0::bigint as number where false"
        events = f"select 'k' || n % 7 as key, n as number from range({count}) t(n)"
        rank = "row_number() over (partition by key)"
        for one, other in (
            ("select key, number from raw", events),
            # Two tasks give the numbers, so which comes first is open: each is counted once.
            ("select key, number from counts", events),
            ("select key, count from counts", f"select key, {rank} as count from ({events})"),
            (f"select number from windowed union all {late}", f"select number from ({events})"),
            ('select "end", number from windowed', f"""select (ceil(number / 100.0) * 100)::bigint as "end", number
                from ({events}) where number not in ({late})"""),
        ):  # fmt: skip
            for left, right in ((one, other), (other, one)):
                found = base.execute(f"select * from ({left}) except all select * from ({right})").fetchall()
                assert found == [], (left, right)


def killed_and_compared(tmp_path: Path, shop: Path, register: Register, kills: int, count: int) -> None:
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")
    chance, gate = Random(seed), tmp_path / "gate"
    gate.write_text(str(count // (kills + 1)))
    running = counting(count, gate).run("processes", workers=2, register=register, state=True)
    own = running._engine.pid  # type: ignore[attr-defined]
    killed, at = 0, list[int]()
    try:
        while killed < kills:
            assert running.state == "running", (running.failure, seed)
            workers = [pid for pid in children(own) if not gone(pid)]
            if not workers:
                time.sleep(0.01)
                continue
            # Sometimes before it has begun, sometimes while it makes a snapshot, sometimes after some of them.
            before = running.snapshot
            assert before is not None
            if chance.random() < 0.8:
                wanted, until = before.number + chance.randrange(3), time.monotonic() + 60
                while running.snapshot.number < wanted and time.monotonic() < until:  # type: ignore[union-attr]
                    time.sleep(0.005)
            time.sleep(chance.random() * 0.1)
            at.append(running.snapshot.number)  # type: ignore[union-attr]
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(workers), signal.SIGKILL)
                killed += 1
            adds_up(running)
            gate.write_text(str(count * (killed + 1) // (kills + 1)))
        running.wait(300)
        assert running.state == "done", running.where()
        adds_up(running)
        print("snapshots when workers were killed", at)
        assert len(set(at)) > kills // 4, at
        ends = [fault for fault in running.errors if fault.component.startswith("worker")]
        assert len(ends) > kills // 2  # some are killed together with another
        assert {promise.claim for name, promise in running.guarantees().items()} == {"effectively once"}
        assert not running.dead_letters
    finally:
        running.stop()
    equals_a_batch(shop, count)


def test_workers_are_killed_20_times_and_it_equals_a_batch(tmp_path: Path, shop: Path, register: Register) -> None:
    killed_and_compared(tmp_path, shop, register, 20, 4_000)


@pytest.mark.deep
def test_workers_are_killed_200_times_and_it_equals_a_batch(tmp_path: Path, shop: Path, register: Register) -> None:
    killed_and_compared(tmp_path, shop, register, 200, 40_000)


# ---- at the moments that count --------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["position", "committed"])
def test_a_worker_that_ends_within_a_snapshot(tmp_path: Path, shop: Path, started: Start, moment: str) -> None:
    """While it is asked for what it keeps; and when its sinks have written, and those of the other worker have not."""
    gate = tmp_path / "gate"
    gate.write_text("300")
    t = counting(600, gate, parts.EndsWithin(600, str(gate), moment, str(tmp_path)))
    running = started(t, runner="processes", state=True)
    wait_until(lambda: len(list(tmp_path.glob("ended-*"))) == 2)
    gate.write_text("600")
    running.wait(120)
    assert running.state == "done"
    # One, where both end at the same time.
    assert "was ended by SIGKILL; all are started anew" in [fault.error for fault in running.errors]
    equals_a_batch(shop, 600)


def test_the_next_run_goes_on_in_whatever_runner(tmp_path: Path, shop: Path, started: Start) -> None:
    gate = tmp_path / "gate"
    gate.write_text("300")
    first = started(counting(900, gate), runner="processes", state=True)
    wait_until(lambda: first.snapshot.number > 1)  # type: ignore[union-attr]
    with pytest.raises(StateRefused, match="another run has it open"):
        started(counting(900, gate), runner="processes", state=True)
    first.stop(20)
    assert first.state == "stopped"
    last = first.snapshot
    assert last is not None
    gate.write_text("600")
    second = started(counting(900, gate), state=True)
    wait_until(lambda: second.snapshot.number > last.number + 1)  # type: ignore[union-attr]
    second.stop(20)
    gate.write_text("900")
    third = started(counting(900, gate), runner="processes", workers=3, state=True)
    third.wait(120)
    emitted = [run.metrics().count("emitted", "numbers") for run in (first, second, third)]
    assert sum(emitted) == 900, emitted  # each was stopped with a snapshot of all that it had given
    equals_a_batch(shop, 900)


def test_what_fails_is_not_lost_and_the_claim_says_so(tmp_path: Path, shop: Path, started: Start) -> None:
    """A tuple's tree is in two processes: what the others have made of it before cannot be taken back."""
    t = Topology("fails", snapshot_every="100ms", retry_backoff=0.001).spout("numbers", parts.Numbers(200))
    t.bolt("once", parts.FailsOnce(str(tmp_path)), inputs=[("numbers", fields("key"))], parallelism=2)
    t.bolt("raw", Sink("raw.raw", create=True), inputs="numbers")
    running = started(t, runner="processes", state=True)
    assert running.guarantees()["raw"].claim == "effectively once"
    running.wait(60)
    promise = running.guarantees()["raw"]
    assert promise.claim == "at least once"
    assert "`once` failed" in str(promise)
    with duckdb.connect(str(shop / "raw.duckdb"), read_only=True) as base:
        assert base.execute("select count(distinct number) from raw").fetchall() == [(200,)]


def test_a_spout_that_begins_anew_is_named(tmp_path: Path, shop: Path, started: Start) -> None:
    t = (
        Topology("anew")
        .spout("numbers", parts.NumbersAnew(20))
        .bolt("raw", Sink("raw.raw", create=True), inputs="numbers")
    )
    running = started(t, runner="processes", state=True)
    assert running.guarantees()["raw"].claim == "at least once"
    assert "what came since a snapshot is lost" in str(running.guarantees())
    running.wait(60)


@pytest.mark.deep
def test_what_a_bolt_keeps_may_be_longer_than_a_message(tmp_path: Path, shop: Path, started: Start) -> None:
    gate = tmp_path / "gate"
    gate.write_text("10")
    t = Topology("large", snapshot_every="100ms").spout("numbers", parts.Numbers(20, gate=str(gate)))
    t.bolt("large", parts.Keeps(1 << 20), inputs="numbers")
    t.bolt("raw", Sink("raw.raw", create=True, rows=1), inputs="large")  # so snapshots are made soon
    running = started(t, runner="processes", state=True)
    wait_until(lambda: running.metrics().count("acked", "numbers") >= 10 and not running.snapshot.why_not)  # type: ignore[union-attr]
    now = running.snapshot.number  # type: ignore[union-attr]
    wait_until(lambda: running.snapshot.number > now + 1)  # type: ignore[union-attr]
    for pid in children(running._engine.pid):  # type: ignore[attr-defined]
        os.kill(pid, signal.SIGKILL)
    gate.write_text("20")
    running.wait(60)
    with duckdb.connect(str(shop / "raw.duckdb"), read_only=True) as base:
        assert base.execute("select number, kept from raw order by number").fetchall() == [
            (n, n + 1) for n in range(20)
        ]


def test_a_worker_that_always_ends_by_itself_ends_the_run(tmp_path: Path, shop: Path, started: Start) -> None:
    t = Topology("ends", snapshot_every="1h").spout("numbers", parts.Numbers(20))
    t.bolt("ends", parts.Ends(str(tmp_path), "exit", 7), inputs="numbers")
    running = started(t, runner="processes", workers=1, state=True)
    with pytest.raises(RuntimeError, match="5 times before there was a snapshot, at last: ended with exit code 3"):
        running.wait(120)
