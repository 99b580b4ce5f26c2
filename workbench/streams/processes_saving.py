"""Snapshots of a run whose tasks are in several processes: when they are made, and what the workers say of them.

One is made so: spouts rest; when no worker has anything on its way and nothing is between them, each is asked for what
it keeps, and keeps still if that is so yet (else it says why not, and all try again). What all gave is written as one,
then each writes what its sinks have of it, and all go on. A worker that ends has all begin anew from the last one: then
what came since has never been, also for those that still lived.

No component's code runs here, and nothing is unpickled: parts and keys are texts and bytes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from workbench.streams.guarantees import AT_MOST, EFFECTIVELY
from workbench.streams.keeping import MOST_REASONS
from workbench.streams.processes_slot import Slot
from workbench.streams.recovering import MOST_PATIENCE, PATIENCE, SHARE, TOLD
from workbench.streams.snapshots import Collected, SnapshotFile

__all__ = ["Saving"]


class Saving:
    """Of the run's one thread. `tell(slots, what)` sends a word to these workers; `note` writes into the log."""

    def __init__(
        self,
        start: Mapping[str, Any],
        slots: list[Slot],
        tell: Callable[[Iterable[Slot], Mapping[str, Any]], None],
        note: Callable[[str], None],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        given = start["state"]
        self._slots, self._tell, self._note, self._clock, self._wall = slots, tell, note, clock, wall
        self._recover, self._forget, self._every = given["recover"], tuple(given["forget"]), given["every"]
        self.path = given["path"]
        self._file = SnapshotFile(start["topology"]["name"], Path(self.path), wall, given["shape"])
        self._places = _places(start)
        self._document: dict[str, Any] = start["guarantees"]
        self._said: dict[int, dict[str, Any]] = {}
        left = "was left out when this run began"
        self.reasons: list[str] = [f"what was kept of `{name}` {left}" for name in self._forget]
        self.epoch, self.at, self.why_not = 0, 0.0, ""
        self.saved = float("-inf")
        """By the clock, when the last one was written."""
        self.phase = ""
        """What is waited for: `rest`, `collect`, `commit`, or nothing."""
        self.finished = False
        """Whether the last snapshot has all there is."""
        self._final = False
        self._number, self._began = 0, 0.0
        self._next = self._least = clock() + self._every
        self._patience, self._told = PATIENCE, -TOLD
        self._coming: dict[int, bytearray] = {}
        self._answers: dict[int, dict[str, Any]] = {}
        self._committed = 0

    def open(self) -> None:
        """Raises StateRefused."""
        saved = self._file.open(self._recover, self._forget)
        self.epoch, self.at = saved.epoch, saved.at if saved.epoch else 0.0

    def close(self) -> None:
        self._file.close()

    def begins_with(self, worker: int) -> dict[str, Any]:
        """What its tasks have in the last snapshot, as plain JSON. Raises StateRefused."""
        stored = self._file.stored()
        kept = sorted({part[0] for part in stored["parts"]} | {key[0] for key in stored["states"]})
        return {
            "id": stored["id"],
            "epoch": stored["epoch"],
            "path": self.path,
            "kept": kept,
            "parts": [
                [name, task, kind, *_plain(value)]
                for name, task, kind, value in stored["parts"]
                if self._places.get((name, task)) == worker
            ],
            "states": [one for one in stored["states"] if self._places.get((one[0], one[1])) == worker],
        }

    # --- when

    def step(self, may_begin: bool) -> None:
        """Some times a second. Raises StateRefused."""
        now = self._clock()
        if not self.phase:
            if may_begin and all(slot.going for slot in self._slots) and self._due(now):
                self._rest(now)
        elif self.phase == "rest":
            if why := self._unquiet():
                self._wait(now, why)
            else:
                self._collect()
        elif self.phase == "collect":
            self._collected(now)
        else:
            self._commit(now)

    def finish(self) -> None:
        """No spout will give more: the next one is the last, unless sinks give rows to others."""
        self._final, self.finished = True, False

    def more(self) -> None:
        """Something has come after all."""
        self.finished = False

    def lost(self) -> None:
        """A worker has ended, so all begin anew with the last snapshot."""
        self.phase, self._number = "", self._number + 1
        self._final = self.finished = False
        self._coming, self._answers = {}, {}
        self._next = self._least = self._clock() + self._every

    def _due(self, now: float) -> bool:
        if self._final:
            return not self.finished
        return now >= self._next or (self._crowded() and now >= self._least)

    def _crowded(self) -> bool:
        return any(slot.status is not None and slot.status["crowded"] for slot in self._slots)

    # --- one after the other

    def _rest(self, now: float) -> None:
        self.phase, self._began = "rest", now
        self._number += 1
        self._tell(self._slots, {"rest": self._number})

    def _unquiet(self) -> str:
        for slot in self._slots:
            status = slot.status
            if status is None or status["rest"] != self._number:
                return f"worker {slot.number} has not said yet that its spouts rest"
            if status["unquiet"]:
                return str(status["unquiet"])
            if not slot.settled:
                return "rows are on their way between workers"
        return ""

    def _wait(self, now: float, why: str) -> None:
        rested = now - self._began
        if self._final or rested < self._patience:
            self.why_not = why if self._final else self.why_not
            return
        self.why_not = why
        if now - self._told >= TOLD:
            self._told = now
            self._note(f"state: no snapshot since {rested:.0f} s after it was due, for {why}.")
        if self._crowded():
            return
        self._next = self._least = now + max(self._every, SHARE * rested)
        self.phase, self._patience = "", min(2 * self._patience, MOST_PATIENCE)
        self._tell(self._slots, {"rest": 0})

    def _collect(self) -> None:
        self.phase, self._coming, self._answers = "collect", {}, {}
        self._number += 1  # an answer to an older question is none
        for slot in self._slots:
            self._tell([slot], {"collect": self._number, "sent": slot.got, "received": slot.forwarded})

    def heard(self, slot: Slot, more: bytes, data: bytes) -> None:
        """Of a worker: a part of its answer, with `more` to come or not."""
        coming = self._coming.setdefault(slot.number, bytearray())
        coming += data
        if more == b"1":
            return
        body = json.loads(self._coming.pop(slot.number))
        if body["number"] == self._number:
            self._answers[slot.number] = body

    def _collected(self, now: float) -> None:
        refused = [body["why"] for body in self._answers.values() if body["why"]]
        if len(self._answers) < len(self._slots):
            return
        if refused:
            self._number += 1
            self.phase = "rest"
            self._tell(self._slots, {"rest": self._number})
            self._wait(now, refused[0])
            return
        whole = Collected()
        for body in self._answers.values():
            whole.add(_collected(body))
        self._file.save(self.epoch + 1, whole)
        self.epoch, self.at, self.why_not = self.epoch + 1, self._wall(), ""
        self.saved = self._clock()
        self._number += 1
        self.phase, self._answers, self._committed = "commit", {}, 0
        self._tell(self._slots, {"keep": self.epoch})  # all, before anybody may send anything to another
        self._tell(self._slots[:1], {"commit": self._number})

    def _commit(self, now: float) -> None:
        """One worker after the other, for some targets let one process in at a time."""
        done = len(self._answers)
        if done == self._committed:
            return
        self._committed = done
        if done < len(self._slots):
            self._tell([self._slots[done]], {"commit": self._number})
            return
        self._tell(self._slots, {"rest": self._number if self._final else 0})
        self.phase, self._patience = "", PATIENCE
        self._next = now + max(self._every, SHARE * (now - self._began))
        self._least = now
        if self._final and not any(body["gathers"] for body in self._answers.values()):
            self.finished = True  # what one sink refuses may go to another

    # --- what is told of it

    @property
    def document(self) -> dict[str, Any]:
        """What each sink may claim, of all that the workers know."""
        found = {name: dict(promise) for name, promise in self._document.items()}
        for said in list(self._said.values()):
            for name, promise in said.items():
                if name in found and promise["claim"] != EFFECTIVELY:
                    why = list(dict.fromkeys([*promise["why"], *found[name]["why"]]))
                    found[name] = {**promise, "why": why}
        for promise in found.values():
            if self.reasons and promise["claim"] != AT_MOST:
                promise["claim"] = "at least once"
                promise["why"] = list(dict.fromkeys([*promise["why"], *self.reasons]))
        return found

    def claims(self, slot: Slot, body: Mapping[str, Any]) -> None:
        """What a worker knows of its sinks' targets, and of what has happened."""
        self._said[slot.number] = body["promises"]
        for reason in body["reasons"]:
            if reason not in self.reasons and len(self.reasons) < MOST_REASONS:
                self.reasons.append(reason)

    def told(self) -> list[Any]:
        return [self.epoch, self.at, self.path, self.why_not]


def _places(start: Mapping[str, Any]) -> dict[tuple[str, int], int]:
    """Which worker has the task that is so far among those of its component."""
    found: dict[tuple[str, int], int] = {}
    counts: dict[str, int] = {}
    for number, name in sorted((int(number), name) for number, name in start["components"].items()):
        index = counts[name] = counts.get(name, -1) + 1
        found[name, index] = start["tasks"][str(number)]
    return found


def _plain(value: str | bytes) -> tuple[str, bool]:
    return (base64.b64encode(value).decode(), True) if isinstance(value, bytes) else (value, False)


def _collected(body: Mapping[str, Any]) -> Collected:
    """Raises what the JSON of a worker that is not ours would raise; ours gives no other."""
    found = Collected()
    for name, task, kind, value, coded in body["parts"]:
        found.parts[name, task, kind] = base64.b64decode(value) if coded else value
    for name, task, changes in body["changes"]:
        found.changes[name, task] = [(canon, key, value) for canon, key, value in changes]
    return found
