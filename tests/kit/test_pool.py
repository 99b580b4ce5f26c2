from __future__ import annotations

import os
import threading

import pytest

from workbench.contract.errors import ConnectionLost
from workbench.kit.pool import Pool


class Bench:
    """Numbers instead of connections, and a clock that is set."""

    def __init__(self, idle: int = 2) -> None:
        self.now, self.made, self.dropped, self.asked = 0.0, 0, list[int](), list[int]()
        self.sick: set[int] = set()
        self.pool: Pool[int] = Pool(
            self._make, healthy=self._healthy, drop=self.dropped.append, idle=idle, clock=lambda: self.now
        )

    def _make(self) -> int:
        self.made += 1
        return self.made

    def _healthy(self, item: int) -> bool:
        self.asked.append(item)
        return item not in self.sick


def test_the_freshest_comes_again_without_a_question() -> None:
    bench = Bench()
    one, two = bench.pool.take(), bench.pool.take()
    bench.pool.give(one)
    bench.pool.give(two)
    assert bench.pool.take() == two
    assert bench.asked == []


def test_one_that_rested_is_asked_and_a_sick_one_dropped() -> None:
    bench = Bench()
    one, two = bench.pool.take(), bench.pool.take()
    bench.pool.give(one)
    bench.pool.give(two)
    bench.now, bench.sick = 60.0, {two}
    assert bench.pool.take() == one
    assert bench.asked == [two, one]
    assert bench.dropped == [two]


def test_too_old_is_dropped_unasked() -> None:
    bench = Bench()
    bench.pool.give(bench.pool.take())
    bench.now = 301.0
    assert bench.pool.take() == 2
    assert (bench.asked, bench.dropped) == ([], [1])


def test_surplus_and_close() -> None:
    bench = Bench(idle=2)
    items = [bench.pool.take() for _ in range(4)]
    for item in items[:3]:
        bench.pool.give(item)
    assert (bench.dropped, bench.pool.resting()) == ([1], 2)
    bench.pool.close()
    bench.pool.close()
    bench.pool.give(items[3])
    assert bench.dropped == [1, 2, 3, 4]
    with pytest.raises(ConnectionLost):
        bench.pool.take()


def test_a_forked_process_starts_with_nothing() -> None:
    bench = Bench()
    bench.pool.give(bench.pool.take())
    bench.pool._process = os.getpid() + 1  # as it looks in the child
    assert bench.pool.take() == 2
    assert bench.dropped == []


def test_no_item_is_out_twice() -> None:
    pool: Pool[list[int]] = Pool(list, healthy=lambda _: True, drop=lambda _: None, idle=3)
    clash = threading.Event()

    def work() -> None:
        for _ in range(500):
            item = pool.take()
            item.append(1)
            if len(item) != 1:
                clash.set()
            item.clear()
            pool.give(item)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not clash.is_set()
