"""How every benchmark here measures: ours and the peer interleaved in one run, on the same rows, CPU seconds first.

A side is a worker process (ours in this environment, a peer in an environment of its own, made on first use and kept in
the cache). It reads one task a line and answers with what the task cost it; the server's CPU is read around it. Rounds
are paired: each round runs every side once, in turning order, and a ratio is the median of the rounds' ratios.

The last lines are figures: `figure <name> ours=<x> peer=<y> ratio=<ours/peer> unit=<what>`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.process import cache, cpu_seconds

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Cost:
    """Of one task: the worker's CPU, the server's CPU, wall seconds; `answer` is compared between sides."""

    client: float
    server: float
    wall: float
    answer: Any

    @property
    def cpu(self) -> float:
        return self.client + self.server


class Side:
    """A worker process that runs `benchmarks/workers/<script>` and measures itself."""

    def __init__(self, name: str, script: str, *arguments: str, python: Path | None = None, secret: str = "") -> None:
        self.name = name
        # The watchdog of a worker may look into it for a moment longer than the worker lives.
        self._home = tempfile.TemporaryDirectory(prefix="wb-bench-", ignore_cleanup_errors=True)
        self._child = subprocess.Popen(
            [str(python or sys.executable), str(HERE / "workers" / script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "WORKBENCH_HOME": self._home.name, "WORKBENCH_BENCH_SECRET": secret},
        )

    def run(self, task: str, server: int | Sequence[int] | None = None) -> Cost:
        assert self._child.stdin is not None
        servers = (server,) if isinstance(server, int) else server or ()
        before = sum(map(cpu_seconds, servers))
        self._child.stdin.write(json.dumps(task) + "\n")
        self._child.stdin.flush()
        reply = self._reply()
        after = sum(map(cpu_seconds, servers))
        if "error" in reply:
            raise RuntimeError(f"{self.name}: {reply['error']}")
        return Cost(reply["cpu"], after - before, reply["wall"], reply["answer"])

    def close(self) -> None:
        if self._child.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # it has ended by itself, and said why
                self._child.stdin.close()
        self._child.wait(30)
        self._home.cleanup()

    def _reply(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            if line.startswith("{"):
                reply: dict[str, Any] = json.loads(line)
                return reply
        raise RuntimeError(f"{self.name} ended with {self._child.wait(30)}")


def environment(*requirements: str) -> Path:
    """The Python of a peer's own environment, made with uv on first use."""
    key = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()[:12]
    folder = cache() / "peers" / key
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"making an environment with {', '.join(requirements)}", file=sys.stderr)
        uv = str(Path(sys.executable).parent / "uv")
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", str(python), *requirements], check=True)
        (folder / "ready").touch()
    return python


def rounds(
    sides: Sequence[Side],
    task: str | Callable[[int], str],
    count: int,
    server: int | Sequence[int] | None = None,
    same: Callable[[Any], Any] = lambda a: a,
) -> dict[str, list[Cost]]:
    """`count` paired rounds after one to warm up; raises when the sides' answers differ. A task that is a function
    of the round's number is another one each round, the same for all sides."""
    costs: dict[str, list[Cost]] = {side.name: [] for side in sides}
    for number in range(count + 1):
        asked = task if isinstance(task, str) else task(number)
        turned = [*sides[number % len(sides) :], *sides[: number % len(sides)]]
        for side in turned:
            cost = side.run(asked, server)
            if number:
                costs[side.name].append(cost)
        answers = {side.name: same(costs[side.name][-1].answer) for side in sides if costs[side.name]}
        if len({json.dumps(answer, sort_keys=True) for answer in answers.values()}) > 1:
            raise RuntimeError(f"the sides do not agree on {asked!r}: {answers}")
    return costs


def median(costs: Sequence[Cost], what: Callable[[Cost], float]) -> float:
    return statistics.median(what(cost) for cost in costs)


def paired(ours: Sequence[Cost], peer: Sequence[Cost], what: Callable[[Cost], float]) -> float:
    """The median of the rounds' own ratios, ours over the peer's."""
    return statistics.median(what(a) / max(what(b), 1e-9) for a, b in zip(ours, peer, strict=True))


def table(costs: Mapping[str, Sequence[Cost]], per: float = 1.0, unit: str = "s") -> None:
    print(f"{'':24s}{'client ' + unit:>16s}{'server ' + unit:>16s}{'wall ' + unit:>16s}")
    for name, of in costs.items():
        row = [median(of, what) / per for what in (lambda c: c.client, lambda c: c.server, lambda c: c.wall)]
        print(f"{name:24s}" + "".join(f"{value:16.4g}" for value in row))


def figure(name: str, ours: float, unit: str, peer: float | None = None, ratio: float | None = None) -> None:
    shown = "peer=- ratio=-" if peer is None else f"peer={peer:.4g} ratio={ratio or ours / peer:.3g}"
    print(f"figure {name} ours={ours:.4g} {shown} unit={unit}", flush=True)


def arguments(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(description or "").partition("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds; ends within three minutes")
    parser.add_argument("--rounds", type=int, default=0, help="paired rounds (default: 7, with --quick 3)")
    return parser
