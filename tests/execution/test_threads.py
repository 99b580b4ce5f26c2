"""Threads that are used again."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from workbench.execution import threads
from workbench.testing.clock import eventually


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(threads, "IDLE_SECONDS", 0.2)
    eventually(lambda: not threads._idle, 10)
    yield
    eventually(lambda: not threads._idle, 10)


def _in_a_thread() -> threading.Thread:
    seen: list[threading.Thread] = []
    threads.run(lambda: seen.append(threading.current_thread()))
    eventually(lambda: bool(seen) and seen[0] in threads._idle)
    return seen[0]


def test_a_thread_that_is_done_does_the_next_work_and_ends_when_there_is_none() -> None:
    first = _in_a_thread()
    assert _in_a_thread() is first
    eventually(lambda: not first.is_alive())
    assert _in_a_thread() is not first


def test_work_at_once_is_done_side_by_side() -> None:
    together = threading.Barrier(5)
    for _ in range(4):
        threads.run(lambda: together.wait(5))
    together.wait(5)


def test_no_work_is_lost_at_the_moment_in_which_a_thread_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "IDLE_SECONDS", 0.0)
    done = threading.Semaphore(0)
    for _ in range(2_000):
        threads.run(done.release)
    for _ in range(2_000):
        assert done.acquire(timeout=10)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_what_fails_is_told_and_the_thread_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda told_of: told.append(told_of.exc_type))
    threads.run(lambda: 1 // 0)
    eventually(lambda: told == [ZeroDivisionError])
    _in_a_thread()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own() -> None:
    _in_a_thread()
    child = os.fork()
    if child == 0:
        done = threading.Event()
        threads.run(done.set)
        os._exit(0 if done.wait(5) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
