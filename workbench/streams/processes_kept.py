"""What a run with state does beside its work: snapshots, and all begin anew when a worker ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.contract.errors import PathUnreachable, StateRefused
from workbench.streams.printing import Log
from workbench.streams.processes_counts import Counts
from workbench.streams.processes_crew import Crew
from workbench.streams.processes_saving import Saving
from workbench.streams.processes_slot import Slot
from workbench.streams.processes_wire import told_error
from workbench.streams.spool_folders import begin_anew

__all__ = ["KeptCrew"]


class KeptCrew(Crew):
    """`_saving` is None in a run without state."""

    _state: str
    _after: str
    _finishing: list[str] | None
    _counts: Counts

    def __init__(self, start: Mapping[str, Any], folder: Path, clock: Callable[[], float]) -> None:
        super().__init__(start, folder, clock)
        self.log = Log()
        self._saving: Saving | None = None
        if start["state"] is not None:
            self._saving = Saving(start, self._slots, self._word, self.log.add, clock, time.time)

    def _fail(self, error: Mapping[str, Any]) -> None:
        raise NotImplementedError

    def _begin(self) -> None:
        try:
            if self._saving is not None:
                self._saving.open()
            begin_anew(self._start["topology"]["name"], self._start["anew"], self._saving.path if self._saving else "")
            for slot in self._slots:
                self._spawn(slot)
        except (StateRefused, PathUnreachable) as error:
            self._fail(told_error(error))

    def _looked_after(self) -> None:
        try:
            self._look_after()
        except StateRefused as error:
            self._fail(told_error(error))

    def _in_vain(self, at: float) -> bool:
        """Whether there was no snapshot since."""
        return self._saving is not None and at > self._saving.saved

    # --- what it keeps

    def _more(self, slot: Slot) -> dict[str, Any]:
        return {} if self._saving is None else {"saved": self._saving.begins_with(slot.number)}

    def _kept(self, slot: Slot, more: bytes, data: bytes) -> None:
        if self._saving is not None:
            self._saving.heard(slot, more, data)

    def _claims(self, slot: Slot, body: Mapping[str, Any]) -> None:
        if self._saving is not None:
            self._saving.claims(slot, body)

    def _save(self) -> None:
        if self._saving is not None and self._state in ("running", "paused"):
            try:
                self._saving.step(self._state == "running" and self._finishing is None)
            except StateRefused as error:
                self._fail(told_error(error))

    def _last_snapshot(self, late: bool) -> bool:
        """Before workers close: whether it is still to come."""
        saving = self._saving
        if saving is None or self._after == "failed" or saving.finished:
            return False
        if late or not all(slot.going and slot.process and slot.process.poll() is None for slot in self._slots):
            self.log.add(f"no last snapshot was made: {saving.why_not or 'there was no time'}.")
            return False
        try:
            saving.step(True)
        except StateRefused as error:
            self._fail(told_error(error))
            return False
        return not saving.finished

    def _anew(self, dead: Slot) -> None:
        """All begin with the last snapshot: what came since has never been."""
        others = [slot for slot in self._slots if slot is not dead and slot.process is not None]
        for slot in others:
            assert slot.process is not None
            slot.process.kill()
        for slot in others:
            assert slot.process is not None
            slot.process.wait()
        while self._routed():  # what they said last
            pass
        for slot in others:
            self._by_token.pop(slot.token, None)
            self._by_incarnation.pop(slot.incarnation, None)
            slot.over()
            slot.mark.unlink(missing_ok=True)
            self._counts.died(slot.number, True)
        for slot in self._slots:
            slot.forget()
            slot.due = dead.due
        self._answers, self._finishing = {}, None
        assert self._saving is not None
        self._saving.lost()
        failed = next((slot.failed for slot in others if slot.failed is not None and slot.ran), None)
        if failed is not None:
            self._fail(failed)

    # --- what is told of it

    def _promises(self) -> dict[str, Any]:
        promises: dict[str, Any] = self._start["guarantees"] if self._saving is None else self._saving.document
        return promises

    def _kept_so_far(self) -> dict[str, Any]:
        return {"promises": self._promises(), "snapshot": None if self._saving is None else self._saving.told()}
