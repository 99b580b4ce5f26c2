"""The memory of processes, as a benchmark in a browser counts it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def below(process: int) -> Iterator[int]:
    """This process and all that it or they started."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended
            children.setdefault(parent, []).append(int(entry.name))
    left = [process]
    while left:
        one = left.pop()
        left += children.get(one, [])
        yield one


def memory(process: int, name: str = "chrom") -> float:
    """MB of this process and all below it with `name` in theirs: what is theirs alone, and their part of what they
    share."""
    total = 0.0
    for one in below(process):
        try:
            rollup = (Path("/proc") / str(one) / "smaps_rollup").read_text()
            called = (Path("/proc") / str(one) / "comm").read_text()
        except OSError:
            continue
        if name in called:
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1000
    return total
