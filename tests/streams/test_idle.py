"""A topology that has nothing to do: who is asked how often, and who wakes it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.streams.parts import Keep
from workbench.streams import IteratorSpout, Topology
from workbench.streams.calling import TICK
from workbench.streams.inline import NAPS
from workbench.streams.receiving import Incoming
from workbench.streams.running import Running

Start = Callable[..., Running]


class Idle(IteratorSpout):
    outputs = ("word",)

    def rows(self) -> Iterator[Any]:
        while True:
            yield None


class Brought(Idle):
    """Another thread has what it gives."""

    wakes = True
    come: deque[str] = deque()

    def rows(self) -> Iterator[Any]:
        Brought.woken = self.context.wake
        while True:
            yield self.come.popleft() if self.come else None

    woken: Callable[[], None]


@pytest.mark.parametrize(
    ("spout", "naps", "nap"), [(Idle, 1, 0.001), (Idle, 101, 0.01), (Idle, 401, 0.025), (Brought, 1, TICK)]
)
def test_who_cannot_wake_it_is_asked_again_the_less_the_longer_nothing_comes(
    started: Start, spout: type[IteratorSpout], naps: int, nap: float
) -> None:
    running = started(Topology("idle").spout("spout", spout).bolt("keep", Keep("idle"), inputs="spout"))
    engine: Any = running._engine
    running.stop()  # its thread counts no more
    engine._state, engine._naps = "running", naps
    assert engine._nap_for() == nap
    engine._state = "paused"
    assert engine._nap_for() == TICK
    assert [most for most, _ in NAPS] == sorted(most for most, _ in NAPS)
    engine._state = "stopped"


def test_who_waits_to_emit_again_is_asked(started: Start) -> None:
    class Once(Brought):
        waiting = True  # type: ignore[assignment]

    running = started(Topology("again").spout("spout", Once).bolt("keep", Keep("idle"), inputs="spout"))
    engine: Any = running._engine
    running.stop()
    engine._state, engine._naps = "running", 1
    assert engine._nap_for() == 0.001
    engine._state = "stopped"


def test_what_another_thread_brings_wakes_it(started: Start, eventually: Any) -> None:
    Keep.kept.clear()
    running = started(Topology("brought").spout("spout", Brought).bolt("keep", Keep("brought"), inputs="spout"))

    def bring() -> None:
        for number in range(20):
            Brought.come.append(f"w{number}")
            Brought.woken()

    eventually(lambda: running.metrics().now.uptime > TICK, within=60)
    thread = threading.Thread(target=bring)
    thread.start()
    eventually(lambda: len(Keep.kept.get("brought", [])) == 20, within=60)
    thread.join()
    assert [row.word for row in Keep.kept["brought"]] == [f"w{number}" for number in range(20)]


def test_a_queue_wakes_who_takes_of_it(started: Start) -> None:
    queue, woken = Incoming(2), list[int]()
    queue.wake = lambda: woken.append(len(queue))
    assert queue.offer("a")
    assert queue.put("b")
    assert not queue.offer("c")
    assert woken == [1, 2]
    queue.end()
    assert woken == [1, 2, 2]
