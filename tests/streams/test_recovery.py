"""A process that is killed at any point of its work: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import REPOSITORY
from tests.streams.killed import SAID

EVENTS = 6_000


def write_events(folder: Path, chance: random.Random) -> None:
    """In three files; the times are out of order by up to some seconds more than the lag."""
    (folder / "events").mkdir()
    at, rows = 0, []
    for number in range(EVENTS):
        at += chance.randrange(200)
        rows.append((at - chance.choice([0, 0, 0, 1_000, 4_000, 30_000]), f"/{chance.randrange(20)}", number))
    for part in range(3):
        some = rows[part::1][part * EVENTS // 3 - part : (part + 1) * EVENTS // 3 - part]
        columns = list(zip(*some, strict=True))
        pq.write_table(
            pa.table({"at": columns[0], "page": columns[1], "n": columns[2]}), folder / "events" / f"{part}.parquet"
        )


def killed_at(folder: Path, letters: int) -> str:
    """Runs it until it has said so many letters, and kills it; "" when it was killed, else its last words."""
    environment = {**os.environ, "WORKBENCH_HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1"}
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.streams.killed", str(folder)],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    said = ""
    try:
        while len(said) < letters:
            letter = child.stdout.read(1)
            said += letter
            if not letter or letter == ".":
                words = child.stdout.read()  # its end is that of the process
                assert child.wait(120) == 0, child.stderr.read() if child.stderr else ""
                return words
    finally:
        child.kill()
        child.communicate(timeout=120)
    return ""


def of(base: duckdb.DuckDBPyConnection, text: str) -> list[tuple[object, ...]]:
    return base.execute(text).fetchall()


def epoch(path: Path) -> int:
    """Of the snapshot that is kept there."""
    base = sqlite3.connect(path)
    try:
        ((value,),) = base.execute("select value from meta where name = 'epoch'").fetchall()
        return int(value)
    finally:
        base.close()


def kill_and_compare(folder: Path, seed: int, kills: int) -> None:
    chance = random.Random(seed)
    print("seed", seed)
    write_events(folder, chance)
    words, epochs = "", list[int]()
    for _ in range(kills):
        words = words or killed_at(folder, chance.randrange(1, EVENTS // SAID // 2))
        with sqlite3.connect(folder / "home" / "states" / "killed.sqlite") as base:
            epochs.append(int(base.execute("select value from meta where name = 'epoch'").fetchone()[0]))
        base.close()
    words = words or killed_at(folder, 10**9)
    print("snapshots when it was killed", epochs)
    assert len(set(epochs)) > 3, "it was killed at one point of its work only"
    assert words == "effectively once"
    with duckdb.connect() as base:
        base.execute(f"attach '{folder / 'shop.duckdb'}' as shop (read_only)")
        base.execute(f"create table events as from read_parquet('{folder / 'events' / '*.parquet'}', filename = false)")
        same(base, 'select "at", page, n from shop.raw', 'select "at", page, n from events')
        # What fails comes again later, so rows are counted in another order, but each once.
        views = "select page, row_number() over (partition by page) as views from events"
        same(base, "select page, views from shop.counts", views)
        same(base, "select page, last from shop.counts", "select page, n from events")
        # Which rows are late depends on when those come that were sent again: each is in its window, or is late.
        minutes = """select cast(ceil("at" / 60000) * 60000 as bigint) as minute, page, count(*) as views
            from events where n not in (select n from shop.late) group by all"""
        same(base, "select minute, page, views from shop.minutes", minutes)
        ((late, distinct),) = of(base, "select count(*), count(distinct n) from shop.late")
        assert late == distinct > 0


def same(base: duckdb.DuckDBPyConnection, one: str, other: str) -> None:
    for left, right in ((one, other), (other, one)):
        assert of(base, f"select * from ({left}) except all select * from ({right})") == []


def test_a_run_that_is_killed_again_and_again_equals_a_batch(tmp_path: Path) -> None:
    kill_and_compare(tmp_path, 1, 10)


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(10, 20))
def test_the_same_more_often(tmp_path: Path, seed: int) -> None:
    kill_and_compare(tmp_path, seed, 20)
