"""How long after it was due is an event counted, at 1,000 events a second, beside bytewax and streamz?

Ours is a spout and a bolt with fields grouping to four tasks, every event acked. As with the peers, the spout waits for
the next event (`waits`); beside it one that says that there is nothing, and is asked again by the runner (`asked`), and
one to which another thread brings the events (`woken`). Latency counts from when an event was due, so whoever is late
once is late with what comes meanwhile, too. Wall time: it depends on what else the machine does, for each side alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.harness import Cost, Side, arguments, environment, figure

QUICK, WHOLE = 2, 5


def main() -> None:
    options = arguments(__doc__).parse_args()
    seconds = str(QUICK if options.quick else WHOLE)
    ours = Side("ours", "latency_ours.py", seconds)
    bytewax = Side("bytewax", "latency_bytewax.py", seconds, python=environment("bytewax==0.21.1"))
    streamz = Side("streamz", "latency_streamz.py", seconds, python=environment("streamz==0.6.6"))
    tasks = {
        "ours": (ours, "waits"),
        "bytewax": (bytewax, ""),
        "ours, asked": (ours, "asked"),
        "streamz": (streamz, ""),
        "ours, woken": (ours, "woken"),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in tasks}
    names = list(tasks)
    try:
        for turn in range((options.rounds or (5 if options.quick else 9)) + 1):
            for name in (*names[turn % len(names) :], *names[: turn % len(names)]):
                side, task = tasks[name]
                cost = side.run(task)
                costs[name] += [cost] if turn else []
    finally:
        for side in (ours, bytewax, streamz):
            side.close()
    counts = {name: cost[0].answer["counts"] for name, cost in costs.items()}
    if any(count != counts["ours"] for count in counts.values()):
        raise RuntimeError(f"the sides do not agree: {counts}")
    print(f"\nms after an event was due, medians of {len(costs['ours'])} rounds of {seconds} s")
    print(f"{'':16s}{'p50':>10s}{'p99':>10s}{'worst':>10s}{'CPU µs an event':>18s}")
    for name, of in costs.items():
        cpu = statistics.median(cost.cpu for cost in of) / int(seconds) * 1e3
        told = [_middle(of, what) for what in ("p50", "p99", "worst")]
        print(f"{name:16s}" + "".join(f"{value:10.3f}" for value in told) + f"{cpu:18.1f}")
    for what in ("p50", "p99"):
        for name in ("bytewax", "streamz"):
            _figure(f"streams_latency_{what}_vs_{name}", costs["ours"], costs[name], what)
    for name in ("asked", "woken"):
        for what in ("p50", "p99"):
            _figure(f"streams_latency_{name}_{what}_vs_bytewax", costs[f"ours, {name}"], costs["bytewax"], what)


def _middle(of: Sequence[Cost], what: str) -> float:
    return statistics.median(cost.answer[what] for cost in of)


def _figure(name: str, ours: Sequence[Cost], peer: Sequence[Cost], what: str) -> None:
    pairs = zip(ours, peer, strict=True)
    ratio = statistics.median(mine.answer[what] / other.answer[what] for mine, other in pairs)
    figure(name, _middle(ours, what), "ms", _middle(peer, what), ratio)


if __name__ == "__main__":
    main()
