"""A shared result: another process sees a prefix of whole batches at any time, and nothing is left of a dead owner."""

from __future__ import annotations

import json
import os
import random
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.execution.sharing import SCHEMA, batch
from tests.query.support import eventually
from workbench.contract.errors import DocumentError, QueryFailed, UnknownResult, WorkbenchError
from workbench.execution import shared as sharing
from workbench.execution.shared import RECORD, Shared, sweep
from workbench.execution.shared_reading import SharedReader
from workbench.execution.spool import Spool

FEW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def everything(reader: SharedReader) -> pa.Table:
    read = [reader.batch(number, [0, 1, 2]) for number in range(reader.batches)]
    return pa.Table.from_batches(read, SCHEMA)


def is_prefix(table: pa.Table) -> None:
    numbers = pa.chunked_array([pa.array(range(table.num_rows), pa.int64())])
    assert table["n"].equals(numbers)
    assert (
        pc.all(pc.equal(table["text"], pc.binary_join_element_wise("row", numbers.cast(pa.string()), " "))).as_py()
        is not False
    )
    assert pc.all(pc.equal(table["odd"], pc.equal(pc.bit_wise_and(numbers, 1), 1))).as_py() is not False


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool", 1 << 12, schema=SCHEMA) as spool:
        yield spool


@pytest.fixture
def shared(tmp_path: Path, spool: Spool) -> Iterator[Shared]:
    """Of 250 rows in 3 batches, done."""
    for first, rows in ((0, 100), (100, 100), (200, 50)):
        spool.append(batch(first, rows))
    spool.finish()
    made = Shared(tmp_path / "results", spool, "select 1")
    assert made.wait(10)
    yield made
    made.close()


@given(sizes=st.lists(st.integers(0, 300), max_size=10), early=st.integers(0, 10))
@FEW
def test_all_rows_come_those_before_and_those_after(tmp_path: Path, sizes: list[int], early: int) -> None:
    with Spool(tmp_path / "spool", 1 << 12, schema=SCHEMA) as spool:
        first = 0
        for size in sizes[:early]:
            spool.append(batch(first, size))
            first += size
        shared = Shared(tmp_path / "results", spool)
        reader = SharedReader(tmp_path / "results", shared.id)
        assert reader.refresh().state == "running"
        for size in sizes[early:]:
            spool.append(batch(first, size))
            first += size
            reader.refresh()
            is_prefix(everything(reader))
        spool.finish()
        assert shared.wait(10)
        head = reader.refresh()
        assert (head.state, head.rows) == ("done", first)
        table = everything(reader)
        assert table.num_rows == first
        is_prefix(table)
        shared.close()
        with pytest.raises(UnknownResult):
            reader.refresh()
        is_prefix(table)  # what was read stays good
        assert list((tmp_path / "results").iterdir()) == []


def test_files_are_the_users_alone_and_hold_whole_records(shared: Shared, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = {path.suffix: path for path in folder.iterdir()}
    assert set(files) == {".rows", ".index", ".head"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    assert files[".index"].stat().st_size == 3 * RECORD.size
    assert len(shared.id) == 26


def test_columns_are_read_alone(shared: Shared, tmp_path: Path) -> None:
    reader = SharedReader(tmp_path / "results", shared.id)
    assert reader.span(1) == (100, 100)
    assert [reader.at(row) for row in (0, 99, 100, 199, 200, 249)] == [0, 0, 1, 1, 2, 2]
    assert reader.batch(1, [2]).to_pydict() == {"odd": [n % 2 == 1 for n in range(100, 200)]}


def test_a_cap_is_told(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", 1 << 20, max_rows=150) as spool:
        spool.append(batch(0, 100))
        spool.append(batch(100, 100))
        spool.finish()
        shared = Shared(tmp_path / "results", spool, estimate=1_000)
        assert shared.wait(10)
        head = SharedReader(tmp_path / "results", shared.id).refresh()
        assert (head.state, head.rows, head.note) == ("capped", 150, "capped at 150 rows, more rows exist")
        assert head.estimate == 1_000


def test_an_error_is_told_after_the_rows_before_it(tmp_path: Path, spool: Spool) -> None:
    spool.append(batch(0, 100))
    shared = Shared(tmp_path / "results", spool)
    spool.fail(QueryFailed("broke off", 1317))
    assert shared.wait(10)
    reader = SharedReader(tmp_path / "results", shared.id)
    head = reader.refresh()
    assert (head.state, head.rows, head.note) == ("failed", 100, "broke off [1317]")
    is_prefix(everything(reader))


def test_a_full_disk_ends_the_files_and_not_the_result(
    tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/dev/full` takes nothing: what is flushed into it fails as on a disk without room."""
    monkeypatch.setattr(sharing, "_new", lambda path: os.open("/dev/full" if path.suffix == ".rows" else path, 0o101))
    spool.append(batch(0, 100))
    shared = Shared(tmp_path / "results", spool)
    spool.append(batch(100, 100))
    spool.finish()
    assert shared.wait(10)
    head = json.loads((tmp_path / "results" / f"{shared.id}.head").read_text())
    assert (head["state"], head["rows"]) == ("capped", 0)
    assert "No space left on device" in head["note"]
    assert spool.reader().read_all().num_rows == 200


@pytest.mark.parametrize("how", ["full", "all but a reserve"])
def test_what_was_taken_is_given_back_when_the_disk_is_full(
    tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    spool.append(batch(0, 100))
    shared = Shared(tmp_path / "results", spool)
    before = SharedReader(tmp_path / "results", shared.id)
    eventually(lambda: before.refresh().rows == 100)
    assert not before.removed
    if how == "full":
        monkeypatch.setattr(sharing, "_write", lambda file, piece: os.write(full, b"x"))
    else:
        monkeypatch.setattr(sharing, "RESERVE", 1 << 60)
    full = os.open("/dev/full", os.O_WRONLY)
    spool.append(batch(100, 100))
    assert shared.wait(10)
    os.close(full)
    assert [path.stat().st_size for path in (tmp_path / "results").iterdir() if path.suffix != ".head"] == [0, 0]
    head = SharedReader(tmp_path / "results", shared.id).refresh()
    assert (head.state, head.rows) == ("capped", 0)
    assert "for want of disk: No space left on device" in head.note
    is_prefix(everything(before))  # who has read them reads on, and is told to let them go
    assert before.refresh().rows == 100
    assert before.removed
    spool.finish()
    assert spool.reader().read_all().num_rows == 200


def test_a_slow_disk_holds_nobody_up(tmp_path: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    write = sharing._write
    monkeypatch.setattr(sharing, "_write", lambda file, piece: (go.wait(10), write(file, piece))[1])
    shared = Shared(tmp_path / "results", spool)
    for first in range(0, 1000, 100):
        spool.append(batch(first, 100))
    spool.finish()
    assert not shared.wait(0)
    go.set()
    assert shared.wait(10)
    is_prefix(everything(SharedReader(tmp_path / "results", shared.id)))


def test_dictionaries_and_views_become_plain_values(tmp_path: Path) -> None:
    schema = pa.schema([("word", pa.dictionary(pa.int32(), pa.string())), ("view", pa.string_view())])
    words = pa.array(["a", None, "b"]).dictionary_encode()
    with Spool(tmp_path / "spool", 1 << 20, schema=schema) as spool:
        spool.append(pa.RecordBatch.from_arrays([words, pa.array(["x", "y", None], pa.string_view())], schema=schema))
        spool.finish()
        shared = Shared(tmp_path / "results", spool)
        assert shared.wait(10)
        reader = SharedReader(tmp_path / "results", shared.id)
        assert reader.schema.types == [pa.string(), pa.string()]
        assert reader.batch(0, [0, 1]).to_pydict() == {"word": ["a", None, "b"], "view": ["x", "y", None]}


# --- owners that die


def start(folder: Path, sizes: list[int], pause: float, end: str) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "tests.execution.sharing", str(folder), ",".join(map(str, sizes)), str(pause), end]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    return child, child.stdout.readline().strip()


def end(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        assert pipe is not None
        pipe.close()


def test_a_killed_owner_leaves_a_prefix_that_is_swept(tmp_path: Path) -> None:
    chance = random.Random(5)
    for _ in range(6):
        child, result = start(tmp_path, [chance.randrange(1, 3000) for _ in range(200)], 0.001, "run")
        reader = SharedReader(tmp_path / "results", result)
        until = time.monotonic() + chance.random() * 0.3
        while time.monotonic() < until:
            assert reader.refresh().state == "running"
            is_prefix(everything(reader))
        end(child)
        reader = SharedReader(tmp_path / "results", result)
        head = reader.refresh()
        assert head.state == "failed"
        assert "has ended" in head.note
        table = everything(reader)
        assert table.num_rows == head.rows
        is_prefix(table)
        sweep(tmp_path / "results")
        assert list((tmp_path / "results").iterdir()) == []
        with pytest.raises(UnknownResult):
            SharedReader(tmp_path / "results", result)
        is_prefix(table)


def test_a_living_owner_is_left_alone_and_takes_its_files_along(tmp_path: Path) -> None:
    child, result = start(tmp_path, [10, 20], 0, "finish")
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline().strip() == "finished"
    sweep(tmp_path / "results")
    assert SharedReader(tmp_path / "results", result).refresh().rows == 30
    child.stdin.close()
    assert child.wait(10) == 0
    child.stdout.close()
    assert list((tmp_path / "results").iterdir()) == []


def test_what_was_half_made_is_swept_when_it_is_old(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    for suffix in ("rows", "index", "half"):
        (folder / f"{'a' * 26}.{suffix}").write_bytes(b"x")
    (folder / "other.txt").write_bytes(b"x")
    sweep(folder)
    assert len(list(folder.iterdir())) == 4
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    sweep(folder)
    assert [path.name for path in folder.iterdir()] == ["other.txt"]


# --- files that lie


def test_no_id_leads_out_of_the_folder(tmp_path: Path) -> None:
    for name in ("../secret", "a" * 25, "A" * 26, "a" * 26 + "\n", "", "1" * 26, "a" * 26):
        with pytest.raises(UnknownResult):
            SharedReader(tmp_path, name)


def test_a_link_is_no_result(shared: Shared, tmp_path: Path) -> None:
    rows = tmp_path / "results" / f"{shared.id}.rows"
    rows.rename(tmp_path / "elsewhere")
    rows.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DocumentError):
        SharedReader(tmp_path / "results", shared.id)


@given(data=st.data(), suffix=st.sampled_from(["rows", "index", "head"]))
@settings(
    deadline=None,
    max_examples=400,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_broken_files_are_errors_of_ours_or_right_rows(
    shared: Shared, tmp_path: Path, data: st.DataObject, suffix: str
) -> None:
    """Cut, or with bytes that are others: every answer is a typed error or has the shape it should have."""
    path = tmp_path / "results" / f"{shared.id}.{suffix}"
    whole = path.read_bytes()
    try:
        if data.draw(st.booleans()):
            broken = whole[: data.draw(st.integers(0, len(whole) - 1))]
        else:
            broken = bytearray(whole)
            for at in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
                broken[at] = data.draw(st.integers(0, 255))
        path.write_bytes(broken)
        try:
            reader = SharedReader(tmp_path / "results", shared.id)
            table = everything(reader)
        except WorkbenchError:
            return
        assert table.num_rows == reader.rows
        table.to_pylist()
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "record",
    [
        (0, 1 << 62, 0, 100),
        (1 << 63, 8, 0, 100),
        (0, 0, 0, 100),
        (0, 1000, 5, 100),
        (0, 1000, 0, 0),
        (0, 1000, 0, 1 << 40),
    ],
)
def test_lengths_are_lies_until_checked(shared: Shared, tmp_path: Path, record: tuple[int, int, int, int]) -> None:
    (tmp_path / "results" / f"{shared.id}.index").write_bytes(RECORD.pack(*record))
    with pytest.raises(DocumentError, match="does not fit"):
        SharedReader(tmp_path / "results", shared.id)


def test_descriptors_are_given_back(shared: Shared, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        reader = SharedReader(tmp_path / "results", shared.id)
        reader.batch(0, [1])
        reader.close()
        del reader
    assert len(os.listdir("/proc/self/fd")) == before
