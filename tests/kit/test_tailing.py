"""A log that is written, rotated, packed and cut in any order, read with restarts at any place: each line once."""

from __future__ import annotations

import gzip
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from workbench.kit import tail_files, tailing
from workbench.kit.tail_files import family, is_rotated
from workbench.kit.tailing import GRACE, LONGEST_LINE, BrokenFile, Follower, Place, PlaceLost
from workbench.testing.clock import SettableClock


def drained(follower: Follower, clock: SettableClock, most: int = 1 << 20) -> list[bytes]:
    """All that it has, also what it has only after a file was quiet for a while."""
    lines: list[bytes] = []
    quiet = 0
    while quiet < 4:
        quiet += 1
        while (block := follower.read(most)) is not None:
            lines += block.lines()
            quiet = 0
        clock.advance(GRACE + 0.1)
    return lines


class Site:
    """A log that grows and is rotated by somebody. `said` are the lines that were written whole."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.log, self._chance = folder / "access.log", chance
        self._file = self.log.open("ab", buffering=0)
        self.said: list[bytes] = []
        self.half = b""

    def write(self, lines: int) -> None:
        for _ in range(lines):
            line = f"{len(self.said)} {'x' * self._chance.choice((0, 3, 300))}".encode()
            self._file.write(line[len(self.half) :] + b"\n" if self.half else line + b"\n")
            self.half = b""
            self.said.append(line)

    def write_half(self) -> None:
        if not self.half:
            self.half = f"{len(self.said)} ".encode()
            self._file.write(self.half)

    def _shift(self) -> None:
        for number in range(20, 0, -1):
            for pack in ("", ".gz"):
                old = self.log.with_name(f"access.log.{number}{pack}")
                if old.exists():
                    old.rename(self.log.with_name(f"access.log.{number + 1}{pack}"))

    def rename(self) -> None:
        """As logrotate does it; the writer goes on in the old file until it has finished its line."""
        self._shift()
        self.log.rename(self.log.with_name("access.log.1"))
        if self.half:
            self.write(1)
        self._file.close()
        self._file = self.log.open("ab", buffering=0)

    def copy_and_cut(self) -> None:
        if self.half:
            return
        self._shift()
        shutil.copyfile(self.log, self.log.with_name("access.log.1"))
        os.truncate(self.log, 0)

    def pack(self) -> None:
        plain = [one for one in self.log.parent.glob("access.log.*") if one.suffix != ".gz"]
        if plain:
            one = self._chance.choice(plain)
            with gzip.open(f"{one}.gz", "wb") as packed:
                packed.write(one.read_bytes())
            one.unlink()

    def close(self) -> None:
        self._file.close()


@pytest.mark.parametrize("seed", range(60))
def test_any_history_is_read_once_and_in_order(tmp_path: Path, seed: int) -> None:
    one_history(tmp_path, seed)


@pytest.mark.parametrize("seed", range(20))
def test_a_reader_that_is_many_files_behind_reads_them_once_and_in_order(tmp_path: Path, seed: int) -> None:
    one_history(tmp_path, seed, reads=0.72)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(60, 3000))
def test_many_more_histories(tmp_path: Path, seed: int) -> None:
    one_history(tmp_path, seed, reads=0.72 if seed % 3 == 0 else 0.88)


def one_history(tmp_path: Path, seed: int, reads: float = 0.88) -> None:
    """It is read in the part of what happens that is between 0.68 and `reads`."""
    chance, clock = random.Random(seed), SettableClock()
    site = Site(tmp_path, chance)
    follower = Follower(str(site.log), clock=clock)
    got: list[bytes] = []
    for _ in range(60):
        what = chance.random()
        if what < 0.4:
            site.write(chance.randrange(1, 5))
        elif what < 0.45:
            site.write_half()
        elif what < 0.55:
            site.rename()
        elif what < 0.62:
            site.copy_and_cut()
        elif what < 0.68:
            site.pack()
        elif what < reads:
            block = follower.read(chance.choice((40, 1 << 20)))
            if block is not None:
                got += block.lines()
        elif what >= 0.88:
            place = Place.of(str(follower.place()))
            follower.close()
            follower = Follower(str(site.log), after=place, clock=clock)
        clock.advance(chance.choice((0.01, 0.3, GRACE)))
    got += drained(follower, clock)
    follower.close()
    site.close()
    assert got == site.said


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


def test_a_half_line_waits_for_its_end_and_what_gets_none_is_a_line_when_the_file_is_left(
    tmp_path: Path, clock: SettableClock
) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"one\r\ntw")
    follower = Follower(str(log), clock=clock)
    assert drained(follower, clock) == [b"one"]
    with log.open("ab") as file:
        file.write(b"o\nno end")
    assert drained(follower, clock) == [b"two"]
    log.rename(tmp_path / "a.log.1")
    log.write_bytes(b"new\n")
    assert drained(follower, clock) == [b"no end", b"new"]


def test_what_is_written_to_a_file_that_was_left_is_read_all_the_same(tmp_path: Path, clock: SettableClock) -> None:
    log, old = tmp_path / "a.log", tmp_path / "a.log.1"
    log.write_bytes(b"1\n")
    follower = Follower(str(log), clock=clock)
    assert drained(follower, clock) == [b"1"]
    log.rename(old)
    log.write_bytes(b"2\n")
    assert drained(follower, clock) == [b"2"]
    place = follower.place()
    with old.open("ab") as file:
        file.write(b"late\n")
    assert drained(follower, clock) == [b"late"]
    assert drained(Follower(str(log), after=place, clock=clock), clock) == [b"late"], "before a restart, too"


def test_from_the_end_or_from_the_file_s_beginning(tmp_path: Path, clock: SettableClock) -> None:
    log = tmp_path / "a.log"
    (tmp_path / "a.log.1").write_bytes(b"1\n")
    log.write_bytes(b"2\n")
    ends = {begin: Follower(str(log), begin, clock=clock) for begin in ("all", "file", "end")}
    with log.open("ab") as file:
        file.write(b"3\n")
    assert {begin: drained(one, clock) for begin, one in ends.items()} == {
        "all": [b"1", b"2", b"3"], "file": [b"2", b"3"], "end": [b"3"],
    }  # fmt: skip


def test_a_place_that_is_nowhere_is_lost_and_an_inode_alone_is_no_place(tmp_path: Path, clock: SettableClock) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"one\ntwo\n")
    follower = Follower(str(log), clock=clock)
    assert drained(follower, clock) == [b"one", b"two"]
    place = follower.place()
    follower.close()
    with log.open("r+b") as file:  # the same inode, and as long
        file.write(b"ONE\nTWO\n3\n")
    with pytest.raises(PlaceLost, match="no file of"):
        Follower(str(log), after=place)
    log.unlink()
    with pytest.raises(PlaceLost):
        Follower(str(log), after=place)
    for nonsense in ("", "[]", "{}", "[1,true]", '[1,true,["a"]]', "12"):
        with pytest.raises(PlaceLost):
            Place.of(nonsense)


def test_a_copy_that_stands_for_the_file_is_the_place(tmp_path: Path, clock: SettableClock) -> None:
    """As after a restore, or on another disk: all inodes are others."""
    log = tmp_path / "a.log"
    log.write_bytes(b"1\n2\n")
    follower = Follower(str(log), clock=clock)
    assert drained(follower, clock) == [b"1", b"2"]
    place = follower.place()
    shutil.copyfile(log, tmp_path / "copy")
    os.replace(tmp_path / "copy", log)
    with log.open("ab") as file:
        file.write(b"3\n")
    assert drained(Follower(str(log), after=place, clock=clock), clock) == [b"3"]


def test_places_are_ordered(tmp_path: Path, clock: SettableClock) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"1\n22\n")
    follower = Follower(str(log), clock=clock)
    places = [follower.place()]
    for text in (b"3\n", b"44\n"):
        follower.read()
        places.append(follower.place())
        log.rename(tmp_path / f"a.log.{len(places)}")
        log.write_bytes(text)
        drained(follower, clock)
    places.append(follower.place())
    for at, place in enumerate(places):
        assert [place.reached(other) for other in places] == [number <= at for number in range(len(places))]


def test_a_very_long_line_comes_in_parts(tmp_path: Path, clock: SettableClock) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"x" * (2 * LONGEST_LINE + 5) + b"\nnext\n")
    lines = drained(Follower(str(log), clock=clock), clock, most=4096)
    assert [len(line) for line in lines] == [LONGEST_LINE, LONGEST_LINE, 5, 4]


def test_a_packed_file_that_is_being_written_is_waited_for_and_a_broken_one_is_said(
    tmp_path: Path, clock: SettableClock
) -> None:
    log, packed = tmp_path / "a.log", tmp_path / "a.log.1.gz"
    whole = gzip.compress(b"".join(b"%d\n" % number for number in range(5000)))
    packed.write_bytes(whole[:-2000])
    log.write_bytes(b"live\n")
    follower = Follower(str(log), clock=clock)
    first = drained(follower, clock)
    assert b"live" not in first
    packed.write_bytes(whole)
    assert first + drained(follower, clock) == [*(b"%d" % number for number in range(5000)), b"live"]
    packed.write_bytes(whole[:-2000])
    os.utime(packed, (1_000_000, 1_000_000))
    with pytest.raises(BrokenFile, match="ends in the middle"):
        drained(Follower(str(log), clock=clock), clock)


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("access.log.1", True), ("access.log.12.gz", True), ("access.log-20260101", True),
        ("access.log.2026-01-01.xz", True), ("access-20260101.log", True), ("access-2026-01-01T10:00.log.bz2", True),
        ("access.log", False), ("access-2.log", False), ("access.log.gz", False), ("access.log.old", False),
        ("access.log1", False), ("xaccess.log.1", False), ("error.log.1", False),
    ],
)  # fmt: skip
def test_which_names_rotation_gives(name: str, is_one: bool) -> None:
    assert is_rotated(name, "access.log") is is_one


def test_a_file_that_is_renamed_while_the_folder_is_read_is_not_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    log.write_text("older")
    listdir, moved = os.listdir, []

    def meanwhile(folder: str) -> list[str]:
        names = listdir(folder)
        if not moved:
            moved.append(log.rename(tmp_path / "log.1"))
            log.write_text("newer")
        return names

    monkeypatch.setattr(os, "listdir", meanwhile)
    assert [Path(one.path).read_text() for one in family(str(log))] == ["older", "newer"]


@pytest.mark.parametrize("which", [4, 3, 2])
def test_files_that_are_renamed_when_their_turn_has_come_keep_their_order(
    which: int, tmp_path: Path, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one is renamed by now, and the others are not yet."""
    for number in range(4, 0, -1):
        (tmp_path / f"log.{number}").write_text(f"{number}\n")
        os.utime(tmp_path / f"log.{number}", (1_000 - number, 1_000 - number))
    (tmp_path / "log").write_text("0\n")
    moved: list[Path] = []

    def opened(entry: Any) -> Any:
        if entry.path == str(tmp_path / f"log.{which}") and not moved:
            moved.extend(
                (tmp_path / f"log.{number}").rename(tmp_path / f"log.{number + 1}") for number in (4, 3, 2)[: 5 - which]
            )
        return tail_files.opened(entry)

    monkeypatch.setattr(tailing, "opened", opened)
    follower = Follower(str(tmp_path / "log"), clock=clock)
    assert drained(follower, clock) == [b"4", b"3", b"2", b"1", b"0"]
    follower.close()
    assert moved


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_thousands_of_rotated_files_are_looked_for_a_few_times(
    ending: str, tmp_path: Path, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(300, 0, -1):
        data = f"line {number}\n".encode()
        (tmp_path / f"log.{number}{ending}").write_bytes(gzip.compress(data) if ending else data)
        os.utime(tmp_path / f"log.{number}{ending}", (1_000 - number, 1_000 - number))
    (tmp_path / "log").write_text("line 0\n")
    looks = []

    def look(*given: Any) -> Any:
        looks.append(given)
        return family(*given)

    monkeypatch.setattr(tailing, "family", look)
    follower = Follower(str(tmp_path / "log"), clock=clock)
    assert drained(follower, clock) == [f"line {number}".encode() for number in range(300, -1, -1)]
    follower.close()
    assert len(looks) < 50


def test_the_order_of_rotated_files(tmp_path: Path) -> None:
    for names in (["a.log.10.gz", "a.log.2", "a.log.1", "a.log"], ["a.log-20251231", "a.log-20260101.gz", "a.log"]):
        for name in reversed(names):
            (tmp_path / name).touch()
        assert [os.path.basename(one.path) for one in family(str(tmp_path / "a.log"))] == names
        for name in names:
            (tmp_path / name).unlink()
