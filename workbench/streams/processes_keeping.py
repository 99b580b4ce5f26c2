"""What a worker keeps, in a run with state: from the words of the run's process and into them, as plain JSON."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from workbench.streams.encoding import from_text
from workbench.streams.guarantees import guarantees
from workbench.streams.keeping import Keeper
from workbench.streams.processes_wire import json_bytes
from workbench.streams.snapshots import Saved
from workbench.streams.task import Task
from workbench.streams.tuples import Row
from workbench.streams.wiring import Wiring

__all__ = ["PIECE", "Part", "pieces"]

PIECE = 8 << 20
"""Bytes of one message; what a worker keeps may be longer than any may be."""


class Part:
    """`resting` is the number of the rest that spouts are told to keep, 0: none. `frozen`: nothing is done at all, for
    what it keeps is being written."""

    def __init__(
        self,
        said: Mapping[str, Any],
        lost: Callable[[Task, Iterable[Row], str], None],
        note: Callable[[str, str], None],
    ) -> None:
        self.resting, self.frozen = 0, False
        self.keeper = Keeper(_saved(said), said["path"], lost, note)
        self.keeper.alone = False
        self._claimed: tuple[int, int] | None = None

    def obey(self, what: Mapping[str, Any], as_told: Callable[[Mapping[str, Any]], bool]) -> bytes | None:
        """A word of the run's process, and the answer to it. Raises StateRefused, and what sinks raise."""
        if "rest" in what:
            self.resting, self.frozen = what["rest"], False
        elif "collect" in what:
            why = self.keeper.unquiet() if as_told(what) else "something came after all"
            self.frozen = not why
            return json_bytes({"number": what["collect"], "why": why}) if why else self._collected(what["collect"])
        elif "keep" in what:
            self.keeper.keeps(what["keep"])
        elif "commit" in what:
            self.keeper.commit()
            return json_bytes({"number": what["commit"], "why": "", "gathers": self.keeper.gathers})
        return None

    def status(self, others: bool) -> dict[str, Any]:
        """`others`: whether calls from other threads wait."""
        why = self.keeper.unquiet() if self.resting else ""
        if not why and others:
            why = "calls from other threads wait"
        return {"rest": self.resting, "unquiet": why, "crowded": self.keeper.crowded}

    def claims(self, wiring: Wiring) -> dict[str, Any] | None:
        """What sinks may claim, when that has changed."""
        reasons = self.keeper.reasons
        now = (len(reasons), len(wiring.sinks))
        if now == self._claimed:
            return None
        self._claimed = now
        found = guarantees(
            wiring.topology,
            True,
            lambda node: [task.instance for task in wiring.tasks[node.id]],
            {one.task.component: one.guarantee for one in wiring.sinks.values()},
        )
        return {"promises": found.document(), "reasons": list(reasons)}

    def _collected(self, number: int) -> bytes:
        found = self.keeper.collect()
        return json_bytes(
            {
                "number": number,
                "why": "",
                "parts": [
                    [
                        *part,
                        base64.b64encode(value).decode() if isinstance(value, bytes) else value,
                        value.__class__ is bytes,
                    ]
                    for part, value in found.parts.items()
                ],
                "changes": [[*task, changes] for task, changes in found.changes.items()],
            }
        )


def pieces(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """What is sent of it: whether more comes, and a part."""
    for first in range(0, len(data), PIECE):
        yield b"1" if first + PIECE < len(data) else b"0", data[first : first + PIECE]


def _saved(said: Mapping[str, Any]) -> Saved:
    found = Saved(said["id"], said["epoch"])
    for name, task, kind, value, coded in said["parts"]:
        found.parts[name, task, kind] = base64.b64decode(value) if coded else value
    for name in said["kept"]:
        found.states[name, -1] = {}  # so it is none that is new, although its tasks here may have nothing
    for name, task, key, value in said["states"]:
        found.states.setdefault((name, task), {})[from_text(key)] = from_text(value)
    return found
