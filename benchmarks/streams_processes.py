"""Does a topology in processes of its own use the cores that there are, and what does a row cost that crosses?

A bolt that works some 50 µs a row on hashes, in two tasks: inline, in one worker, and in two. The same for lines of a
web server's log, parsed and counted by page in two tasks each, where half of what is parsed crosses once more. Then a
bolt that does nothing, in another process than its spout: row by row, and in batches of 1,000; beside it the same
inline. All acked. Wall time from the moment when the workers are ready. There is no peer: the other side is ours in one
worker, or inline.
"""

from __future__ import annotations

import statistics

from benchmarks.harness import Side, arguments, figure

QUICK, WHOLE = (20_000, 50_000), (60_000, 200_000)
TASKS = ("heavy 0", "heavy 1", "heavy 2", "parse 0", "parse 1", "parse 2", "row 0", "row 2", "batch 0", "batch 2")


def main() -> None:
    options = arguments(__doc__).parse_args()
    heavy, light = QUICK if options.quick else WHOLE
    number = options.rounds or (3 if options.quick else 7)
    side = Side("ours", "streams_processes_ours.py", str(heavy), str(light))
    took: dict[str, list[float]] = {task: [] for task in TASKS}
    try:
        for turn in range(number + 1):
            for task in (*TASKS[turn % len(TASKS) :], *TASKS[: turn % len(TASKS)]):
                seconds = float(side.run(task).answer)
                took[task] += [seconds] if turn else []
    finally:
        side.close()
    rows = {task: heavy if task.startswith(("heavy", "parse")) else light for task in TASKS}
    each = {task: statistics.median(took[task]) / rows[task] * 1e6 for task in TASKS}
    print(f"\n{'task, workers (0: inline)':28s}{'µs of wall time a row':>24s}")
    for task in TASKS:
        print(f"{task:28s}{each[task]:24.4g}")
    for name, ours, other in (
        ("streams_processes_two_workers_vs_one", "heavy 2", "heavy 1"),
        ("streams_processes_two_workers_vs_inline", "heavy 2", "heavy 0"),
        ("streams_processes_parse_two_workers_vs_one", "parse 2", "parse 1"),
        ("streams_processes_parse_two_workers_vs_inline", "parse 2", "parse 0"),
        ("streams_processes_row", "row 2", "row 0"),
        ("streams_processes_batch", "batch 2", "batch 0"),
    ):
        ratio = statistics.median(a / b for a, b in zip(took[ours], took[other], strict=True))
        figure(name, each[ours], "us_wall_a_row", each[other], ratio)


if __name__ == "__main__":
    main()
