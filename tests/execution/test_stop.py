from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.execution.owners import Owner
from tests.runs.waiting import until
from workbench.contract.errors import UnknownRun, Unreachable
from workbench.execution.stop import Watch, stop
from workbench.runs import Register


class Source:
    """What `stop` opens: counts what is cancelled."""

    def __init__(self) -> None:
        self.cancelled: list[tuple[str, str]] = []

    def open(self, name: str) -> Any:
        if name == "down":
            raise Unreachable("db.example:3306", "refused")
        return SimpleNamespace(cancel=lambda native_id: self.cancelled.append((name, native_id)))


@pytest.fixture
def register(tmp_path: Path) -> Iterator[Register]:
    register = Register(tmp_path / "runs.db")
    yield register
    register.close()


def test_the_owner_is_called_back_in_250_ms_and_only_for_its_run(register: Register) -> None:
    watch, seen = Watch(register, linger=0.05), threading.Event()
    asked, other = register.begin("query", "a"), register.begin("query", "b")
    watch.add(other, lambda: pytest.fail("nobody asked this one"))
    watch.add(asked, seen.set)
    from_elsewhere = Register(register.path)
    began = time.monotonic()
    from_elsewhere.request_stop(asked.id)
    assert seen.wait(5)
    assert time.monotonic() - began < 0.25
    watch.remove(asked)
    assert watch.watching
    watch.remove(other)
    until(lambda: not watch.watching, what="the thread ends soon after the last run")
    watch.add(other, seen.set)
    assert watch.watching
    watch.remove(other)
    from_elsewhere.close()


def test_a_call_back_that_fails_does_not_end_the_watch(register: Register, caplog: pytest.LogCaptureFixture) -> None:
    watch, seen = Watch(register, linger=0.0), threading.Event()
    first, second = register.begin("query", "a"), register.begin("query", "b")
    watch.add(first, lambda: 1 // 0)
    watch.add(second, seen.set)
    register.request_stop(first.id)
    until(lambda: "call-back failed" in caplog.text)
    register.request_stop(second.id)
    assert seen.wait(5)
    until(lambda: not watch.watching)


def test_an_owner_that_follows_is_left_to_it(register: Register) -> None:
    watch, source = Watch(register), Source()
    run = register.begin("query", "q")
    run.native_started("shop", "1 x")

    def follow() -> None:
        run.native_ended("shop", "1 x")
        run.finish("stopped")

    watch.add(run, follow)
    outcome = stop(register, source, run.id, patience=10)
    assert (outcome.by, outcome.run.state, outcome.cancelled) == ("owner", "stopped", ())
    assert source.cancelled == []
    assert stop(register, source, run.id).by == "over"
    with pytest.raises(UnknownRun):
        stop(register, source, "nobody")


def test_an_owner_that_hangs_has_its_work_cancelled(register: Register) -> None:
    source = Source()
    run = register.begin("query", "q")
    run.native_started("shop", "1 x")
    run.native_started("down", "2 x")
    outcome = stop(register, source.open, run.id, patience=0.2)
    assert (outcome.by, outcome.run.state) == ("us", "stopping")
    assert source.cancelled == [("shop", "1 x")]
    assert [native.connection for native in outcome.cancelled] == ["shop"]
    assert len(outcome.failures) == 1
    assert "db.example:3306" in outcome.failures[0]


def test_what_a_dead_owner_left_is_cancelled_at_once(tmp_path: Path) -> None:
    dead_child = tmp_path / "none.py"
    dead_child.write_text("")  # a watchdog that does nothing, so that something is left
    owner = Owner(tmp_path, child=str(dead_child))
    owner.kill()
    source = Source()
    began = time.monotonic()
    outcome = stop(owner.register, source, owner.run, patience=60)
    assert time.monotonic() - began < 30
    assert (outcome.by, outcome.run.state, outcome.run.natives) == ("us", "lost", ())
    assert sorted(source.cancelled) == [("crm", f"3 wb-{owner.run}-2"), ("shop", f"2 wb-{owner.run}-1")]
    owner.close()
