"""Calls that may hang (a name server, a keyring, a slow source), waited for only so long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["TookTooLong", "within"]

T = TypeVar("T")


class TookTooLong(Exception):  # never leaves the room: callers turn it into what it means to them
    """The call goes on in its thread; nobody waits for it any more."""


class _Outcome(Generic[T]):
    value: T
    error: BaseException | None = None


def within(seconds: float, call: Callable[[], T]) -> T:
    """What the call returns or raises, or TookTooLong after `seconds`."""
    outcome: _Outcome[T] = _Outcome()
    done = threading.Event()

    def run() -> None:
        try:
            outcome.value = call()
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread
            outcome.error = error
        finally:
            done.set()

    threading.Thread(target=run, name="workbench-bounded", daemon=True).start()
    if not done.wait(seconds):
        raise TookTooLong
    if outcome.error is not None:
        raise outcome.error
    return outcome.value
