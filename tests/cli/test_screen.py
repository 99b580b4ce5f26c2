"""A line of progress where there is no terminal."""

from __future__ import annotations

import io

from workbench.cli.screen import ProgressLine


def test_a_log_has_a_line_every_ten_seconds_and_a_pipe_none() -> None:
    now = 100.0
    log, pipe = io.StringIO(), io.StringIO()
    line, quiet = ProgressLine(pipe, log, lambda: now), ProgressLine(pipe, None, lambda: now)
    for second in range(25):
        now = 100.0 + second
        line.report(f"day {second}", second / 25)
        quiet.report("silence", 0.5)
    line.clear()
    assert log.getvalue() == "  … 10 s: day 10\n  … 20 s: day 20\n"
    assert pipe.getvalue() == ""
