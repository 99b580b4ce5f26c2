"""One step of the Makefile, said while it goes on: `python setup/step.py "what it does" command …`.

On a terminal it is one line that counts its seconds; elsewhere a line when it begins, one every ten seconds, and one
when it is done. What the command prints is shown when it fails. It says what it is at by lines in the file that
`WORKBENCH_PROGRESS` names, each a step of its own; of uv's lines those are taken that tell of packages.

It runs before anything is installed, so it is of the standard library alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

QUIET_SECONDS = 10.0
SHOWN = 6_000
"""Characters of a command's output that are shown when it has failed."""
_UV = re.compile(r"^\s*((?:Resolved|Downloading|Downloaded|Prepared|Installed|Building|Uninstalled) [^\x1b\n]{1,80})")


class Line:
    """What is said of a step while it goes on."""

    def __init__(self, out: TextIO) -> None:
        self._out, self._live = out, out.isatty()
        self._said = self._detail = ""
        self._began = self._last = 0.0

    def begin(self, what: str, now: float) -> None:
        """Another step; the one before is done."""
        if self._said:
            self.end(now)
        self._said, self._detail, self._began, self._last = what, "", now, now
        if not self._live:
            self._write(f"{what} …\n")

    def note(self, detail: str) -> None:
        self._detail = detail

    def tick(self, now: float) -> None:
        if self._live:
            text = f"{self._said} … {now - self._began:.0f} s" + (f": {self._detail}" if self._detail else "")
            self._write(f"\r\x1b[K{text[: _width() - 1]}")
        elif now - self._last >= QUIET_SECONDS:
            self._last = now
            self._write(f"  … {now - self._began:.0f} s" + (f": {self._detail}" if self._detail else "") + "\n")

    def end(self, now: float, word: str = "done") -> None:
        took = f"{now - self._began:.0f} s"
        if self._live:
            self._write(f"\r\x1b[K{self._said}: {word}, {took}\n")
        elif word != "done" or now - self._began >= 1:
            self._write(f"  {word}, {took}\n")
        self._said = ""

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def run(what: str, command: Sequence[str], out: TextIO) -> int:
    """The command's exit code."""
    line = Line(out)
    with tempfile.TemporaryDirectory(prefix="workbench-step-") as folder:
        told = Path(folder) / "told"
        told.touch()
        printed: list[str] = []
        line.begin(what, time.monotonic())
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            env={**os.environ, "WORKBENCH_PROGRESS": str(told)},
        )  # fmt: skip
        reader = threading.Thread(target=_read, args=(child, printed, line), daemon=True)
        reader.start()
        seen, running = 0, True
        try:
            while running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(0.2)
                running = child.poll() is None
                steps = told.read_text().splitlines()
                for step in steps[seen:]:
                    line.begin(f"  {step}", time.monotonic())
                seen = len(steps)
                line.tick(time.monotonic())
        except KeyboardInterrupt:  # the command has heard it, too
            child.wait()
            line.end(time.monotonic(), "stopped")
            return 130
        reader.join(5)
        line.end(time.monotonic(), "failed" if child.returncode else "done")
        if child.returncode:
            out.write("".join(printed)[-SHOWN:])
        return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _read(child: subprocess.Popen[str], printed: list[str], line: Line) -> None:
    assert child.stdout is not None
    for text in child.stdout:
        printed.append(text)
        if found := _UV.match(text):
            line.note(found[1].strip())


def _width() -> int:
    try:
        return os.get_terminal_size().columns
    except OSError:
        return 80


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:], sys.stdout))
