"""A spool gives every reader all rows, from memory and from its file, and leaves nothing behind."""

from __future__ import annotations

import gc
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from workbench.contract.errors import LimitExceeded, QueryFailed, UsageError
from workbench.execution.spool import Spool
from workbench.execution.spool_file import Gone, SpoolFile
from workbench.testing.clock import eventually

FEW = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
SCHEMA = pa.schema([("n", pa.int64()), ("word", pa.dictionary(pa.int32(), pa.string())), ("text", pa.string_view())])


def _batch(start: int, count: int) -> pa.RecordBatch:
    words = pa.array([f"w{n % 5}" for n in range(start, start + count)]).dictionary_encode()
    texts = pa.array([f"a text too long to lie inside {n}" for n in range(start, start + count)], pa.string_view())
    return pa.RecordBatch.from_arrays([pa.array(range(start, start + count)), words, texts], schema=SCHEMA)


def _batches(sizes: list[int]) -> list[pa.RecordBatch]:
    return [_batch(sum(sizes[:at]), size) for at, size in enumerate(sizes)]


@pytest.fixture
def descriptors() -> Iterator[None]:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


@given(sizes=st.lists(st.integers(0, 300), max_size=12), memory=st.integers(0, 60_000), readers=st.integers(1, 4))
@FEW
def test_every_reader_gets_every_row_in_order(tmp_path: Path, sizes: list[int], memory: int, readers: int) -> None:
    with Spool(tmp_path, memory, schema=SCHEMA) as spool:
        found: list[pa.Table] = []
        threads = [threading.Thread(target=lambda: found.append(spool.reader().read_all())) for _ in range(readers)]
        for thread in threads:
            thread.start()
        for batch in _batches(sizes):
            assert spool.append(batch)
        assert not spool.finished
        spool.finish()
        for thread in threads:
            thread.join(10)
        found.append(spool.reader().read_all())
        assert len(found) == readers + 1
        for table in found:
            assert table.schema.equals(SCHEMA)
            assert table["n"].to_pylist() == list(range(sum(sizes)))
            assert table["word"].to_pylist() == [f"w{n % 5}" for n in range(sum(sizes))]
        assert spool.rows == sum(sizes)
        assert spool.finished
        assert not spool.capped
        assert list(tmp_path.iterdir()) == []


def test_what_fits_is_kept_as_it_came(tmp_path: Path) -> None:
    with Spool(tmp_path / "none", 1 << 20) as spool:
        batch = _batch(0, 100)
        spool.append(batch)
        spool.finish()
        assert next(spool.batches()).column(0).buffers()[1].address == batch.column(0).buffers()[1].address
        assert spool.spilled == 0
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("descriptors")
def test_the_file_is_ours_alone_and_ends_with_close_or_the_last_holder(tmp_path: Path) -> None:
    folder = tmp_path / "spools"
    spool = Spool(folder, 0)
    spool.append(_batch(0, 100))
    assert spool.spilled > 0
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    links = [Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    [link] = [link for link in links if link.is_symlink() and str(folder) in os.readlink(link)]
    assert stat.S_IMODE(link.stat().st_mode) == 0o600
    assert list(folder.iterdir()) == []
    spool.close()
    dropped = Spool(folder, 0)
    dropped.append(_batch(0, 100))
    dropped.finish()
    reader = dropped.reader()
    del dropped
    assert reader.read_all().num_rows == 100  # a reader holds what it reads


def test_batches_stay_good_after_close(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0)
    spool.append(_batch(0, 100))
    reading = spool.batches()
    batch = next(reading)
    spool.close()
    spool.close()
    assert batch["n"].to_pylist() == list(range(100))
    with pytest.raises(UsageError, match="closed"):
        next(reading)
    with pytest.raises(UsageError, match="closed"):
        next(spool.batches())
    assert not spool.append(_batch(100, 1))


def test_readers_are_let_go_by_close(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 0, schema=SCHEMA)
    raised: list[BaseException] = []

    def read() -> None:
        try:
            list(spool.batches())
        except UsageError as error:
            raised.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    spool.close()
    thread.join(5)
    assert raised


def test_a_failure_comes_after_the_rows_so_far_and_is_the_error_itself(tmp_path: Path) -> None:
    with Spool(tmp_path, 0) as spool:
        spool.append(_batch(0, 100))
        error = QueryFailed("broke off", 1317)
        spool.fail(error)
        spool.fail(QueryFailed("later"))
        for _ in range(2):
            reading = spool.batches()
            assert next(reading).num_rows == 100
            with pytest.raises(QueryFailed) as raised:
                next(reading)
            assert raised.value is error
        with pytest.raises(QueryFailed) as raised:
            spool.reader().read_all()
        assert raised.value is error
        with pytest.raises(Exception, match="broke off"):
            pl.DataFrame(spool.reader())
        assert spool.error is error
        assert spool.finished


def test_a_failure_before_the_schema(tmp_path: Path) -> None:
    with Spool(tmp_path, 0) as spool:
        threading.Timer(0.01, spool.fail, [QueryFailed("no")]).start()
        with pytest.raises(QueryFailed):
            spool.reader()


def test_rows_can_be_read_while_they_come(tmp_path: Path) -> None:
    with Spool(tmp_path, 0) as spool:
        assert not spool.wait_first(0)
        assert not spool.wait_finished(0)
        spool.append(_batch(0, 10))
        assert spool.wait_first(0)
        assert not spool.wait_rows(11, 0)
        reading = spool.batches()
        assert next(reading).num_rows == 10
        threading.Timer(0.01, spool.append, [_batch(10, 10)]).start()
        assert next(reading).num_rows == 10
        assert spool.wait_rows(20, 0)
        spool.finish()
        assert spool.wait_finished(0)
        assert next(reading, None) is None


@given(sizes=st.lists(st.integers(0, 50), max_size=8), most=st.integers(0, 120))
@FEW
def test_capped_means_that_there_was_more(tmp_path: Path, sizes: list[int], most: int) -> None:
    with Spool(tmp_path, 1 << 20, max_rows=most) as spool:
        spool.fill(pa.RecordBatchReader.from_batches(SCHEMA, _batches(sizes)))
        assert spool.rows == min(sum(sizes), most)
        assert spool.capped == (sum(sizes) > most)
        assert spool.cap == (f"capped at {most:,} rows, more rows exist" if spool.capped else "")
        assert spool.reader().read_all()["n"].to_pylist() == list(range(spool.rows))


@given(sizes=st.lists(st.integers(1, 200), min_size=1, max_size=8), most=st.integers(0, 10_000))
@FEW
def test_capped_by_bytes(tmp_path: Path, sizes: list[int], most: int) -> None:
    plain = [batch.select(["n"]) for batch in _batches(sizes)]
    with Spool(tmp_path, 1 << 20, max_bytes=most) as spool:
        spool.fill(pa.RecordBatchReader.from_batches(plain[0].schema, plain))
        assert spool.bytes <= most
        assert spool.capped == (8 * sum(sizes) > most)
        assert spool.rows == min(sum(sizes), most // 8)


def test_filling_stops_reading_at_the_cap(tmp_path: Path) -> None:
    read: list[int] = []

    def endless() -> Iterator[pa.RecordBatch]:
        while True:
            read.append(1)
            yield _batch(0, 10)

    with Spool(tmp_path, 1 << 20, max_rows=95) as spool:
        spool.fill(pa.RecordBatchReader.from_batches(SCHEMA, endless()))
        assert spool.rows == 95
    assert len(read) == 10


def test_filling_passes_errors_on(tmp_path: Path) -> None:
    def failing() -> Iterator[pa.RecordBatch]:
        yield _batch(0, 10)
        raise QueryFailed("no")

    with Spool(tmp_path, 0) as spool:
        with pytest.raises(QueryFailed):
            spool.fill(pa.RecordBatchReader.from_batches(SCHEMA, failing()))
        assert isinstance(spool.error, QueryFailed)
        assert spool.rows == 10


def test_another_schema_is_refused(tmp_path: Path) -> None:
    with Spool(tmp_path, 0) as spool:
        spool.append(_batch(0, 10))
        with pytest.raises(UsageError, match="one schema"):
            spool.append(pa.record_batch({"n": [1]}))


def test_batches_without_columns(tmp_path: Path) -> None:
    with Spool(tmp_path, 0) as spool:
        for _ in range(3):
            spool.append(_batch(0, 10).select([]))
        spool.finish()
        assert sum(batch.num_rows for batch in spool.batches()) == spool.rows == 30


def test_for_duckdb_and_polars(tmp_path: Path) -> None:
    with Spool(tmp_path, 3_000) as spool:
        spool.fill(pa.RecordBatchReader.from_batches(SCHEMA, _batches([100] * 5)))
        rows = spool.reader()
        assert duckdb.sql("select count(*), sum(n) from rows").fetchall() == [(500, 124_750)]
        assert rows is not None
        assert pl.DataFrame(spool.reader())["n"].sum() == 124_750


def _child(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)


def test_nothing_is_left_of_a_killed_process(tmp_path: Path) -> None:
    child = _child(
        "import sys, pathlib, pyarrow as pa\n"
        "from workbench.execution.spool import Spool\n"
        "spool = Spool(pathlib.Path(sys.argv[1]), 0)\n"
        "spool.append(pa.record_batch({'a': range(1000)}))\n"
        "print(spool.spilled, flush=True); sys.stdin.read()",
        str(tmp_path),
    )
    assert child.stdout is not None
    with child.stdout:
        assert int(child.stdout.readline()) > 0
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_a_dying_process_left_is_swept(tmp_path: Path) -> None:
    left, other = tmp_path / "spool-00ff", tmp_path / "notes.txt"
    left.write_bytes(b"x")
    other.write_bytes(b"x")
    with Spool(tmp_path, 0) as spool:
        spool.append(pa.record_batch({"a": [1]}))
        assert spool.spilled
        assert list(tmp_path.iterdir()) == [other]


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    """A limit on the size of files is what a test may fill up; the system reports it at the same place."""
    child = _child(
        "import sys, pathlib, resource, pyarrow as pa, os\n"
        "from workbench.contract.errors import LimitExceeded\n"
        "from workbench.execution.spool import Spool\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "spool = Spool(pathlib.Path(sys.argv[1]), 10_000)\n"
        "batch = pa.record_batch({'a': pa.array([os.urandom(100) for _ in range(300)])})\n"
        "count = 0\n"
        "try:\n"
        "    while True: spool.append(batch); count += 1\n"
        "except LimitExceeded as error:\n"
        "    print(error)\n"
        "reading = spool.batches()\n"
        "try:\n"
        "    for got in range(100): next(reading)\n"
        "except LimitExceeded as error:\n"
        "    print(got == count, spool.error is error)\n",
        str(tmp_path),
    )
    told, _ = child.communicate(timeout=60)
    first, second = told.splitlines()
    assert "File too large" in first
    assert "10,000 bytes in memory" in first
    assert second == "True True"


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with Spool(tmp_path / "file" / "spools", 0) as spool, pytest.raises(LimitExceeded, match="Not a directory"):
        spool.append(_batch(0, 1))


def test_closed_while_it_is_written_and_read(tmp_path: Path) -> None:
    for _ in range(20):
        spool = Spool(tmp_path, 0, schema=SCHEMA)
        batch = _batch(0, 2_000)
        outcomes: list[object] = []

        def write(spool: Spool = spool, batch: pa.RecordBatch = batch, outcomes: list[object] = outcomes) -> None:
            while spool.append(batch):
                pass
            outcomes.append("written")

        def read(spool: Spool = spool, outcomes: list[object] = outcomes) -> None:
            with pytest.raises(UsageError, match="closed"):
                for _ in spool.batches():
                    pass
            outcomes.append("read")

        threads = [threading.Thread(target=write), threading.Thread(target=read)]
        for thread in threads:
            thread.start()
        spool.wait_rows(4_000)
        spool.close()
        for thread in threads:
            thread.join(5)
        assert sorted(map(str, outcomes)) == ["read", "written"]
        assert spool.error is None


def test_close_waits_for_no_reader_and_pulls_nothing_from_under_one(tmp_path: Path) -> None:
    held = SpoolFile(tmp_path)
    place = held.write(_batch(0, 1_000))
    outcomes: list[object] = []

    def read() -> None:
        try:
            while True:
                outcomes.append(held.read(place).num_rows)
        except Gone as error:
            outcomes.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(outcomes) > 100)
    held.close()
    for thread in threads:
        thread.join(5)
    assert {outcome for outcome in outcomes if isinstance(outcome, int)} == {1_000}
    assert len([outcome for outcome in outcomes if isinstance(outcome, Gone)]) == 4
