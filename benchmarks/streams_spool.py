"""What does it cost a webhook to keep what it accepts on the disk until it is done?

The same topology with its spool and without (`spool=0`) by turns, in this process; clients in another one post to it
over connections that they keep. CPU is this process's, a row; where it waits for the disk, requests gather and are
written together.
"""

from __future__ import annotations

import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import arguments, figure
from workbench.runs import Register
from workbench.streams import Topology, Webhook
from workbench.streams.spooling import MOST_SPOOL

LOADS = ((1, 1), (16, 1), (16, 100))
"""Clients, and rows of a body."""
NAMES = ("with", "without")


def main() -> None:
    options = arguments(__doc__).parse_args()
    seconds, count = (1.0, options.rounds or 3) if options.quick else (3.0, options.rounds or 7)
    with tempfile.TemporaryDirectory(prefix="wb-bench-", dir=Path.home()) as home:  # where a user's own would be
        os.environ |= {"WORKBENCH_HOME": home, "HOOK_KEY": secrets.token_hex(16)}
        register = Register(Path(home) / "runs.sqlite")
        for clients, rows in LOADS:
            found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in NAMES}
            for number in range(count + 1):
                for name in NAMES[:: 1 if number % 2 else -1]:
                    cost = _cost(register, MOST_SPOOL if name == "with" else 0, seconds, clients, rows)
                    found[name] += [cost] if number else []
            print(f"{clients} clients, {rows} rows a body:")
            for name, costs in found.items():
                speed, wait, cpu = (statistics.median(column) for column in zip(*costs, strict=True))
                print(
                    f"  {name:8s}{speed:10,.0f} rows/s, an answer in {wait:6.2f} ms (p50), {cpu:7.2f} µs of CPU a row"
                )
            ratios = [a[2] / b[2] for a, b in zip(found["with"], found["without"], strict=True)]
            ours, peer = (statistics.median(cost[2] for cost in found[name]) for name in NAMES)
            figure(f"streams_spool_{clients}x{rows}", ours, "us_cpu_a_row", peer, statistics.median(ratios))
        register.close()


def _cost(register: Register, spool: int, seconds: float, clients: int, rows: int) -> tuple[float, float, float]:
    """Rows a second, milliseconds of an answer, microseconds of CPU a row; when all were done, too."""
    done = [0]

    def take(row: object) -> None:
        done[0] += 1

    hook = Webhook(secret="env:HOOK_KEY", fields=("n",), spool=spool, queue=100_000)
    running = Topology("spool").spout("in", hook).bolt("out", take, inputs="in").run(register=register)
    try:
        while not (port := next(iter(running.metrics().now.sources.values()), {}).get("port")):
            time.sleep(0.01)
        asked = ["-m", "benchmarks.workers.webhook_clients", f"{port:.0f}", f"{seconds}", f"{clients}", f"{rows}"]
        cpu, began = time.process_time(), time.perf_counter()
        said = json.loads(subprocess.run([sys.executable, *asked], stdout=subprocess.PIPE, check=True).stdout)
        while done[0] < said["rows"]:
            assert running.state == "running", running.failure
            assert time.perf_counter() - began < 60 + seconds, done
            time.sleep(0.001)
        return said["rows"] / seconds, said["p50"], (time.process_time() - cpu) / said["rows"] * 1e6
    finally:
        running.stop()


if __name__ == "__main__":
    main()
