"""Many files that are written to, as one spout: one thread for all of them, rotation as exact as for one, memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.catalog import Catalog
from workbench.streams import Bolt, Feed, Topology, looking
from workbench.streams.running import Running

Start = Callable[..., Running]


class Take(Bolt):
    """Lines as they come, by the file that they are of."""

    got: dict[str, list[str]] = {}

    def execute_batch(self, batch: Any) -> None:
        assert batch.origin is not None
        self.got.setdefault(batch.origin.partition, []).extend(row[0] for row in batch)


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    folder = tmp_path / "logs"
    folder.mkdir()
    catalog = Catalog()
    settings = {"*": {"format": "lines"}}
    catalog.connect("logs", path=str(folder / "*.log"), connector="files", tables=settings, test=False)
    Take.got = {}
    yield folder
    catalog.close()


def write(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def following(parallelism: int = 1) -> Topology:
    catalog = Catalog()
    try:
        table = f'logs."{catalog.tables("logs")[0].table}"'
    finally:
        catalog.close()
    return Topology("logs").spout("lines", Feed(table), parallelism=parallelism).bolt("take", Take, inputs="lines")


def readers() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith(("workbench-feed", "workbench-looks"))]


def test_one_thread_reads_all_files_of_a_task_and_lets_them_go(started: Start, logs: Path, eventually: Any) -> None:
    for number in range(300):
        write(logs / f"{number}.log", f"{number} a")
    descriptors = len(os.listdir("/proc/self/fd"))
    running = started(following(parallelism=2))
    eventually(lambda: sum(map(len, Take.got.values())) == 300, within=120)
    assert len(readers()) == 2, readers()
    for number in range(0, 300, 7):
        write(logs / f"{number}.log", f"{number} b")
    eventually(lambda: sum(map(len, Take.got.values())) == 343, within=120)
    assert Take.got["7.log"] == ["7 a", "7 b"]
    running.stop(20)
    assert readers() == []
    assert len(os.listdir("/proc/self/fd")) < descriptors + 20


@pytest.mark.parametrize("turns", [6, pytest.param(60, marks=pytest.mark.deep)])
def test_rotation_is_as_exact_as_for_one_file(started: Start, logs: Path, eventually: Any, turns: int) -> None:
    """By rename and by copy and cut, of all files at once, while they are read."""
    files = [logs / f"{name}.log" for name in "abcdefghijklmnopqrst"]
    wanted: dict[str, list[str]] = {path.name: [] for path in files}

    def more(path: Path, turn: int) -> None:
        lines = [f"{path.stem} {turn} {number}" for number in range(50)]
        write(path, *lines)
        wanted[path.name] += lines

    for path in files:
        more(path, 0)
    started(following())
    for turn in range(1, turns + 1):
        for place, path in enumerate(files):
            if place % 3 == 0:
                for number in range(turn, 0, -1):
                    older = path.with_name(f"{path.name}.{number}")
                    if older.exists():
                        older.rename(path.with_name(f"{path.name}.{number + 1}"))
                path.rename(path.with_name(f"{path.name}.1"))
            elif place % 3 == 1:
                path.with_name(f"{path.stem}-20260101{turn:04d}.log").write_bytes(path.read_bytes())
                os.truncate(path, 0)
            more(path, turn)
        if turn % 2:
            eventually(lambda: Take.got == wanted, within=120)
    eventually(lambda: Take.got == wanted, within=120)


def test_files_together_keep_to_their_memory(
    started: Start, logs: Path, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "MOST_BYTES", 3 << 20)
    for number in range(20):
        write(logs / f"{number}.log", f"{number}")
    running = started(following())
    eventually(lambda: len(Take.got) == 20, within=60)
    running.pause()
    for number in range(20):
        write(logs / f"{number}.log", *["x" * 1000] * 2000)

    def queued() -> float:
        return sum(counts["queued_bytes"] for counts in running.metrics().now.sources.values())

    eventually(lambda: queued() >= 3 << 20, within=60)
    assert queued() < 5 << 20, "a batch above it, where 20 files of 2 MB wait"
    running.resume()
    eventually(lambda: sum(map(len, Take.got.values())) == 20 * 2001, within=120)
