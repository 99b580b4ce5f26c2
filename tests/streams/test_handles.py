"""A run whose cell is interrupted, whose handle is gone, or that is started twice."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.contract.errors import InvalidParameter, StateRefused
from workbench.runs import Register
from workbench.streams import Rate, Topology, spout
from workbench.streams.running import Running

Start = Callable[..., Running]


def ticking() -> Topology:
    @spout("n", repeats=True)
    def numbers() -> Iterator[Any]:
        while True:
            yield None

    return Topology("ticking", snapshot_every="100ms").spout("numbers", numbers)


@pytest.mark.parametrize("runner", ["inline", "processes"])
def test_who_interrupts_the_wait_for_a_run_does_not_end_the_run(started: Start, eventually: Any, runner: str) -> None:
    running = started(Topology("waited").spout("rate", Rate(100)), runner=runner)
    here = threading.get_ident()

    def waited() -> None:
        threading.Timer(1, lambda: signal.pthread_kill(here, signal.SIGINT)).start()  # as Interrupt does
        running.wait(60)

    with pytest.raises(KeyboardInterrupt):
        waited()
    before = running.metrics().count("emitted", "rate")
    eventually(lambda: running.metrics().count("emitted", "rate") > before, within=60)
    assert running.state == "running"
    assert running.stop(20).state == "stopped"


def test_a_state_is_of_one_run_until_that_is_stopped_also_when_nobody_has_its_handle(
    register: Register, tmp_path: Path, eventually: Any
) -> None:
    path = tmp_path / "state.sqlite"
    first = ticking().run(register=register, state=path)
    stop = first._engine.ask
    with pytest.raises(StateRefused, match="another run has it open"):
        ticking().run(register=register, state=path)
    other = ticking().run(register=register)  # the same name, without state: both run
    assert (first.state, other.state) == ("running", "running")
    thread = first._engine.thread
    del first
    gc.collect()
    with pytest.raises(StateRefused, match="another run has it open"):
        ticking().run(register=register, state=path)
    stop("stop")
    thread.join(60)
    other.stop(20)
    again = ticking().run(register=register, state=path)
    assert again.state == "running"
    again.stop(20)


@pytest.mark.parametrize("name", ["zählung", "数える", "", " a"])
def test_names_are_those_that_a_file_and_a_page_can_have(name: str) -> None:
    with pytest.raises(
        InvalidParameter, match="it is a letter or digit, and then up to 63 letters, digits, `_` and `-`"
    ):
        Topology(name)
