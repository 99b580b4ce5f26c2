"""What does a running word count cost row by row with at-least-once acking, beside bytewax, streamz and quixstreams?

Sentences of eight words; ours is spout, split and count with fields grouping to four tasks, every sentence acked, all
counters on. bytewax keeps a running count (`stateful_map`) and streamz counts in a sink; neither acks. Of quixstreams,
which needs Kafka for what it keeps, the operators alone are called, without acking, grouping, state or counters, and
the count is a closure. Beside them batches of 1,000 sentences, and the same by hand.
"""

from __future__ import annotations

from benchmarks.harness import Cost, Side, arguments, environment, figure, median, paired, rounds, table

QUICK, WHOLE = 15_000, 60_000


def main() -> None:
    options = arguments(__doc__).parse_args()
    count = QUICK if options.quick else WHOLE
    per = count * 8 / 1e6
    python = environment("bytewax==0.21.1"), environment("streamz==0.6.6"), environment("quixstreams==3.28.0")
    sides = [
        Side("ours", "streams_ours.py", str(count), "0"),
        Side("bytewax", "streams_bytewax.py", str(count), "0", python=python[0]),
        Side("streamz", "streams_streamz.py", str(count), python=python[1]),
        Side("quixstreams", "streams_quix.py", str(count), python=python[2]),
    ]
    number = options.rounds or (5 if options.quick else 9)
    try:
        costs = rounds(sides, "running", number)
        others = {name: rounds(sides[:1], name, number)["ours"] for name in ("batch_acked", "loop")}
    finally:
        for side in sides:
            side.close()
    print(f"\n{count * 8:,} words, CPU in µs a word")
    table({**costs, **{f"ours, {name}": cost for name, cost in others.items()}}, per, "µs")
    ours = costs["ours"]
    for name in ("bytewax", "streamz", "quixstreams"):
        peer = costs[name]
        figure(
            f"streams_wordcount_vs_{name}", median(ours, _cpu) / per, "us_cpu_a_word", median(peer, _cpu) / per,
            paired(ours, peer, _cpu),
        )  # fmt: skip


def _cpu(cost: Cost) -> float:
    return cost.cpu


if __name__ == "__main__":
    main()
