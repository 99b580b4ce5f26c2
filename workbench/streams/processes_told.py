"""What the components of a run in processes have said: its log, its errors and its dead letters, as far as whoever
started it has asked for them."""

from __future__ import annotations

import base64
import pickle
from collections import deque
from collections.abc import Mapping
from typing import Any

from workbench.streams.given_up import DeadLetter, KeptLetters
from workbench.streams.printing import Log
from workbench.streams.task import Fault

__all__ = ["Told"]

KEPT = 1_000


class Told:
    """`seen`: how many of each are here by now, which is what is asked with. `take` is told what came since."""

    def __init__(self) -> None:
        self.seen = {"log": 0, "faults": 0, "letters": 0}
        self.log = Log()
        self.faults: deque[Fault] = deque(maxlen=KEPT)
        self.letters = KeptLetters()

    def take(self, told: Mapping[str, Any]) -> None:
        lines, logged = told["log"]
        new = logged - self.seen["log"]
        lines = lines[max(0, len(lines) - new) :] if new > 0 else []
        self.log.dropped += max(0, new - len(lines))
        for line in lines:
            self.log.add(line)
        self.seen["log"] = max(logged, self.seen["log"])
        faults, _ = self._new("faults", *told["faults"])
        self.faults.extend(Fault(*value) for value in faults)
        letters, skipped = self._new("letters", *told["letters"])
        self.letters.skip(skipped)
        for value in letters:
            self.letters.add(_letter(value))

    def _new(self, name: str, values: list[Any], number: int) -> tuple[list[Any], int]:
        """Those that are new, and how many more there were."""
        new = max(0, number - self.seen[name])
        self.seen[name] = max(number, self.seen[name])
        values = values[max(0, len(values) - new) :] if new else []
        return values, new - len(values)


def _letter(value: Mapping[str, Any]) -> DeadLetter:
    try:
        # Pickled by a worker of this run, which has our own code, and told by our own child's pipe.
        row = pickle.loads(base64.b64decode(value["row"]))
    except Exception:  # noqa: BLE001  # a value whose module is not here
        row = ("a row that cannot be read here",)
    return DeadLetter(row, value["component"], value["error"], value["tries"])
