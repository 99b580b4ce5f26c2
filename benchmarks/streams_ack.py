"""What does at-least-once acking cost: word count with and without it, row by row and in batches of 1,000 sentences?

Both are ours, in one process, in turns; with acking every sentence (or batch) has a root, is kept until it was acked,
and is counted. There is no peer: the other side is the same topology with `acking=False`.
"""

from __future__ import annotations

from benchmarks.harness import Cost, Side, arguments, figure, median, paired, table

QUICK, WHOLE = 15_000, 60_000


def main() -> None:
    options = arguments(__doc__).parse_args()
    count = QUICK if options.quick else WHOLE
    per = count * 8 / 1e6
    number = options.rounds or (9 if options.quick else 21)
    names = ("acked", "unacked", "batch_acked", "batch_unacked")
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    side = Side("ours", "streams_ours.py", str(count), "0")
    try:
        for turn in range(number + 1):
            for name in (*names[turn % 2 :], *names[: turn % 2]):
                cost = side.run(name)
                costs[name] += [cost] if turn else []
    finally:
        side.close()
    if len({str(cost[0].answer) for cost in costs.values()}) > 1:
        raise RuntimeError("the topologies do not agree")
    print(f"\n{count * 8:,} words, CPU in µs a word")
    table(costs, per, "µs")
    for name, acked in (("fused", "acked"), ("batch", "batch_acked")):
        a, b = costs[acked], costs[acked.replace("acked", "unacked")]
        figure(
            f"streams_ack_cost_{name}",
            median(a, _cpu) / per,
            "us_cpu_a_word",
            median(b, _cpu) / per,
            paired(a, b, _cpu),
        )


def _cpu(cost: Cost) -> float:
    return cost.cpu


if __name__ == "__main__":
    main()
