"""What `workbench doctor` looks at. A check is a function that yields findings; one that breaks is a fault itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Check", "Finding", "State", "run_all"]


class State(StrEnum):
    """NOTE: works, but somebody may want to know. FAULT: something does not work."""

    OK = "ok"
    NOTE = "note"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """What was found about `subject`; `way_out` says what to do."""

    subject: str
    state: State
    text: str
    way_out: str = ""


Check = Callable[[], Iterator[Finding]]


def run_all(checks: Sequence[tuple[str, Check]]) -> Iterator[Finding]:
    for subject, check in checks:
        try:
            yield from check()
        except Exception as error:  # noqa: BLE001 - doctor goes on, whatever is broken
            yield Finding(
                subject, State.FAULT, f"{type(error).__name__}: {error}", "workbench doctor --debug shows where."
            )
