"""The viewer's log stays short while it is written to."""

from __future__ import annotations

import os
from pathlib import Path

from workbench.dashboards.process import shorten


def test_a_long_log_keeps_its_end_and_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "viewer.log"
    shorten(log, 1_000)  # there is none yet
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "a") as writer:
        for number in range(1_000):
            print(f"line {number}", file=writer)
        writer.flush()
        shorten(log, 1_000)
        print("line 1000", file=writer)
    first, *lines = log.read_text().splitlines()
    assert first == "(what was before is let go)"
    numbers = [int(line.removeprefix("line ")) for line in lines]
    assert numbers == list(range(numbers[0], 1_001))
    assert 200 < log.stat().st_size < 300


def test_a_short_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "viewer.log"
    log.write_text("a\nb\n")
    shorten(log, 1_000)
    assert log.read_text() == "a\nb\n"
