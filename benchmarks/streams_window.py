"""What do tumbling page views by event time cost, row by row with acking and in Arrow tables, beside bytewax?

One view a millisecond, up to 400 ms out of order, windows of a second over 200 pages, 500 ms of lag; what is counted
and summed is the same on each side. Ours holds each view's root until its window has been handed out. Beside them the
loop that one would write by hand.
"""

from __future__ import annotations

from benchmarks.harness import Cost, Side, arguments, environment, figure, median, paired, table

QUICK, WHOLE = 120_000, 240_000


def main() -> None:
    options = arguments(__doc__).parse_args()
    count = QUICK if options.quick else WHOLE
    per = count / 1e6
    ours = Side("ours", "streams_ours.py", "0", str(count))
    loop = Side("loop", "streams_ours.py", "0", str(count))
    peer = Side("bytewax", "streams_bytewax.py", "0", str(count), python=environment("bytewax==0.21.1"))
    number = options.rounds or (3 if options.quick else 7)
    costs: dict[str, list[Cost]] = {"ours, rows": [], "ours, tables": [], "loop": [], "bytewax": []}
    tasks = {
        "ours, rows": (ours, "windows"),
        "ours, tables": (ours, "windows_batch"),
        "loop": (loop, "loop_windows"),
        "bytewax": (peer, "windows"),
    }
    try:
        for turn in range(number + 1):
            for name, (side, task) in tasks.items():
                cost = side.run(task)
                costs[name] += [cost] if turn else []
    finally:
        for side in (ours, loop, peer):
            side.close()
    answers = {name: cost[0].answer for name, cost in costs.items()}
    if any(answer != answers["loop"] for answer in answers.values()):
        raise RuntimeError(f"the sides do not agree: {answers}")
    print(f"\n{count:,} views, CPU in µs a view")
    table(costs, per, "µs")
    for name, mine, other in (
        ("streams_window_row_vs_bytewax", "ours, rows", "bytewax"),
        ("streams_window_batch_vs_bytewax", "ours, tables", "bytewax"),
        ("streams_window_batch_vs_loop", "ours, tables", "loop"),
    ):
        a, b = costs[mine], costs[other]
        figure(name, median(a, _cpu) / per, "us_cpu_a_view", median(b, _cpu) / per, paired(a, b, _cpu))


def _cpu(cost: Cost) -> float:
    return cost.cpu


if __name__ == "__main__":
    main()
