"""Stopping a run from any process: ask its owner, and where the owner does not follow, end its work ourselves."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from workbench.contract.connector import Connector
from workbench.runs import NativeWork, Register, Run, RunInfo

__all__ = ["PATIENCE", "POLL_SECONDS", "WORKING", "Stopped", "Watch", "cancel", "settled", "stop"]

_log = logging.getLogger(__name__)
PATIENCE = 2.0
"""Seconds in which the owner of a run that is asked to stop ends its work."""
POLL_SECONDS = 0.05
WORKING = ("running", "stopping")
LINGER_SECONDS = 5.0
"""So long the watching thread waits for the next run, for starting one costs more than a small query."""


class Opener(Protocol):
    """What opens connections by name, as the catalog does."""

    def open(self, name: str) -> Connector: ...


@dataclass(frozen=True)
class Stopped:
    """What came of it. `by`: the `owner` followed; `us`: we cancelled what it left at its sources; `over`: there was
    nothing to stop. `run` is how it stands now; `failures` says what may still run, and why."""

    run: RunInfo
    by: str
    cancelled: tuple[NativeWork, ...] = ()
    failures: tuple[str, ...] = ()


def stop(
    register: Register, connections: Opener | Callable[[str], Connector], run_id: str, patience: float = PATIENCE
) -> Stopped:
    """Asks the run to stop; when it has not finished within `patience` seconds, or its owner is gone, cancels at the
    sources what it runs there. Raises UnknownRun."""
    before = register.get(run_id)
    if not before.active:
        return Stopped(before, "over")
    register.request_stop(run_id)
    deadline = time.monotonic() + patience
    while (now := register.get(run_id)).state in WORKING and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    opener = connections if callable(connections) else connections.open
    natives = now.natives if now.state in (*WORKING, "lost") else ()
    return settled(register, now, [(native, cancel(opener, native)) for native in natives])


def cancel(opener: Callable[[str], Connector], native: NativeWork) -> str:
    """Ends it at its source; why that was not possible, or nothing."""
    try:
        opener(native.connection).cancel(native.native_id)
    except Exception as error:  # noqa: BLE001  # others are to be cancelled all the same; this one is reported
        return f"{native.connection} {native.native_id}: {error}"
    return ""


def settled(register: Register, now: RunInfo, tried: Sequence[tuple[NativeWork, str]]) -> Stopped:
    """What came of a Stop: `now` is how the run stood when the owner's time was over, `tried` what `cancel` said."""
    if now.state not in (*WORKING, "lost"):
        return Stopped(now, "owner")
    cancelled = tuple(native for native, failure in tried if not failure)
    if now.state == "lost":
        for native in cancelled:
            register.native_ended(now.id, native.connection, native.native_id)
        register.mark_lost(now.id)
    return Stopped(register.get(now.id), "us", cancelled, tuple(failure for _, failure in tried if failure))


class Watch:
    """Sees within 250 ms that a run of this process was asked to stop, and calls back once, in its own thread.

    The thread ends when no run was watched for `linger` seconds. A call-back should only set events and return.
    """

    def __init__(self, register: Register, linger: float = LINGER_SECONDS) -> None:
        self._register, self._linger = register, linger
        self._changed = threading.Condition()
        self._watched: dict[str, Callable[[], None]] = {}
        self._thread: threading.Thread | None = None
        self._idle = False

    def add(self, run: Run, on_stop: Callable[[], None]) -> None:
        """Watches over a run until `remove`, or until it was asked to stop."""
        with self._changed:
            self._watched[run.id] = on_stop
            if self._thread is None or not self._thread.is_alive():  # not alive: in a forked child
                self._thread = threading.Thread(target=self._poll, name="workbench-watch", daemon=True)
                self._thread.start()
            elif self._idle:
                self._changed.notify()

    def remove(self, run: Run) -> None:
        with self._changed:
            self._watched.pop(run.id, None)

    @property
    def watching(self) -> bool:
        """Whether its thread lives."""
        with self._changed:
            return self._thread is not None

    def _poll(self) -> None:
        while True:
            with self._changed:
                if self._watched:
                    self._changed.wait(POLL_SECONDS)
                if not self._watched:
                    self._idle = True
                    came = self._changed.wait_for(lambda: self._watched, self._linger)
                    self._idle = False
                    if not came:
                        self._thread = None
                        return
                    continue
            try:
                asked = self._register.stopping()
            except Exception:  # noqa: BLE001  # may be readable the next time
                _log.exception("The register of runs cannot be read")
                continue
            with self._changed:
                due = [self._watched.pop(run_id) for run_id in asked & self._watched.keys()]
            for on_stop in due:
                try:
                    on_stop()
                except Exception:  # noqa: BLE001  # the other runs are to be stopped all the same
                    _log.exception("A run's stop call-back failed")
