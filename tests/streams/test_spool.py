"""The files of a spool: what was kept is given out, whatever the process died in, and what is damaged is said."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings, strategies as st

from workbench.streams import spool as spools
from workbench.streams.spool import Damaged, Spool
from workbench.streams.spool_segment import MARK

SOURCE = b"s" * 16
QUICK = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where a write to the disk costs nothing: of a thousand folders nobody asks what is in them after a power cut."""
Row = tuple[int, bytes, int]
"""The row's number, the record that it is in, and its place there."""
bodies = st.binary(max_size=40)
groups = st.lists(st.tuples(bodies, st.integers(1, 3)), min_size=1, max_size=3)
steps = st.lists(st.one_of(groups, st.tuples(st.integers(0, 20), st.integers(1, 5))), max_size=12)


def opened(folder: Path, **options: Any) -> Spool:
    with patch.object(spools, "LEAST", 150):  # a few records a segment
        return Spool(folder, SOURCE, 0, **options)


def all_of(spool: Spool) -> list[Row]:
    found = []
    while records := spool.read():
        found += [(first + place, body, place) for first, _, places, body in records for place in places]
    return found


def written(folder: Path, what: list[Any]) -> tuple[dict[int, Row], list[Row]]:
    """All that was kept, and what is left; the process ends as if it was killed."""
    spool, kept, done = opened(folder, durable=False), dict[int, Row](), set[int]()
    for step in what:
        if isinstance(step, tuple):
            spool.done(step[0], sum(step))
            done |= set(range(step[0], sum(step))) & kept.keys()
            continue
        number = spool.write(step)
        spool.sync()
        for body, rows in step:
            kept |= {number + place: (number + place, body, place) for place in range(rows)}
            number += rows
    assert spool.left == len(kept.keys() - done)
    spool.close()
    return kept, [row for number, row in kept.items() if number not in done]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@settings(max_examples=50)
@given(steps)
def test_what_is_not_done_comes_again_in_order(what: list[Any]) -> None:
    with TemporaryDirectory(dir=QUICK) as name:
        folder = Path(name)
        _, left = written(folder, what)
        for _ in range(2):
            spool = opened(folder)
            assert all_of(spool) == left
            assert spool.left == len(left)
            assert len(list(folder.glob("*.rows"))) <= len(left) + 1, "segments are removed when they are done"
            spool.close()


@settings(max_examples=60)
@given(steps, groups, st.data())
def test_a_record_that_was_cut_short_is_left_out(what: list[Any], last: list[Any], data: Any) -> None:
    """Of what was not told to be kept there may be whole records, in order."""
    with TemporaryDirectory(dir=QUICK) as name:
        folder = Path(name)
        _, left = written(folder, what)
        spool = opened(folder, durable=False)
        number = spool.write(last)
        [*_, path] = sorted(folder.glob("*.rows"))
        end = path.stat().st_size
        begun = spool._segments[-1].mark
        spool.close()
        with open(path, "r+b") as file:
            file.truncate(data.draw(st.integers(begun, end)))
            if data.draw(st.booleans()):  # the power failed: what was not on the disk is nothing but zeros
                file.truncate(end)
        more = []
        for body, rows in last:
            more.append([(number + place, body, place) for place in range(rows)])
            number += rows
        spool = opened(folder)
        found = all_of(spool)
        assert found in [left + list(chain(*more[:whole])) for whole in range(len(more) + 1)]
        first = spool.write([(b"new", 1)])
        assert all_of(spool) == [(first, b"new", 0)]
        spool.close()
        spool = opened(folder)
        assert all_of(spool) == [*found, (first, b"new", 0)]
        spool.close()


def harmless(folder: Path, kept: dict[int, Row], left: list[Row]) -> None:
    """It is refused, or nothing is missing and nothing is another one; what was done may come again."""
    try:
        spool = opened(folder)
    except Damaged:
        return
    try:
        found = all_of(spool)
    finally:
        spool.close()
    assert set(found) <= set(kept.values())
    assert set(left) <= set(found)


@settings(max_examples=60)
@given(steps, st.data())
def test_a_byte_that_has_changed_is_never_a_row_and_loses_none(what: list[Any], data: Any) -> None:
    with TemporaryDirectory(dir=QUICK) as name:
        folder = Path(name)
        kept, left = written(folder, what)
        path = data.draw(st.sampled_from(sorted(folder.iterdir())))
        body = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(body) - 1))
        # What is done has no checksum: four bits of a byte must have changed before a row is taken for done.
        body[at] ^= data.draw(st.integers(1, 255) if path.suffix == ".rows" else st.sampled_from([1, 2, 4, 8, 64, 128]))
        path.write_bytes(body)
        harmless(folder, kept, left)


@settings(max_examples=60)
@given(steps, st.data())
def test_a_file_that_has_lost_its_end_is_refused_or_loses_nothing(what: list[Any], data: Any) -> None:
    with TemporaryDirectory(dir=QUICK) as name:
        folder = Path(name)
        kept, left = written(folder, what)
        path = data.draw(st.sampled_from(sorted(folder.iterdir())))
        with open(path, "r+b") as file:
            file.truncate(data.draw(st.integers(0, path.stat().st_size)))
        harmless(folder, kept, left)


def test_what_was_told_to_be_kept_and_is_damaged_is_no_cut(folder: Path) -> None:
    spool = opened(folder)
    spool.write([(b"one", 1)])
    spool.write([(b"two", 1)])
    spool.close()
    [path] = folder.glob("*.rows")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"x")
    with pytest.raises(Damaged, match=r"^0+\.rows has at byte \d+ what was not written there"):
        opened(folder)
    path.write_bytes(whole[:-1])
    with pytest.raises(Damaged, match="what was not written there"):
        opened(folder)
    path.write_bytes(whole[: len(whole) - 15])
    with pytest.raises(Damaged, match=r"ends at byte \d+, and had"):
        opened(folder)
    path.write_bytes(whole)
    with open(path.with_suffix(".done"), "r+b") as file:
        file.truncate(MARK)
    spool = opened(folder)
    assert [body for _, body, _ in all_of(spool)] == [b"one", b"two"]
    spool.close()


def test_what_is_done_of_rows_that_are_gone_says_nothing_of_new_ones(folder: Path) -> None:
    """The power fails: rows that were not on the disk yet are gone, and that they were done is not."""
    spool = opened(folder, durable=False)
    first = spool.write([(b"a", 1), (b"b", 1)])
    spool.done(first, first + 2)
    spool.close()
    [path] = folder.glob("*.rows")
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size - 2)
    spool = opened(folder)
    number = spool.write([(b"c", 1)])
    assert number == first + 1
    spool.close()
    spool = opened(folder)
    assert all_of(spool) == [(number, b"c", 0)]
    spool.close()


def test_other_records_and_another_spool_are_refused(folder: Path) -> None:
    spool = opened(folder)
    spool.write([(b"x" * 100, 1)])
    spool.write([(b"y" * 100, 1)])
    spool.close()
    assert Spool.source_of(folder) == SOURCE
    with pytest.raises(Damaged, match="is not of this spool"):
        Spool(folder, b"t" * 16, 1 << 20)
    other = folder / "other"
    other.mkdir()
    made = opened(other)
    made.write([(b"z" * 100, 2)])
    made.write([(b"z" * 100, 2)])
    made.close()
    [_, second] = sorted(other.glob("*.rows"))
    shutil.copy(second, folder)
    with pytest.raises(Damaged, match="is not of this spool"):
        opened(folder)


def test_it_is_as_large_as_what_is_left(folder: Path) -> None:
    most = 4 << 20
    spool = Spool(folder, SOURCE, most, durable=False)
    body = b"x" * 10_000
    held = spool.write([(body, 1)])
    for _ in range(800):  # 8 MB go through while one row is held
        number = spool.write([(body, 1)])
        assert spool.room(len(body))
        spool.done(number, number + 1)
    on_disk = sum(path.stat().st_size for path in folder.iterdir())
    assert on_disk == pytest.approx(spool.size, abs=100)
    assert on_disk < most // 4
    assert spool.left == 1
    while spool.room(len(body)):
        spool.write([(body, 1)])
    assert sum(path.stat().st_size for path in folder.iterdir()) <= most + 1_000
    spool.done(held, spool.end)
    assert spool.room(1 << 30)
    spool.empty()
    assert sum(path.stat().st_size for path in folder.iterdir()) < 200
    spool.close(remove=True)
    assert not list(folder.iterdir())


def test_a_note_stays_when_all_is_done(folder: Path) -> None:
    spool = opened(folder)
    first = spool.write([(b"record", 1)], b"id 7")
    spool.done(first, first + 1)
    spool.empty()
    spool.close()
    spool = opened(folder)
    assert (spool.note, spool.newest, spool.begin, spool.end) == (b"id 7", None, 1, 1)
    spool.write([(b"more", 1)], b"id 8")
    spool.close()
    spool = opened(folder)
    assert spool.newest == b"more"
    spool.close()


def test_a_record_may_be_larger_than_what_is_read_at_once(folder: Path) -> None:
    spool, large = Spool(folder, SOURCE, 64 << 20, durable=False), b"y" * (3 << 20)
    spool.write([(b"a", 1), (large, 2), (b"b", 1)])
    assert [(first, rows, body) for first, rows, _, body in iter_records(spool)] == [
        (0, 1, b"a"),
        (1, 2, large),
        (3, 1, b"b"),
    ]
    spool.close()


def iter_records(spool: Spool) -> Iterator[Any]:
    while records := spool.read():
        yield from records


def test_one_writes_while_another_reads(folder: Path) -> None:
    spool, many = opened(folder, durable=False), 150

    def write() -> None:
        for number in range(many):
            spool.write([(str(number).encode(), 1)])

    writer = threading.Thread(target=write)
    writer.start()
    found: list[bytes] = []
    while len(found) < many:
        for first, rows, _, body in spool.read():
            found.append(body)
            spool.done(first, first + rows)
    writer.join()
    assert found == [str(number).encode() for number in range(many)]
    assert spool.left == 0
    assert len(list(folder.glob("*.rows"))) == 1
    spool.close()
