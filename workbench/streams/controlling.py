"""What viewers may ask of a topology: to be stopped, paused, resumed, or played again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.contract.errors import UsageError, WorkbenchError
from workbench.streams.tuples import told

if TYPE_CHECKING:
    from workbench.streams.running import Running

__all__ = ["CONTROLS", "control"]

CONTROLS = ("stop", "pause", "resume", "replay")


def control(running: Running | None, what: str) -> str | None:
    """Does it; `replay` may have a speed behind it. Says the run that goes on, where it is another one. Raises
    WorkbenchError."""
    what, _, speed = what.partition(" ")
    if what not in CONTROLS or running is None:
        raise UsageError(f"A topology takes {', '.join(CONTROLS)}, and not `{what[:20]}`.")
    if what == "replay":
        return _replay(running, _speed(speed) if speed else None)
    if running.ended(0):
        raise UsageError(f"It is over, so it cannot {what} any more.")
    {"stop": running.stop, "pause": running.pause, "resume": running.resume}[what]()
    return None


def _replay(running: Running, speed: float | None) -> str:
    try:
        return running.replay(speed).id
    except WorkbenchError:
        raise
    except Exception as error:  # what a component's `open` raises: whoever pressed Replay is told
        raise UsageError(f"It could not be started again: {told(error)}") from error


def _speed(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"`{text[:20]}` is no speed: 1 is as fast as it was, 60 an hour a minute.") from None
