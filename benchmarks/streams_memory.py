"""Is the memory of a topology flat that runs at full rate for ten minutes? With --quick, for half a minute.

`workers/memory_ours.py`: rows that fail, rows that are late, keys without end, a bolt that acks later, windows. The
figure is the median of the last tenth of the run against that of the second tenth; the first one warms up.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import arguments, figure

QUICK, WHOLE = 30, 600
WORKER = Path(__file__).parent / "workers" / "memory_ours.py"


def samples(seconds: int) -> list[dict[str, Any]]:
    """One a second, of a fresh process."""
    with tempfile.TemporaryDirectory(prefix="wb-bench-", ignore_cleanup_errors=True) as home:
        command = [sys.executable, str(WORKER), str(seconds)]
        ran = subprocess.run(
            command, env={**os.environ, "WORKBENCH_HOME": home}, check=True, capture_output=True, text=True
        )
    return [json.loads(line) for line in ran.stdout.splitlines()]


def adds_up(sample: dict[str, Any]) -> bool:
    return bool(sample["emitted"] == sum(sample[what] for what in ("acked", "failed", "pending", "untracked")))


def early_and_late(found: list[dict[str, Any]]) -> tuple[float, float]:
    """MiB, in the second tenth and the last one."""
    tenth = max(1, len(found) // 10)
    return _middle(found[tenth : 2 * tenth]), _middle(found[-tenth:])


def _middle(found: list[dict[str, Any]]) -> float:
    return statistics.median(one["mib"] for one in found)


def main() -> None:
    options = arguments(__doc__).parse_args()
    found = samples(QUICK if options.quick else WHOLE)
    last = found[-1]
    if not adds_up(last):
        raise RuntimeError(f"the counts do not add up: {last}")
    for one in found[:: max(1, len(found) // 10)]:
        print(f"{one['emitted']:12,} views, {one['pending']:6,} pending, {one['mib']:6.1f} MiB")
    print(f"{last['emitted']:12,} views in {len(found)} s; {last['late']:,} late, {last['dead']:,} dead letters")
    early, late = early_and_late(found)
    figure("streams_memory", late - early, "MiB_more_at_the_end")
    figure("streams_memory_of_the_process", late, "MiB")


if __name__ == "__main__":
    main()
