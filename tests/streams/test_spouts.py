"""A file that grows and is rotated, a folder that is played again, windows that become files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.streams.parts import Keep
from workbench.contract.errors import EmitRefused, InvalidParameter, PathUnreachable, UnknownField
from workbench.streams import Batch, Bolt, ParquetReplay, ParquetSink, Tail, Topology, session, tumbling
from workbench.streams.running import Running
from workbench.testing.clock import SettableClock

Start = Callable[..., Running]


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Keep.kept.clear()


def test_a_file_is_followed_over_rotation_and_truncation(started: Start, tmp_path: Path, eventually: Any) -> None:
    log = tmp_path / "access.log"
    log.write_bytes(b"old\n")
    lines: list[str] = []
    t = Topology("tail").spout("lines", Tail(log)).bolt("out", lambda row: lines.append(row.line), inputs="lines")
    running = started(t)
    eventually(lambda: running.metrics().now.uptime > 0.05, within=10)
    with log.open("ab") as file:
        file.write(b"one\r\ntw")
        file.flush()
        eventually(lambda: lines == ["one"], within=10)
        file.write("o é\n".encode() + b"\xff\n")
        file.flush()
        eventually(lambda: lines == ["one", "two é", "\ufffd"], within=10)
        log.rename(tmp_path / "access.log.1")
        file.write(b"after the move\nno end")
        file.flush()
        eventually(lambda: lines[3:] == ["after the move"], within=10)
    log.write_bytes(b"new\n")
    eventually(lambda: lines[4:] == ["no end", "new"], within=10)
    with log.open("r+b") as file:
        file.truncate(0)
        file.write(b"x\n")
    eventually(lambda: lines[6:] == ["x"], within=10)
    assert not running.errors


class Origins(Bolt):
    """Keeps the batches that it gets."""

    got: list[Batch] = []

    def execute_batch(self, batch: Batch) -> None:
        self.got.append(batch)


def test_lines_in_batches_know_the_bytes_that_they_stand_in(started: Start, tmp_path: Path, eventually: Any) -> None:
    log = tmp_path / "access.log"
    log.write_bytes(b"one\ntwo\r\nthree\n")
    Origins.got = []
    t = Topology("tail").spout("lines", Tail(log, whole=True, batch=2)).bolt("out", Origins, inputs="lines")
    started(t)
    eventually(lambda: len(Origins.got) == 2, within=60)
    with log.open("ab") as file:
        file.write(b"four\n")
    eventually(lambda: len(Origins.got) == 3, within=60)
    data = log.read_bytes()
    for batch in Origins.got:
        assert batch.origin is not None
        part = data[int(batch.origin.first) : int(batch.origin.last) + 1]
        assert [row[0] for row in batch] == part.decode().split()
    assert len({batch.origin for batch in Origins.got}) == 3
    assert len({(batch.origin.source, batch.origin.partition) for batch in Origins.got if batch.origin}) == 1


def test_batches_of_a_folder_have_the_same_origins_each_time(started: Start, folder: Path) -> None:
    got = []
    for _ in range(2):
        Origins.got = []
        t = Topology("played").spout("views", ParquetReplay(folder, rows=4)).bolt("out", Origins, inputs="views")
        started(t).wait(60)
        got.append({batch.origin: batch.rows for batch in Origins.got})
    assert got[0] == got[1]
    assert [(origin.first, origin.last) for origin in got[0] if origin] == [("0", "3"), ("4", "7"), ("8", "9")] * 2
    rows = pa.table({"at": [1], "page": ["/new"]})
    pq.write_table(rows, folder / "part-0.parquet")
    Origins.got = []
    started(Topology("again").spout("v", ParquetReplay(folder, rows=4)).bolt("out", Origins, inputs="v")).wait(60)
    assert Origins.got[0].origin not in got[0]
    assert {one.origin for one in Origins.got[1:]} < set(got[0])
    halves = Origins.got[1].halves()
    assert [half.origin for half in halves] == [None, None]


def test_a_file_that_is_not_there_is_waited_for(started: Start, tmp_path: Path, eventually: Any) -> None:
    lines: list[str] = []
    log = tmp_path / "later.log"
    t = Topology("later").spout("lines", Tail(log)).bolt("out", lambda row: lines.append(row.line), inputs="lines")
    running = started(t)
    eventually(lambda: running.metrics().now.uptime > 0.05, within=10)
    log.write_text("first\n")
    eventually(lambda: lines == ["first"], within=10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(2):
        at = [number * 1000 + 100 * place for place in range(10)]
        table = pa.table({"at": at, "page": [f"/{one}" for one in at]})
        pq.write_table(table, tmp_path / f"part-{number}.parquet")
    return tmp_path


def test_a_folder_is_played_as_fast_as_it_is_taken(started: Start, folder: Path) -> None:
    t = Topology("fast").spout("views", ParquetReplay(folder, rows=4)).bolt("keep", Keep("rows"), inputs="views")
    started(t).wait(30)
    assert [row.at for row in Keep.kept["rows"]] == list(range(0, 2000, 100))


def test_rows_whose_time_jumps_back_come_behind_those_before(started: Start, tmp_path: Path, eventually: Any) -> None:
    clock = SettableClock()
    pq.write_table(pa.table({"at": [0, 500, 100, 900, 200, 1_000]}), tmp_path / "part.parquet")
    t = Topology("back").spout("views", ParquetReplay(tmp_path, time="at")).bolt("keep", Keep("rows"), inputs="views")
    running = started(t, clock=clock)
    for moved, seen in ((0.0, [0]), (0.5, [0, 500, 100]), (0.4, [0, 500, 100, 900, 200])):
        clock.advance(moved)
        eventually(lambda seen=seen: [row.at for row in Keep.kept.get("rows", [])] == seen, within=60)
    clock.advance(0.1)
    running.wait(60)
    assert [row.at for row in Keep.kept["rows"]] == [0, 500, 100, 900, 200, 1_000]


def test_a_folder_is_played_at_a_speed(started: Start, folder: Path, eventually: Any) -> None:
    clock = SettableClock()
    t = Topology("slow").spout("views", ParquetReplay(folder, time="at", speed=10))
    running = started(t.bolt("keep", Keep("rows"), inputs="views"), clock=clock)
    eventually(lambda: len(Keep.kept.get("rows", [])) == 1, within=10)
    clock.advance(0.05)  # half a second of then
    eventually(lambda: [row.at for row in Keep.kept["rows"]] == [0, 100, 200, 300, 400, 500], within=10)
    clock.advance(1.0)
    running.wait(10)
    assert len(Keep.kept["rows"]) == 20


def test_what_cannot_be_played_is_said_before_it_runs(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownField, match="`when`"):
        Topology("t").spout("views", ParquetReplay(folder, time="when"))
    with pytest.raises(PathUnreachable, match=r"no \.parquet file"):
        Topology("t").spout("views", ParquetReplay(tmp_path / "nothing"))
    with pytest.raises(InvalidParameter, match="speed"):
        ParquetReplay(folder, speed=0)


def test_a_column_is_what_its_name_says_in_every_file(started: Start, folder: Path) -> None:
    pq.write_table(pa.table({"page": ["/last"], "at": [2000]}), folder / "part-2.parquet")
    running = started(
        Topology("order").spout("views", ParquetReplay(folder)).bolt("keep", Keep("rows"), inputs="views")
    )
    running.wait(30)
    assert tuple(Keep.kept["rows"][-1]) == (2000, "/last")
    pq.write_table(pa.table({"when": [1], "page": ["/other"]}), folder / "part-3.parquet")
    running = started(
        Topology("names").spout("views", ParquetReplay(folder)).bolt("keep", Keep("rows"), inputs="views")
    )
    with pytest.raises(EmitRefused, match="the fields at, page, and its Arrow table the columns when, page"):
        running.wait(30)


def test_several_tasks_play_each_file_once_and_by_the_same_clock(started: Start, folder: Path, eventually: Any) -> None:
    t = Topology("parts").spout("views", ParquetReplay(folder), parallelism=3)
    started(t.bolt("keep", Keep("all"), inputs="views")).wait(30)
    assert sorted(row.at for row in Keep.kept["all"]) == list(range(0, 2000, 100))
    clock = SettableClock()
    t = Topology("timed").spout("views", ParquetReplay(folder, time="at", speed=10), parallelism=2)
    running = started(t.bolt("keep", Keep("rows"), inputs="views"), clock=clock)
    eventually(lambda: [row.at for row in Keep.kept.get("rows", [])] == [0], within=10)
    clock.advance(0.12)  # 1.2 seconds of then
    eventually(lambda: sorted(row.at for row in Keep.kept["rows"]) == list(range(0, 1201, 100)), within=10)
    clock.advance(0.1)
    running.wait(10)
    assert len(Keep.kept["rows"]) == 20


@pytest.mark.parametrize("times", [pa.array([1, None, 3]), pa.array([1.0, float("nan"), 3.0])])
def test_a_row_without_a_time_ends_the_run_and_does_not_hang_it(started: Start, tmp_path: Path, times: Any) -> None:
    pq.write_table(pa.table({"at": times}), tmp_path / "holes.parquet")
    t = Topology("holes").spout("views", ParquetReplay(tmp_path, time="at")).bolt("keep", Keep("rows"), inputs="views")
    with pytest.raises(InvalidParameter, match=r"holes\.parquet some rows have none"):
        started(t, clock=SettableClock()).wait(30)


def test_a_file_is_followed_by_one_task(started: Start, tmp_path: Path) -> None:
    t = Topology("twice").spout("lines", Tail(tmp_path / "access.log"), parallelism=2)
    with pytest.raises(InvalidParameter, match="of `lines` is 2, and each task would give all lines"):
        started(t.bolt("keep", Keep("rows"), inputs="lines"))


def test_windows_become_files_that_stand_in_nobodys_place(started: Start, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        t = Topology("files", seed=1).spout("views", ParquetReplay(folder))
        t.bolt("save", ParquetSink(out), inputs="views", window=tumbling("1s", time="at"))
        running = started(t).wait(30)
        assert not running.errors
        assert running.metrics().count("acked", "views") == 20
    files = sorted(out.iterdir())
    assert [path.name[:20] for path in files] == [f"save-0-{end:013d}" for end in (0, 0, 1000, 1000, 2000, 2000)]
    assert [pq.read_table(path).num_rows for path in files] == [1, 1, 10, 10, 9, 9]


def test_sessions_of_keys_that_look_alike_and_end_at_once_are_files_of_their_own(
    started: Start, tmp_path: Path
) -> None:
    keys = ["/a/b", "/ab", "a b", "\ud800", 1, "1", None, ("x", "y")]
    t = Topology("keys").spout("s", lambda: iter([(5.25, key, 1) for key in keys]), outputs=("at", "page", "n"))
    t.bolt("n", lambda row: [(row.at + 0.5, repr(row.page), row.n)], inputs="s", outputs=("at", "page", "n"))
    t.bolt("save", ParquetSink(tmp_path), inputs="n", window=session("5ms", by="page", time="at"))
    running = started(t).wait(30)
    assert not running.errors
    names = sorted(path.name for path in tmp_path.glob("*.parquet"))
    assert len(names) == len(keys)
    assert sum(pq.read_table(tmp_path / name).num_rows for name in names) == len(keys)
    assert len([name for name in names if name.startswith("save-0-0000000000005-ab-")]) == 3


def test_a_file_that_is_there_is_not_written_over(started: Start, folder: Path, tmp_path: Path) -> None:
    class Same(ParquetSink):
        def _name(self, window: Any) -> str:
            return "same.parquet"

    out = tmp_path / "out"
    t = Topology("same", max_retries=0).spout("views", ParquetReplay(folder))
    t.bolt("save", Same(out), inputs="views", window=tumbling("1s", time="at"))
    running = started(t).wait(30)
    assert pq.read_table(out / "same.parquet")["at"].to_pylist() == [0]
    assert "it is there already, and is not written over" in running.errors[0].error
    assert len(list(out.iterdir())) == 1
