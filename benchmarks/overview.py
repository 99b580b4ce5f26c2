"""What does a traffic overview of 20 million events cost, beside ClickHouse embedded in Python (chdb)?

Page views and exact unique visitors by minute, and sessions, bounces and durations by day, of 91 Parquet files: ours is
one `Overview` by minute through `wb.reports`; chdb runs the fastest statements that were found for it, one for the
visitors and one for the sessions, in an environment of its own. Both may use two threads. Every number is compared:
minutes, page views, the visitors of all minutes, and by day sessions, bounces and milliseconds.
"""

from __future__ import annotations

from typing import Any

from benchmarks.clicks import clicks
from benchmarks.harness import Cost, Side, arguments, environment, figure, median, paired, rounds, table

QUICK, WHOLE = 10_000_000, 20_000_000


def main() -> None:
    options = arguments(__doc__).parse_args()
    events = QUICK if options.quick else WHOLE
    peer_python = environment("chdb==4.4.0", "pyarrow")
    folder = str(clicks(events))
    ours = Side("ours", "overview_ours.py", folder)
    peer = Side("chdb", "overview_chdb.py", folder, python=peer_python)
    try:
        costs = rounds([ours, peer], "overview", options.rounds or (3 if options.quick else 5), same=_numbers)
    finally:
        ours.close()
        peer.close()
    a, b = costs["ours"], costs["chdb"]
    total = a[0].answer["numbers"]
    sessions = sum(day[1] for day in total["days"])
    print(f"\n{total['page_views']:,} events, {sessions:,} sessions, {total['minutes']:,} minutes")
    table(costs)
    figure("overview_vs_chdb", median(a, _cpu), "s_cpu", median(b, _cpu), paired(a, b, _cpu))
    figure("overview_wall_vs_chdb", median(a, _wall), "s_wall", median(b, _wall), paired(a, b, _wall))
    figure("overview_memory", *_peaks(a), *_peaks(b)[:1])


def _numbers(answer: Any) -> Any:
    return answer["numbers"]


def _cpu(cost: Cost) -> float:
    return cost.cpu


def _wall(cost: Cost) -> float:
    return cost.wall


def _peaks(costs: list[Cost]) -> tuple[float, str]:
    """The most that the process had resident at any time, imports and all."""
    return max(cost.answer["peak"] for cost in costs), "MiB_resident_at_the_peak"


if __name__ == "__main__":
    main()
