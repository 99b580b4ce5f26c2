"""What tests of the runner `processes` ask of a run and of its processes."""

from __future__ import annotations

from pathlib import Path

from workbench.streams.running import Running


def adds_up(running: Running) -> None:
    for row in running.metrics().rows():
        if row["kind"] == "spout":
            assert row["emitted"] == row["acked"] + row["failed"] + row["pending"] + row["untracked"], row


def pids(running: Running) -> list[int]:
    """Of the run's own process and its workers."""
    own = running._engine.pid  # type: ignore[attr-defined]
    return [own, *children(own)]


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def rested(running: Running, why: str) -> float:
    """Seconds that the spout `s` has; none before its worker has said anything."""
    return running.metrics().now.idle.get(("s", 1), {}).get(why, 0.0)
